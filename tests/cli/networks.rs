//! Commands that look at a whole network: `check`, `crawl`, `testnet`.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
#[cfg(target_os = "linux")]
use std::process::Command;

use kademlia_dynamic::protocol::message::PROTOCOL_VERSION;
#[cfg(target_os = "linux")]
use nix::fcntl::{FcntlArg, fcntl};
use serde_json::Value as Json;

use super::process::{Node, Running, WIRES, code, ended, kad, silent, stderr};

#[test]
fn check_compares_what_vantage_points_see_and_ends_with_1_where_they_differ() {
    let (first, other) = (Node::start("json", &[]), Node::start("json", &[]));
    let second = Node::start("json", &["--bootstrap", &first.addr]);
    first.ok(&["set", "k", "v"]);
    let check = |via: &[&str], more: &[&str]| kad(&[&["check", "k", "--via"], via, more].concat()).output().unwrap();
    let output = check(&[&first.addr, &second.addr], &[]);
    let table = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(code(&output), 0, "{table}{}", stderr(&output));
    for word in [&first.addr, &second.addr, "text, 1 byte", "7a38d8cbd20d9932ba948efaa364bb62651d5ad4", "2 of 2"] {
        assert!(table.contains(word), "{word}: {table}");
    }
    let output = check(&[&first.addr, &other.addr], &["--json"]);
    let json: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((code(&output), &json["agree"]), (1, &false.into()), "{json}");
    let results = [0, 1].map(|n| json["vantage_points"][n]["result"].as_str().unwrap().to_owned());
    assert_eq!(results, ["found", "not_found"]);
    assert!(stderr(&output).contains("differ"), "{}", stderr(&output));
    let (_held, silent_addr) = silent();
    let output = check(&[&first.addr, &silent_addr], &["--timeout", "1"]);
    assert_eq!(code(&output), 69, "{}", stderr(&output));
    assert!(stderr(&output).contains(&silent_addr), "{}", stderr(&output));
}

/// A network of so many nodes, and what it printed.
fn testnet(nodes: &str, wire: &str) -> (Running, Json) {
    let any = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let mut network = Running::start(&[&["testnet", "--nodes", nodes, "--wire", wire, "--json"], &any[..]].concat());
    let started = network.started();
    (network, started)
}

#[cfg(unix)]
#[test]
fn a_test_network_serves_at_each_of_its_nodes_and_ctrl_c_ends_it() {
    let (mut network, started) = testnet("5", "bencode");
    let addresses: Vec<&str> =
        started["nodes"].as_array().unwrap().iter().map(|n| n["address"].as_str().unwrap()).collect();
    assert_eq!((addresses.len(), &started["wire"]), (5, &"bencode".into()));
    let set = kad(&["set", "k", "v", "--wire", "bencode", "--bootstrap", addresses[0]]).output().unwrap();
    assert_eq!(code(&set), 0, "{}", stderr(&set));
    for address in &addresses {
        let got = kad(&["get", "k", "--wire", "bencode", "--bootstrap", address]).output().unwrap();
        assert_eq!(got.stdout, b"v", "{}", stderr(&got));
    }
    let second = kad(&["testnet", "--no-http", "--listen", addresses[0]]).output().unwrap();
    assert!(code(&second) == 71 && stderr(&second).contains("in use"), "{}", stderr(&second));
    network.signal("-INT");
    assert_eq!(network.end(), (Some(0), String::new()));
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_ends_a_test_network_whose_output_is_not_read() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    // Less than the line of so many nodes.
    fcntl(&writer, FcntlArg::F_SETPIPE_SZ(4_096)).unwrap();
    let mut command = kad(&["testnet", "--nodes", "60", "--listen", "127.0.0.1:0", "--no-http", "--json"]);
    let child = command.stdout(writer).spawn().unwrap();
    reader.read_exact(&mut [0]).unwrap();
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let output = ended(10, child);
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
}

#[test]
fn the_settings_of_a_test_network_are_checked() {
    for (set, named) in [
        ("k=0", "k is 0"),
        ("max_value=1", "do you mean max_values?"),
        ("listen=127.0.0.1:1", "listen cannot be set here"),
    ] {
        let output = kad(&["testnet", "--no-http", "--listen", "127.0.0.1:0", "--set", set]).output().unwrap();
        assert!(code(&output) == 64 && stderr(&output).contains(named), "{}", stderr(&output));
    }
}

