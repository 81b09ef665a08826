//! The unit of systemd, and the settings beside it: the node starts as they say, and ends as they expect. Whether the unit is
//! valid, systemd itself says in `.ci/extra unit`.

use std::path::Path;

use crate::running::{Running, kad};

const UNIT: &str = include_str!("../../contrib/kad.service");

/// The value of this name in the unit.
fn value(name: &str) -> &'static str {
    let line = UNIT.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("the unit has no {name}"))
}

#[test]
fn a_node_starts_with_the_command_of_the_unit_and_the_settings_of_the_package() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/kad.toml");
    let command = value("ExecStart").replace("/etc/kad/kad.toml", settings.to_str().unwrap());
    let command = command.replace("/var/lib/kad", store.to_str().unwrap());
    let mut args = command.split(' ');
    assert_eq!(args.next(), Some("/usr/bin/kad"));
    let args: Vec<&str> = args.chain(["--listen", "127.0.0.1:0", "--json"]).collect();
    let mut node = Running::spawn(kad(&args));
    assert_eq!(node.started()["wire"], "json");
    assert!(store.join("store.redb").exists());
    node.signal("-TERM");
    assert_eq!(node.end(), (Some(0), String::new()));
}

#[test]
fn what_wrong_options_and_settings_end_with_is_what_the_unit_does_not_restart() {
    let codes: Vec<i32> = value("RestartPreventExitStatus").split(' ').map(|code| code.parse().unwrap()).collect();
    let cases: [&[&str]; 3] = [&["--no-such-option"], &["--set", "k=0"], &["--config", "/no/such/file"]];
    let ended: Vec<i32> =
        cases.iter().map(|case| kad(&[&["node"], *case].concat()).output().unwrap().status.code().unwrap()).collect();
    assert_eq!(ended, codes);
}
