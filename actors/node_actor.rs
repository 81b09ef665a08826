//! The front door for applications: it checks what is asked, tells the room that owns the answer, and sees to it that every
//! request ends. [`Node`](super::node::Node) is the handle to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Context, Recipient, Supervised};
use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::config::{Config, ConfigError};
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::store::StoredCopy;
use tokio::sync::oneshot;

use super::clock;
use super::counters::Counters;
use super::events::Events;
use super::handling::Handler;
use super::join_state::{Contacts, JoinState};
use super::lookup_coordinator::patience;
use super::messages::{
    Answer, AuditKey, CountAdmitted, CountLookups, CountLosses, CountQueries, DescribeKept, DescribeStore,
    DescribeTable, FindCopy, JoinNetwork, KeepKey, Leave, LookupKey, ProbeStore, PublishValue, Purpose, ReadValue,
    ReleaseKey, SendQuery, StartLookup, UnkeepKey,
};
use super::operations::join::resolver::RESOLVE_TIMEOUT;
use super::operations::join::{Aim, Join, JoinLinks, JoinPlan};
use super::operations::runner::Runner;
use super::outcome::{BootstrapOutcome, Error, FoundValue, GetOutcome, Health, Pong, SetOutcome, TracedGet};
use super::reply::Reply;
use super::requests::{
    Bootstrap, CheckHealth, CopyOf, Describe, FindNode, FindValue, Get, GetOptions, GetTraced, GetWith, Keep, Ping,
    Probe, Release, Set, Stop, Unkeep,
};
use super::snapshot::{AdmissionSnapshot, Snapshot};
use super::supervision::{Ender, Lifetime, StopReason};
use super::value_store::check_key;

/// How much longer than it may take a leave-taking is waited for.
const GRACE: Duration = Duration::from_millis(250);

/// The actor that applications talk to.
pub struct NodeActor {
    id: NodeId,
    addr: SocketAddr,
    codec: Codec,
    config: Config,
    started: Instant,
    /// Whether it was told to stop: what is new is refused.
    leaving: bool,
    lifetime: Lifetime,
    ender: Ender,
    counters: Arc<Counters>,
    events: Events,
    links: NodeLinks,
}

/// Whom the front door tells.
#[derive(Clone)]
pub(crate) struct NodeLinks {
    pub(crate) read: Recipient<ReadValue>,
    pub(crate) audit: Recipient<AuditKey>,
    pub(crate) publish: Recipient<PublishValue>,
    pub(crate) release: Recipient<ReleaseKey>,
    pub(crate) keep: Recipient<KeepKey>,
    pub(crate) unkeep: Recipient<UnkeepKey>,
    pub(crate) kept: Recipient<DescribeKept>,
    pub(crate) copy: Recipient<FindCopy>,
    pub(crate) probe: Recipient<ProbeStore>,
    pub(crate) lookup: Recipient<StartLookup>,
    pub(crate) join: Recipient<JoinNetwork>,
    pub(crate) table: Recipient<DescribeTable>,
    pub(crate) store: Recipient<DescribeStore>,
    pub(crate) admitted: Recipient<CountAdmitted>,
    pub(crate) queries: Recipient<CountQueries>,
    pub(crate) losses: Recipient<CountLosses>,
    pub(crate) lookups: Recipient<CountLookups>,
    pub(crate) leave: Recipient<Leave>,
    pub(crate) query: Recipient<SendQuery>,
    pub(crate) ping: JoinLinks,
    pub(crate) joined: JoinState,
}

/// Who this node is.
pub(crate) struct Description {
    pub(crate) id: NodeId,
    pub(crate) addr: SocketAddr,
    pub(crate) codec: Codec,
}

impl NodeActor {
    pub(crate) fn new(
        description: Description,
        config: Config,
        life: (Lifetime, Ender),
        counters: Arc<Counters>,
        events: Events,
        links: NodeLinks,
    ) -> Self {
        let Description { id, addr, codec } = description;
        let (lifetime, ender) = life;
        Self {
            id,
            addr,
            codec,
            config,
            started: clock::now(),
            leaving: false,
            lifetime,
            ender,
            counters,
            events,
            links,
        }
    }

    fn patience(&self) -> Duration {
        patience(&self.config)
    }

    /// Whether something new may be begun, and with this key.
    fn admit(&self, key: Option<&str>) -> Result<(), Error> {
        if self.leaving {
            return Err(Error::Stopped(StopReason::Asked));
        }
        key.map_or(Ok(()), |key| check_key(key, &self.config))
    }

