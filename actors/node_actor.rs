//! The front door for applications: it checks requests, passes them to the actor that owns the answer, and ensures that every
//! request ends. [`Node`](super::node::Node) is the handle to it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Context, Supervised};
use kademlia_dynamic::protocol::config::ConfigError;
use kademlia_dynamic::protocol::lookup::Votes;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::store::StoredCopy;
use tokio::sync::oneshot;

use super::clock;
use super::handling::Handler;
use super::join_state::Contacts;
use super::messages::{
    AfterSets, Answer, AuditKey, CountAdmitted, CountLookups, CountLosses, CountQueries, DescribePins, DescribeStore,
    DescribeTable, DescribeUpkeep, FindCopy, JoinNetwork, Leave, LookupKey, LookupResult, MeasuredRoundTrips, PinKey,
    Priority, ProbeStore, ReleaseKey, SelectKeys, SetValue, StartLookup, UnpinKey,
};
use super::operations::join::resolver::RESOLVE_TIMEOUT;
use super::operations::join::{Aim, Join};
use super::operations::runner::Runner;
use super::outcome::{
    BootstrapOutcome, Error, FoundNodes, FoundValue, GetOutcome, GetResult, Health, Pong, SetOutcome,
};
use super::reply::{Later, Reply};
use super::requests::{
    Bootstrap, CheckHealth, CopyOf, Describe, FindNode, FindValue, Get, GetOptions, KeyPage, ListKeys, ListPeers, Pin,
    Ping, Probe, Release, Set, Stop, TraceNodes, Unpin, WatchKeys,
};
use super::shared::{Shared, interrupted, within};
use super::snapshot::{AdmissionSnapshot, KnownPeer, RestartSnapshot, Snapshot};
use super::supervision::StopReason;
use super::value_store::{check_key, check_value};
use super::watch::Watch;
use super::watches::Watches;

/// How much longer than it may take the handoff at the end is waited for.
const GRACE: Duration = Duration::from_millis(250);

/// The actor that applications talk to.
pub struct NodeActor {
    shared: Rc<Shared>,
    started: Instant,
    /// Whether it was asked to stop: new requests are refused.
    leaving: bool,
    watches: Watches,
}

impl NodeActor {
    pub(crate) fn new(shared: &Rc<Shared>) -> Self {
        Self { shared: shared.clone(), started: clock::now(), leaving: false, watches: Watches::default() }
    }

    fn patience(&self) -> Duration {
        self.shared.patience()
    }

    /// The longest that it takes until a contact has answered or all have failed.
    fn patience_for_contacts(&self) -> Duration {
        RESOLVE_TIMEOUT + self.shared.config.lookup.query_timeout * 3 + Duration::from_secs(1)
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
        let (answer, receiver) = oneshot::channel();
        ask(answer);
        Reply::of(self.shared.answered(receiver, patience)).then(|answer| answer)
    }

