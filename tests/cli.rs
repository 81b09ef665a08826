//! The `kad` binary as a person or a script meets it: processes, what they print, and their exit codes.
#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value as Json;

const WIRES: [&str; 3] = ["json", "bencode", "msgpack"];

fn kad(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kad"));
    // A test that forgot to say where a node keeps what it holds touches no home.
    command.env("HOME", "/dev/null").env_remove("XDG_DATA_HOME");
    command.args(args).env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A process that goes when the test goes.
struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let mut child = kad(args).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The next line that it prints; empty once it prints no more.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }

    #[cfg(unix)]
    fn signal(&self, name: &str) {
        let kill = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(kill.success());
    }

    /// Its exit code and what it wrote to standard error.
    fn end(&mut self) -> (Option<i32>, String) {
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        (self.child.wait().unwrap().code(), errors)
    }
}

struct Node {
    process: Running,
    id: String,
    addr: String,
    wire: &'static str,
    started: Json,
}

impl Node {
    fn start(wire: &'static str, more: &[&str]) -> Self {
        let kept: &[&str] = if more.contains(&"--data-dir") { &[] } else { &["--ephemeral"] };
        let args = [&["node", "--json", "--listen", "127.0.0.1:0", "--wire", wire], kept, more].concat();
        let mut process = Running::start(&args);
        let started: Json = serde_json::from_str(&process.line()).unwrap();
        let text = |field: &str| started[field].as_str().unwrap().to_owned();
        Self { id: text("node_id"), addr: text("address"), wire, process, started }
    }

