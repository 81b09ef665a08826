//! Commands that need no node: `config`, `completions`, `man`.

use std::fs;
use std::process::Stdio;

use serde_json::Value as Json;

use super::process::{code, kad, stderr};

#[test]
fn a_file_of_settings_is_checked_and_each_mistake_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kad.toml");
    let check = |text: &str, more: &[&str]| {
        fs::write(&file, text).unwrap();
        kad(&["config", "check"]).arg(&file).args(more).output().unwrap()
    };
    let output = check("k = 8\nquery_timeout = '3s'\n", &[]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(code(&output) == 0 && said.ends_with("kad.toml: 2 settings, each is permitted\n"), "{said}");
    let output = check("k = 8\nmax_valeus = 1\nalpha = 0\n", &[]);
    let said = stderr(&output);
    assert_eq!((code(&output), output.stdout.len()), (64, 0));
    assert!(said.contains("line 2, in ") && said.contains("max_valeus (do you mean max_values?)"), "{said}");
    assert!(said.contains("line 3, in ") && said.contains("alpha is 0, but must be within 1..=64"), "{said}");
    let output = check("k = 8\nmax_valeus = 1\n", &["--json"]);
    let json: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((code(&output), &json["settings"], &json["mistakes"][0]["line"]), (64, &2.into(), &2.into()));
    assert_eq!(code(&kad(&["config", "check", "/nowhere/kad.toml"]).output().unwrap()), 66);
}

#[test]
fn the_settings_that_are_printed_start_a_node_with_the_same_ones() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kad.toml");
    let print = |args: &[&str]| {
        let output = kad(&[&["config", "print"], args].concat()).env("KAD_NODE_ALPHA", "5").output().unwrap();
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let first = print(&["--set", "k=7"]);
    assert!(first.contains("alpha = 5") && first.contains("# from KAD_NODE_ALPHA\n"), "{first}");
    fs::write(&file, &first).unwrap();
    let again = print(&["--config", file.to_str().unwrap(), "--json"]);
    let settings: Vec<Json> = again.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| settings.iter().find(|setting| setting["name"] == name).unwrap();
    assert_eq!((&of("k")["value"], &of("k")["source"]), (&7.into(), &file.to_str().unwrap().into()));
    assert_eq!((&of("alpha")["value"], &of("alpha")["source"]), (&5.into(), &"KAD_NODE_ALPHA".into()));
    let output = kad(&["config", "print", "--set", "max_valeus=1"]).output().unwrap();
    assert!(code(&output) == 64 && stderr(&output).contains("do you mean max_values?"), "{}", stderr(&output));
}

#[test]
fn completions_and_pages_of_the_manual_are_printed() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = kad(&["completions", shell]).output().unwrap();
        assert!(code(&output) == 0 && String::from_utf8_lossy(&output.stdout).contains("find-node"), "{shell}");
    }
    let output = kad(&["completions", "tcsh"]).output().unwrap();
    assert!(code(&output) == 2 && stderr(&output).contains("bash"), "{}", stderr(&output));
    let page = |args: &[&str]| String::from_utf8(kad(&[&["man"], args].concat()).output().unwrap().stdout).unwrap();
    assert!(page(&[]).contains("kad\\-node(1)"), "{}", page(&[]));
    assert!(page(&["node"]).contains("\\-\\-data\\-dir"), "{}", page(&["node"]));
    let output = kad(&["man", "nodes"]).output().unwrap();
    assert!(code(&output) == 2 && stderr(&output).contains("\"nodes\""), "{}", stderr(&output));
    let folder = tempfile::tempdir().unwrap();
    let written = kad(&["man", "--dir"]).arg(folder.path().join("man1")).output().unwrap();
    assert_eq!(code(&written), 0, "{}", stderr(&written));
    assert!(folder.path().join("man1/kad-config-check.1").exists());
}

#[cfg(unix)]
#[test]
fn a_reader_that_closes_the_pipe_early_is_no_failure() {
    let output = std::process::Command::new("sh")
        .args(["-c", "{ \"$0\" config print; echo $? >&2; } | true", env!("CARGO_BIN_EXE_kad")])
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(stderr(&output), "0\n");
}