    /// The longest that it takes until a contact has answered or all have failed.
    fn patience_for_contacts(&self) -> Duration {
        RESOLVE_TIMEOUT + self.config.query_timeout * 3 + Duration::from_secs(1)
    }

    /// Waits for an answer that another actor was told to give.
    fn wait<T: 'static>(&self, answer: oneshot::Receiver<Result<T, Error>>, patience: Duration) -> Reply<T> {
        let ender = self.ender.clone();
        Reply::of(async move { within(patience, answer).await?.unwrap_or_else(|_| Err(interrupted(&ender))) })
    }

    /// Begins what needs the network and waits for its answer: at once, or as soon as a bootstrap that is under way has
    /// its first answer. Where contacts were given and none was reached it is not begun.
    fn in_the_network<T: 'static>(&self, begin: impl FnOnce(Answer<T>) + 'static) -> Reply<T> {
        let (answer, answered) = oneshot::channel();
        if self.links.joined.is_open() {
            begin(answer);
            return self.wait(answered, self.patience());
        }
        let (joined, patience) = (self.links.joined.clone(), self.patience_for_contacts());
        let answered = self.wait(answered, patience + self.patience());
        Reply::of(async move {
            within(patience, joined.wait()).await??;
            begin(answer);
            answered.await
        })
    }

    /// Has a value read, and waits for it.
    fn read(&self, key: Arc<str>, GetOptions { quorum }: GetOptions) -> Reply<TracedGet> {
        if let Err(error) = self.admit(Some(&key)) {
            return Reply::refused(error);
        }
        if let Err(error) = self.within_k("quorum", quorum) {
            return Reply::refused(error.into());
        }
        let (read, of) = (self.links.read.clone(), key.clone());
        let begin = move |answer| read.do_send(ReadValue { key: of, quorum, answer });
        if self.links.joined.is_open() {
            return self.in_the_network(begin);
        }
        // What is held here needs no network.
        let (copy, ender) = (self.links.copy.send(FindCopy(key)), self.ender.clone());
        let (answer, answered) = oneshot::channel();
        let (joined, patience) = (self.links.joined.clone(), self.patience_for_contacts());
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
        if (1..=self.config.k).contains(&value) {
            return Ok(());
        }
        let (value, low, high) = (value.to_string(), "1".to_owned(), self.config.k.to_string());
        Err(ConfigError { name, value, low, high })
    }

    /// Has something looked up, and waits for it.
    fn look_up<T: 'static>(&self, key: LookupKey, purpose: impl FnOnce(Answer<T>) -> Purpose + 'static) -> Reply<T> {
        let lookup = self.links.lookup.clone();
        self.in_the_network(move |answer| lookup.do_send(StartLookup { key, purpose: purpose(answer) }))
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
        let read = self.read(get.key, GetOptions::default());
        Reply::of(async move { Ok(read.await?.outcome) })
    }
}

impl Handler<GetTraced> for NodeActor {
    type Result = Reply<TracedGet>;

    fn handle(&mut self, get: GetTraced, _: &mut Self::Context) -> Self::Result {
        self.read(get.key, GetOptions::default())
    }
}

impl Handler<GetWith> for NodeActor {
    type Result = Reply<TracedGet>;

    fn handle(&mut self, get: GetWith, _: &mut Self::Context) -> Self::Result {
        self.read(get.key, get.options)
    }
}

impl Handler<CheckHealth> for NodeActor {
    type Result = Reply<Health>;

    fn handle(&mut self, check: CheckHealth, _: &mut Self::Context) -> Self::Result {
        if let Err(error) = self.admit(Some(&check.key)) {
            return Reply::refused(error);
        }
        let audit = self.links.audit.clone();
        self.in_the_network(move |answer| audit.do_send(AuditKey { key: check.key, answer }))
    }
}

impl Handler<Set> for NodeActor {
    type Result = Reply<SetOutcome>;

    fn handle(&mut self, set: Set, _: &mut Self::Context) -> Self::Result {
        if let Err(error) = self.admit(None) {
            return Reply::refused(error);
        }
        let publish = self.links.publish.clone();
        self.in_the_network(move |answer| publish.do_send(PublishValue { key: set.key, value: set.value, answer }))
    }
}

impl Handler<FindNode> for NodeActor {
    type Result = Reply<Vec<Peer>>;

    fn handle(&mut self, find: FindNode, _: &mut Self::Context) -> Self::Result {
        match self.admit(None) {
            Ok(()) => self.look_up(LookupKey::Nodes(find.target), Purpose::FindNode),
            Err(error) => Reply::refused(error),
        }
    }
}

impl Handler<FindValue> for NodeActor {
    type Result = Reply<FoundValue>;

