//! The value store as an actor: what we hold, and what of it we publish. Every write is answered on
//! [`Committed`](super::messages::Committed): at once from memory, after the commit from a disk's thread. Who wins among
//! writers is the protocol's business.

mod backlog;
mod committing;
mod giving;
mod keeping;
mod limits;
mod placing;
mod rounds;
mod writing;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, Context, MessageResult, Supervised};
use kademlia_dynamic::causes::Causes;
use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::entropy::Entropy;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::lookup::Votes;
use kademlia_dynamic::protocol::message::Response;
use kademlia_dynamic::protocol::store::{
    RecentWrites, Recollection, Records, Store, StoreError, StoreSnapshot, StoredCopy,
};

use self::backlog::Backlog;
use self::committing::Group;
pub(super) use self::limits::check_key;
use self::rounds::Lateness;
use super::clock::{self, Alarm, Standstill};
use super::counters::Counters;
use super::events::Events;
use super::handles::Handles;
use super::handling::Handler;
use super::messages::{
    Answer, AnswerFromStore, AnswerNearest, Compared, DescribeStore, FindCopy, HandoffHandle, LookupKey, LookupReply,
    LookupResult, LookupsHandle, PinsHandle, PlacesFound, Placing, Priority, ProbeStore, PublishDone, ReadValue,
    RememberPeers, SocketHandle, StartLookup, StoreHandle, StoreQuestion, TableHandle, TransmitAnswer,
};
use super::outcome::{Error, GetOutcome, GetResult, SetOutcome};
use super::shared::Shared;

/// The actor that owns the values.
pub struct ValueStore {
    own: NodeId,
    config: Config,
    codec: Codec,
    records: Records,
    /// Writes of peers that came lately, so that none is applied twice.
    recent: RecentWrites,
    backend: Box<dyn Store>,
    groups: u64,
    /// Groups handed to the backend and not yet committed.
    waiting: HashMap<u64, Group>,
    /// What the backend did not take.
    backlog: Backlog,
    standstill: Standstill,
    lateness: Lateness,
    /// Whether the node is about to stop, so that nothing new is worth holding.
    leaving: bool,
    entropy: Box<dyn Entropy>,
    counters: Arc<Counters>,
    events: Events,
    /// This actor.
    store: StoreHandle,
    socket: SocketHandle,
    table: TableHandle,
    lookups: LookupsHandle,
    pins: PinsHandle,
    handoff: HandoffHandle,
}

impl ValueStore {
    pub(crate) fn new(shared: &Rc<Shared>, backend: Box<dyn Store>, handles: &Handles) -> Self {
        let config = shared.config.clone();
        Self {
            own: shared.id,
            codec: shared.codec,
            records: Records::new(shared.id, &config),
            recent: RecentWrites::new(config.query_timeout),
            backend,
            groups: 0,
            waiting: HashMap::new(),
            backlog: Backlog::new(config.max_values),
            config,
            standstill: Standstill::new(),
            lateness: Lateness::default(),
            leaving: false,
            entropy: shared.entropy(3),
            counters: shared.counters.clone(),
            events: shared.events.clone(),
            store: handles.store.clone(),
            socket: handles.socket.clone(),
            table: handles.table.clone(),
            lookups: handles.lookups.clone(),
            pins: handles.pins.clone(),
            handoff: handles.handoff.clone(),
        }
    }

    /// The time, for whatever tells how old a copy is: after a standstill nobody knows.
    fn now(&mut self) -> Instant {
        if self.standstill.noticed() {
            tracing::info!("the clock has stood still, or was set: nothing that is held has a date any more");
            self.records.undate();
        }
        clock::now()
    }

    fn load(&mut self) {
        self.records = Records::new(self.own, &self.config);
        match self.backend.load() {
            Ok(stored) => {
                let lapsed = self.records.load(stored, clock::now(), &mut *self.entropy);
                if lapsed > 0 {
                    tracing::info!(
                        values = lapsed,
                        "published here, and ended while this node was away: published again unless others have meanwhile"
                    );
                }
            }
            Err(error) => tracing::error!(error = %Causes(&error), "what was stored before cannot be read"),
        }
    }

