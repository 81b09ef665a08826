//! `kad node` as a service manager has it: signals, exit codes, and what it says by `sd_notify(3)`. Processes only.

use std::fs::File;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use kademlia_dynamic::Node;

use crate::running::{Running, kad};

/// Longer than anything here takes, for a test that must not hang.
const PATIENCE: Duration = Duration::from_secs(60);

fn node(more: &[&str]) -> Command {
    kad(&[&["node", "--json", "--listen", "127.0.0.1:0"], more].concat())
}

/// Starts a node, and waits until it has joined its network.
fn start(command: Command) -> (Running, SocketAddr) {
    let mut process = Running::spawn(command);
    let addr = process.started()["address"].as_str().unwrap().parse().unwrap();
    (process, addr)
}

/// A service manager.
struct Manager(UnixDatagram);

impl Manager {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// The next message.
    fn hears(&self) -> String {
        let mut buffer = [0; 1_024];
        // A read with a timeout is not begun again after a signal, such as the one of a child that ends.
        let len = loop {
            match self.0.recv(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                len => break len.expect("a message comes in time"),
            }
        };
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    }

    /// The next message that begins so.
    fn waits_for(&self, beginning: &str) -> String {
        std::iter::repeat_with(|| self.hears()).find(|said| said.starts_with(beginning)).unwrap()
    }
}

#[test]
fn a_service_manager_hears_that_the_node_is_ready_how_it_fares_that_it_lives_and_that_it_stops() {
    let folder = tempfile::tempdir().unwrap();
    let manager = Manager::at(&folder.path().join("notify"));
    let data = folder.path().join("data");
    let mut command = node(&["--data-dir", data.to_str().unwrap()]);
    command.env("NOTIFY_SOCKET", folder.path().join("notify")).env("WATCHDOG_USEC", "100000");
    let (mut node, addr) = start(command);
    assert_eq!(manager.hears(), "STATUS=starting");
    assert_eq!(manager.hears(), "EXTEND_TIMEOUT_USEC=20000000");
    assert_eq!(manager.hears(), format!("STATUS=opening the store in {}", data.display()));
    assert_eq!(manager.hears(), "READY=1");
    let status = manager.waits_for("STATUS=");
    assert_eq!(status, "STATUS=0 nodes known; values: 0 published, 0 held; restarts: 0");
    for _ in 0..3 {
        assert_eq!(manager.waits_for("WATCHDOG="), "WATCHDOG=1");
    }
    node.signal("-TERM");
    assert_eq!(manager.waits_for("STOPPING="), "STOPPING=1\nSTATUS=stopped by signal 15");
    assert_eq!(node.end(), (Some(0), String::new()));
    drop(UdpSocket::bind(addr).unwrap());
}

#[test]
fn a_node_that_takes_nothing_from_its_own_address_feeds_the_watchdog_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let manager = Manager::at(&folder.path().join("notify"));
    let mut command = node(&["--ephemeral", "--set", "deny=127.0.0.0/8"]);
    command.env("NOTIFY_SOCKET", folder.path().join("notify")).env("WATCHDOG_USEC", "2000000");
    let (mut node, _) = start(command);
    assert_eq!(manager.waits_for("READY="), "READY=1");
    // Each second, of which the status takes one in ten.
    let fed = (0..6).filter(|_| manager.hears() == "WATCHDOG=1").count();
    assert!(fed >= 3, "it was fed {fed} times");
    node.signal("-TERM");
    assert_eq!(node.end().0, Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn a_service_manager_without_a_path_is_heard_and_without_a_time_no_watchdog_is_fed() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;
    let name = format!("kad-test-{}", std::process::id());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let manager = Manager(socket);
    let mut command = node(&["--ephemeral"]);
    command.env("NOTIFY_SOCKET", format!("@{name}"));
    let (mut node, _) = start(command);
    assert_eq!(manager.waits_for("READY="), "READY=1");
    assert!(manager.hears().starts_with("STATUS="));
    node.signal("-INT");
    assert_eq!(manager.hears(), "STOPPING=1\nSTATUS=stopped by signal 2");
    assert_eq!(node.end().0, Some(0));
}

#[test]
fn a_signal_ends_a_start_that_hangs() {
    for (signal, number) in [("-TERM", 15), ("-INT", 2)] {
        let folder = tempfile::tempdir().unwrap();
        // It has no writer, so that to open it takes for ever.
        let config = folder.path().join("kad.toml");
        assert!(Command::new("mkfifo").arg(&config).status().unwrap().success());
        let manager = Manager::at(&folder.path().join("notify"));
        let mut command = node(&["--ephemeral", "--config", config.to_str().unwrap()]);
        command.env("NOTIFY_SOCKET", folder.path().join("notify"));
        let mut node = Running::spawn(command);
        assert_eq!(manager.hears(), "STATUS=starting");
        node.signal(signal);
        assert_eq!(manager.waits_for("STOPPING="), format!("STOPPING=1\nSTATUS=stopped by signal {number}"));
        assert_eq!(node.end(), (Some(0), String::new()), "{signal}");
    }
}