    fn handle(&mut self, find: FindValue, _: &mut Self::Context) -> Self::Result {
        match self.admit(Some(&find.key)) {
            Ok(()) => self.look_up(LookupKey::Value(find.key), Purpose::FindValue),
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
        let plan = JoinPlan {
            own: self.id,
            contacts: vec![ping.addr],
            query_timeout: self.config.query_timeout,
            aim: Aim::Ping(answer),
            attempt: None,
        };
        let join = Join::new(plan, self.events.clone(), self.links.ping.clone());
        self.lifetime.run(Runner::new(join, self.links.query.clone()));
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
        let attempt = self.links.joined.attempt(Contacts::Given);
        self.links.join.do_send(JoinNetwork { contacts: bootstrap.contacts, attempt, answer: Some(answer) });
        self.wait(answered, self.patience_for_contacts() + self.patience())
    }
}

impl Handler<Release> for NodeActor {
    type Result = Reply<bool>;

    fn handle(&mut self, release: Release, _: &mut Self::Context) -> Self::Result {
        let (answer, answered) = oneshot::channel();
        self.links.release.do_send(ReleaseKey { key: release.key, answer });
        self.wait(answered, self.patience())
    }
}

impl Handler<CopyOf> for NodeActor {
    type Result = Reply<Option<StoredCopy>>;

    fn handle(&mut self, asked: CopyOf, _: &mut Self::Context) -> Self::Result {
        let (found, ender) = (self.links.copy.send(FindCopy(asked.key)), self.ender.clone());
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
        self.links.keep.do_send(KeepKey { key, min_replicas, answer });
        self.wait(answered, self.patience())
    }
}

impl Handler<Unkeep> for NodeActor {
    type Result = Reply<bool>;

    fn handle(&mut self, unkeep: Unkeep, _: &mut Self::Context) -> Self::Result {
        let (answer, answered) = oneshot::channel();
        self.links.unkeep.do_send(UnkeepKey { key: unkeep.key, answer: Some(answer) });
        self.wait(answered, self.patience())
    }
}

impl Handler<Probe> for NodeActor {
    type Result = Reply<()>;

    fn handle(&mut self, _: Probe, _: &mut Self::Context) -> Self::Result {
        let (answer, answered) = oneshot::channel();
        self.links.probe.do_send(ProbeStore { answer });
        self.wait(answered, self.patience())
    }
}

impl Handler<Stop> for NodeActor {
    type Result = ();

    fn handle(&mut self, _: Stop, _: &mut Self::Context) {
        self.leaving = true;
        let (answer, answered) = oneshot::channel();
        self.links.leave.do_send(Leave { answer });
        let (ender, patience) = (self.ender.clone(), self.config.hand_off_time + GRACE);
        // Whoever asked for it may go, and it ends all the same.
        self.lifetime.spawn(async move {
            let _ = tokio::time::timeout(patience, answered).await;
            ender.end(StopReason::Asked);
        });
    }
}

impl Handler<Describe> for NodeActor {
    type Result = Reply<Snapshot>;

    fn handle(&mut self, _: Describe, _: &mut Self::Context) -> Self::Result {
        let (links, counters, ender) = (self.links.clone(), self.counters.clone(), self.ender.clone());
        let (id, addr, codec) = (self.id, self.addr, self.codec);
        let uptime = clock::now().saturating_duration_since(self.started);
        // The one place that asks instead of telling: looking in is rare, and needs all of them.
        Reply::of(async move {
            let gone = |_| interrupted(&ender);
            let table = links.table.send(DescribeTable).await.map_err(gone)?;
            let store = links.store.send(DescribeStore).await.map_err(gone)?;
            let keeping = links.kept.send(DescribeKept).await.map_err(gone)?;
            let (admitted, poisonous_datagrams) = links.admitted.send(CountAdmitted).await.map_err(gone)?;
            let (queries, queries_parked) = links.queries.send(CountQueries).await.map_err(gone)?;
            let (lookups_running, lookups_waiting) = links.lookups.send(CountLookups).await.map_err(gone)?;
            links.losses.send(CountLosses).await.map_err(gone)?;
            let (restarts, counters) = (counters.restarts(), counters.snapshot());
            Ok(Snapshot {
                id,
                addr,
                codec,
                uptime,
                table,
                store,
                keeping,
                admission: AdmissionSnapshot::new(&admitted, poisonous_datagrams, &queries, queries_parked),
                queries_in_flight: queries.in_flight,
                lookups_running,
                lookups_waiting,
                counters,
                restarts,
            })
        })
    }
}