    /// Begins what needs the network and waits for its answer: at once, or as soon as a bootstrap that is under way has
    /// its first answer. Where contacts were given and none was reached it is not begun.
    fn in_the_network<T: 'static>(&self, begin: impl FnOnce(oneshot::Sender<T>) + 'static) -> Reply<T> {
        let (answer, receiver) = oneshot::channel();
        let (joined, patience) = (self.shared.joined.clone(), self.patience_for_contacts());
        let answered = self.shared.answered(receiver, self.patience());
        let begin = move || begin(answer);
        let later = if joined.is_open() {
            begin();
            None
        } else {
            Some(begin)
        };
        Reply::of(async move {
            if let Some(begin) = later {
                within(patience, joined.wait()).await??;
                begin();
            }
            answered.await
        })
    }

    /// The copy that is stored here.
    fn copy_of(&self, key: Arc<str>) -> Reply<Option<StoredCopy>> {
        let (copy, ender) = (self.shared.handles.store.find_copy(FindCopy(key)), self.shared.lifetime.ender());
        Reply::of(async move { copy.await.map_err(|_| interrupted(&ender)) })
    }

    /// Has a value read, and waits for it.
    fn read(&self, key: Arc<str>, options: GetOptions) -> Reply<GetOutcome> {
        let (copy, lookups) = (self.copy_of(key.clone()), self.shared.handles.lookups.clone());
        let (joined, for_contacts) = (self.shared.joined.clone(), self.patience_for_contacts());
        let shared = self.shared.clone();
        let (reply, receiver) = oneshot::channel();
        let answered = self.shared.answered(receiver, self.patience());
        Reply::of(async move {
            let own_vote = match copy.0.await?.filter(|copy| !options.fresh && shared.is_kept_up(copy)) {
                // What is stored here needs no network.
                Some(StoredCopy { value, ttl_left, .. }) if options.quorum == 1 => {
                    let (value, expires_in) = (Arc::unwrap_or_clone(value), Some(ttl_left));
                    let result = GetResult::Found { value, holder: None, expires_in, votes: Votes::SINGLE };
                    return Ok(GetOutcome { result, trace: None });
                }
                None => {
                    within(for_contacts, joined.wait()).await??;
                    None
                }
                copy => copy,
            };
            let key = if options.quorum == 1 { LookupKey::Value(key) } else { LookupKey::Votes(key, options.quorum) };
            lookups.start(StartLookup { own_vote, ..StartLookup::foreground(key, reply) });
            let outcome = answered.await??.traced_get();
            Ok(GetOutcome { trace: outcome.trace.filter(|_| options.trace), ..outcome })
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
    fn look_up<T: 'static>(
        &self,
        key: LookupKey,
        read: impl FnOnce(&LookupResult) -> Result<T, Error> + 'static,
    ) -> Reply<T> {
        let lookups = self.shared.handles.lookups.clone();
        let found = self.in_the_network(move |reply| lookups.start(StartLookup::foreground(key, reply)));
        found.then(|found| read(&*found?))
    }
}

impl Actor for NodeActor {
    type Context = Context<Self>;
}

impl Supervised for NodeActor {}

impl Handler<Get> for NodeActor {
    fn handle(&mut self, get: Get, _: &mut Self::Context) -> Reply<GetOutcome> {
        self.admit(Some(&get.key.clone()), |node| {
            node.within_k("quorum", get.options.quorum)?;
            Ok(node.read(get.key, get.options))
        })
    }
}

impl Handler<CheckHealth> for NodeActor {
    fn handle(&mut self, CheckHealth { key }: CheckHealth, _: &mut Self::Context) -> Reply<Health> {
        self.admit(Some(&key.clone()), |node| {
            let store = node.shared.handles.store.clone();
            let audit = move |answer| store.audit(AuditKey { key, priority: Priority::Foreground, answer });
            Ok(node.in_the_network(audit).then(|answer| answer))
        })
    }
}

impl Handler<Set> for NodeActor {
    fn handle(&mut self, Set { key, value, options }: Set, _: &mut Self::Context) -> Reply<SetOutcome> {
        self.admit(None, |node| {
            options.quorum.map_or(Ok(()), |quorum| node.within_k("quorum", quorum))?;
            check_value(&key, &value, &node.shared.config, node.shared.codec)?;
            let lookups = node.shared.handles.lookups.clone();
            let set = move |answer| lookups.set(SetValue { key, value, enough: options.quorum, answer });
            Ok(node.in_the_network(set).then(|answer| answer))
        })
    }
}

impl Handler<FindNode> for NodeActor {
    fn handle(&mut self, find: FindNode, _: &mut Self::Context) -> Reply<Vec<Peer>> {
        self.admit(None, |node| Ok(node.look_up(LookupKey::Nodes(find.target), LookupResult::nearest)))
    }
}

impl Handler<TraceNodes> for NodeActor {
    fn handle(&mut self, find: TraceNodes, _: &mut Self::Context) -> Reply<FoundNodes> {
        self.admit(None, |node| Ok(node.look_up(LookupKey::Nodes(find.target), LookupResult::traced_nodes)))
    }
}

impl Handler<ListKeys> for NodeActor {
    fn handle(&mut self, list: ListKeys, _: &mut Self::Context) -> Reply<KeyPage> {
        let ListKeys { prefix, after, limit } = list;
        let page = self.shared.handles.store.list(SelectKeys { prefix, after, limit });
        let ender = self.shared.lifetime.ender();
        Reply::of(async move { page.await.map_err(|_| interrupted(&ender)) })
    }
}

impl Handler<ListPeers> for NodeActor {
    fn handle(&mut self, _: ListPeers, _: &mut Self::Context) -> Reply<Vec<KnownPeer>> {
        let (shared, ender) = (self.shared.clone(), self.shared.lifetime.ender());
        Reply::of(async move {
            let (handles, gone) = (&shared.handles, |_| interrupted(&ender));
            let table = handles.table.describe(DescribeTable).await.map_err(gone)?;
            let known =
                table.buckets.iter().flat_map(|bucket| bucket.peers.iter().map(|peer| KnownPeer::new(bucket, peer)));
            let mut known: Vec<KnownPeer> = known.collect();
            let addrs = known.iter().map(|known| known.peer.addr).collect();
            let measured = handles.queries.round_trips(MeasuredRoundTrips(addrs)).await.map_err(gone)?;
            known.iter_mut().zip(measured).for_each(|(known, measured)| known.round_trip = measured);
            Ok(known)
        })
    }
}

impl Handler<WatchKeys> for NodeActor {
    fn handle(&mut self, watch: WatchKeys, _: &mut Self::Context) -> Reply<Watch> {
        self.admit(None, |node| {
            watch.keys.iter().try_for_each(|key| check_key(key, &node.shared.config))?;
            Ok(node.ask(node.patience(), |answer| node.watches.add(&node.shared, watch.keys, answer)))
        })
    }
}

impl Handler<FindValue> for NodeActor {
    fn handle(&mut self, find: FindValue, _: &mut Self::Context) -> Reply<FoundValue> {
        let key = LookupKey::Value(find.key.clone());
        self.admit(Some(&find.key), |node| Ok(node.look_up(key, LookupResult::found_value)))
    }
}

impl Handler<Ping> for NodeActor {
    fn handle(&mut self, ping: Ping, _: &mut Self::Context) -> Reply<Pong> {
        let begin = |answer| {
            Runner::run(Join::new(&self.shared, vec![ping.addr], Aim::Ping(answer), None), &self.shared);
        };
        self.admit(None, |node| Ok(node.ask(node.patience_for_contacts(), begin)))
    }
}

impl Handler<Bootstrap> for NodeActor {
    fn handle(&mut self, bootstrap: Bootstrap, _: &mut Self::Context) -> Reply<BootstrapOutcome> {
        let begin = |answer| {
            let attempt = self.shared.joined.attempt(Contacts::Given);
            let join = JoinNetwork { contacts: bootstrap.contacts, attempt, answer: Some(answer) };
            self.shared.handles.maintenance.join(join);
        };
        self.admit(None, |node| Ok(node.ask(node.patience_for_contacts() + node.patience(), begin)))
    }
}

impl Handler<Release> for NodeActor {
    fn handle(&mut self, release: Release, _: &mut Self::Context) -> Reply<bool> {
        let release = |answer| AfterSets::Release(ReleaseKey { key: release.key, answer });
        self.ask(self.patience(), |answer| self.shared.handles.lookups.after_sets(release(answer)))
    }
}

impl Handler<CopyOf> for NodeActor {
    fn handle(&mut self, asked: CopyOf, _: &mut Self::Context) -> Reply<Option<StoredCopy>> {
        self.copy_of(asked.key)
    }
}

impl Handler<Pin> for NodeActor {
    fn handle(&mut self, pin: Pin, _: &mut Self::Context) -> Reply<()> {
        let Pin { key, min_replicas } = pin;
        self.admit(None, |node| {
            node.within_k("min_replicas", min_replicas)?;
            let pin = |answer| AfterSets::Pin(PinKey { key, min_replicas, answer });
            Ok(node.ask(node.patience(), |answer| node.shared.handles.lookups.after_sets(pin(answer))))
        })
    }
}

impl Handler<Unpin> for NodeActor {
    fn handle(&mut self, unpin: Unpin, _: &mut Self::Context) -> Reply<bool> {
        let unpin = |answer| AfterSets::Unpin(UnpinKey { key: unpin.key, answer: Some(answer) });
        self.ask(self.patience(), |answer| self.shared.handles.lookups.after_sets(unpin(answer)))
    }
}

impl Handler<Probe> for NodeActor {
    fn handle(&mut self, _: Probe, _: &mut Self::Context) -> Reply<()> {
        self.ask(self.patience(), |answer| self.shared.handles.store.probe(ProbeStore { answer }))
    }
}

impl Handler<Stop> for NodeActor {
    fn handle(&mut self, _: Stop, _: &mut Self::Context) -> Later<()> {
        self.leaving = true;
        let (answer, answered) = oneshot::channel();
        self.shared.handles.handoff.leave(Leave { answer });
        let (ender, patience) = (self.shared.lifetime.ender(), self.shared.config.values.handoff_time + GRACE);
        // The caller may go, and the node ends all the same.
        self.shared.lifetime.spawn(async move {
            let _ = tokio::time::timeout(patience, answered).await;
            ender.end(StopReason::Asked);
        });
        Later::of(std::future::ready(()))
    }
}

impl Handler<Describe> for NodeActor {
    fn handle(&mut self, _: Describe, _: &mut Self::Context) -> Reply<Snapshot> {
        let (shared, ender) = (self.shared.clone(), self.shared.lifetime.ender());
        let uptime = clock::now().saturating_duration_since(self.started);
        // The one place that asks all actors one after the other: it is rare, and needs all of them.
        Reply::of(async move {
            let (handles, gone) = (&shared.handles, |_| interrupted(&ender));
            let table = handles.table.describe(DescribeTable).await.map_err(gone)?;
            let store = handles.store.describe(DescribeStore).await.map_err(gone)?;
            let upkeep = handles.handoff.describe(DescribeUpkeep).await.map_err(gone)?;
            let pins = handles.pins.describe(DescribePins).await.map_err(gone)?;
            let (admitted, blocked_datagrams) = handles.dispatcher.count(CountAdmitted).await.map_err(gone)?;
            let (queries, queries_deferred) = handles.queries.count(CountQueries).await.map_err(gone)?;
            let lookups = handles.lookups.count(CountLookups).await.map_err(gone)?;
            handles.socket.count_losses(CountLosses).await.map_err(gone)?;
            Ok(Snapshot {
                id: shared.id,
                addr: shared.addr,
                codec: shared.codec,
                uptime,
                table,
                store,
                upkeep,
                pins,
                admission: AdmissionSnapshot::new(&admitted, blocked_datagrams, &queries, queries_deferred),
                queries_in_flight: queries.in_flight,
                lookups_running: lookups.running,
                lookups_waiting: lookups.waiting,
                recent_peers: lookups.recent_peers,
                counters: shared.counters.snapshot(),
                restarts: RestartSnapshot {
                    by_actor: shared.counters.restarts(),
                    lately: shared.counters.restarted_within(shared.config.supervision.restart_window, clock::now()),
                },
                traffic: shared.counters.traffic().rows(),
                reached: shared.counters.reached_at().map(|at| clock::now().saturating_duration_since(at)),
            })
        })
    }
}
