//! The front door for applications: it checks requests, passes them to the actor that owns the answer, and ensures that every
//! request ends. [`Node`](super::node::Node) is the handle to it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Context, Supervised};
use kademlia_dynamic::protocol::config::ConfigError;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::store::StoredCopy;
use tokio::sync::oneshot;

use super::clock;
use super::handles::Handles;
use super::handling::Handler;
use super::join_state::Contacts;
use super::messages::{
    AfterSets, Answer, AuditKey, CountAdmitted, CountLookups, CountLosses, CountQueries, DescribePins, DescribeStore,
    DescribeTable, FindCopy, JoinNetwork, Leave, LookupKey, LookupReply, LookupResult, PinKey, ProbeStore, ReadValue,
    ReleaseKey, SetValue, StartLookup, UnpinKey,
};
use super::operations::join::resolver::RESOLVE_TIMEOUT;
use super::operations::join::{Aim, Join, JoinContext};
use super::operations::runner::Runner;
use super::outcome::{BootstrapOutcome, Error, FoundValue, GetOutcome, Health, Pong, SetOutcome};
use super::reply::Reply;
use super::requests::{
    Bootstrap, CheckHealth, CopyOf, Describe, FindNode, FindValue, Get, Pin, Ping, Probe, Release, Set, Stop, Unpin,
};
use super::shared::Shared;
use super::snapshot::{AdmissionSnapshot, Snapshot};
use super::supervision::{Ender, StopReason};
use super::value_store::{check_key, check_value};

/// How much longer than it may take the handoff at the end is waited for.
const GRACE: Duration = Duration::from_millis(250);

/// The actor that applications talk to.
pub struct NodeActor {
    shared: Rc<Shared>,
    started: Instant,
    /// Whether it was asked to stop: new requests are refused.
    leaving: bool,
    join_context: JoinContext,
    handles: Handles,
}

impl NodeActor {
    pub(crate) fn new(shared: &Rc<Shared>, join_context: JoinContext, handles: &Handles) -> Self {
        let started = clock::now();
        Self { shared: shared.clone(), started, leaving: false, join_context, handles: handles.clone() }
    }

    fn patience(&self) -> Duration {
        self.shared.patience()
    }

    /// Begins something new, with this key, if that may be.
    fn admit<T: 'static>(&self, key: Option<&str>, begin: impl FnOnce(&Self) -> Result<Reply<T>, Error>) -> Reply<T> {
        if self.leaving {
            return Reply::refused(Error::Stopped(StopReason::Asked));
        }
        let checked = key.map_or(Ok(()), |key| check_key(key, &self.shared.config));
        checked.and_then(|()| begin(self)).unwrap_or_else(Reply::refused)
    }

    /// Has another actor answer, and waits for that.
    fn ask<T: 'static>(&self, patience: Duration, ask: impl FnOnce(Answer<T>)) -> Reply<T> {
        let (answer, answered) = oneshot::channel();
        ask(answer);
        self.wait(answered, patience)
    }

    /// The longest that it takes until a contact has answered or all have failed.
    fn patience_for_contacts(&self) -> Duration {
        RESOLVE_TIMEOUT + self.shared.config.lookup.query_timeout * 3 + Duration::from_secs(1)
    }

    /// Waits for the answer of another actor.
    fn wait<T: 'static>(&self, answer: oneshot::Receiver<Result<T, Error>>, patience: Duration) -> Reply<T> {
        let ender = self.ender();
        Reply::of(async move { within(patience, answer).await?.unwrap_or_else(|_| Err(interrupted(&ender))) })
    }

    /// Begins what needs the network and waits for its answer: at once, or as soon as a bootstrap that is under way has
    /// its first answer. Where contacts were given and none was reached it is not begun.
    fn in_the_network<T: 'static>(&self, begin: impl FnOnce(Answer<T>) + 'static) -> Reply<T> {
        if self.shared.joined.is_open() {
            return self.ask(self.patience(), begin);
        }
        let (answer, answered) = oneshot::channel();
        let (joined, patience) = (self.shared.joined.clone(), self.patience_for_contacts());
        let answered = self.wait(answered, patience + self.patience());
        Reply::of(async move {
            within(patience, joined.wait()).await??;
            begin(answer);
            answered.await
        })
    }

    /// Has a value read, and waits for it.
    fn read(&self, key: Arc<str>, quorum: usize) -> Reply<GetOutcome> {
        let (store, of) = (self.handles.store.clone(), key.clone());
        let begin = move |answer| store.read(ReadValue { key: of, quorum, answer });
        if self.shared.joined.is_open() {
            return self.in_the_network(begin);
        }
        // What is stored here needs no network.
        let (copy, ender) = (self.handles.store.find_copy(FindCopy(key)), self.ender());
        let (answer, answered) = oneshot::channel();
        let (joined, patience) = (self.shared.joined.clone(), self.patience_for_contacts());
        let answered = self.wait(answered, patience + self.patience());
        Reply::of(async move {
            if copy.await.map_err(|_| interrupted(&ender))?.is_none() {
                within(patience, joined.wait()).await??;
            }
            begin(answer);
            answered.await
        })
    }

    /// Whether a number of peers, called `name`, is one that the k nearest can reach.
    fn within_k(&self, name: &'static str, value: usize) -> Result<(), ConfigError> {
        if (1..=self.shared.config.lookup.k).contains(&value) {
            return Ok(());
        }
        let (value, low, high) = (value.to_string(), "1".to_owned(), self.shared.config.lookup.k.to_string());
        Err(ConfigError { name, value, low, high })
    }

    /// Has something looked up, and waits for what `read` makes of the result.
    fn look_up<T: Send + 'static>(
        &self,
        key: LookupKey,
        read: impl FnOnce(&LookupResult) -> Result<T, Error> + Send + 'static,
    ) -> Reply<T> {
        let lookups = self.handles.lookups.clone();
        self.in_the_network(move |answer| lookups.start(StartLookup::foreground(key, LookupReply::to(answer, read))))
    }

    fn ender(&self) -> Ender {
        self.shared.lifetime.ender()
    }
}

