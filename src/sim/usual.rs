//! What a scripted peer says when its script leaves it to itself: it knows the other scripted peers, and remembers what
//! it was reported to hold. It neither expires nor refuses anything.

use std::collections::HashMap;
use std::sync::Arc;

use crate::protocol::config::Config;
use crate::protocol::digest::ValueDigest;
use crate::protocol::entry::{Entry, EntryState, Nonce};
use crate::protocol::id::NodeId;
use crate::protocol::message::{Request, Response};
use crate::protocol::peer::Peer;
use crate::protocol::ranges::{Range, RangeAnswer, RangeState};
use crate::protocol::value::Value;

/// What the scripted peers know and hold.
#[derive(Debug, Default)]
pub(super) struct Usual {
    /// The peers, by number.
    pub(super) peers: Vec<Peer>,
    /// What each of them holds.
    held: Vec<HashMap<Arc<str>, Arc<Value>>>,
}

impl Usual {
    /// Adds a peer that holds nothing.
    pub(super) fn add(&mut self, peer: Peer) {
        self.peers.push(peer);
        self.held.push(HashMap::new());
    }

    /// What peer `n` answers.
    pub(super) fn answer(&mut self, n: usize, request: &Request) -> Response {
        match request {
            Request::Ping => Response::Pong,
            Request::FindNode { target } => Response::FindNode { peers: self.nearest(n, target) },
            Request::FindValue { key } => match self.held(n, key) {
                Some(value) => Response::Value { value, ttl: None, age: None },
                None => Response::NoValue { peers: self.nearest(n, &NodeId::of_key(key)) },
            },
            Request::Set { key, value, .. } => {
                self.held[n].insert(key.clone(), value.clone());
                Response::Set { stored: true, ttl: None }
            }
            Request::SetCached { key, value, .. } => {
                self.held[n].entry(key.clone()).or_insert_with(|| value.clone());
                Response::SetCached
            }
            Request::SetUnsupported { cached: false } => Response::Set { stored: false, ttl: None },
            Request::SetUnsupported { cached: true } => Response::SetCached,
            Request::CheckStore { key, .. } => {
                Response::CheckStore { has_key: self.held(n, key).is_some(), ttl: None, age: None }
            }
            Request::Get { key } => Response::Get { value: self.held(n, key) },
            Request::Renew { entries } => Response::Renew {
                states: entries.entries.iter().map(|entry| self.state(n, entry, entries.nonce)).collect(),
            },
            // It holds what the asker does, whatever that is.
            Request::Reconcile { ranges, .. } => {
                let equal = |range: &Range| RangeAnswer { prefix: range.prefix, state: RangeState::Equal };
                Response::Reconcile { ranges: ranges.ranges.iter().map(equal).collect() }
            }
        }
    }

    fn state(&self, n: usize, entry: &Entry, nonce: Nonce) -> EntryState {
        match self.held[n].iter().find(|(key, _)| NodeId::of_key(key) == entry.place) {
            Some((_, value)) if ValueDigest::of(value).keyed(nonce) == entry.digest => EntryState::Held,
            _ => EntryState::Lacking,
        }
    }

    pub(super) fn held(&self, n: usize, key: &str) -> Option<Arc<Value>> {
        self.held[n].get(key).cloned()
    }

    pub(super) fn hold(&mut self, n: usize, key: &str, value: Value) {
        self.held[n].insert(key.into(), Arc::new(value));
    }

    /// The k peers nearest to `target` that peer `n` names: all but itself.
    fn nearest(&self, n: usize, target: &NodeId) -> Vec<Peer> {
        let mut others: Vec<Peer> = self.peers.iter().filter(|peer| peer.id != self.peers[n].id).copied().collect();
        others.sort_by_key(|peer| peer.id.distance(target));
        others.truncate(Config::DEFAULT.lookup.k);
        others
    }
}
