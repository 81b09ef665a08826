//! Whom a legacy node asks: its queries, its lookups over its own routing table, and where it sets a value.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::{Body, QueryId, Request, Response};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::value::Value;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::node::{Inner, LegacyVersion};

/// Queries of one lookup. A legacy node knows no end as long as nearer peers are invented for it; a simulation needs one.
const MAX_QUERIES: usize = 200;

/// Ends the wait for an answer, however it ended.
struct Forget<'a> {
    node: &'a Inner,
    id: QueryId,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.node.waiting.borrow_mut().remove(&self.id);
    }
}

impl Inner {
    async fn ask(&self, to: SocketAddr, request: Request) -> Option<Response> {
        let (answer, answered) = oneshot::channel();
        let (id, kind) = (self.next_query_id(), request.name());
        self.waiting.borrow_mut().insert(id, (to, answer));
        let _forget = Forget { node: self, id };
        self.say(to, id, Body::Request(request));
        let response = timeout(self.settings.query_timeout, answered).await.ok()?.ok()?;
        Some(response).filter(|response| response.answers() == kind)
    }

    /// Asks a peer; if it keeps silent, it is out of the table.
    pub(super) async fn query(&self, peer: Peer, request: Request) -> Option<Response> {
        let response = self.ask(peer.addr, request).await;
        if response.is_none() {
            self.table.borrow_mut().remove(&peer.id);
        }
        response
    }

    /// Inserts a peer unverified. Where there is no room, the oldest is pinged, and is out if it keeps silent.
    async fn add(&self, peer: Peer) {
        if peer.id == self.own {
            return;
        }
        let oldest = self.table.borrow_mut().insert(peer, Instant::now());
        if let Some(oldest) = oldest {
            self.query(oldest, Request::Ping).await;
        }
    }

    pub(super) async fn bootstrap(&self, contact: SocketAddr) {
        let (answer, answered) = oneshot::channel();
        let id = self.next_query_id();
        self.waiting.borrow_mut().insert(id, (contact, answer));
        let _forget = Forget { node: self, id };
        self.say(contact, id, Body::Request(Request::Ping));
        // The pong inserts its sender, as any pong does.
        if let Ok(Ok(Response::Pong)) = timeout(self.settings.query_timeout, answered).await {
            self.find_node(self.own).await;
            let targets: Vec<NodeId> = {
                let (table, mut entropy) = (self.table.borrow(), self.entropy.borrow_mut());
                table.prefixes().iter().map(|prefix| prefix.random_id(&mut *entropy)).collect()
            };
            join_all(targets.into_iter().map(|target| self.find_node(target))).await;
        }
    }

    pub(super) async fn find_node(&self, target: NodeId) -> Vec<Peer> {
        self.look_up(target, &Request::FindNode { target }).await;
        self.table.borrow().nearest(&target)
    }

    /// The value of `key` from the network. The nearest of the peers that were queried, be it a holder, gets a cached copy.
    pub(super) async fn find_value(&self, key: Arc<str>) -> Option<Arc<Value>> {
        let target = NodeId::of_key(&key);
        let (value, cacher) = self.look_up(target, &Request::FindValue { key: key.clone() }).await?;
        if let Some(cacher) = cacher {
            let request = Request::SetCached { key, value: value.clone(), target: Some(target), ttl: None };
            self.query(cacher, request).await;
        }
        Some(value)
    }

    /// Asks its way to `target`, with the routing table in the place of a shortlist. If a value comes back: that, and the
    /// nearest of the others that were asked.
    async fn look_up(&self, target: NodeId, request: &Request) -> Option<(Arc<Value>, Option<Peer>)> {
        let mut nearest = self.table.borrow().nearest(&target);
        let mut seen: HashSet<NodeId> = nearest.iter().map(|peer| peer.id).chain([self.own]).collect();
        let mut asked: Vec<Peer> = Vec::new();
        let mut in_flight = FuturesUnordered::new();
        loop {
            for peer in nearest {
                if in_flight.len() < self.settings.alpha
                    && asked.len() < MAX_QUERIES
                    && asked.iter().all(|asked| asked.id != peer.id)
                {
                    asked.push(peer);
                    in_flight.push(async move { (peer, self.query(peer, request.clone()).await) });
                }
            }
            let (from, response) = in_flight.next().await?;
            match response {
                Some(Response::FindNode { peers } | Response::NoValue { peers }) => {
                    for peer in peers {
                        if seen.insert(peer.id) {
                            self.add(peer).await;
                        }
                    }
                }
                Some(Response::Value { value, .. }) => {
                    let others = asked.into_iter().filter(|peer| peer.id != from.id);
                    return Some((value, others.min_by_key(|peer| peer.id.distance(&target))));
                }
                _ => {}
            }
            nearest = self.table.borrow().nearest(&target);
        }
    }

    pub(super) async fn set(&self, key: Arc<str>, value: Arc<Value>) {
        let closest = self.find_node(NodeId::of_key(&key)).await;
        self.hold(key.clone(), value.clone(), true, self.settings.key_expiry);
        self.place(closest, key, value, true).await;
    }

    /// Restores a value that others published.
    pub(super) async fn restore(&self, key: Arc<str>, value: Arc<Value>) {
        let closest = self.find_node(NodeId::of_key(&key)).await;
        self.place(closest, key, value, self.version != LegacyVersion::V1_0_0).await;
    }

    async fn place(&self, closest: Vec<Peer>, key: Arc<str>, value: Arc<Value>, check: bool) {
        let mut lacking = closest;
        if check {
            let size = Some(value.len() as u64);
            let check = |peer| self.query(peer, Request::CheckStore { key: key.clone(), size });
            let answers = join_all(lacking.iter().copied().map(check)).await;
            let mut holds =
                answers.iter().map(|answer| matches!(answer, Some(Response::CheckStore { has_key: true, .. })));
            lacking.retain(|_| !holds.next().unwrap_or_default());
        }
        let set =
            |peer| self.query(peer, Request::Set { key: key.clone(), value: value.clone(), ttl: None, age: None });
        join_all(lacking.into_iter().map(set)).await;
    }
}
