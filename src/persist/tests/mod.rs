//! The store on disk: what every store owes, what outlives the process, and what it does when its disk fails.

mod backup;
mod damage;
mod failures;
mod laws;
mod measures;
mod medium;
#[cfg(unix)]
mod place;
mod versions;
#[cfg(feature = "sim")]
mod whole_node;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use self::medium::TestMedium;
use super::shared::Durability;
use super::store::DiskStore;
use super::times::{Clock, Moment, SystemClock};
use crate::protocol::store::contract::record;
use crate::protocol::store::{BackendState, Change, Store, StoreError, StoredRecord};
use crate::protocol::value::Value;

/// The system's clock, and by how much a test is ahead of it: all clones are the same one.
#[derive(Debug, Clone, Default)]
struct TestClock(Arc<Mutex<Time>>);

#[derive(Debug, Default)]
struct Time {
    ahead: Duration,
    /// By how much the wall clock is ahead of all others.
    jump_ms: i64,
    /// When the system's clock was left behind: no time passes by itself since.
    stopped: Option<Moment>,
}

impl TestClock {
    /// One that stands still until something passes.
    fn stopped() -> Self {
        Self(Arc::new(Mutex::new(Time { stopped: Some(SystemClock.now()), ..Time::default() })))
    }

    fn pass(&self, time: Duration) {
        self.0.lock().unwrap().ahead += time;
    }

    /// The wall clock is set. No other clock changes, and it goes on from there.
    fn set_wall(&self, wall_ms: u64) {
        let is = self.now().wall_ms;
        self.0.lock().unwrap().jump_ms += wall_ms as i64 - is as i64;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Moment {
        let time = self.0.lock().unwrap();
        let now = time.stopped.clone().unwrap_or_else(|| SystemClock.now());
        let wall_ms = now.wall_ms + u64::try_from(time.ahead.as_millis()).unwrap();
        let wall_ms = wall_ms.checked_add_signed(time.jump_ms).unwrap();
        Moment { instant: now.instant + time.ahead, wall_ms, boot: None }
    }
}

/// Waits for what a thread does by its own timer. The end is a watchdog.
fn until(done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() && start.elapsed() < Duration::from_secs(60) {
        std::thread::yield_now();
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
    Change::Put(record(key, value, version, Instant::now()).into())
}

/// The values held, by key.
fn values(store: &mut DiskStore) -> BTreeMap<String, Value> {
    let value = |record: StoredRecord| (record.key.to_string(), (*record.value).clone());
    store.load().unwrap().into_iter().map(value).collect()
}
