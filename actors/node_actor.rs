//! The front door for applications: it checks what is asked, tells the room that owns the answer, and sees to it that every
//! request ends. [`Node`](super::node::Node) is the handle to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Context, Handler, Recipient, ResponseFuture, Supervised};
use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::config::{Config, ConfigError};
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::Peer;
use tokio::sync::oneshot;

use super::clock;
use super::counters::Counters;
use super::events::Events;
use super::join::{Aim, Join, JoinLinks, JoinPlan};
use super::lookup_coordinator::patience;
use super::messages::{
    Answer, AuditKey, CountLookups, CountQueries, DescribeKept, DescribeStore, DescribeTable, JoinNetwork, KeepKey,
    LookupKey, PublishValue, Purpose, ReadValue, ReleaseKey, StartLookup, UnwatchKey,
};
use super::outcome::{BootstrapOutcome, Error, FoundValue, GetOutcome, Health, Pong, SetOutcome, TracedGet};
use super::requests::{
    Bootstrap, CheckHealth, Describe, FindNode, FindValue, Get, GetTraced, Keep, Ping, Release, Set, Unkeep,
};
use super::snapshot::Snapshot;
use super::supervision::{Ender, Lifetime};
use super::value_store::check_key;

/// The longest that a name may take to resolve, on top of what the network may take.
const RESOLVING: Duration = Duration::from_secs(11);

/// The actor that applications talk to.
pub struct NodeActor {
    id: NodeId,
    addr: SocketAddr,
    codec: Codec,
    config: Config,
    started: Instant,
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
    pub(crate) unkeep: Recipient<UnwatchKey>,
    pub(crate) kept: Recipient<DescribeKept>,
    pub(crate) lookup: Recipient<StartLookup>,
    pub(crate) join: Recipient<JoinNetwork>,
    pub(crate) table: Recipient<DescribeTable>,
    pub(crate) store: Recipient<DescribeStore>,
    pub(crate) queries: Recipient<CountQueries>,
    pub(crate) lookups: Recipient<CountLookups>,
    pub(crate) ping: JoinLinks,
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
        Self { id, addr, codec, config, started: clock::now(), lifetime, ender, counters, events, links }
    }

    fn patience(&self) -> Duration {
        patience(&self.config)
    }

    /// Waits for an answer that somebody was told to give.
    fn wait<T: 'static>(
        &self,
        answer: oneshot::Receiver<Result<T, Error>>,
        patience: Duration,
    ) -> ResponseFuture<Result<T, Error>> {
        let ender = self.ender.clone();
        Box::pin(async move {
            match tokio::time::timeout(patience, answer).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(interrupted(&ender)),
                Err(_) => Err(Error::TookTooLong(patience)),
            }
        })
    }

    /// Has a value read, and waits for it.
    fn read(&self, key: Arc<str>) -> ResponseFuture<Result<TracedGet, Error>> {
        if let Err(error) = check_key(&key, &self.config) {
            return refused(error);
        }
        let (answer, answered) = oneshot::channel();
        self.links.read.do_send(ReadValue { key, answer });
        self.wait(answered, self.patience())
    }

    /// Has something looked up, and waits for it.
    fn look_up<T: 'static>(
        &self,
        key: LookupKey,
        purpose: impl FnOnce(Answer<T>) -> Purpose,
    ) -> ResponseFuture<Result<T, Error>> {
        let (answer, answered) = oneshot::channel();
        self.links.lookup.do_send(StartLookup { key, purpose: purpose(answer) });
        self.wait(answered, self.patience())
    }
}

/// An answer got lost: with the node, or with an actor that was restarted.
fn interrupted(ender: &Ender) -> Error {
    ender.reason().map_or(Error::Interrupted, Error::Stopped)
}

fn refused<T: 'static>(error: Error) -> ResponseFuture<Result<T, Error>> {
    Box::pin(std::future::ready(Err(error)))
}

impl Actor for NodeActor {
    type Context = Context<Self>;
}

impl Supervised for NodeActor {}

impl Handler<Get> for NodeActor {
    type Result = ResponseFuture<Result<GetOutcome, Error>>;

    fn handle(&mut self, get: Get, _: &mut Self::Context) -> Self::Result {
        let read = self.read(get.key);
        Box::pin(async move { Ok(read.await?.outcome) })
    }
}

impl Handler<GetTraced> for NodeActor {
    type Result = ResponseFuture<Result<TracedGet, Error>>;

    fn handle(&mut self, get: GetTraced, _: &mut Self::Context) -> Self::Result {
        self.read(get.key)
    }
}

impl Handler<CheckHealth> for NodeActor {
    type Result = ResponseFuture<Result<Health, Error>>;

    fn handle(&mut self, check: CheckHealth, _: &mut Self::Context) -> Self::Result {
        if let Err(error) = check_key(&check.key, &self.config) {
            return refused(error);
        }
        let (answer, answered) = oneshot::channel();
        self.links.audit.do_send(AuditKey { key: check.key, answer });
        self.wait(answered, self.patience())
    }
}

