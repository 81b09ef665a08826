//! The value store as an actor: what we hold, and what of it we publish. Every write is answered on [`Committed`]: at once
//! from memory, after the commit from a disk's thread. Who wins among writers is the protocol's business.

mod giving;
mod keeping;
mod limits;
mod placing;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Addr, AsyncContext, Context, MessageResult, Recipient, Supervised};
use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::entropy::Entropy;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::Response;
use kademlia_dynamic::protocol::store::{
    Checkpoint, Recollection, Records, RemoteWrite, Store, StoreError, StoreSnapshot, WriteOutcome,
};

pub(super) use self::limits::check_key;
use super::clock;
use super::counters::{Counter, Counters};
use super::events::{Event, Events};
use super::handling::Handler;
use super::messages::{
    Answer, AnswerFromStore, AnswerNearest, Committed, DescribeStore, EndPlacement, FindCopy, KeepKey, LaunchPublish,
    LookupKey, PlacesFound, Placing, ProbeStore, PublicationEnded, PublishValue, Purpose, ReadValue, RememberPeers,
    ReplyTo, SendQuery, StartLookup, StoreQuestion, StoreValue, TransmitAnswer, ValuesSelected, WatchKey,
};
use super::outcome::{Error, GetOutcome, SetOutcome, TracedGet};

/// The actor that owns the values.
pub struct ValueStore {
    own: NodeId,
    config: Config,
    codec: Codec,
    records: Records,
    backend: Box<dyn Store>,
    groups: u64,
    /// Groups handed to the backend and not yet committed.
    waiting: HashMap<u64, Group>,
    /// Whether the node is about to stop, so that nothing new is worth holding.
    leaving: bool,
    entropy: Box<dyn Entropy>,
    counters: Arc<Counters>,
    events: Events,
    links: StoreLinks,
}

/// Whom the value store tells.
pub(crate) struct StoreLinks {
    pub(crate) answer: Recipient<TransmitAnswer>,
    pub(crate) nearest: Recipient<AnswerNearest>,
    pub(crate) lookup: Recipient<StartLookup>,
    pub(crate) publish: Recipient<LaunchPublish>,
    pub(crate) watch: Recipient<WatchKey>,
    pub(crate) ended: Recipient<PublicationEnded>,
    pub(crate) end: Recipient<EndPlacement>,
    pub(crate) query: Recipient<SendQuery>,
    pub(crate) selected: Recipient<ValuesSelected>,
}

/// What waits for a commit.
enum Waiting {
    /// A peer's write.
    Remote { to: ReplyTo, response: Response, undo: Checkpoint },
    /// A write of the application.
    Local { version: u64, answer: Answer<SetOutcome>, undo: Checkpoint },
    /// A key that is kept from now on.
    Keep(KeepKey),
    /// Nobody: a sweep, a renewal.
    Nobody,
}

impl Waiting {
    fn undo(&mut self) -> Option<&mut Checkpoint> {
        match self {
            Waiting::Remote { undo, .. } | Waiting::Local { undo, .. } => Some(undo),
            Waiting::Keep(_) | Waiting::Nobody => None,
        }
    }
}

/// Changes on their way to the backend.
struct Group {
    keys: Vec<Arc<str>>,
    waiting: Waiting,
}

/// Tells the store what became of a group: also where the backend ends without a word.
struct Report {
    to: Addr<ValueStore>,
    group: u64,
    result: Option<Result<(), StoreError>>,
}

impl Report {
    fn tell(mut self, result: Result<(), StoreError>) {
        self.result = Some(result);
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let result = self.result.take().unwrap_or(Err(StoreError::Ended));
        self.to.do_send(Committed { group: self.group, result });
    }
}

impl ValueStore {
    pub(crate) fn new(
        own: NodeId,
        config: Config,
        codec: Codec,
        backend: Box<dyn Store>,
        entropy: Box<dyn Entropy>,
        shared: (Arc<Counters>, Events),
        links: StoreLinks,
    ) -> Self {
        let records = Records::new(own, &config);
        let (counters, events) = shared;
        Self {
            own,
            config,
            codec,
            records,
            backend,
            groups: 0,
            waiting: HashMap::new(),
            leaving: false,
            entropy,
            counters,
            events,
            links,
        }
    }

    fn load(&mut self) {
        self.records = Records::new(self.own, &self.config);
        match self.backend.load() {
            Ok(stored) => self.records.load(stored, clock::now(), &mut *self.entropy),
            Err(error) => tracing::error!(%error, "what was stored before cannot be read"),
        }
    }

