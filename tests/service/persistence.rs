//! State that outlives the process: acknowledged values, the node's id and its peers. Processes are killed here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use kademlia_dynamic::persist::{DiskStore, STORE_FILE};
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::store::Store;
use kademlia_dynamic::{GetOptions, GetResult, Node, NodeId, Value};
use tokio::task::JoinSet;

use crate::running::{Running, code, kad, stderr};

/// Kills in the loop. `KAD_KILLS` asks for more.
fn kills() -> usize {
    std::env::var("KAD_KILLS").map_or(10, |count| count.parse().unwrap())
}

fn refused(args: &[&str]) -> (i32, String) {
    let output = kad(args).output().unwrap();
    (code(&output), stderr(&output))
}

/// A node in a process of its own.
struct NodeProcess {
    process: Running,
    id: NodeId,
    addr: SocketAddr,
}

impl NodeProcess {
    fn start(more: &[&str]) -> Self {
        let mut process = Running::start(&[&["node", "--json", "--listen", "127.0.0.1:0"], more].concat());
        let started = process.started();
        let text = |field: &str| started[field].as_str().unwrap();
        Self { id: text("node_id").parse().unwrap(), addr: text("address").parse().unwrap(), process }
    }

    fn in_folder(folder: &Path) -> Self {
        Self::start(&["--data-dir", folder.to_str().unwrap()])
    }

    /// Ends it at once, as a power cut would, except that the system still writes what it has taken.
    fn kill(&mut self) {
        self.process.child.kill().unwrap();
        self.process.child.wait().unwrap();
    }

    /// Stops it, and returns what it reported.
    #[cfg(unix)]
    fn stop(&mut self) -> String {
        self.process.signal("-TERM");
        let (code, text) = self.process.end();
        assert_eq!(code, Some(0), "{text}");
        text
    }
}

/// A client that the node has answered: one that knows no peer finds nothing, as if nothing was there.
async fn client(of: &NodeProcess) -> Node {
    let client = Node::builder().client(true).start().await.unwrap();
    for _ in 0..30 {
        if client.bootstrap([of.addr]).await.unwrap().joined() {
            return client;
        }
    }
    panic!("the node does not answer");
}

/// Reads `key` from the node, however long that takes.
async fn ask(reader: &Node, key: &str) -> GetResult {
    for _ in 0..30 {
        match reader.get_with(key, GetOptions::default()).await.map(|read| read.result) {
            Ok(GetResult::NoneAnswered { .. } | GetResult::NotFound { answered: 0, .. }) => {}
            outcome => return outcome.unwrap(),
        }
    }
    panic!("the node does not answer");
}

/// Values that are set in each round of the loop, and what each has more than the one before it.
const SETS: usize = 64;
const STEP: &str = "longer ";

#[tokio::test]
async fn whatever_was_acknowledged_before_a_kill_is_there_after_it() {
    let round_bytes = SETS * SETS / 2 * STEP.len() + SETS * 256;
    assert!(
        kills() * round_bytes < Config::DEFAULT.store.max_store_bytes
            && kills() * SETS < Config::DEFAULT.store.max_values,
        "KAD_KILLS={}: a store that is full makes room, so that values go without being lost",
        kills()
    );
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged: BTreeMap<String, Value> = BTreeMap::new();
    for round in 0..kills() {
        let mut node = NodeProcess::in_folder(folder.path());
        let user = client(&node).await;
        let mut sets = JoinSet::new();
        for number in 0..SETS {
            let user = user.clone();
            sets.spawn(async move {
                let (key, value) = (format!("{round}/{number}"), format!("{round}/{number} {}", STEP.repeat(number)));
                let outcome = user.set(&key, value.as_str()).await;
                outcome.is_ok_and(|outcome| outcome.stored == 1).then_some((key, Value::from(value)))
            });
        }
        // Killed among them: at another point each time.
        for _ in 0..(round * 7) % 60 + 1 {
            acknowledged.extend(sets.join_next().await.unwrap().unwrap());
        }
        node.kill();
        drop((sets, user));

        let mut node = NodeProcess::in_folder(folder.path());
        let reader = client(&node).await;
        let latest = acknowledged.iter().filter(|(key, _)| key.starts_with(&format!("{round}/")));
        let read = if round + 1 == kills() { acknowledged.iter().collect() } else { latest.collect::<Vec<_>>() };
        for (key, value) in read {
            let outcome = ask(&reader, key).await;
            if matches!(&outcome, GetResult::Found { value: found, .. } if found == value) {
                continue;
            }
            node.kill();
            let records = DiskStore::open(folder.path()).unwrap().load().unwrap();
            let on_disk = records.iter().any(|record| *record.key == **key);
            panic!("{key} after kill {round}: {outcome:?}; whether it is on the disk: {on_disk}");
        }
        node.kill();
    }
    assert!(acknowledged.len() >= kills() * 5, "{} values were acknowledged", acknowledged.len());
}

