//! Files, pipes and standard streams of every kind that a command may be given.
#![cfg(unix)]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::process::{Node, Running, code, kad, stderr};

/// The binary behind `redirections` of a shell, as `<&-`.
fn redirected(node: &Node, args: &[&str], redirections: &str) -> Output {
    let mut command = node.command(args);
    let words: Vec<_> = [command.get_program()].into_iter().chain(command.get_args()).map(OsStr::to_owned).collect();
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("exec \"$@\" {redirections}")).arg("sh").args(words);
    for (name, value) in command.stdin(Stdio::null()).get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.stdin(Stdio::null()).output().unwrap()
}

fn fifo(folder: &Path) -> PathBuf {
    let path = folder.join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

#[test]
fn a_folder_whose_name_is_not_utf_8_is_reported_as_json_too() {
    use base64::Engine;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join(OsStr::from_bytes(b"caf\xe9"));
    let mut command = kad(&["node", "--json", "--listen", "127.0.0.1:0", "--data-dir"]);
    let mut node = Running::spawn(command.arg(&folder));
    let started = node.started();
    assert_eq!(started["data_dir"], folder.to_string_lossy().as_ref());
    let exactly = base64::engine::general_purpose::STANDARD.decode(started["data_dir_base64"].as_str().unwrap());
    assert_eq!(exactly.unwrap(), folder.as_os_str().as_bytes());
    assert!(folder.join("store.redb").exists());
}

#[test]
fn output_to_dev_stdout_goes_between_what_others_write_there() {
    let node = Node::start("json", &[]);
    node.ok(&["set", "k", "VALUE"]);
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let mut open = File::options().append(true).create(true).open(&log).unwrap();
    open.write_all(b"before ").unwrap();
    let status = node.command(&["get", "k", "-o", "/dev/stdout"]).stdout(open.try_clone().unwrap()).status().unwrap();
    assert!(status.success());
    open.write_all(b" after").unwrap();
    assert_eq!(fs::read(&log).unwrap(), b"before VALUE after");
    assert_eq!(node.ok(&["get", "k", "-o", "/dev/stdout"]), b"VALUE", "a pipe");
}

#[test]
fn output_to_a_pipe_with_a_name_goes_through_it_and_the_pipe_stays() {
    let node = Node::start("json", &[]);
    node.ok(&["set", "k", "VALUE"]);
    let dir = tempfile::tempdir().unwrap();
    let path = fifo(dir.path());
    let source = path.clone();
    let reader = std::thread::spawn(move || fs::read(source).unwrap());
    let got = node.run(&["get", "k", "-o", path.to_str().unwrap()]);
    assert_eq!(code(&got), 0, "{}", stderr(&got));
    assert_eq!(reader.join().unwrap(), b"VALUE");
    assert!(!fs::metadata(&path).unwrap().is_file());
}

#[test]
fn a_pipe_without_another_end_is_waited_for_no_longer_than_the_timeout() {
    let node = Node::start("json", &[]);
    node.ok(&["set", "k", "v"]);
    let dir = tempfile::tempdir().unwrap();
    let path = fifo(dir.path());
    let path = path.to_str().unwrap();
    let read = node.run(&["set", "other", "--file", path, "--timeout", "0.5"]);
    assert_eq!(code(&read), 66, "{}", stderr(&read));
    assert!(stderr(&read).contains(path) && stderr(&read).contains("--timeout"), "{}", stderr(&read));
    let written = node.run(&["get", "k", "-o", path, "--timeout", "5"]);
    assert_eq!(code(&written), 73, "{}", stderr(&written));
    assert!(stderr(&written).contains(path) && stderr(&written).contains("--timeout"), "{}", stderr(&written));
    // An input that never ends is one too.
    let mut command = node.command(&["set", "k", "--file", "-", "--timeout", "0.5"]);
    let (ours, theirs) = UnixStream::pair().unwrap();
    let output = command.stdin(OwnedFd::from(theirs)).output().unwrap();
    drop(ours);
    assert!(code(&output) == 66 && stderr(&output).contains("standard input"), "{}", stderr(&output));
    assert_eq!(node.ok(&["get", "k"]), b"v");
}

#[test]
fn an_input_that_cannot_be_read_is_no_empty_value() {
    let node = Node::start("json", &[]);
    node.ok(&["set", "k", "old"]);
    let dir = tempfile::tempdir().unwrap();
    let write_only = format!("0>{}", dir.path().join("file").display());
    for redirection in ["<&-", &write_only] {
        let output = redirected(&node, &["set", "k", "--file", "-"], redirection);
        assert_eq!(code(&output), 66, "{redirection}: {}", stderr(&output));
        assert!(stderr(&output).contains("cannot read standard input"), "{}", stderr(&output));
    }
    assert_eq!(node.ok(&["get", "k"]), b"old");
    let output = redirected(&node, &["set", "k", "--file", "-"], "</dev/null");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(node.ok(&["get", "k"]), b"");
}

#[test]
fn an_output_that_cannot_be_written_is_a_failure_and_one_that_is_full_is_waited_for() {
    let node = Node::start("json", &[]);
    let value = "v".repeat(30_000);
    node.ok(&["set", "k", &value]);
    for redirection in ["1</dev/null", "1>/dev/full"] {
        let output = redirected(&node, &["get", "k"], redirection);
        assert_eq!(code(&output), 74, "{redirection}: {}", stderr(&output));
    }
    let full = || {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut filled = 0;
        loop {
            match ours.write(&[b'.'; 4_096]) {
                Ok(len) => filled += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return (ours, theirs, filled),
                Err(error) => panic!("{error}"),
            }
        }
    };
    let (ours, mut theirs, filled) = full();
    let child = node.command(&["get", "k"]).stdout(OwnedFd::from(ours)).spawn().unwrap();
    let mut got = Vec::new();
    theirs.read_to_end(&mut got).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(got[filled..] == *value.as_bytes());
    let (ours, _theirs, _) = full();
    let output = node.command(&["get", "k", "--timeout", "5"]).stdout(OwnedFd::from(ours)).output().unwrap();
    assert!(code(&output) == 74 && stderr(&output).contains("--timeout"), "{}", stderr(&output));
}

#[test]
fn a_file_has_the_owner_alone_as_its_reader_or_the_mode_that_it_had_and_any_name() {
    let node = Node::start("json", &[]);
    node.ok(&["set", "k", "v"]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("n".repeat(255));
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    node.ok(&["get", "k", "-o", path.to_str().unwrap()]);
    assert_eq!((fs::read(&path).unwrap(), mode()), (b"v".to_vec(), 0o600));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    node.ok(&["get", "k", "-o", path.to_str().unwrap()]);
    assert_eq!((fs::read_dir(dir.path()).unwrap().count(), mode()), (1, 0o640));
}
