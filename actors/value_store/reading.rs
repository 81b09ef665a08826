//! Handlers that change nothing of what is held: questions of peers, reads of the application, and what the backend notes and says.

use actix::Context;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::Response;
use kademlia_dynamic::protocol::store::{KeyPage, Recollection, StoreError, StoreSnapshot, StoredCopy};

use super::super::clock;
use super::super::handling::Receive;
use super::super::messages::{
    AnswerFromStore, AnswerNearest, DescribeStore, FindCopy, ProbeStore, RememberPeers, SelectKeys, StoreQuestion,
    TransmitAnswer,
};
use super::super::outcome::Error;
use super::actor::ValueStore;

impl Receive<AnswerFromStore> for ValueStore {
    fn receive(&mut self, AnswerFromStore { question, key, to }: AnswerFromStore, _: &mut Context<Self>) {
        let now = self.now();
        let response = match question {
            StoreQuestion::CheckStore => {
                let (has_key, copy) = self.records.has(&key, now);
                let ttl = copy.as_ref().map(StoredCopy::ttl_seconds);
                Response::CheckStore { has_key, ttl, age: copy.and_then(|copy| copy.age_seconds()) }
            }
            StoreQuestion::Get => Response::Get { value: self.records.get(&key, now).map(|copy| copy.value) },
            StoreQuestion::FindValue => match self.records.get(&key, now) {
                Some(copy) => {
                    let (ttl, age) = (Some(copy.ttl_seconds()), copy.age_seconds());
                    Response::Value { value: copy.value, ttl, age }
                }
                None => {
                    let target = NodeId::of_key(&key);
                    self.shared.handles.table.nearest(AnswerNearest { target, value_missing: true, to });
                    return;
                }
            },
        };
        self.shared.handles.socket.answer(TransmitAnswer { to, response });
    }
}

impl Receive<FindCopy> for ValueStore {
    fn receive(&mut self, find: FindCopy, _: &mut Context<Self>) -> Option<StoredCopy> {
        self.records.get(&find.0, clock::now())
    }
}

impl Receive<RememberPeers> for ValueStore {
    fn receive(&mut self, RememberPeers(peers): RememberPeers, _: &mut Context<Self>) {
        self.backend.remember(Recollection { id: Some(self.shared.id), peers });
    }
}

impl Receive<ProbeStore> for ValueStore {
    fn receive(&mut self, probe: ProbeStore, _: &mut Context<Self>) {
        // The caller may have gone.
        let done = move |result: Result<(), StoreError>| drop(probe.answer.send(result.map_err(Error::Store)));
        self.backend.commit(Vec::new(), Box::new(done));
    }
}

impl Receive<SelectKeys> for ValueStore {
    fn receive(&mut self, SelectKeys { prefix, after, limit }: SelectKeys, _: &mut Context<Self>) -> KeyPage {
        self.records.page(&prefix, after.as_deref(), limit, clock::now())
    }
}

impl Receive<DescribeStore> for ValueStore {
    fn receive(&mut self, _: DescribeStore, _: &mut Context<Self>) -> StoreSnapshot {
        let now = clock::now();
        let ((republications, restores), pass) = (self.records.backlog(now), self.pass(now));
        let oldest_write = self.pending.oldest().map(|begun| now.saturating_duration_since(begun));
        let backend = self.backend.health();
        StoreSnapshot { backend, oldest_write, republications, restores, pass, ..self.records.snapshot() }
    }
}
