//! Behaviour common to all clients, and those that read no value: usage, timeouts, `ping`, `find-node`, `health`.

use serde_json::Value as Json;

use super::process::{Node, Running, WIRES, code, kad, silent, stderr, usage};

#[test]
fn silence_of_all_contacts_is_exit_code_69_and_names_them() {
    let (_held, addr) = silent();
    let commands: [&[&str]; 5] =
        [&["get", "k"], &["set", "k", "v"], &["find-node", "--key", "k"], &["ping"], &["health", "k"]];
    // Longer than one try, so that there is something to report.
    let running = commands.map(|args| kad(args).args(["--bootstrap", &addr, "--timeout", "5"]).spawn().unwrap());
    for (args, child) in commands.iter().zip(running) {
        let output = child.wait_with_output().unwrap();
        assert_eq!((code(&output), output.stdout.len()), (69, 0), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(&addr) && stderr(&output).contains("kad node"), "{}", stderr(&output));
    }
}

#[test]
fn a_command_ends_within_its_timeout() {
    let (_held, addr) = silent();
    let output = kad(&["get", "k", "--bootstrap", &addr, "--timeout", "0.1"]).output().unwrap();
    assert_eq!(code(&output), 69);
    assert!(stderr(&output).contains("100 ms") && stderr(&output).contains(&addr), "{}", stderr(&output));
}

#[test]
fn a_node_of_another_wire_does_not_answer() {
    let node = Node::start("json", &[]);
    let output = kad(&["ping", &node.addr, "--wire", "bencode", "--timeout", "5"]).output().unwrap();
    assert_eq!(code(&output), 69);
    assert!(stderr(&output).contains("bencode wire"), "{}", stderr(&output));
}

#[test]
fn one_contact_that_answers_is_enough() {
    let node = Node::start("json", &[]);
    let (_held, addr) = silent();
    let output = kad(&["set", "k", "v", "--bootstrap", &addr, "--bootstrap", &node.addr]).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(node.ok(&["get", "k"]), b"v");
}

#[test]
fn ping_tells_of_each_address_and_ends_with_69_where_one_is_silent() {
    let (node, second) = (Node::start("json", &[]), Node::start("json", &[]));
    let (_held, addr) = silent();
    let pinged = node.run(&["ping", &addr, &node.addr, &second.addr]);
    assert_eq!(code(&pinged), 69);
    assert!(stderr(&pinged).contains(&format!("no contact answered: {addr} (no answer within")), "{}", stderr(&pinged));
    let said = String::from_utf8(pinged.stdout).unwrap();
    assert!(said.contains(&node.id) && said.contains(&second.id), "{said}");
    assert_eq!(code(&node.run(&["ping", &node.addr, &second.addr])), 0);
}

#[test]
fn an_ipv4_mapped_contact_is_the_ipv4_address_that_it_spells() {
    let node = Node::start("json", &[]);
    let mapped = format!("[::ffff:127.0.0.1]:{}", node.addr.rsplit_once(':').unwrap().1);
    let said = String::from_utf8(node.ok(&["ping", &mapped])).unwrap();
    assert!(said.contains(&node.id), "{said}");
}

#[test]
fn wrong_usage_is_exit_code_2_and_names_what_is_wrong() {
    for (args, named) in [
        (&["set", "k"][..], &["VALUE", "--file"][..]),
        (&["set", "k", "v", "--file", "f"], &["VALUE", "--file"]),
        (&["get"], &["<KEY>"]),
        (&["get", "k", "--json", "--output", "f"], &["--json", "--output"]),
        (&["get", "k", "--timeout", "0"], &["'0'", "0.1 to 3600"]),
        (&["get", "k", "--wire", "xml"], &["xml", "json, bencode, msgpack"]),
        (&["get", "k", "--bootstrap", "here"], &["'here'", "host:port"]),
        (&["ping", "0.0.0.0:8000"], &["0.0.0.0 is not the address of one host"]),
        (&["ping", "127.0.0.1:0"], &["127.0.0.1:0", "1 to 65535"]),
        (&["node", "--listen", "127.0.0.1:65536"], &["127.0.0.1:65536", "0 to 65535"]),
        (&["node", "--node-id", "12"], &["\"12\"", "40 hex digits"]),
        (&["find-node"], &["ID", "--key"]),
        (&["find-node", "12"], &["\"12\"", "40 hex digits"]),
        (&["nonsense"], &["nonsense"]),
        (&[], &["Usage"]),
    ] {
        let said = usage(args);
        assert!(named.iter().all(|word| said.contains(word)), "{args:?}: {said}");
    }
}