    /// A client's command against this node.
    fn command(&self, args: &[&str]) -> Command {
        // What follows `--` are values, so the options go right behind the command's name.
        let (name, rest) = args.split_first().unwrap();
        kad(&[&[*name, "--bootstrap", &self.addr, "--wire", self.wire], rest].concat())
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn ok(&self, args: &[&str]) -> Vec<u8> {
        let output = self.run(args);
        assert_eq!(code(&output), 0, "{args:?}: {}", stderr(&output));
        output.stdout
    }

    fn json(&self, args: &[&str]) -> Json {
        serde_json::from_slice(&self.ok(args)).unwrap()
    }

    fn set_from_stdin(&self, args: &[&str], input: &[u8]) -> Output {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        // It may refuse to read all of it.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// An address at which nobody answers, for as long as the socket is held.
fn silent() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap().to_string();
    (socket, addr)
}

fn usage(args: &[&str]) -> String {
    let output = kad(args).output().unwrap();
    assert_eq!((code(&output), output.stdout.len()), (2, 0), "{args:?}: {}", stderr(&output));
    stderr(&output)
}

#[test]
fn text_and_bytes_come_back_exactly_on_every_wire() {
    for wire in WIRES {
        let node = Node::start(wire, &[]);
        let said = String::from_utf8(node.ok(&["set", "greeting", "hello"])).unwrap();
        assert!(said.contains("on 1 node") && said.contains("24 h") && said.contains("--keep"), "{wire}: {said}");
        assert_eq!(node.ok(&["get", "greeting"]), b"hello", "{wire}");
        node.ok(&["set", "ключ ✓", "wörld\n"]);
        assert_eq!(node.ok(&["get", "ключ ✓"]), "wörld\n".as_bytes(), "{wire}");
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(code(&node.set_from_stdin(&["set", "raw", "--file", "-"], &bytes)), 0);
        assert_eq!(node.ok(&["get", "raw"]), bytes, "{wire}");
    }
}

#[test]
fn json_keeps_text_and_bytes_apart_on_every_wire() {
    for wire in WIRES {
        let node = Node::start(wire, &[]);
        let stored = node.json(&["set", "t", "hé", "--json"]);
        assert_eq!((&stored["stored"], &stored["kind"], &stored["bytes"]), (&1.into(), &"text".into(), &3.into()));
        assert!(stored["expires_in_seconds"].as_u64().unwrap() > 86_000, "{stored}");
        let text = node.json(&["get", "t", "--json"]);
        assert_eq!((&text["kind"], &text["value"]), (&"text".into(), &"hé".into()), "{wire}");
        assert_eq!(text.get("value_base64"), None);
        assert_eq!(text["holder"]["node_id"], node.id);
        node.ok(&["set", "b", "hi", "--bytes"]);
        let bytes = node.json(&["get", "b", "--json"]);
        assert_eq!((&bytes["kind"], &bytes["value_base64"]), (&"bytes".into(), &"aGk=".into()), "{wire}");
        assert_eq!(bytes.get("value"), None);
    }
}

#[test]
fn an_empty_value_is_a_value_on_every_wire() {
    for wire in WIRES {
        let node = Node::start(wire, &[]);
        node.ok(&["set", "t", ""]);
        assert_eq!(node.ok(&["get", "t"]), b"", "{wire}");
        assert_eq!(node.json(&["get", "t", "--json"])["value"], "", "{wire}");
        node.ok(&["set", "b", "--bytes", ""]);
        assert_eq!(node.json(&["get", "b", "--json"])["value_base64"], "", "{wire}");
    }
}

#[test]
fn values_and_keys_may_begin_with_a_hyphen() {
    let node = Node::start("json", &[]);
    node.ok(&["set", "temperature", "-5"]);
    assert_eq!(node.ok(&["get", "temperature"]), b"-5");
    node.ok(&["set", "--", "-k", "--keep"]);
    assert_eq!(node.ok(&["get", "--", "-k"]), b"--keep");
}

#[test]
fn a_trace_goes_to_standard_error_and_the_value_alone_to_standard_output() {
    let node = Node::start("json", &[]);
    let second = Node::start("json", &["--bootstrap", &node.addr]);
    node.ok(&["set", "k", "v"]);
    let got = node.run(&["get", "k", "--trace"]);
    assert_eq!((code(&got), &got.stdout[..]), (0, &b"v"[..]));
    let trace = stderr(&got);
    for word in ["Lookup of \"k\"", "Found after", "ASKED AT", "WHAT CAME BACK", "the value", "Who named whom", "└─ #"]
    {
        assert!(trace.contains(word), "{word}: {trace}");
    }
    assert!(trace.lines().all(|line| line.chars().count() <= 100), "{trace}");
    let got = node.json(&["get", "k", "--trace", "--json"]);
    assert_eq!((&got["value"], &got["trace"]["ending"]), (&"v".into(), &"found".into()));
    assert_eq!(got["trace"]["asked"][0]["hop"], 1);
    assert_eq!(node.json(&["get", "k", "--json"]).get("trace"), None);

    let missed = node.run(&["get", "absent", "--trace"]);
    assert_eq!((code(&missed), missed.stdout.len()), (1, 0));
    assert!(stderr(&missed).contains("2 nodes asked, 2 answered"), "{}", stderr(&missed));
    let missed = node.run(&["get", "absent", "--trace", "--json"]);
    let told: Json = serde_json::from_slice(&missed.stdout).unwrap();
    assert_eq!((code(&missed), &told["kind"], &told["trace"]["ending"]), (1, &Json::Null, &"complete".into()));
    let asked: Vec<&str> = told["trace"]["asked"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["peer"]["node_id"].as_str().unwrap())
        .collect();
    assert!(asked.contains(&second.id.as_str()) && asked.contains(&node.id.as_str()), "{asked:?}");
}

#[test]
fn a_file_goes_in_and_comes_out_unchanged() {
    let node = Node::start("json", &[]);
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("text"), "line\nline\n").unwrap();
    fs::write(path("photo"), b"\xff\xd8\0").unwrap();

    node.ok(&["set", "text", "--file", &path("text")]);
    assert_eq!(node.json(&["get", "text", "--json"])["value"], "line\nline\n");
    let stored = node.run(&["set", "photo", "--file", &path("photo")]);
    assert!(code(&stored) == 0 && stderr(&stored).contains("stored as bytes"), "{}", stderr(&stored));
    node.ok(&["set", "forced", "--file", &path("text"), "--bytes"]);
    assert_eq!(node.json(&["get", "forced", "--json"])["kind"], "bytes");

    let got = node.run(&["get", "photo", "--output", &path("copy")]);
    assert_eq!((code(&got), got.stdout.len()), (0, 0), "{}", stderr(&got));
    assert_eq!(fs::read(path("copy")).unwrap(), b"\xff\xd8\0");
    assert_eq!(code(&node.run(&["get", "absent", "--output", &path("copy")])), 1);
    assert_eq!(fs::read(path("copy")).unwrap(), b"\xff\xd8\0", "a failure leaves the file as it was");
    assert_eq!(node.ok(&["get", "photo", "-o", "-"]), b"\xff\xd8\0");

    let unreadable = node.run(&["set", "k", "--file", &path("absent")]);
    assert!(code(&unreadable) == 66 && stderr(&unreadable).contains(&path("absent")), "{}", stderr(&unreadable));
    let unwritable = node.run(&["get", "text", "--output", &path("absent/copy")]);
    assert!(code(&unwritable) == 73 && stderr(&unwritable).contains("absent/copy"), "{}", stderr(&unwritable));
}

#[test]
fn a_key_that_nobody_holds_is_exit_code_1_and_says_how_many_answered() {
    for wire in WIRES {
        let node = Node::start(wire, &[]);
        let output = node.run(&["get", "absent"]);
        assert_eq!((code(&output), output.stdout.len()), (1, 0), "{wire}");
        assert!(stderr(&output).contains("1 node answered"), "{}", stderr(&output));
    }
}

#[test]
fn nobody_answering_is_exit_code_69_and_names_who_was_asked() {
    let (_held, addr) = silent();
    let commands: [&[&str]; 5] =
        [&["get", "k"], &["set", "k", "v"], &["find-node", "--key", "k"], &["ping"], &["health", "k"]];
    let running = commands.map(|args| kad(args).args(["--bootstrap", &addr]).spawn().unwrap());
    for (args, child) in commands.iter().zip(running) {
        let output = child.wait_with_output().unwrap();
        assert_eq!((code(&output), output.stdout.len()), (69, 0), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(&addr) && stderr(&output).contains("kad node"), "{}", stderr(&output));
    }
}

#[test]
fn a_command_ends_within_its_timeout() {
    let (_held, addr) = silent();
    let output = kad(&["get", "k", "--bootstrap", &addr, "--timeout", "0.1"]).output().unwrap();
    assert_eq!(code(&output), 69);
    assert!(stderr(&output).contains("100 ms") && stderr(&output).contains(&addr), "{}", stderr(&output));
}

#[test]
fn a_node_of_another_wire_does_not_answer() {
    let node = Node::start("json", &[]);
    let output = kad(&["ping", &node.addr, "--wire", "bencode"]).output().unwrap();
    assert_eq!(code(&output), 69);
    assert!(stderr(&output).contains("bencode wire"), "{}", stderr(&output));
}

#[test]
fn one_contact_that_answers_is_enough() {
    let node = Node::start("json", &[]);
    let (_held, addr) = silent();
    let output = kad(&["set", "k", "v", "--bootstrap", &addr, "--bootstrap", &node.addr]).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(node.ok(&["get", "k"]), b"v");
    let pinged = node.run(&["ping", &addr, &node.addr]);
    assert!(code(&pinged) == 0 && stderr(&pinged).contains(&addr), "{}", stderr(&pinged));
    assert!(String::from_utf8(pinged.stdout).unwrap().contains(&node.id));
}

#[test]
fn wrong_usage_is_exit_code_2_and_names_what_is_wrong() {
    for (args, named) in [
        (&["set", "k"][..], &["VALUE", "--file"][..]),
        (&["set", "k", "v", "--file", "f"], &["VALUE", "--file"]),
        (&["get"], &["<KEY>"]),
        (&["get", "k", "--json", "--output", "f"], &["--json", "--output"]),
        (&["get", "k", "--timeout", "0"], &["'0'", "0.1 to 3600"]),
        (&["get", "k", "--wire", "xml"], &["xml", "json, bencode, msgpack"]),
        (&["get", "k", "--bootstrap", "here"], &["'here'", "host:port"]),
        (&["ping", "0.0.0.0:8000"], &["0.0.0.0 is not the address of one host"]),
        (&["ping", "127.0.0.1:0"], &["127.0.0.1:0", "1 to 65535"]),
        (&["node", "--listen", "127.0.0.1:65536"], &["127.0.0.1:65536", "0 to 65535"]),
        (&["node", "--node-id", "12"], &["\"12\"", "40 hex digits"]),
        (&["find-node"], &["ID", "--key"]),
        (&["find-node", "12"], &["\"12\"", "40 hex digits"]),
        (&["nonsense"], &["nonsense"]),
        (&[], &["Usage"]),
    ] {
        let said = usage(args);
        assert!(named.iter().all(|word| said.contains(word)), "{args:?}: {said}");
    }
}

#[test]
fn too_long_a_key_and_too_large_a_value_are_told_with_their_limit_before_anybody_is_asked() {
    let said = usage(&["set", &"k".repeat(1_025), "v"]);
    assert!(said.contains("1025") && said.contains("1024"), "{said}");
    assert!(usage(&["get", &"k".repeat(1_025)]).contains("1024"));
    let said = usage(&["set", "k", &"v".repeat(60_001)]);
    assert!(said.contains("60001") && said.contains("60000"), "{said}");
    let node = Node::start("json", &[]);
    let output = node.set_from_stdin(&["set", "k", "--file", "-"], &vec![b'x'; 200_000]);
    assert!(code(&output) == 2 && stderr(&output).contains("60000"), "{}", stderr(&output));
}

#[test]
fn ping_and_find_node_say_who_is_there_on_every_wire() {
    let id = "0f7da3f82f86e5ea63d3ac270f091af4bcfa819a";
    for wire in WIRES {
        let node = Node::start(wire, &["--node-id", id]);
        assert_eq!(node.id, id);
        let said = String::from_utf8(node.ok(&["ping"])).unwrap();
        assert!(said.starts_with(&format!("{id} answered from {} in ", node.addr)), "{said}");
        let pong = node.json(&["ping", "--json", &node.addr]);
        assert_eq!((&pong["node_id"], &pong["address"]), (&id.into(), &node.addr.as_str().into()));
        assert!(pong["rtt_ms"].as_f64().unwrap() > 0.0);

        let second = Node::start(wire, &["--bootstrap", &node.addr]);
        assert_eq!(second.started["joined"], true);
        let found = node.json(&["find-node", id, "--json"]);
        assert_eq!(found["target"], id);
        let ids: Vec<&str> =
            found["nodes"].as_array().unwrap().iter().map(|n| n["node_id"].as_str().unwrap()).collect();
        assert_eq!(ids, [id, &second.id], "nearest first, on wire {wire}");
        assert_eq!(found["nodes"][0]["distance_bits"], 0);
        let table = String::from_utf8(node.ok(&["find-node", "--key", "greeting"])).unwrap();
        assert!(table.contains(id) && table.contains(&second.addr) && table.contains(" bits"), "{table}");
    }
}

#[test]
fn a_value_set_through_one_node_is_read_through_another() {
    let first = Node::start("json", &[]);
    let second = Node::start("json", &["--bootstrap", &first.addr]);
    assert_eq!(first.json(&["set", "k", "v", "--json"])["stored"], 2);
    assert_eq!(second.ok(&["get", "k"]), b"v");
}

#[test]
fn health_says_who_holds_a_key_and_for_how_long_on_every_wire() {
    for wire in WIRES {
        let first = Node::start(wire, &[]);
        let second = Node::start(wire, &["--bootstrap", &first.addr]);
        first.ok(&["set", "k", "v"]);
        let said = String::from_utf8(second.ok(&["health", "k"])).unwrap();
        for word in [&first.id[..], &second.id, "held       24 h", "Held by 2 of the 2 nearest nodes; "] {
            assert!(said.contains(word), "{wire}: {word}: {said}");
        }
        let json = first.json(&["health", "k", "--json"]);
        assert_eq!((&json["confirmed"], &json["key"]), (&2.into(), &"k".into()), "{wire}");
        assert!(json["earliest_expiry_seconds"].as_u64().unwrap() > 86_000, "{json}");
        for node in json["nodes"].as_array().unwrap() {
            assert!(node["state"] == "held" && node["expires_in_seconds"].as_u64().unwrap() > 86_000, "{node}");
        }
    }
}

#[test]
fn health_of_a_key_that_nobody_holds_is_exit_code_1_and_still_told() {
    let node = Node::start("json", &[]);
    let output = node.run(&["health", "absent"]);
    assert_eq!(code(&output), 1);
    assert!(String::from_utf8(output.stdout.clone()).unwrap().contains("missing"));
    assert!(stderr(&output).contains("not held by the nearest node"), "{}", stderr(&output));
    let output = node.run(&["health", "absent", "--json"]);
    let json: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((code(&output), &json["confirmed"], &json["nodes"][0]["state"]), (1, &0.into(), &"missing".into()));
}

#[test]
fn a_client_leaves_no_trace_in_the_network() {
    let node = Node::start("json", &[]);
    node.ok(&["set", "k", "v"]);
    node.ok(&["get", "k"]);
    node.ok(&["ping"]);
    let mut keeper = Running::start(&["set", "kept", "v", "--keep", "--bootstrap", &node.addr]);
    assert!(keeper.line().contains("on 1 node"));
    let found = node.json(&["find-node", "--key", "k", "--json"]);
    let ids: Vec<&str> = found["nodes"].as_array().unwrap().iter().map(|n| n["node_id"].as_str().unwrap()).collect();
    assert_eq!(ids, [node.id.as_str()]);
}

#[test]
fn a_port_in_use_is_exit_code_71() {
    let node = Node::start("json", &[]);
    let output = kad(&["node", "--ephemeral", "--listen", &node.addr]).output().unwrap();
    assert_eq!((code(&output), output.stdout.len()), (71, 0));
    assert!(stderr(&output).contains(&node.addr) && stderr(&output).contains("in use"), "{}", stderr(&output));
    // TEST-NET-1 is no address of this machine.
    let output = kad(&["node", "--ephemeral", "--listen", "192.0.2.1:0"]).output().unwrap();
    assert!(code(&output) == 71 && stderr(&output).contains("192.0.2.1"), "{}", stderr(&output));
}

#[test]
fn a_node_that_nobody_answers_goes_on_and_says_so() {
    let (_held, addr) = silent();
    let mut node = Node::start("json", &["--bootstrap", &addr]);
    assert_eq!(node.started["joined"], false);
    assert_eq!(node.started["bootstrap"]["silent"][0], addr);
    assert_eq!(node.json(&["ping", "--json"])["node_id"], node.id);
    node.process.child.kill().unwrap();
    let (_, errors) = node.process.end();
    assert!(errors.contains(&addr) && errors.contains("goes on"), "{errors}");
}

#[test]
fn the_banner_names_the_node_and_commands_that_work_when_copied() {
    let mut node = Running::start(&["node", "--ephemeral", "--listen", "127.0.0.1:0", "--wire", "bencode"]);
    let banner: Vec<String> =
        std::iter::from_fn(|| Some(node.line())).take_while(|line| !line.contains("Ctrl-C")).collect();
    assert!(banner[0].starts_with("Node ") && banner[0].trim().len() >= 40, "{banner:?}");
    assert!(banner[1].contains("127.0.0.1:") && banner[1].contains("bencode"), "{banner:?}");
    let copied = |word: &str| {
        let line = banner.iter().find(|line| line.contains(word)).unwrap();
        let args: Vec<&str> = line.split_whitespace().skip(1).map(|word| word.trim_matches('"')).collect();
        kad(&args).output().unwrap()
    };
    assert_eq!(code(&copied(" set ")), 0);
    assert_eq!(copied(" get ").stdout, b"hello");
}

#[cfg(unix)]
#[test]
fn signals_stop_a_node_cleanly_and_free_its_port() {
    for signal in ["-TERM", "-INT"] {
        let mut node = Node::start("json", &[]);
        let addr: SocketAddr = node.addr.parse().unwrap();
        node.process.signal(signal);
        assert_eq!(node.process.end(), (Some(0), String::new()), "{signal}");
        drop(UdpSocket::bind(addr).unwrap());
    }
}

#[cfg(unix)]
#[test]
fn a_kept_value_is_kept_until_a_signal_comes() {
    let node = Node::start("json", &[]);
    let mut keeper = Running::start(&["set", "k", "v", "--keep", "--json", "--bootstrap", &node.addr]);
    let stored: Json = serde_json::from_str(&keeper.line()).unwrap();
    assert_eq!(stored["stored"], 1);
    keeper.signal("-TERM");
    assert_eq!(keeper.end(), (Some(0), String::new()));
    assert_eq!(node.ok(&["get", "k"]), b"v");
}

#[test]
fn help_has_examples_and_exit_codes() {
    let help = |args: &[&str]| {
        let output = kad(args).output().unwrap();
        assert_eq!((code(&output), output.stderr.len()), (0, 0), "{args:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for command in ["node", "set", "get", "health", "ping", "find-node"] {
        let text = help(&[command, "--help"]);
        assert!(text.contains("Examples:") && text.contains(&format!("\n  kad {command} ")), "{text}");
    }
    let text = help(&["--help"]);
    assert!(text.contains("Examples:") && text.contains("Exit codes:"), "{text}");
    assert_eq!(help(&["--version"]).trim(), format!("kad {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn logs_go_to_standard_error_and_quiet_silences_them() {
    let node = Node::start("json", &[]);
    let large = "x".repeat(2_000);
    let warned = node.run(&["set", "k", &large]);
    assert!(stderr(&warned).contains("WARN"), "{}", stderr(&warned));
    let quiet = node.run(&["set", "k", &large, "-q"]);
    assert_eq!((code(&quiet), stderr(&quiet)), (0, String::new()));
    let verbose = node.run(&["get", "k", "-v"]);
    assert!(verbose.stdout == large.as_bytes() && stderr(&verbose).contains("INFO"), "{}", stderr(&verbose));
}

// ---- sim ----

const SMALL_SIM: [&str; 9] = ["sim", "--nodes", "20", "--hours", "1", "--values", "5", "--seed", "1"];

#[test]
fn a_simulation_prints_the_same_bytes_twice() {
    let run = || {
        let output = kad(&[&SMALL_SIM[..], &["--json"]].concat()).output().unwrap();
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        // No progress where nobody looks.
        assert_eq!(stderr(&output), "");
        output.stdout
    };
    let (first, second) = (run(), run());
    assert_eq!(first, second);
    let report: Json = serde_json::from_slice(&first).unwrap();
    assert_eq!(first.iter().filter(|byte| **byte == b'\n').count(), 1);
    assert_eq!((&report["complete"], &report["minutes"]), (&Json::from(true), &Json::from(60)));
    assert_eq!((&report["reads"]["asked"], &report["reads"]["found"]), (&Json::from(600), &Json::from(600)));
    assert_eq!(report["experiment"]["nodes"], 20);
}

#[test]
fn a_simulation_prints_a_table_and_draws_charts() {
    let dir = tempfile::tempdir().unwrap();
    let charts = dir.path().join("some/charts");
    let output = kad(&[&SMALL_SIM[..], &["--plot", charts.to_str().unwrap()]].concat()).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("600 of 600 found their value: 100 %") && table.contains("hops p50"), "{table}");
    for name in ["availability.svg", "copies.svg", "latency.svg", "hops.svg"] {
        let svg = fs::read_to_string(charts.join(name)).unwrap();
        assert!(svg.starts_with("<svg"), "{name}: {svg}");
    }
    assert_eq!(fs::read_dir(charts).unwrap().count(), 4);
}

#[test]
fn a_simulation_with_impossible_options_says_what_is_possible() {
    let output = kad(&["sim", "--loss", "2"]).output().unwrap();
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("from 0 to 0.9"), "{}", stderr(&output));
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = kad(&["sim", "--plot", file.path().to_str().unwrap()]).output().unwrap();
    assert_eq!(code(&output), 73);
    assert!(stderr(&output).contains("cannot create the directory"), "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn a_simulation_that_is_interrupted_reports_what_ran_so_far() {
    let mut sim = Running::start(&["sim", "--nodes", "20", "--hours", "8784", "--reads", "1", "--json", "-v"]);
    // It says so once its minutes pass.
    let mut errors = BufReader::new(sim.child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("the network has formed") {
        line.clear();
        assert_ne!(errors.read_line(&mut line).unwrap(), 0, "it ended by itself");
    }
    // Nobody reads on, so nothing may fill the pipe.
    let rest = std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
    sim.signal("-INT");
    let report: Json = serde_json::from_str(&sim.line()).unwrap();
    assert_eq!(report["complete"], false);
    assert_eq!(sim.child.wait().unwrap().code(), Some(130));
    rest.join().unwrap().unwrap();
}
