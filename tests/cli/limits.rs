//! The binary where the system gives it little: descriptors, address space, sizes of files.
#![cfg(target_os = "linux")]

use std::fs;
use std::process::{Command, Output, Stdio};

use super::process::{Node, Running, code, kad, stderr};

/// The binary under `limit`, an option and a value of the shell's `ulimit`.
fn limited(limit: &str, args: &[&str]) -> Command {
    let kad = kad(args);
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("ulimit {limit} && exec \"$@\"")).arg("sh").arg(kad.get_program()).args(kad.get_args());
    for (name, value) in kad.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

/// Runs a node with a folder, `get` and `set` under `limit`: each works, or ends with 71 and the name of the limit. Returns
/// how many worked.
fn all_work_or_name(limit: &str, named: &str, node: &Node) -> usize {
    let judge = |output: Output| {
        let (code, text) = (code(&output), stderr(&output));
        assert!(code == 0 || code == 71 && text.contains(named), "{limit}: {code}: {text}");
        assert!(!text.contains("panicked") && !text.contains("memory allocation"), "{limit}: {text}");
        usize::from(code == 0)
    };
    let clients = [&["get", "k"][..], &["set", "other", "v"]];
    let worked: usize = clients
        .into_iter()
        .map(|args| judge(limited(limit, &[args, &["--bootstrap", &node.addr]].concat()).output().unwrap()))
        .sum();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("folder");
    let args = ["node", "--json", "--listen", "127.0.0.1:0", "--data-dir", folder.to_str().unwrap()];
    let mut started = Running::spawn(limited(limit, &args));
    if started.line().is_empty() {
        let (code, text) = started.end();
        assert!(code == Some(71) && text.contains(named) && !text.contains("panicked"), "{limit}: {code:?}: {text}");
        return worked;
    }
    started.signal("-TERM");
    let (code, text) = started.end();
    assert_eq!((code, text.contains("panicked")), (Some(0), false), "{limit}: {text}");
    worked + 1
}

#[test]
fn with_few_descriptors_each_command_works_or_names_the_limit() {
    let node = Node::start("json", &[]);
    node.ok(&["set", "k", "v"]);
    for descriptors in 4..=34 {
        let worked = all_work_or_name(&format!("-n {descriptors}"), "ulimit -n", &node);
        assert!(descriptors < 32 || worked == 3, "{worked} work with {descriptors}");
    }
}

#[test]
fn with_little_address_space_each_command_works_or_names_the_limit() {
    let node = Node::start("json", &[]);
    node.ok(&["set", "k", "v"]);
    // With less the system itself cannot load the binary, which has 26 MB unoptimized.
    for kib in (32_000..=128_000).step_by(8_000) {
        let worked = all_work_or_name(&format!("-v {kib}"), "ulimit -v", &node);
        assert!(kib < 128_000 || worked == 3, "{worked} work with {kib} KiB");
    }
}

#[test]
fn a_limit_on_the_size_of_files_is_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("folder");
    // Blocks of 512 or 1,024 bytes, as the shell has it.
    let args = ["node", "--json", "--listen", "127.0.0.1:0", "--data-dir", folder.to_str().unwrap()];
    let mut node = Running::spawn(limited("-f 4000", &args));
    let started = node.started();
    let addr = started["address"].as_str().unwrap();
    let set = |key: &str, value: &str| kad(&["set", key, value, "--bootstrap", addr]).output().unwrap();
    assert_eq!(code(&set("first", "value")), 0);
    let large = "v".repeat(59_000);
    let refused = (0..200).map(|n| set(&n.to_string(), &large)).find(|output| code(output) != 0).unwrap();
    assert_eq!(code(&refused), 1, "{}", stderr(&refused));
    let got = kad(&["get", "first", "--bootstrap", addr]).output().unwrap();
    assert_eq!((code(&got), &got.stdout[..]), (0, &b"value"[..]), "{}", stderr(&got));
    node.signal("-TERM");
    let (code, text) = node.end();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("cannot be written"), "{text}");
}

#[test]
fn a_file_that_may_not_grow_so_far_stays_as_it_was() {
    let node = Node::start("json", &[]);
    node.ok(&["set", "k", &"v".repeat(30_000)]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "old").unwrap();
    let args = ["get", "k", "-o", file.to_str().unwrap(), "--bootstrap", &node.addr];
    let output = limited("-f 1", &args).output().unwrap();
    assert_eq!(code(&output), 73, "{}", stderr(&output));
    assert_eq!(fs::read(&file).unwrap(), b"old");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}