#[test]
fn ping_and_find_node_say_who_is_there_on_every_wire() {
    let id = "0f7da3f82f86e5ea63d3ac270f091af4bcfa819a";
    for wire in WIRES {
        let node = Node::start(wire, &["--node-id", id]);
        assert_eq!(node.id, id);
        let said = String::from_utf8(node.ok(&["ping"])).unwrap();
        assert!(said.starts_with(&format!("{id} answered from {} in ", node.addr)), "{said}");
        let pong = node.json(&["ping", "--json", &node.addr]);
        assert_eq!((&pong["node_id"], &pong["address"]), (&id.into(), &node.addr.as_str().into()));
        assert!(pong["rtt_ms"].as_f64().unwrap() > 0.0);

        let second = Node::start(wire, &["--bootstrap", &node.addr]);
        assert_eq!(second.started["joined"], true);
        let found = node.json(&["find-node", id, "--json"]);
        assert_eq!(found["target"], id);
        let ids: Vec<&str> =
            found["nodes"].as_array().unwrap().iter().map(|n| n["node_id"].as_str().unwrap()).collect();
        assert_eq!(ids, [id, &second.id], "nearest first, on wire {wire}");
        assert_eq!(found["nodes"][0]["distance_bits"], 0);
        let table = String::from_utf8(node.ok(&["find-node", "--key", "greeting"])).unwrap();
        assert!(table.contains(id) && table.contains(&second.addr) && table.contains(" bits"), "{table}");
    }
}

#[test]
fn health_says_who_holds_a_key_and_for_how_long_on_every_wire() {
    for wire in WIRES {
        let first = Node::start(wire, &[]);
        let second = Node::start(wire, &["--bootstrap", &first.addr]);
        first.ok(&["set", "k", "v"]);
        let said = String::from_utf8(second.ok(&["health", "k"])).unwrap();
        for word in [&first.id[..], &second.id, "held       24 h", "Held by 2 of the 2 nearest nodes; "] {
            assert!(said.contains(word), "{wire}: {word}: {said}");
        }
        let json = first.json(&["health", "k", "--json"]);
        assert_eq!((&json["confirmed"], &json["key"]), (&2.into(), &"k".into()), "{wire}");
        assert!(json["earliest_expiry_seconds"].as_u64().unwrap() > 86_000, "{json}");
        for node in json["nodes"].as_array().unwrap() {
            assert!(node["state"] == "held" && node["expires_in_seconds"].as_u64().unwrap() > 86_000, "{node}");
        }
    }
}

#[test]
fn health_of_a_key_that_no_node_holds_is_exit_code_1_and_still_reported() {
    let node = Node::start("json", &[]);
    let output = node.run(&["health", "absent"]);
    assert_eq!(code(&output), 1);
    assert!(String::from_utf8(output.stdout.clone()).unwrap().contains("missing"));
    assert!(stderr(&output).contains("not held by the nearest node"), "{}", stderr(&output));
    let output = node.run(&["health", "absent", "--json"]);
    let json: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((code(&output), &json["confirmed"], &json["nodes"][0]["state"]), (1, &0.into(), &"missing".into()));
}

#[test]
fn a_client_leaves_no_trace_in_the_network() {
    let node = Node::start("json", &[]);
    node.ok(&["set", "k", "v"]);
    node.ok(&["get", "k"]);
    node.ok(&["ping"]);
    let mut publisher = Running::start(&["set", "key", "v", "--republish", "--bootstrap", &node.addr]);
    assert!(publisher.line().contains("on 1 node"));
    let found = node.json(&["find-node", "--key", "k", "--json"]);
    let ids: Vec<&str> = found["nodes"].as_array().unwrap().iter().map(|n| n["node_id"].as_str().unwrap()).collect();
    assert_eq!(ids, [node.id.as_str()]);
}

#[test]
fn help_has_examples_and_exit_codes() {
    let help = |args: &[&str]| {
        let output = kad(args).output().unwrap();
        assert_eq!((code(&output), output.stderr.len()), (0, 0), "{args:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for command in [
        "node",
        "set",
        "get",
        "health",
        "ping",
        "find-node",
        "config",
        "completions",
        "man",
        "check",
        "crawl",
        "testnet",
        "status",
        "peers",
        "values",
        "events",
        "watch",
        "pin",
        "unpin",
        "release",
    ] {
        let text = help(&[command, "--help"]);
        assert!(text.contains("Examples:") && text.contains(&format!("\n  kad {command} ")), "{text}");
    }
    let text = help(&["--help"]);
    assert!(text.contains("Examples:") && text.contains("Exit codes:"), "{text}");
    assert_eq!(help(&["--version"]).trim(), format!("kad {}", env!("KAD_VERSION")));
}