    /// Hands the changes to the backend; `waiting` goes on when they are committed.
    fn commit(&mut self, waiting: Waiting, ctx: &mut Context<Self>) {
        let changes = self.records.take_changes();
        // Nothing to commit, and nothing under way that it may rest on: a value that was written twice is not safe
        // before the first write is.
        if changes.is_empty() && self.waiting.is_empty() {
            return self.committed(Group { keys: Vec::new(), waiting }, Ok(()));
        }
        self.groups += 1;
        let group = self.groups;
        let keys = changes.iter().map(|change| change.key().clone()).collect();
        self.waiting.insert(group, Group { keys, waiting });
        let report = Report { to: ctx.address(), group, result: None };
        self.backend.commit(changes, Box::new(move |result| report.tell(result)));
    }

    fn committed(&mut self, group: Group, result: Result<(), StoreError>) {
        match (group.waiting, result) {
            (Waiting::Remote { to, response, .. }, Ok(())) => {
                self.links.answer.do_send(TransmitAnswer { to, response });
            }
            (Waiting::Local { version, answer, undo }, Ok(())) => {
                self.find_places(undo.key().clone(), version, false, Some(answer));
            }
            (Waiting::Keep(KeepKey { key, min_replicas, answer }), Ok(())) => {
                self.links.watch.do_send(WatchKey { key, min_replicas, answer });
            }
            (Waiting::Nobody, Ok(())) => {}
            (waiting, Err(error)) => self.not_committed(group.keys, waiting, error),
        }
    }

    /// The backend failed: the write that waited is as if it had never come, and whatever else was in its group is tried
    /// again with the next one.
    fn not_committed(&mut self, keys: Vec<Arc<str>>, waiting: Waiting, error: StoreError) {
        let undone = match waiting {
            Waiting::Remote { to, response, undo } => {
                self.counters.turned_away(Counter::WriteRefused, to.addr, &error, clock::now());
                // It is acknowledged all the same: a legacy node drops a peer after one silent query.
                let response = if response == Response::SetCached { response } else { Response::Set { stored: false } };
                self.links.answer.do_send(TransmitAnswer { to, response });
                Some(undo)
            }
            Waiting::Local { answer, undo, .. } => {
                // Whoever asked may have gone.
                let _ = answer.send(Err(Error::Store(error)));
                Some(undo)
            }
            Waiting::Keep(KeepKey { key, answer, .. }) => {
                self.records.unkeep(&key);
                let _ = answer.send(Err(Error::Store(error)));
                None
            }
            Waiting::Nobody => {
                tracing::error!(%error, "the store could not be brought up to date");
                None
            }
        };
        let written = undone.as_ref().map(|undo| undo.key().clone());
        self.records.still_uncommitted(keys.into_iter().filter(|key| Some(key) != written.as_ref()));
        let Some(stands) = undone.and_then(|undo| self.records.undo(undo)) else { return };
        // A later write of the key took its place. If that one fails as well, it must not bring this one back.
        let mut waiting = self.waiting.values_mut().filter_map(|group| group.waiting.undo());
        if let Some(later) = waiting.find(|later| later.follows(&stands)) {
            later.rest_on(stands);
        }
    }

    /// Has the places for a value looked up. It is placed when [`PlacesFound`] comes back.
    fn find_places(&self, key: Arc<str>, version: u64, restore: bool, answer: Option<Answer<SetOutcome>>) {
        let target = LookupKey::Places(NodeId::of_key(&key));
        let placing = Placing { key, version, restore, answer };
        self.links.lookup.do_send(StartLookup { key: target, purpose: Purpose::Place(placing) });
    }

    fn write(&mut self, write: StoreValue, now: Instant) -> (bool, Response) {
        let StoreValue { key, value, ttl, cached, nearer, legacy, to } = write;
        let refusal = match self.check_remote(&key, &value) {
            Err(why) => Some(why),
            Ok(()) => {
                let name = key.clone();
                let outcome = if cached {
                    self.records.set_cached(key, value, ttl, nearer, to.addr, now)
                } else {
                    let write = RemoteWrite { key, value, ttl, from: to.addr, legacy };
                    self.records.set(write, now, &mut *self.entropy)
                };
                self.tell_of(&name, &to, &outcome);
                match outcome {
                    WriteOutcome::Refused(reason) => Some(reason.to_string()),
                    WriteOutcome::Stale => Some("an older value that somebody restores".to_owned()),
                    _ => None,
                }
            }
        };
        if let Some(why) = &refusal {
            self.counters.turned_away(Counter::WriteRefused, to.addr, why, now);
        }
        // A refused write is acknowledged too: a legacy node drops a peer after one silent query.
        let stored = refusal.is_none();
        (stored, if cached { Response::SetCached } else { Response::Set { stored } })
    }

