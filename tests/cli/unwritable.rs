//! Standard error that cannot be written, or is not read: it changes nothing of what a node or a command does.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::net::UdpSocket;

use serde_json::Value as Json;

use super::process::{Node, Running, code, kad, silent, stderr};

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

/// A node with this standard error, as [`Node::start`] has it otherwise.
fn node(errors: impl Into<std::process::Stdio>, more: &[&str]) -> (Running, String) {
    let mut command = kad(&[&["node", "--json", "--ephemeral", "--listen", "127.0.0.1:0"], more].concat());
    let mut running = Running::spawn(command.stderr(errors));
    let addr = running.started()["address"].as_str().unwrap().to_owned();
    (running, addr)
}

fn answers(addr: &str) -> bool {
    kad(&["ping", addr]).status().unwrap().success()
}

#[test]
fn a_node_whose_log_cannot_be_written_goes_on_after_a_line_of_it() {
    let (mut node, addr) = node(full(), &[]);
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for junk in ["junk", "", "{}", "{\"type\":\"x\"}"] {
        stranger.send_to(junk.as_bytes(), &addr).unwrap();
    }
    assert!(answers(&addr));
    node.signal("-TERM");
    assert_eq!(node.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_node_whose_log_is_not_read_any_more_answers_and_stops() {
    // More than a pipe takes: each message is a line.
    let (mut node, addr) = node(std::process::Stdio::piped(), &["-vv"]);
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for round in 0..20 {
        for _ in 0..100 {
            stranger.send_to(b"{\"type\":\"find_node\"}", &addr).unwrap();
        }
        assert!(round % 5 > 0 || answers(&addr));
    }
    assert!(answers(&addr));
    node.signal("-TERM");
    assert_eq!(node.child.wait().unwrap().code(), Some(0));
}

#[test]
fn commands_keep_their_work_and_their_exit_codes() {
    let node = Node::start("json", &[]);
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    fs::write(&input, b"\xff\xfe").unwrap();
    let status = |args: &[&str]| node.command(args).stderr(full()).status().unwrap().code().unwrap();
    assert_eq!(status(&["set", "k", "--file", input.to_str().unwrap()]), 0);
    assert_eq!(status(&["get", "k", "--output", output.to_str().unwrap()]), 0);
    assert_eq!(fs::read(&output).unwrap(), b"\xff\xfe");
    assert_eq!(status(&["get", "absent", "--trace"]), 1);
    let (_held, unanswered) = silent();
    let failed = kad(&["get", "k", "--bootstrap", &unanswered, "--timeout", "500ms"]).stderr(full()).output().unwrap();
    assert_eq!(code(&failed), 69);
    assert_eq!(kad(&["get"]).stderr(full()).status().unwrap().code(), Some(2));
}

#[test]
fn beside_a_log_of_json_each_line_of_standard_error_is_an_object() {
    let node = ["node", "--json", "--ephemeral", "--listen", "127.0.0.1:0", "--log-format", "json"];
    let output = kad(&node).stdout(full()).output().unwrap();
    let said = stderr(&output);
    let lines: Vec<Json> = said.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let last = lines.last().unwrap();
    assert_eq!((code(&output), &last["level"]), (74, &"ERROR".into()), "{said}");
    assert!(last["message"].as_str().unwrap().starts_with("cannot write to standard output"), "{said}");
    assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["target"].is_string()), "{said}");
}
