//! `kad-lab requests`, at a node of this process.

use std::process::{Command, Output, Stdio};

use kademlia_dynamic::{Codec, Node};

fn requests(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kad-lab"));
    command.arg("requests").args(args).env_remove("RUST_LOG").stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn requests_at_a_running_node_are_answered_on_every_wire_and_make_a_table() {
    for codec in Codec::ALL {
        let node = Node::builder().codec(codec).start().await.unwrap();
        let addr = node.local_addr().to_string();
        let output = requests(&["--at", &addr, "--wire", codec.name(), "--requests", "200", "--rounds", "1"]);
        assert!(output.status.success(), "{codec}: {}", text(&output.stderr));
        let table = text(&output.stdout);
        let rows: Vec<&str> = table.lines().filter(|line| line.trim_start().starts_with(&addr)).collect();
        assert_eq!(rows.len(), 5, "{table}");
        for row in &rows {
            // Without a process of its own there is no CPU, and nothing was lost.
            let [_, rate, cpu, share, p99, times, lost] = *row.split_whitespace().collect::<Vec<_>>() else {
                panic!("{table}")
            };
            assert_eq!([cpu, share, times, lost], ["–", "–", "–", "0"], "{table}");
            assert!(rate.parse::<u64>().unwrap() > 0 && p99.parse::<u64>().unwrap() > 0, "{table}");
        }
        for row in ["ping", "find_node", "find_value, hit", "find_value, miss", "set"] {
            assert!(table.lines().any(|line| line.starts_with(row)), "{row}: {table}");
        }
        // 200 and a warm-up of 20 are written, 40 at half the rate, and what the hits find.
        let snapshot = node.snapshot().await.unwrap();
        assert_eq!((snapshot.store.held.values, snapshot.table.peers >= 20), (360, true));
        node.stop().await;
    }
}

#[test]
fn what_is_measured_must_be_given_and_be_near() {
    for (args, says) in
        [(&[][..], "--kad"), (&["--at", "192.0.2.1:8000"], "loopback"), (&["--at", "127.0.0.1:0"], "loopback")]
    {
        let output = requests(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(text(&output.stderr).contains(says), "{}", text(&output.stderr));
    }
}

#[test]
fn a_binary_that_is_no_node_is_a_failure_that_names_it() {
    let own = env!("CARGO_BIN_EXE_kad-lab");
    let output = requests(&["--kad", own]);
    assert_eq!(output.status.code(), Some(71), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains(&format!("cannot start {own}: its first line names no address")));
}
