//! `kad set` and `kad get`: what goes in comes out.

use std::fs;

use serde_json::Value as Json;

use super::process::{Node, WIRES, code, stderr, usage};

#[test]
fn text_and_bytes_come_back_exactly_on_every_wire() {
    for wire in WIRES {
        let node = Node::start(wire, &[]);
        let said = String::from_utf8(node.ok(&["set", "greeting", "hello"])).unwrap();
        assert!(said.contains("on 1 node") && said.contains("24 h") && said.contains("--republish"), "{wire}: {said}");
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
    node.ok(&["set", "--", "-k", "--republish"]);
    assert_eq!(node.ok(&["get", "--", "-k"]), b"--republish");
}

#[test]
fn a_trace_goes_to_standard_error_and_the_value_alone_to_standard_output() {
    let node = Node::start("json", &[]);
    let second = Node::start("json", &["--bootstrap", &node.addr]);
    node.ok(&["set", "k", "v"]);
    let got = node.run(&["get", "k", "--trace"]);
    assert_eq!((code(&got), &got.stdout[..]), (0, &b"v"[..]));
    let trace = stderr(&got);
    for word in
        ["Lookup of \"k\"", "Found after", "ASKED AT", "WHAT CAME BACK", "the value", "Which node named which", "└─ #"]
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
    let reported: Json = serde_json::from_slice(&missed.stdout).unwrap();
    assert_eq!((code(&missed), &reported["kind"], &reported["trace"]["ending"]), (1, &Json::Null, &"complete".into()));
    let asked: Vec<&str> = reported["trace"]["asked"]
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
fn a_key_that_no_node_holds_is_exit_code_1_and_says_how_many_answered() {
    for wire in WIRES {
        let node = Node::start(wire, &[]);
        let output = node.run(&["get", "absent"]);
        assert_eq!((code(&output), output.stdout.len()), (1, 0), "{wire}");
        assert!(stderr(&output).contains("1 node answered"), "{}", stderr(&output));
    }
}

#[test]
fn too_long_a_key_and_too_large_a_value_are_refused_with_their_limit_before_any_peer_is_asked() {
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
fn a_value_set_through_one_node_is_read_through_another() {
    let first = Node::start("json", &[]);
    let second = Node::start("json", &["--bootstrap", &first.addr]);
    assert_eq!(first.json(&["set", "k", "v", "--json"])["stored"], 2);
    assert_eq!(second.ok(&["get", "k"]), b"v");
}
