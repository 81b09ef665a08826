//! The descriptors of a process that runs nodes: nothing that a node does leaves one open. It has a process of its own, since
//! other tests open some.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use kademlia_dynamic::persist::DiskStore;
use kademlia_dynamic::protocol::store::{
    BackendHealth, Change, Committed, Recollection, Store, StoreError, StoredRecord,
};
use kademlia_dynamic::{Config, Error, Node, NodeId};

/// Nodes, of which the first has a disk.
const NODES: usize = 4;
/// Keys that are set and read in each round.
const KEYS: usize = 12;

/// A store on disk whose next commit panics, once, when that is set.
struct Trap {
    disk: DiskStore,
    is_set: Arc<AtomicBool>,
}

impl Store for Trap {
    fn load(&mut self) -> Result<Vec<StoredRecord>, StoreError> {
        self.disk.load()
    }

    fn commit(&mut self, changes: Vec<Change>, done: Committed) {
        assert!(!self.is_set.swap(false, Ordering::Relaxed), "injected by a test");
        self.disk.commit(changes, done);
    }

    fn recall(&mut self) -> Option<Recollection> {
        self.disk.recall()
    }

    fn remember(&mut self, known: Recollection) {
        self.disk.remember(known);
    }

    fn health(&self) -> BackendHealth {
        self.disk.health()
    }
}

/// How many descriptors are open: to sockets, files, timers and the like; and to what the kernel reports, which a node
/// reads once a second.
fn descriptors() -> (usize, usize) {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    // One that has been closed since has no target.
    let targets = entries.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    let (of_kernel, others): (Vec<_>, Vec<_>) = targets.partition(|target| target.starts_with(Path::new("/proc")));
    (others.len(), of_kernel.len())
}

/// Values are set and read, peers are looked for and pinged, and the store of the first node is restarted.
async fn a_round(nodes: &[Node], trap: &AtomicBool, round: usize) {
    let at = |n: usize| &nodes[n % NODES];
    let keys: Vec<String> = (0..KEYS).map(|n| format!("{round}: key {n}")).collect();
    let sets = join_all(keys.iter().enumerate().map(|(n, key)| at(n).set(key, "value"))).await;
    assert!(sets.into_iter().all(|set| set.unwrap().stored == NODES - 1));
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(at(n + 1).get(key).await.unwrap(), Some("value".into()));
        assert_eq!(at(n + 2).get(format!("no {key}")).await.unwrap(), None);
        assert_eq!(at(n + 3).find_node(NodeId::of_key(key)).await.unwrap().len(), NODES - 1);
        assert!(at(n).ping(at(n + 1).local_addr()).await.is_ok());
    }
    trap.store(true, Ordering::Relaxed);
    // It is lost with the actor, or is taken up again by it: other tests cover that.
    let _ = nodes[0].set("trapped", round.to_string()).await;
    assert_eq!(nodes[0].set("after", round.to_string()).await.unwrap().stored, NODES - 1);
    assert_eq!(nodes[0].counters().restarts().values().sum::<u64>(), round as u64 + 1);
}

#[tokio::test]
async fn hundreds_of_operations_and_restarts_of_an_actor_leave_no_descriptor_open() {
    let folder = tempfile::tempdir().unwrap();
    let trap = Arc::new(AtomicBool::new(false));
    let store = Trap { disk: DiskStore::open(folder.path()).unwrap(), is_set: trap.clone() };
    let config = Config::builder().max_restarts(100).build().unwrap();
    let mut nodes = vec![Node::builder().config(config).store(store).start().await.unwrap()];
    while nodes.len() < NODES {
        nodes.push(Node::builder().bootstrap([nodes[0].local_addr()]).start().await.unwrap());
    }
    // Whatever is opened when it is first needed is open after this.
    a_round(&nodes, &trap, 0).await;
    let (before, _) = descriptors();
    for round in 1..=4 {
        a_round(&nodes, &trap, round).await;
    }
    let (after, of_kernel) = descriptors();
    assert_eq!(after, before);
    assert!(of_kernel <= 1 + NODES, "{of_kernel} for this count and for what each node reads at the moment");
    join_all(nodes.iter().map(Node::stop)).await;
}

/// The environment variable by which a test of this file knows that it is in a process of its own, with a limit.
const LIMITED: &str = "KAD_TEST_LIMITED";

/// An application whose process has but a few descriptors left: it gets a node, or an error that says what is missing.
#[test]
fn a_node_that_lacks_descriptors_is_an_error_that_says_so_and_no_panic() {
    if std::env::var_os(LIMITED).is_some() {
        return start_with_few();
    }
    let this = "a_node_that_lacks_descriptors_is_an_error_that_says_so_and_no_panic";
    let mut process = std::process::Command::new("sh");
    process.args(["-c", "ulimit -n 64 && exec \"$@\"", "sh"]).arg(std::env::current_exe().unwrap());
    let output = process.args(["--exact", this, "--nocapture"]).env(LIMITED, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    assert!(!text.contains("panicked"), "{text}");
}

fn start_with_few() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut failed, mut began) = (0, 0);
    for left in 0..=20 {
        let mut open: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
        open.truncate(open.len().saturating_sub(left));
        match runtime.block_on(Node::builder().start()) {
            Ok(node) => {
                began += 1;
                runtime.block_on(node.stop());
            }
            Err(error @ (Error::Limit(_) | Error::Thread(_) | Error::Bind { .. })) => {
                failed += 1;
                let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
                let text = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
                assert!(text.contains("ulimit -n"), "{left}: {text}");
            }
            Err(error) => panic!("{left}: {error}"),
        }
    }
    assert!(failed > 0 && began > 0, "{failed} {began}");
}