#[test]
fn a_signal_ends_a_start_that_waits_for_its_token() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    assert!(Command::new("mkfifo").arg(&token).status().unwrap().success());
    let manager = Manager::at(&folder.path().join("notify"));
    let mut command = node(&["--ephemeral", "--http", "127.0.0.1:0", "--http-token-file", token.to_str().unwrap()]);
    command.env("NOTIFY_SOCKET", folder.path().join("notify"));
    let mut node = Running::spawn(command);
    // It opens once the node reads it, and nothing is written to it.
    let _writer = File::options().write(true).open(&token).unwrap();
    node.signal("-TERM");
    assert_eq!(manager.waits_for("STOPPING="), "STOPPING=1\nSTATUS=stopped by signal 15");
    assert_eq!(node.end(), (Some(0), String::new()));
}

#[test]
fn an_environment_that_makes_no_sense_is_exit_code_64_and_named() {
    for (name, value) in [("NOTIFY_SOCKET", "notify"), ("WATCHDOG_USEC", "soon")] {
        let mut command = node(&["--ephemeral"]);
        command.env("NOTIFY_SOCKET", "/nowhere/notify").env(name, value);
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(64) && text.contains(&format!("{name}={value}")), "{text}");
    }
}

#[test]
fn a_service_manager_that_has_gone_is_no_reason_to_fail() {
    let mut command = node(&["--ephemeral"]);
    command.env("NOTIFY_SOCKET", "/nowhere/notify").env("WATCHDOG_USEC", "100000");
    let (mut node, _) = start(command);
    node.signal("-TERM");
    assert_eq!(node.end(), (Some(0), String::new()));
}

/// A node that holds values, and knows another that has fallen silent, to which it tries to hand them.
async fn node_that_cannot_transfer(command: Command) -> Running {
    let (process, addr) = start(command);
    let other = Node::builder().bootstrap([addr]).start().await.unwrap();
    for number in 0..20 {
        assert_eq!(other.set(number.to_string(), "v").await.unwrap().stored, 1);
    }
    // It stops without a message to its peers.
    drop(other);
    process
}

#[tokio::test]
async fn a_node_that_cannot_transfer_what_it_holds_ends_with_0_all_the_same() {
    for signal in ["-TERM", "-INT"] {
        let mut node = node_that_cannot_transfer(node(&["--ephemeral"])).await;
        node.signal(signal);
        assert_eq!(node.end(), (Some(0), String::new()), "{signal}");
    }
}

/// A node that stands still, between its first request to stop and its end. `None`: it has ended before.
async fn halted_while_it_stops() -> Option<Running> {
    let folder = tempfile::tempdir().unwrap();
    let manager = Manager::at(&folder.path().join("notify"));
    let mut command = node(&["--ephemeral"]);
    command.env("NOTIFY_SOCKET", folder.path().join("notify"));
    let mut node = node_that_cannot_transfer(command).await;
    node.signal("-INT");
    assert_eq!(manager.waits_for("STOPPING="), "STOPPING=1\nSTATUS=stopped by signal 2");
    node.signal("-STOP");
    // For as long as two signals would be one request, and for longer than an end takes that has begun.
    std::thread::sleep(Duration::from_millis(300));
    node.is_running().then_some(node)
}

#[tokio::test]
async fn a_second_signal_ends_a_node_at_once_with_the_code_of_that_signal() {
    // It stops within a tenth of a second or two: on a busy machine that may be too soon.
    for _ in 0..20 {
        let Some(mut node) = halted_while_it_stops().await else { continue };
        for signal in ["-TERM", "-CONT"] {
            node.signal(signal);
        }
        let (code, text) = node.end();
        assert!(code == Some(143) && text.contains("before the node had stopped"), "{code:?}: {text}");
        return;
    }
    panic!("it ended each time before it could be halted");
}

#[tokio::test]
async fn signals_that_come_together_are_one_request_to_stop() {
    let mut node = node_that_cannot_transfer(node(&["--ephemeral"])).await;
    // It stands still while both are sent.
    for signal in ["-STOP", "-INT", "-TERM", "-CONT"] {
        node.signal(signal);
    }
    assert_eq!(node.end(), (Some(0), String::new()));
}

/// Whether this process ignores SIGHUP, and so whatever it starts.
#[cfg(target_os = "linux")]
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() & 1 == 1
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_hang_up_stops_a_node_unless_it_was_ignored_at_the_start() {
    if !ignores_hang_up() {
        let (mut node, _) = start(node(&["--ephemeral"]));
        node.signal("-HUP");
        assert_eq!(node.end(), (Some(0), String::new()));
    }
    let kad = node(&["--ephemeral"]);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(kad.get_program()).args(kad.get_args());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (mut node, addr) = start(command);
    node.signal("-HUP");
    let client = Node::builder().client(true).start().await.unwrap();
    assert!(client.bootstrap([addr]).await.unwrap().joined());
    node.signal("-TERM");
    assert_eq!(node.end(), (Some(0), String::new()));
}