#[tokio::test]
async fn a_killed_node_comes_back_with_its_id_and_finds_its_network_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let other = NodeProcess::start(&["--ephemeral"]);
    let bootstrap = other.addr.to_string();
    let mut node = NodeProcess::start(&["--bootstrap", &bootstrap, "--data-dir", folder.path().to_str().unwrap()]);
    let id = node.id;
    // A write is committed with what was noted before it.
    assert_eq!(client(&node).await.set("key", "value").await.unwrap().stored, 2);
    node.kill();

    let node = NodeProcess::in_folder(folder.path());
    assert_eq!(node.id, id);
    let reader = client(&node).await;
    let mut known = Vec::new();
    // Until the other one has answered: it is asked at the start.
    for _ in 0..1_000 {
        known = reader.find_node(other.id).await.unwrap();
        if known.iter().any(|peer| peer.id == other.id) {
            break;
        }
    }
    assert!(known.iter().any(|peer| peer.id == other.id), "{known:?}");
}

#[tokio::test]
async fn publications_go_on_in_the_next_process_and_so_does_the_id() {
    let folder = tempfile::tempdir().unwrap();
    let start = async || {
        let store = DiskStore::open(folder.path()).unwrap();
        Node::builder().store(store).start().await.unwrap()
    };
    let node = start().await;
    let id = node.id();
    let _ = node.set("mine", "first").await.unwrap();
    let _ = node.set("mine", "second").await.unwrap();
    let _ = node.set("released", "value").await.unwrap();
    assert!(node.release("released").await.unwrap());
    node.stop().await;

    // The store is free as soon as the node has stopped.
    let node = start().await;
    let store = node.snapshot().await.unwrap().store;
    assert_eq!((node.id(), store.published.values, store.held.values), (id, 1, 1));
    assert_eq!(node.get("mine").await.unwrap(), Some(Value::from("second")));
    assert!(!store.backend.failing && store.backend.damaged == 0);
    // Only a key that is published here can be pinned.
    assert!(node.pin("mine", 1).await.is_ok());
}

#[tokio::test]
async fn a_node_whose_file_was_damaged_starts_all_the_same_and_takes_values() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = NodeProcess::in_folder(folder.path());
    assert_eq!(client(&node).await.set("key", "value").await.unwrap().stored, 1);
    node.kill();
    let file = folder.path().join(STORE_FILE);
    let whole = std::fs::read(&file).unwrap();
    let changed = |change: fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        bytes
    };
    let damaged = [
        changed(|bytes| bytes.truncate(bytes.len() / 2)),
        changed(|bytes| bytes[16..32].fill(0xff)),
        changed(|bytes| bytes[4_096..].iter_mut().for_each(|byte| *byte ^= 0x55)),
    ];
    for (number, bytes) in damaged.into_iter().enumerate() {
        std::fs::write(&file, bytes).unwrap();
        for key in ["first", "second"] {
            let mut node = NodeProcess::in_folder(folder.path());
            let user = client(&node).await;
            assert_eq!(user.set(key, "value").await.unwrap().stored, 1, "damage {number}");
            let before = ask(&user, "first").await;
            assert!(matches!(before, GetResult::Found { .. }), "damage {number}, {key}: {before:?}");
            node.kill();
        }
    }
}

#[cfg(unix)]
#[test]
fn a_node_that_was_stopped_goes_on_where_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut node = NodeProcess::in_folder(folder.path());
    let id = node.id;
    runtime.block_on(async { client(&node).await.set("key", "value").await.unwrap() });
    node.stop();
    let node = NodeProcess::in_folder(folder.path());
    assert_eq!(node.id, id);
    assert_eq!(runtime.block_on(async { client(&node).await.get("key").await.unwrap() }), Some(Value::from("value")));
}

