//! The store on disk: what every store owes, what outlives the process, and what it does when its disk fails.

mod damage;
mod failures;
mod laws;
mod medium;
mod versions;
#[cfg(feature = "sim")]
mod whole_node;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use self::medium::TestMedium;
use super::store::{DiskStore, Durability};
use super::times::{Clock, Moment, SystemClock};
use crate::protocol::store::contract::record;
use crate::protocol::store::{BackendState, Change, Store, StoreError, StoredRecord};
use crate::protocol::value::Value;

/// The system's clock, and by how much a test is ahead of it.
#[derive(Debug, Clone, Default)]
struct TestClock(Arc<Mutex<Duration>>);

impl TestClock {
    fn pass(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Moment {
        let (now, ahead) = (SystemClock.now(), *self.0.lock().unwrap());
        let wall_ms = now.wall_ms + u64::try_from(ahead.as_millis()).unwrap();
        Moment { instant: now.instant + ahead, wall_ms, boot: None }
    }
}

fn open(medium: &TestMedium, clock: &TestClock) -> DiskStore {
    DiskStore::over(Box::new(medium.clone()), Durability::Durable, Box::new(clock.clone())).unwrap()
}

fn commit(store: &mut DiskStore, changes: Vec<Change>) -> Result<(), StoreError> {
    let (sender, done) = mpsc::channel();
    store.commit(changes, Box::new(move |outcome| sender.send(outcome).unwrap()));
    done.recv().unwrap()
}

fn put(key: &str, value: &str, version: u64) -> Change {
    Change::Put(record(key, value, version, Instant::now()))
}

/// The values held, by key.
fn values(store: &mut DiskStore) -> BTreeMap<String, Value> {
    let value = |record: StoredRecord| (record.key.to_string(), (*record.value).clone());
    store.load().unwrap().into_iter().map(value).collect()
}
