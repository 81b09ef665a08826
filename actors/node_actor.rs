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
    Answer, AuditKey, CountAdmitted, CountLookups, CountLosses, CountQueries, DescribePins, DescribeStore,
    DescribeTable, FindCopy, JoinNetwork, KeepKey, Leave, LookupKey, LookupReply, LookupResult, ProbeStore, ReadValue,
    ReleaseKey, SetValue, StartLookup, UnkeepKey,
};
use super::operations::join::resolver::RESOLVE_TIMEOUT;
use super::operations::join::{Aim, Join, JoinContext};
use super::operations::runner::Runner;
use super::outcome::{BootstrapOutcome, Error, FoundValue, GetOutcome, Health, Pong, SetOutcome};
use super::reply::Reply;
use super::requests::{
    Bootstrap, CheckHealth, CopyOf, Describe, FindNode, FindValue, Get, Keep, Ping, Probe, Release, Set, Stop, Unkeep,
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

    /// Whether something new may be begun, and with this key.
    fn admit(&self, key: Option<&str>) -> Result<(), Error> {
        if self.leaving {
            return Err(Error::Stopped(StopReason::Asked));
        }
        key.map_or(Ok(()), |key| check_key(key, &self.shared.config))
    }

    /// The longest that it takes until a contact has answered or all have failed.
    fn patience_for_contacts(&self) -> Duration {
        RESOLVE_TIMEOUT + self.shared.config.query_timeout * 3 + Duration::from_secs(1)
    }

    /// Waits for the answer of another actor.
    fn wait<T: 'static>(&self, answer: oneshot::Receiver<Result<T, Error>>, patience: Duration) -> Reply<T> {
        let ender = self.ender();
        Reply::of(async move { within(patience, answer).await?.unwrap_or_else(|_| Err(interrupted(&ender))) })
    }

    /// Begins what needs the network and waits for its answer: at once, or as soon as a bootstrap that is under way has
    /// its first answer. Where contacts were given and none was reached it is not begun.
    fn in_the_network<T: 'static>(&self, begin: impl FnOnce(Answer<T>) + 'static) -> Reply<T> {
        let (answer, answered) = oneshot::channel();
        if self.shared.joined.is_open() {
            begin(answer);
            return self.wait(answered, self.patience());
        }
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
        if let Err(error) = self.admit(Some(&key)) {
            return Reply::refused(error);
        }
        if let Err(error) = self.within_k("quorum", quorum) {
            return Reply::refused(error.into());
        }
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
        if (1..=self.shared.config.k).contains(&value) {
            return Ok(());
        }
        let (value, low, high) = (value.to_string(), "1".to_owned(), self.shared.config.k.to_string());
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
        let (traced, read) = (get.options.trace, self.read(get.key, get.options.quorum));
        Reply::of(async move {
            let outcome = read.await?;
            Ok(GetOutcome { trace: outcome.trace.filter(|_| traced), ..outcome })
        })
    }
}

impl Handler<CheckHealth> for NodeActor {
    type Result = Reply<Health>;

    fn handle(&mut self, check: CheckHealth, _: &mut Self::Context) -> Self::Result {
        if let Err(error) = self.admit(Some(&check.key)) {
            return Reply::refused(error);
        }
        let store = self.handles.store.clone();
        self.in_the_network(move |answer| store.audit(AuditKey { key: check.key, answer }))
    }
}

impl Handler<Set> for NodeActor {
    type Result = Reply<SetOutcome>;

    fn handle(&mut self, set: Set, _: &mut Self::Context) -> Self::Result {
        let Set { key, value } = set;
        let Shared { config, codec, .. } = &*self.shared;
        if let Err(error) = self.admit(None).and_then(|()| check_value(&key, &value, config, *codec)) {
            return Reply::refused(error);
        }
        let lookups = self.handles.lookups.clone();
        self.in_the_network(move |answer| lookups.set(SetValue { key, value, answer }))
    }
}

impl Handler<FindNode> for NodeActor {
    type Result = Reply<Vec<Peer>>;

    fn handle(&mut self, find: FindNode, _: &mut Self::Context) -> Self::Result {
        match self.admit(None) {
            Ok(()) => self.look_up(LookupKey::Nodes(find.target), LookupResult::nearest),
            Err(error) => Reply::refused(error),
        }
    }
}