    /// Has the places for a value looked up. It is placed when [`PlacesFound`] comes back.
    fn find_places(&self, key: Arc<str>, version: u64, restore: bool, answer: Option<Answer<SetOutcome>>) {
        let target = LookupKey::Nodes(NodeId::of_key(&key));
        let priority = if answer.is_some() { Priority::Foreground } else { Priority::Background };
        let store = self.store.clone();
        let reply = LookupReply::then(move |outcome| match outcome {
            Ok(found) => store.places_found(PlacesFound { placing: Placing { key, version, restore, answer }, found }),
            Err(why) => {
                // What is published here is so all the same, whether a caller waits or not: it is placed soon.
                if !restore {
                    store.placed(PublishDone { key, version, stored: false });
                }
                if let Some(answer) = answer {
                    // The caller may have gone.
                    let _ = answer.send(Err(why.into()));
                }
            }
        });
        self.lookups.start(StartLookup { key: target, priority, own_vote: None, reply });
    }
}

impl Actor for ValueStore {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        Alarm::spawn::<Self>(ctx);
        // A restart comes through here as well: what the backend holds is what was acknowledged.
        self.load();
    }
}

impl Supervised for ValueStore {
    fn restarting(&mut self, _: &mut Self::Context) {
        // Whoever waits for a commit sees its answer dropped, which is an error.
        self.waiting.clear();
        self.backlog = Backlog::new(self.config.max_values);
        // What was acknowledged stays so. What was under way is not known to have been applied.
        self.recent.forget_unacknowledged();
    }
}

impl Handler<AnswerFromStore> for ValueStore {
    type Result = ();

    fn handle(&mut self, asked: AnswerFromStore, _: &mut Self::Context) {
        let AnswerFromStore { question, key, to } = asked;
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
                    self.table.nearest(AnswerNearest { target, value_missing: true, to });
                    return;
                }
            },
        };
        self.socket.answer(TransmitAnswer { to, response });
    }
}

impl Handler<ReadValue> for ValueStore {
    type Result = ();

    fn handle(&mut self, read: ReadValue, _: &mut Self::Context) {
        let ReadValue { key, quorum, answer } = read;
        let here = self.records.get(&key, clock::now());
        if quorum > 1 {
            let reply = LookupReply::to(answer, LookupResult::traced_get);
            let start = StartLookup::foreground(LookupKey::Votes(key, quorum), reply);
            return self.lookups.start(StartLookup { own_vote: here, ..start });
        }
        match here {
            Some(copy) => {
                let value = Arc::unwrap_or_clone(copy.value);
                let outcome =
                    GetResult::Found { value, holder: None, expires_in: Some(copy.ttl_left), votes: Votes::SINGLE };
                let _ = answer.send(Ok(GetOutcome { result: outcome, trace: None }));
            }
            None => {
                let reply = LookupReply::to(answer, LookupResult::traced_get);
                self.lookups.start(StartLookup::foreground(LookupKey::Value(key), reply));
            }
        }
    }
}

impl Handler<PlacesFound> for ValueStore {
    type Result = ();

    fn handle(&mut self, places: PlacesFound, _: &mut Self::Context) {
        let PlacesFound { placing, found } = places;
        let now = self.now();
        self.compare_or_place(placing, found, now);
    }
}

impl Handler<Compared> for ValueStore {
    type Result = ();

    fn handle(&mut self, compared: Compared, ctx: &mut Self::Context) {
        let Compared { placing, found, later } = compared;
        let now = self.now();
        if later.is_none_or(|later| self.adopt(&placing.key, later, now, ctx)) {
            // If that has taken its place, it is placed no more.
            self.place(placing, &found, now);
        } else {
            self.records.retry_soon(&placing.key, placing.version, now, &mut *self.entropy);
        }
    }
}

impl Handler<FindCopy> for ValueStore {
    type Result = MessageResult<FindCopy>;

    fn handle(&mut self, find: FindCopy, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.records.get(&find.0, clock::now()))
    }
}

impl Handler<RememberPeers> for ValueStore {
    type Result = ();

    fn handle(&mut self, RememberPeers(peers): RememberPeers, _: &mut Self::Context) {
        self.backend.remember(Recollection { id: Some(self.own), peers });
    }
}

impl Handler<ProbeStore> for ValueStore {
    type Result = ();

    fn handle(&mut self, probe: ProbeStore, _: &mut Self::Context) {
        // Whoever asked may have gone.
        let done = move |result: Result<(), StoreError>| drop(probe.answer.send(result.map_err(Error::Store)));
        self.backend.commit(Vec::new(), Box::new(done));
    }
}

impl Handler<DescribeStore> for ValueStore {
    type Result = MessageResult<DescribeStore>;

    fn handle(&mut self, _: DescribeStore, _: &mut Self::Context) -> Self::Result {
        MessageResult(StoreSnapshot { backend: self.backend.health(), ..self.records.snapshot() })
    }
}