    fn tell_of(&self, key: &str, to: &ReplyTo, outcome: &WriteOutcome) {
        let (key, by) = (key.to_owned(), to.addr);
        match outcome {
            WriteOutcome::Superseded { .. } => {
                self.links.end.do_send(EndPlacement(key.as_str().into()));
                self.events.emit(Event::Superseded { key, by });
            }
            WriteOutcome::Stored | WriteOutcome::Renewed => self.events.emit(Event::ValueStored { key, by }),
            WriteOutcome::Unchanged | WriteOutcome::Stale | WriteOutcome::Refused(_) => {}
        }
    }
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

impl Actor for ValueStore {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        // A restart comes through here as well: what the backend holds is what was acknowledged.
        self.load();
    }
}

impl Supervised for ValueStore {
    fn restarting(&mut self, _: &mut Self::Context) {
        // Whoever waits for a commit sees its answer dropped, which is an error.
        self.waiting.clear();
    }
}

impl Handler<StoreValue> for ValueStore {
    type Result = ();

    fn handle(&mut self, mut write: StoreValue, ctx: &mut Self::Context) {
        let now = clock::now();
        let (permit, origin) = (write.to.permit.take(), write.to.origin.clone());
        let mut to = ReplyTo { addr: write.to.addr, id: write.to.id, limit: write.to.limit, permit, origin };
        // What waits for its commit is out of reach of a panic; the datagram is to blame all the same.
        let _blamed = write.to.origin.clone();
        let mut undo = self.records.checkpoint(&write.key);
        let (stored, response) = self.write(write, now);
        if stored {
            self.records.changed_since(&mut undo);
            // It waits here for the commit, in a queue of its own bound, so its slot is free.
            to.permit = None;
            self.commit(Waiting::Remote { to, response, undo }, ctx);
        } else {
            self.links.answer.do_send(TransmitAnswer { to, response });
        }
    }
}

impl Handler<Committed> for ValueStore {
    type Result = ();

    fn handle(&mut self, committed: Committed, _: &mut Self::Context) {
        if let Some(group) = self.waiting.remove(&committed.group) {
            self.committed(group, committed.result);
        }
    }
}

impl Handler<AnswerFromStore> for ValueStore {
    type Result = ();

    fn handle(&mut self, asked: AnswerFromStore, _: &mut Self::Context) {
        let AnswerFromStore { question, key, to } = asked;
        let now = clock::now();
        let response = match question {
            StoreQuestion::CheckStore => {
                let (has_key, ttl) = self.records.has(&key, now);
                Response::CheckStore { has_key, ttl }
            }
            StoreQuestion::Get => Response::Get { value: self.records.get(&key, now).map(|copy| copy.value) },
            StoreQuestion::FindValue => match self.records.get(&key, now) {
                Some(copy) => Response::Value { value: copy.value, ttl: Some(seconds(copy.ttl_left)) },
                None => {
                    let target = NodeId::of_key(&key);
                    self.links.nearest.do_send(AnswerNearest { target, value_missing: true, to });
                    return;
                }
            },
        };
        self.links.answer.do_send(TransmitAnswer { to, response });
    }
}

impl Handler<ReadValue> for ValueStore {
    type Result = ();

    fn handle(&mut self, read: ReadValue, _: &mut Self::Context) {
        let ReadValue { key, answer } = read;
        match self.records.get(&key, clock::now()) {
            Some(copy) => {
                let value = Arc::unwrap_or_clone(copy.value);
                let outcome = GetOutcome::Found { value, holder: None, expires_in: Some(copy.ttl_left) };
                let _ = answer.send(Ok(TracedGet { outcome, trace: None }));
            }
            None => {
                self.links.lookup.do_send(StartLookup { key: LookupKey::Value(key), purpose: Purpose::Get(answer) });
            }
        }
    }
}

impl Handler<PublishValue> for ValueStore {
    type Result = ();

    fn handle(&mut self, publish: PublishValue, ctx: &mut Self::Context) {
        let PublishValue { key, value, answer } = publish;
        if let Err(error) = self.check(&key, &value) {
            let _ = answer.send(Err(error));
            return;
        }
        let mut undo = self.records.checkpoint(&key);
        let version = self.records.publish(key, value, clock::now(), &mut *self.entropy).version;
        self.records.changed_since(&mut undo);
        self.commit(Waiting::Local { version, answer, undo }, ctx);
    }
}

impl Handler<PlacesFound> for ValueStore {
    type Result = ();

    fn handle(&mut self, found: PlacesFound, _: &mut Self::Context) {
        self.place(found, clock::now());
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
