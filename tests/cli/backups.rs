//! `kad backup` and `kad restore`, beside a node that runs.

use std::fs::{self, File};
use std::path::Path;

use serde_json::Value as Json;

use super::process::{Node, Running, code, kad, stderr, within};

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_running_node_is_saved_and_the_restored_one_goes_on_with_its_id_and_values() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (data, file, again) = (path("data"), path("kad.backup"), path("again"));
    let mut node = Node::start("json", &["--data-dir", &data]);
    node.ok(&["set", "k", "v"]);
    let output = kad(&["backup", &data, &file]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        code(&output) == 0
            && said.starts_with(&format!("Saved {data} to {file}: 1 value (0 published) of node {}", node.id)),
        "{said}{}",
        stderr(&output)
    );
    node.ok(&["set", "later", "v"]);
    let output = kad(&["restore", &file, &data]).output().unwrap();
    assert!(code(&output) == 73 && stderr(&output).contains("already"), "{}", stderr(&output));
    node.process.child.kill().unwrap();
    node.process.child.wait().unwrap();
    let output = kad(&["restore", &file, &again, "--json"]).output().unwrap();
    let json: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["values"], &json["node_id"]), (&1.into(), &node.id.as_str().into()));
    let restored = Node::start("json", &["--data-dir", &again]);
    assert_eq!(restored.id, node.id);
    assert_eq!(restored.ok(&["get", "k"]), b"v");
    assert_eq!(code(&restored.run(&["get", "later"])), 1);
}

#[test]
fn what_cannot_be_saved_or_restored_is_said_with_what_helps() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (data, file) = (path("data"), path("file"));
    let output = kad(&["backup", &data, &file]).output().unwrap();
    assert!(code(&output) == 66 && stderr(&output).contains("there is no store at"), "{}", stderr(&output));
    assert_eq!(code(&kad(&["restore", &file, &data]).output().unwrap()), 66);
    fs::write(&file, "no store").unwrap();
    let output = kad(&["restore", &file, &data]).output().unwrap();
    assert!(code(&output) == 73 && stderr(&output).contains("cannot be used"), "{}", stderr(&output));
    drop(Node::start("json", &["--data-dir", &data]));
    let output = kad(&["backup", &data, dir.path().to_str().unwrap()]).output().unwrap();
    assert!(code(&output) == 2 && stderr(&output).contains("name another file"), "{}", stderr(&output));
    assert_eq!(code(&kad(&["backup", &data, &format!("{data}/store.redb")]).output().unwrap()), 2);
    let output = kad(&["backup", &data, "/nowhere/file"]).output().unwrap();
    assert!(code(&output) == 73 && stderr(&output).contains("/nowhere/file"), "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn a_backup_removes_what_one_that_was_killed_has_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (data, target, file) = (path("data"), path("target"), path("target/kad.backup"));
    fs::create_dir(&target).unwrap();
    drop(Node::start("json", &["--data-dir", &data]));
    // While it is locked a backup waits, with its copy begun.
    let locked = File::open(&data).unwrap();
    locked.lock().unwrap();
    let mut killed = Running::start(&["backup", &data, &file]);
    while names(target.as_ref()).is_empty() {
        assert!(killed.child.try_wait().unwrap().is_none(), "it has ended");
    }
    drop(killed);
    assert_eq!(names(target.as_ref()).len(), 1);
    drop(locked);
    let output = kad(&["backup", &data, &file]).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(names(target.as_ref()), ["kad.backup"]);
}

#[cfg(unix)]
#[test]
fn a_folder_that_another_process_has_locked_delays_a_backup_for_some_seconds_and_a_restore_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (data, target, file) = (path("data"), path("target"), path("target/kad.backup"));
    fs::create_dir(&target).unwrap();
    drop(Node::start("json", &["--data-dir", &data]));
    let output = kad(&["backup", &data, &file]).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let locked = [&data, &target].map(|folder| File::open(folder).unwrap());
    locked.iter().for_each(|folder| folder.lock().unwrap());
    let output = within(15, &mut kad(&["backup", &data, &path("other")]));
    assert!(code(&output) == 73 && stderr(&output).contains("has locked the folder"), "{}", stderr(&output));
    let output = within(15, &mut kad(&["restore", &file, &path("again")]));
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}
