//! `kad-lab stress`: what it refuses. A run of it takes the `kad` binary, which is not built with these tests.

use std::process::{Command, Output, Stdio};

fn stress(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kad-lab"));
    command.arg("stress").args(args).env_remove("RUST_LOG").stdin(Stdio::null()).output().unwrap()
}

#[test]
fn the_binary_must_be_given_and_what_is_at_it_is_bounded() {
    for (args, says) in [(&[][..], "--kad"), (&["--kad", "kad", "--watched", "10001"], "1..=10000")] {
        let output = stress(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(says), "{output:?}");
    }
}

#[test]
fn a_binary_that_is_no_node_is_a_failure_that_names_it() {
    let own = env!("CARGO_BIN_EXE_kad-lab");
    let output = stress(&["--kad", own]);
    assert_eq!(output.status.code(), Some(71), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("cannot start {own}")), "{output:?}");
}