#[test]
fn a_store_that_cannot_be_used_is_exit_code_73_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let node = NodeProcess::in_folder(folder.path());
    let (code, text) = refused(&["node", "--listen", "127.0.0.1:0", "--data-dir", folder.path().to_str().unwrap()]);
    assert!(code == 73 && text.contains("another process") && text.contains("--data-dir"), "{code}: {text}");
    drop(node);

    let file = folder.path().join(STORE_FILE).to_str().unwrap().to_owned();
    let (code, text) = refused(&["node", "--listen", "127.0.0.1:0", "--data-dir", &file]);
    assert!(code == 73 && text.contains(&file) && text.contains("--ephemeral"), "{code}: {text}");

    // A later version's: redb has the format of its file in two places.
    let folder = tempfile::tempdir().unwrap();
    drop(DiskStore::open(folder.path()).unwrap());
    let file = folder.path().join(STORE_FILE);
    let mut bytes = std::fs::read(&file).unwrap();
    [64, 192].into_iter().for_each(|at| bytes[at] += 1);
    std::fs::write(&file, &bytes).unwrap();
    let (code, text) = refused(&["node", "--listen", "127.0.0.1:0", "--data-dir", folder.path().to_str().unwrap()]);
    assert!(code == 73 && text.contains("a later version") && text.contains("--data-dir"), "{code}: {text}");
    assert!(std::fs::read(&file).unwrap() == bytes, "it was changed");

    // No home, and no folder named.
    let (code, text) = refused(&["node", "--listen", "127.0.0.1:1"]);
    assert!(code == 73 && text.contains("/dev/null") && text.contains("--data-dir"), "{code}: {text}");
}

/// The node ends before it makes a folder.
#[test]
fn a_port_in_use_leaves_no_folder_behind() {
    let other = NodeProcess::start(&["--ephemeral"]);
    let home = tempfile::tempdir().unwrap();
    let listen = other.addr.to_string();
    let output = kad(&["node", "--listen", &listen]).env("XDG_DATA_HOME", home.path()).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(71) && text.contains("in use"), "{text}");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    let folder = home.path().join("folder");
    let (code, text) = refused(&["node", "--listen", &listen, "--data-dir", folder.to_str().unwrap()]);
    assert!(code == 71 && text.contains("in use") && !folder.exists(), "{code}: {text}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_node_whose_folder_is_removed_refuses_values_says_so_and_serves_what_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("folder");
    let mut node = NodeProcess::in_folder(&folder);
    let user = client(&node).await;
    assert_eq!(user.set("before", "value").await.unwrap().stored, 1);
    std::fs::remove_dir_all(&folder).unwrap();
    for key in ["first", "second"] {
        let outcome = user.set(key, "value").await.unwrap();
        assert_eq!((outcome.stored, outcome.refused), (0, 1), "{key}");
    }
    let reader = client(&node).await;
    assert!(matches!(ask(&reader, "before").await, GetResult::Found { .. }));
    let text = node.stop();
    assert!(text.contains("removed, moved or replaced"), "{text}");
    assert!(!folder.exists());
}

#[cfg(unix)]
#[test]
fn a_folder_that_others_can_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    for (mode, warned) in [(0o700, false), (0o755, true), (0o740, true)] {
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        let mut node = NodeProcess::in_folder(folder.path());
        let text = node.stop();
        assert_eq!(text.contains("chmod 700"), warned, "{mode:o}: {text}");
    }
}

#[cfg(unix)]
#[test]
fn a_node_with_a_copied_folder_warns_of_the_copy_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| dir.path().join(name));
    NodeProcess::in_folder(&first).stop();
    std::fs::create_dir(&second).unwrap();
    std::fs::copy(first.join(STORE_FILE), second.join(STORE_FILE)).unwrap();
    let original = NodeProcess::in_folder(&first);
    let mut copy =
        NodeProcess::start(&["--bootstrap", &original.addr.to_string(), "--data-dir", second.to_str().unwrap()]);
    assert_eq!(copy.id, original.id);
    let text = copy.stop();
    for word in ["has the id of this one", "copied", "--node-id", "--data-dir"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!text.contains("this node itself"), "{text}");
}