/// What `work` comes to, unless it takes longer than anything should.
async fn within<T>(patience: Duration, work: impl Future<Output = T>) -> Result<T, Error> {
    tokio::time::timeout(patience, work).await.map_err(|_| Error::TookTooLong(patience))
}

/// An answer got lost: with the node, or with an actor that was restarted.
fn interrupted(ender: &Ender) -> Error {
    ender.reason().map_or(Error::Interrupted, Error::Stopped)
}

impl Actor for NodeActor {
    type Context = Context<Self>;
}

impl Supervised for NodeActor {}

impl Handler<Get> for NodeActor {
    type Result = Reply<GetOutcome>;

    fn handle(&mut self, get: Get, _: &mut Self::Context) -> Self::Result {
        let (key, quorum, traced) = (get.key, get.options.quorum, get.options.trace);
        let read = self.admit(Some(&key.clone()), |node| {
            node.within_k("quorum", quorum)?;
            Ok(node.read(key, quorum))
        });
        Reply::of(async move {
            let outcome = read.await?;
            Ok(GetOutcome { trace: outcome.trace.filter(|_| traced), ..outcome })
        })
    }
}

impl Handler<CheckHealth> for NodeActor {
    type Result = Reply<Health>;

    fn handle(&mut self, check: CheckHealth, _: &mut Self::Context) -> Self::Result {
        let (key, store) = (check.key.clone(), self.handles.store.clone());
        let audit = move |answer| store.audit(AuditKey { key, answer });
        self.admit(Some(&check.key), |node| Ok(node.in_the_network(audit)))
    }
}

impl Handler<Set> for NodeActor {
    type Result = Reply<SetOutcome>;

    fn handle(&mut self, set: Set, _: &mut Self::Context) -> Self::Result {
        let Set { key, value } = set;
        self.admit(None, |node| {
            check_value(&key, &value, &node.shared.config, node.shared.codec)?;
            let lookups = node.handles.lookups.clone();
            Ok(node.in_the_network(move |answer| lookups.set(SetValue { key, value, answer })))
        })
    }
}

impl Handler<FindNode> for NodeActor {
    type Result = Reply<Vec<Peer>>;

    fn handle(&mut self, find: FindNode, _: &mut Self::Context) -> Self::Result {
        self.admit(None, |node| Ok(node.look_up(LookupKey::Nodes(find.target), LookupResult::nearest)))
    }
}

impl Handler<FindValue> for NodeActor {
    type Result = Reply<FoundValue>;

    fn handle(&mut self, find: FindValue, _: &mut Self::Context) -> Self::Result {
        let key = LookupKey::Value(find.key.clone());
        self.admit(Some(&find.key), |node| Ok(node.look_up(key, LookupResult::found_value)))
    }
}

impl Handler<Ping> for NodeActor {
    type Result = Reply<Pong>;

    fn handle(&mut self, ping: Ping, _: &mut Self::Context) -> Self::Result {
        let begin = |answer| {
            let join = Join::new(&self.shared, &self.join_context, vec![ping.addr], Aim::Ping(answer), None);
            Runner::run(join, &self.shared.lifetime, &self.handles.queries);
        };
        self.admit(None, |node| Ok(node.ask(node.patience_for_contacts(), begin)))
    }
}

