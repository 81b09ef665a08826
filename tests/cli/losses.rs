//! Commands over a line that loses datagrams.

use super::process::{Node, Running, code, kad, stderr};
use super::relay::{Loses, Relay};

/// How many of these commands, each over a relay of its own, end well; and what the others said.
fn succeed(node: &Node, loses: Loses, runs: u64, args: &[&str]) -> (u64, Vec<String>) {
    let relays: Vec<Relay> = (0..runs).map(|run| Relay::start(&node.addr, loses, run)).collect();
    let mut failed = Vec::new();
    // A few at once: each spends its time waiting.
    for part in relays.chunks(5) {
        let running: Vec<_> =
            part.iter().map(|relay| kad(args).args(["--bootstrap", &relay.addr]).spawn().unwrap()).collect();
        for child in running {
            let output = child.wait_with_output().unwrap();
            if code(&output) != 0 {
                failed.push(stderr(&output));
            }
        }
    }
    (runs - failed.len() as u64, failed)
}

/// Runs of each command; more of them with `KAD_RUNS=40`.
fn runs() -> u64 {
    std::env::var("KAD_RUNS").map_or(10, |runs| runs.parse().unwrap())
}

#[test]
fn commands_over_a_line_that_loses_a_tenth_each_way_succeed() {
    let node = Node::start("json", &[]);
    node.ok(&["set", "read", "value"]);
    for args in [&["get", "read"][..], &["set", "written", "value"], &["ping"], &["find-node", "--key", "k"]] {
        let (good, failed) = succeed(&node, Loses::Part(0.1), runs(), args);
        assert_eq!(good, runs(), "{args:?}: {failed:?}");
    }
}

#[test]
fn commands_over_a_line_that_loses_three_tenths_each_way_mostly_succeed() {
    let node = Node::start("json", &[]);
    node.ok(&["set", "read", "value"]);
    for args in [&["get", "read"][..], &["set", "written", "value"]] {
        let (good, failed) = succeed(&node, Loses::Part(0.3), runs(), args);
        assert!(good * 20 >= runs() * 19, "{args:?}: {good} of {}: {failed:?}", runs());
    }
}

#[test]
fn a_command_whose_first_datagram_is_lost_succeeds() {
    let node = Node::start("json", &[]);
    node.ok(&["set", "read", "value"]);
    for args in [&["get", "read"][..], &["set", "written", "value"], &["health", "read"]] {
        let (good, failed) = succeed(&node, Loses::First, 5, args);
        assert_eq!(good, 5, "{args:?}: {failed:?}");
    }
}

#[test]
fn nodes_join_through_a_contact_over_a_line_that_loses_a_tenth_each_way() {
    let contact = Node::start("json", &[]);
    let args = ["node", "--json", "--ephemeral", "--listen", "127.0.0.1:0", "--bootstrap"];
    let relays: Vec<Relay> = (0..runs()).map(|run| Relay::start(&contact.addr, Loses::Part(0.1), run)).collect();
    let mut joined = 0;
    for part in relays.chunks(5) {
        let mut nodes: Vec<Running> =
            part.iter().map(|relay| Running::start(&[&args[..], &[&relay.addr]].concat())).collect();
        for node in &mut nodes {
            joined += u64::from(node.line().contains("\"joined\":true"));
        }
    }
    assert!(joined * 40 >= runs() * 39 - 20, "{joined} of {} joined with their first try", runs());
}