impl Handler<FindValue> for NodeActor {
    type Result = Reply<FoundValue>;

    fn handle(&mut self, find: FindValue, _: &mut Self::Context) -> Self::Result {
        match self.admit(Some(&find.key)) {
            Ok(()) => self.look_up(LookupKey::Value(find.key), LookupResult::found_value),
            Err(error) => Reply::refused(error),
        }
    }
}

impl Handler<Ping> for NodeActor {
    type Result = Reply<Pong>;

    fn handle(&mut self, ping: Ping, _: &mut Self::Context) -> Self::Result {
        if let Err(error) = self.admit(None) {
            return Reply::refused(error);
        }
        let (answer, answered) = oneshot::channel();
        let join = Join::new(&self.shared, &self.join_context, vec![ping.addr], Aim::Ping(answer), None);
        Runner::run(join, &self.shared.lifetime, &self.handles.queries);
        self.wait(answered, self.patience_for_contacts())
    }
}

impl Handler<Bootstrap> for NodeActor {
    type Result = Reply<BootstrapOutcome>;

    fn handle(&mut self, bootstrap: Bootstrap, _: &mut Self::Context) -> Self::Result {
        if let Err(error) = self.admit(None) {
            return Reply::refused(error);
        }
        let (answer, answered) = oneshot::channel();
        let attempt = self.shared.joined.attempt(Contacts::Given);
        self.handles.maintenance.join(JoinNetwork { contacts: bootstrap.contacts, attempt, answer: Some(answer) });
        self.wait(answered, self.patience_for_contacts() + self.patience())
    }
}

impl Handler<Release> for NodeActor {
    type Result = Reply<bool>;

    fn handle(&mut self, release: Release, _: &mut Self::Context) -> Self::Result {
        let (answer, answered) = oneshot::channel();
        self.handles.store.release(ReleaseKey { key: release.key, answer });
        self.wait(answered, self.patience())
    }
}

impl Handler<CopyOf> for NodeActor {
    type Result = Reply<Option<StoredCopy>>;

    fn handle(&mut self, asked: CopyOf, _: &mut Self::Context) -> Self::Result {
        let (found, ender) = (self.handles.store.find_copy(FindCopy(asked.key)), self.ender());
        Reply::of(async move { found.await.map_err(|_| interrupted(&ender)) })
    }
}

impl Handler<Keep> for NodeActor {
    type Result = Reply<()>;

    fn handle(&mut self, keep: Keep, _: &mut Self::Context) -> Self::Result {
        if let Err(error) = self.admit(None) {
            return Reply::refused(error);
        }
        let Keep { key, min_replicas } = keep;
        if let Err(error) = self.within_k("min_replicas", min_replicas) {
            return Reply::refused(error.into());
        }
        let (answer, answered) = oneshot::channel();
        self.handles.store.pin(KeepKey { key, min_replicas, answer });
        self.wait(answered, self.patience())
    }
}

impl Handler<Unkeep> for NodeActor {
    type Result = Reply<bool>;

    fn handle(&mut self, unkeep: Unkeep, _: &mut Self::Context) -> Self::Result {
        let (answer, answered) = oneshot::channel();
        self.handles.store.unpin(UnkeepKey { key: unkeep.key, answer: Some(answer) });
        self.wait(answered, self.patience())
    }
}

impl Handler<Probe> for NodeActor {
    type Result = Reply<()>;

    fn handle(&mut self, _: Probe, _: &mut Self::Context) -> Self::Result {
        let (answer, answered) = oneshot::channel();
        self.handles.store.probe(ProbeStore { answer });
        self.wait(answered, self.patience())
    }
}

impl Handler<Stop> for NodeActor {
    type Result = ();

    fn handle(&mut self, _: Stop, _: &mut Self::Context) {
        self.leaving = true;
        let (answer, answered) = oneshot::channel();
        self.handles.handoff.leave(Leave { answer });
        let (ender, patience) = (self.ender(), self.shared.config.hand_off_time + GRACE);
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
            let keeping = handles.pins.describe(DescribePins).await.map_err(gone)?;
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
                keeping,
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
