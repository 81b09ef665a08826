//! What a recorder is reported of the stores of a process.

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use super::*;
use crate::persist::disk::Disk;
use crate::persist::measures::Measures;
use crate::persist::shared::{Job, Shared};
use crate::persist::worker::Worker;
use crate::protocol::store::BackendHealth;

/// What a recorder was reported, summed up.
struct Told {
    snapshotter: Snapshotter,
    numbers: BTreeMap<String, f64>,
    groups: Vec<f64>,
}

impl Told {
    fn new(recorder: &DebuggingRecorder) -> Self {
        Self { snapshotter: recorder.snapshotter(), numbers: BTreeMap::new(), groups: Vec::new() }
    }

    /// The number that is `kad_store_` and `name`.
    fn of(&mut self, name: &str) -> f64 {
        // A snapshot has what came since the last one.
        for (key, _, _, value) in self.snapshotter.snapshot().into_vec() {
            let number = self.numbers.entry(key.key().name().to_owned()).or_default();
            match value {
                DebugValue::Counter(count) => *number += count as f64,
                DebugValue::Gauge(level) => *number += *level,
                DebugValue::Histogram(values) => self.groups.extend(values.iter().map(|value| **value)),
            }
        }
        self.numbers[&format!("kad_store_{name}")]
    }
}

#[test]
fn the_stores_of_a_process_add_to_the_same_numbers_and_one_that_ends_leaves_only_its_counts() {
    let recorder = DebuggingRecorder::new();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let mut reported = Told::new(&recorder);
    let (mut first, mut second) = (Measures::default(), Measures::default());
    let health = BackendHealth { commits: 5, waiting: 3, failing: true, ..BackendHealth::default() };
    first.publish(health);
    second.publish(BackendHealth { commits: 2, waiting: 4, ..health });
    assert_eq!((reported.of("commits_total"), reported.of("waiting"), reported.of("failing")), (7.0, 7.0, 2.0));
    first.publish(BackendHealth { commits: 6, waiting: 1, failing: false, ..health });
    assert_eq!((reported.of("commits_total"), reported.of("waiting"), reported.of("failing")), (8.0, 5.0, 1.0));
    drop(second);
    assert_eq!((reported.of("commits_total"), reported.of("waiting"), reported.of("failing")), (8.0, 1.0, 0.0));
}

/// A store whose disk work is done by the thread that runs it, so that this thread's recorder hears of it.
struct Bench {
    worker: Worker,
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
    inbox: mpsc::Receiver<Job>,
}

impl Bench {
    fn open(medium: &TestMedium) -> Self {
        let (shared, (jobs, inbox)) = (Arc::new(Shared::default()), mpsc::channel());
        let (disk, clock) = (Disk::new(Box::new(medium.clone())), Box::new(TestClock::default()));
        let worker = Worker::open(disk, Durability::Durable, clock, shared.clone()).unwrap();
        Self { worker, shared, jobs, inbox }
    }

    fn tell(&self, changes: Vec<Change>, done: impl FnOnce(Result<(), StoreError>) + Send + 'static) {
        let job = Job::Commit(changes, Box::new(done));
        self.shared.queue(&job);
        self.jobs.send(job).unwrap();
    }

    /// Does all that it was reported, and ends.
    fn run(self) {
        drop(self.jobs);
        self.worker.run(&self.inbox);
    }
}

#[test]
fn a_recorder_hears_of_every_store_what_its_health_says_and_a_probe_is_no_write() {
    let recorder = DebuggingRecorder::new();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let reported = Arc::new(Mutex::new(Told::new(&recorder)));
    let full = TestMedium::default();
    let (failing, probed) = (Bench::open(&full), Bench::open(&TestMedium::default()));
    let shared = [failing.shared.clone(), probed.shared.clone()];

    // What a watchdog asks for: alone, and in a group with a write.
    probed.tell(Vec::new(), |outcome| outcome.unwrap());
    failing.tell(Vec::new(), |outcome| outcome.unwrap());
    let (jobs, of_failing, during) = (failing.jobs.clone(), failing.shared.clone(), reported.clone());
    failing.tell(vec![put("key", "value", 1)], move |outcome| {
        outcome.unwrap();
        full.is_full(true);
        // The other store works, and ends, while this one fails.
        let refused = move |outcome: Result<(), StoreError>| {
            assert!(outcome.is_err());
            assert_eq!(during.lock().unwrap().of("failing"), 1.0);
            probed.run();
            assert_eq!(during.lock().unwrap().of("failing"), 1.0);
        };
        let refused = Job::Commit(vec![put("other", "value", 2)], Box::new(refused));
        of_failing.queue(&refused);
        jobs.send(refused).unwrap();
    });
    failing.run();

    let mut reported = reported.lock().unwrap();
    let sum = |of: fn(BackendHealth) -> u64| shared.iter().map(|shared| of(shared.health()) as f64).sum::<f64>();
    assert_eq!((reported.of("failing"), reported.of("waiting")), (0.0, 0.0));
    assert_eq!((reported.of("writes_total"), sum(|health| health.grouped)), (1.0, 1.0));
    assert_eq!(reported.groups, [1.0]);
    assert_eq!(reported.of("commits_total"), sum(|health| health.commits));
    assert_eq!(reported.of("failures_total"), sum(|health| health.failures));
    assert!(sum(|health| health.failures) > 0.0);
}