impl Handler<Bootstrap> for NodeActor {
    type Result = Reply<BootstrapOutcome>;

    fn handle(&mut self, bootstrap: Bootstrap, _: &mut Self::Context) -> Self::Result {
        let begin = |answer| {
            let attempt = self.shared.joined.attempt(Contacts::Given);
            self.handles.maintenance.join(JoinNetwork { contacts: bootstrap.contacts, attempt, answer: Some(answer) });
        };
        self.admit(None, |node| Ok(node.ask(node.patience_for_contacts() + node.patience(), begin)))
    }
}

impl Handler<Release> for NodeActor {
    type Result = Reply<bool>;

    fn handle(&mut self, release: Release, _: &mut Self::Context) -> Self::Result {
        let release = |answer| AfterSets::Release(ReleaseKey { key: release.key, answer });
        self.ask(self.patience(), |answer| self.handles.lookups.after_sets(release(answer)))
    }
}

impl Handler<CopyOf> for NodeActor {
    type Result = Reply<Option<StoredCopy>>;

    fn handle(&mut self, asked: CopyOf, _: &mut Self::Context) -> Self::Result {
        let (found, ender) = (self.handles.store.find_copy(FindCopy(asked.key)), self.ender());
        Reply::of(async move { found.await.map_err(|_| interrupted(&ender)) })
    }
}

impl Handler<Pin> for NodeActor {
    type Result = Reply<()>;

    fn handle(&mut self, pin: Pin, _: &mut Self::Context) -> Self::Result {
        let Pin { key, min_replicas } = pin;
        self.admit(None, |node| {
            node.within_k("min_replicas", min_replicas)?;
            let pin = |answer| AfterSets::Pin(PinKey { key, min_replicas, answer });
            Ok(node.ask(node.patience(), |answer| node.handles.lookups.after_sets(pin(answer))))
        })
    }
}

impl Handler<Unpin> for NodeActor {
    type Result = Reply<bool>;

    fn handle(&mut self, unpin: Unpin, _: &mut Self::Context) -> Self::Result {
        let unpin = |answer| AfterSets::Unpin(UnpinKey { key: unpin.key, answer: Some(answer) });
        self.ask(self.patience(), |answer| self.handles.lookups.after_sets(unpin(answer)))
    }
}

impl Handler<Probe> for NodeActor {
    type Result = Reply<()>;

    fn handle(&mut self, _: Probe, _: &mut Self::Context) -> Self::Result {
        self.ask(self.patience(), |answer| self.handles.store.probe(ProbeStore { answer }))
    }
}

impl Handler<Stop> for NodeActor {
    type Result = ();

    fn handle(&mut self, _: Stop, _: &mut Self::Context) {
        self.leaving = true;
        let (answer, answered) = oneshot::channel();
        self.handles.handoff.leave(Leave { answer });
        let (ender, patience) = (self.ender(), self.shared.config.values.hand_off_time + GRACE);
        // The caller may go, and the node ends all the same.
        self.shared.lifetime.spawn(async move {
            let _ = tokio::time::timeout(patience, answered).await;
            ender.end(StopReason::Asked);
        });
    }
}

impl Handler<Describe> for NodeActor {
    type Result = Reply<Snapshot>;

    fn handle(&mut self, _: Describe, _: &mut Self::Context) -> Self::Result {
        let (shared, handles, ender) = (self.shared.clone(), self.handles.clone(), self.ender());
        let uptime = clock::now().saturating_duration_since(self.started);
        // The one place that asks all actors one after the other: it is rare, and needs all of them.
        Reply::of(async move {
            let gone = |_| interrupted(&ender);
            let table = handles.table.describe(DescribeTable).await.map_err(gone)?;
            let store = handles.store.describe(DescribeStore).await.map_err(gone)?;
            let pins = handles.pins.describe(DescribePins).await.map_err(gone)?;
            let (admitted, blocked_datagrams) = handles.dispatcher.count(CountAdmitted).await.map_err(gone)?;
            let (queries, queries_deferred) = handles.queries.count(CountQueries).await.map_err(gone)?;
            let (lookups_running, lookups_waiting) = handles.lookups.count(CountLookups).await.map_err(gone)?;
            handles.socket.count_losses(CountLosses).await.map_err(gone)?;
            Ok(Snapshot {
                id: shared.id,
                addr: shared.addr,
                codec: shared.codec,
                uptime,
                table,
                store,
                pins,
                admission: AdmissionSnapshot::new(&admitted, blocked_datagrams, &queries, queries_deferred),
                queries_in_flight: queries.in_flight,
                lookups_running,
                lookups_waiting,
                counters: shared.counters.snapshot(),
                restarts: shared.counters.restarts(),
            })
        })
    }
}