#[test]
fn a_crawl_finds_all_nodes_and_estimates_how_many_there_are_on_every_wire() {
    for wire in WIRES {
        let (_network, started) = testnet("30", wire);
        let first = started["nodes"][0]["address"].as_str().unwrap();
        let output =
            kad(&["crawl", "--bootstrap", first, "--wire", wire, "--rate", "1000", "--json"]).output().unwrap();
        assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let ids = |nodes: &[Json]| nodes.iter().map(|node| node["node_id"].to_string()).collect::<BTreeSet<_>>();
        assert_eq!(ids(&lines[..30]), ids(started["nodes"].as_array().unwrap()), "{wire}");
        assert!(
            lines[..30]
                .iter()
                .all(|node| node["version"] == PROTOCOL_VERSION && node["rtt_ms"].as_f64().unwrap() > 0.0)
        );
        let summary = &lines[30];
        assert_eq!(
            (&summary["answered"], &summary["silent"], &summary["stopped_by"]),
            (&30.into(), &0.into(), &Json::Null)
        );
        assert!(summary["estimated_nodes"].as_u64().unwrap() >= 30, "{summary}");
    }
}

#[cfg(unix)]
#[test]
fn a_crawl_that_is_interrupted_prints_what_it_has() {
    let (_network, started) = testnet("30", "json");
    let first = started["nodes"][0]["address"].as_str().unwrap();
    // Slow enough to be interrupted, and with some answers by then.
    let mut crawl = Running::start(&["crawl", "--bootstrap", first, "--rate", "1", "-v"]);
    let mut errors = BufReader::new(crawl.child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("answered") {
        line.clear();
        assert!(errors.read_line(&mut line).unwrap() > 0, "it ended");
    }
    crawl.signal("-INT");
    let mut text = String::new();
    crawl.lines.read_to_string(&mut text).unwrap();
    assert!(
        crawl.child.wait().unwrap().success() && text.contains(first) && text.contains(" Stopped before "),
        "{text}"
    );
}

#[test]
fn a_crawl_without_an_answer_is_exit_code_69() {
    let (_held, silent_addr) = silent();
    let output = kad(&["crawl", "--bootstrap", &silent_addr]).output().unwrap();
    assert!(code(&output) == 69 && stderr(&output).contains(&silent_addr), "{}", stderr(&output));
    let output = kad(&["crawl", "--rate", "0"]).output().unwrap();
    assert!(code(&output) == 2 && stderr(&output).contains("1..=1000"), "{}", stderr(&output));
}

#[test]
fn a_test_network_has_a_dashboard_of_its_first_node_whose_code_lets_one_browser_in() {
    let (_network, started) = testnet("5", "json");
    let text = |field: &str| started[field].as_str().unwrap();
    let (url, page) = (text("http"), text("dashboard"));
    let output = kad(&["status", "--node", url, "--json"]).output().unwrap();
    let status: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status["node"]["id"], started["nodes"][0]["node_id"], "{}", stderr(&output));
    assert_eq!(status["node"]["peers"]["known"], 4);
    let output = kad(&["values", "--node", url]).env("KAD_HTTP_TOKEN", text("http_token")).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let path = page.strip_prefix(url).unwrap();
    let opened = || {
        let mut stream = std::net::TcpStream::connect(host).unwrap();
        write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.to_ascii_lowercase().contains("\r\nset-cookie: ")
    };
    assert!(path.starts_with("?code=") && opened() && !opened(), "{page}");
    let output = kad(&["testnet", "--listen", "127.0.0.1:0", "--http", "0.0.0.0:0"]).output().unwrap();
    assert!(code(&output) == 2 && stderr(&output).contains("loopback"), "{}", stderr(&output));
    let mut without = Running::start(&["testnet", "--nodes", "1", "--listen", "127.0.0.1:0", "--no-http", "--json"]);
    assert_eq!(without.started()["dashboard"], Json::Null);
}