impl Handler<Set> for NodeActor {
    type Result = ResponseFuture<Result<SetOutcome, Error>>;

    fn handle(&mut self, set: Set, _: &mut Self::Context) -> Self::Result {
        let (answer, answered) = oneshot::channel();
        self.links.publish.do_send(PublishValue { key: set.key, value: set.value, answer });
        self.wait(answered, self.patience())
    }
}

impl Handler<FindNode> for NodeActor {
    type Result = ResponseFuture<Result<Vec<Peer>, Error>>;

    fn handle(&mut self, find: FindNode, _: &mut Self::Context) -> Self::Result {
        self.look_up(LookupKey::Nodes(find.target), Purpose::FindNode)
    }
}

impl Handler<FindValue> for NodeActor {
    type Result = ResponseFuture<Result<FoundValue, Error>>;

    fn handle(&mut self, find: FindValue, _: &mut Self::Context) -> Self::Result {
        if let Err(error) = check_key(&find.key, &self.config) {
            return refused(error);
        }
        self.look_up(LookupKey::Value(find.key), Purpose::FindValue)
    }
}

impl Handler<Ping> for NodeActor {
    type Result = ResponseFuture<Result<Pong, Error>>;

    fn handle(&mut self, ping: Ping, _: &mut Self::Context) -> Self::Result {
        let (answer, answered) = oneshot::channel();
        let plan = JoinPlan {
            own: self.id,
            bound: self.addr,
            contacts: vec![ping.addr],
            query_timeout: self.config.query_timeout,
            aim: Aim::Ping(answer),
        };
        self.lifetime.run(Join::new(plan, self.events.clone(), self.links.ping.clone()));
        self.wait(answered, RESOLVING + self.config.query_timeout * 3)
    }
}

impl Handler<Bootstrap> for NodeActor {
    type Result = ResponseFuture<Result<BootstrapOutcome, Error>>;

    fn handle(&mut self, bootstrap: Bootstrap, _: &mut Self::Context) -> Self::Result {
        let (answer, answered) = oneshot::channel();
        self.links.join.do_send(JoinNetwork { contacts: bootstrap.contacts, answer: Some(answer) });
        self.wait(answered, RESOLVING + self.config.query_timeout * 3 + self.patience())
    }
}

impl Handler<Release> for NodeActor {
    type Result = ResponseFuture<Result<bool, Error>>;

    fn handle(&mut self, release: Release, _: &mut Self::Context) -> Self::Result {
        let (released, ender) = (self.links.release.send(ReleaseKey(release.key)), self.ender.clone());
        Box::pin(async move { released.await.map_err(|_| interrupted(&ender)) })
    }
}

impl Handler<Keep> for NodeActor {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, keep: Keep, _: &mut Self::Context) -> Self::Result {
        let Keep { key, min_replicas } = keep;
        if !(1..=self.config.k).contains(&min_replicas) {
            let (value, low, high) = (min_replicas.to_string(), "1".to_owned(), self.config.k.to_string());
            return refused(ConfigError { name: "min_replicas", value, low, high }.into());
        }
        let (answer, answered) = oneshot::channel();
        self.links.keep.do_send(KeepKey { key, min_replicas, answer });
        self.wait(answered, self.patience())
    }
}

impl Handler<Unkeep> for NodeActor {
    type Result = ResponseFuture<Result<bool, Error>>;

    fn handle(&mut self, unkeep: Unkeep, _: &mut Self::Context) -> Self::Result {
        let (kept, ender) = (self.links.unkeep.send(UnwatchKey(unkeep.key)), self.ender.clone());
        Box::pin(async move { kept.await.map_err(|_| interrupted(&ender)) })
    }
}

impl Handler<Describe> for NodeActor {
    type Result = ResponseFuture<Result<Snapshot, Error>>;

    fn handle(&mut self, _: Describe, _: &mut Self::Context) -> Self::Result {
        let (links, counters, ender) = (self.links.clone(), self.counters.clone(), self.ender.clone());
        let (id, addr, codec) = (self.id, self.addr, self.codec);
        let uptime = clock::now().saturating_duration_since(self.started);
        // The one place that asks instead of telling: looking in is rare, and needs all of them.
        Box::pin(async move {
            let gone = |_| interrupted(&ender);
            let table = links.table.send(DescribeTable).await.map_err(gone)?;
            let store = links.store.send(DescribeStore).await.map_err(gone)?;
            let keeping = links.kept.send(DescribeKept).await.map_err(gone)?;
            let queries_in_flight = links.queries.send(CountQueries).await.map_err(gone)?;
            let (lookups_running, lookups_waiting) = links.lookups.send(CountLookups).await.map_err(gone)?;
            let (restarts, counters) = (counters.restarts(), counters.snapshot());
            Ok(Snapshot {
                id,
                addr,
                codec,
                uptime,
                table,
                store,
                keeping,
                queries_in_flight,
                lookups_running,
                lookups_waiting,
                counters,
                restarts,
            })
        })
    }
}
