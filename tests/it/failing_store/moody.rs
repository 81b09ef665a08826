//! A store under the control of a test: it commits, fails, or waits until the test says which commits succeed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use kademlia_dynamic::protocol::store::{Change, Class, Committed, Store, StoreError, StoredRecord};
use kademlia_dynamic::sim::{MemoryNetwork, ScriptedPeers};
use kademlia_dynamic::{Codec, Config, Node};

/// How the store treats a commit.
#[derive(Clone, Copy, Default)]
pub(crate) enum Mood {
    #[default]
    Commits,
    Fails,
    /// The caller waits until the test lets the commit succeed or fail.
    Waits,
    /// The caller gets no result, as from a thread that has died.
    Dies,
}

#[derive(Clone, Default)]
pub(crate) struct Moody(Arc<Mutex<State>>);

#[derive(Default)]
pub(crate) struct State {
    pub(crate) mood: Mood,
    pub(crate) waiting: Vec<(Vec<Change>, Committed)>,
    /// How many changes came at once.
    pub(crate) groups: Vec<usize>,
    /// Whether it reports that it is known to fail.
    pub(crate) is_failing: bool,
    /// The committed records, by key.
    pub(crate) disk: BTreeMap<Arc<str>, StoredRecord>,
}

impl State {
    fn take_in(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Put(record) => drop(self.disk.insert(record.key.clone(), (*record).clone())),
                Change::Remove(key) => drop(self.disk.remove(&key)),
            }
        }
    }
}

impl Moody {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn is_now(&self, mood: Mood) {
        self.state().mood = mood;
    }

    /// What waits fails, and so does what comes after it.
    pub(crate) fn fail_all(&self) {
        self.is_now(Mood::Fails);
        self.fail_if(|_, _| true);
    }

    pub(crate) fn commit_all(&self) {
        self.fail_if(|_, _| false);
    }

    /// Of what waits, those fail of which `fails` says so, by their number and what they would have changed; the others are
    /// committed, in their order.
    pub(crate) fn fail_if(&self, fails: impl Fn(usize, &[Change]) -> bool) {
        let waiting = std::mem::take(&mut self.state().waiting);
        for (number, (changes, done)) in waiting.into_iter().enumerate() {
            if fails(number, &changes) {
                done(Err(StoreError::Ended));
            } else {
                self.state().take_in(changes);
                done(Ok(()));
            }
        }
    }

    /// Whether what is committed under "key" is a publication, and whether it is pinned.
    pub(crate) fn published(&self) -> Option<bool> {
        self.state().disk.get("key").filter(|record| record.class == Class::Published).map(|record| record.pinned)
    }
}

impl Store for Moody {
    fn load(&mut self) -> Result<Vec<StoredRecord>, StoreError> {
        Ok(self.state().disk.values().cloned().collect())
    }

    fn is_failing(&self) -> bool {
        self.state().is_failing
    }

    fn commit(&mut self, changes: Vec<Change>, done: Committed) {
        let mut state = self.state();
        state.groups.push(changes.len());
        match state.mood {
            Mood::Commits => {
                state.take_in(changes);
                done(Ok(()));
            }
            Mood::Fails => done(Err(StoreError::Ended)),
            Mood::Waits => state.waiting.push((changes, done)),
            Mood::Dies => drop(done),
        }
    }
}

pub(crate) async fn node_and_peers(store: &Moody, peers: usize) -> (Node, ScriptedPeers) {
    with_config(Config::default(), store, peers).await
}

pub(crate) async fn with_config(config: Config, store: &Moody, peers: usize) -> (Node, ScriptedPeers) {
    let network = MemoryNetwork::new(7);
    let peers = ScriptedPeers::new(&network, Codec::Json).with(peers);
    let node = Node::builder().config(config).store(store.clone()).start_local_over(network.endpoint()).await.unwrap();
    (node, peers)
}
