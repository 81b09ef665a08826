//! `kad node`: what it says at the start, and how it ends.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, UdpSocket};

use serde_json::Value as Json;

use super::process::{Node, Running, code, kad, silent, stderr};

#[test]
fn a_port_in_use_is_exit_code_71() {
    let node = Node::start("json", &[]);
    let output = kad(&["node", "--ephemeral", "--listen", &node.addr]).output().unwrap();
    assert_eq!((code(&output), output.stdout.len()), (71, 0));
    assert!(stderr(&output).contains(&node.addr) && stderr(&output).contains("in use"), "{}", stderr(&output));
    // TEST-NET-1 is no address of this machine.
    let output = kad(&["node", "--ephemeral", "--listen", "192.0.2.1:0"]).output().unwrap();
    assert!(code(&output) == 71 && stderr(&output).contains("192.0.2.1"), "{}", stderr(&output));
}

/// The port is what is in the way, and not the folder, which the first of them has open.
#[test]
fn the_same_command_a_second_time_is_exit_code_71_also_where_it_names_a_host() {
    let folder = tempfile::tempdir().unwrap();
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("localhost:{free}");
    let args = ["node", "--json", "--listen", &listen, "--data-dir", folder.path().to_str().unwrap()];
    let mut first = Running::start(&args);
    assert!(first.line().contains(&free.to_string()));
    let second = kad(&args).output().unwrap();
    assert!(code(&second) == 71 && stderr(&second).contains("in use"), "{}", stderr(&second));
}

#[test]
fn a_node_that_no_contact_answers_goes_on_and_says_so() {
    let (_held, addr) = silent();
    let mut node = Node::start("json", &["--bootstrap", &addr]);
    assert_eq!(node.started["joined"], false);
    let failed = &node.started["bootstrap"]["failed"][0];
    assert_eq!((&failed["contact"], &failed["reason"]["kind"]), (&addr.as_str().into(), &"silent".into()));
    assert_eq!(node.json(&["ping", "--json"])["node_id"], node.id);
    node.process.child.kill().unwrap();
    let (_, errors) = node.process.end();
    assert!(errors.contains("WARN") && errors.contains(&addr) && errors.contains("goes on"), "{errors}");
}

#[test]
fn on_a_terminal_the_banner_names_the_node_and_commands_that_work_when_copied() {
    let mut node =
        Running::on_a_terminal(&["node", "-q", "--ephemeral", "--listen", "127.0.0.1:0", "--wire", "bencode"]);
    let banner: Vec<String> =
        std::iter::from_fn(|| Some(node.line())).take_while(|line| !line.contains("Ctrl-C")).collect();
    assert!(banner[0].starts_with("Node ") && banner[0].trim().len() >= 40, "{banner:?}");
    assert!(banner[1].contains("127.0.0.1:") && banner[1].contains("bencode"), "{banner:?}");
    let copied = |word: &str| {
        let line = banner.iter().find(|line| line.contains(word)).unwrap();
        let args: Vec<&str> = line.split_whitespace().skip(1).map(|word| word.trim_matches('"')).collect();
        kad(&args).output().unwrap()
    };
    assert_eq!(code(&copied(" set ")), 0);
    assert_eq!(copied(" get ").stdout, b"hello");
}

#[cfg(unix)]
#[test]
fn anything_else_than_a_terminal_gets_no_banner_and_the_log_says_where_the_node_is_and_that_it_stops() {
    let mut node = kad(&["node", "--ephemeral", "--listen", "127.0.0.1:0", "--log-format", "json"]).spawn().unwrap();
    let mut log = BufReader::new(node.stderr.take().unwrap());
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    let started: Json = serde_json::from_str(&line).unwrap();
    assert_eq!((&started["level"], &started["message"]), (&"INFO".into(), &"started".into()), "{line}");
    assert!(started["address"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    let kill = std::process::Command::new("kill").args(["-TERM", &node.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    let messages: Vec<String> =
        rest.lines().map(|line| serde_json::from_str::<Json>(line).unwrap()["message"].to_string()).collect();
    assert_eq!(messages[messages.len() - 2..], ["\"stopping\"", "\"stopped\""], "{rest}");
    assert_eq!(node.wait_with_output().unwrap().stdout, b"");
}

#[cfg(unix)]
#[test]
fn signals_stop_a_node_cleanly_and_free_its_port() {
    for signal in ["-TERM", "-INT"] {
        let mut node = Node::start("json", &[]);
        let addr: SocketAddr = node.addr.parse().unwrap();
        node.process.signal(signal);
        assert_eq!(node.process.end(), (Some(0), String::new()), "{signal}");
        drop(UdpSocket::bind(addr).unwrap());
    }
}

#[cfg(unix)]
#[test]
fn a_value_is_republished_until_a_signal_comes() {
    let node = Node::start("json", &[]);
    let mut publisher = Running::start(&["set", "k", "v", "--republish", "--json", "--bootstrap", &node.addr]);
    let stored: Json = serde_json::from_str(&publisher.line()).unwrap();
    assert_eq!(stored["stored"], 1);
    publisher.signal("-TERM");
    assert_eq!(publisher.end(), (Some(0), String::new()));
    assert_eq!(node.ok(&["get", "k"]), b"v");
}

#[test]
fn logs_go_to_standard_error_and_quiet_silences_them() {
    let node = Node::start("json", &[]);
    let large = "x".repeat(2_000);
    let warned = node.run(&["set", "k", &large]);
    assert!(stderr(&warned).contains("WARN"), "{}", stderr(&warned));
    let quiet = node.run(&["set", "k", &large, "-q"]);
    assert_eq!((code(&quiet), stderr(&quiet)), (0, String::new()));
    let verbose = node.run(&["get", "k", "-v"]);
    assert!(verbose.stdout == large.as_bytes() && stderr(&verbose).contains("DEBUG"), "{}", stderr(&verbose));
}

#[test]
fn settings_come_from_a_file_and_from_the_environment_and_a_wrong_one_is_exit_code_64() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kad.toml");
    let start = |text: &str| {
        fs::write(&file, text).unwrap();
        let mut command = kad(&["node", "--ephemeral", "--listen", "127.0.0.1:0", "--config"]);
        command.arg(&file);
        command
    };
    let output = start("max_valeus = 1").output().unwrap();
    assert_eq!(code(&output), 64);
    assert!(stderr(&output).contains("kad.toml") && stderr(&output).contains("max_valeus"), "{}", stderr(&output));
    let output = start("k = 8").env("KAD_NODE_K", "256").output().unwrap();
    assert_eq!(
        (code(&output), stderr(&output).as_str()),
        (64, "kad: in the environment (KAD_NODE_…): k is 256, but must be within 1..=255\n")
    );
    let output = kad(&["node", "--config", "/nowhere/kad.toml"]).output().unwrap();
    assert_eq!(code(&output), 66, "{}", stderr(&output));

    // One that holds nothing for others refuses what it is sent.
    fs::write(&file, "max_values = 0").unwrap();
    let node = Node::start("json", &["--config", file.to_str().unwrap()]);
    assert_eq!(code(&node.run(&["set", "k", "v"])), 1);
}

#[test]
fn what_is_no_setting_in_the_environment_or_no_filter_in_rust_log_is_a_warning() {
    let mut command = kad(&["node", "--json", "--ephemeral", "--listen", "127.0.0.1:0"]);
    command.env("KAD_NODE_SERVICE_PORT", "8000").env("KAD_NODE_PORT", "udp://10.96.0.10:8000").env("RUST_LOG", "a=b=c");
    let mut node = Running::spawn(command);
    assert!(node.line().contains("node_id"));
    node.child.kill().unwrap();
    let (_, reported) = node.end();
    for said in ["KAD_NODE_SERVICE_PORT", "KAD_NODE_PORT", "RUST_LOG is not used"] {
        assert!(reported.lines().any(|line| line.contains("WARN") && line.contains(said)), "{said}: {reported}");
    }
}

#[test]
fn a_node_on_all_addresses_of_both_families_joins_through_ipv4_and_is_asked_at_any_of_them() {
    if UdpSocket::bind("[::1]:0").is_err() {
        return;
    }
    let first = Node::start("json", &[]);
    let args = ["node", "--json", "--ephemeral", "--listen", "[::]:0", "--bootstrap", &first.addr];
    let mut both = Running::start(&args);
    let started: Json = serde_json::from_str(&both.line()).unwrap();
    assert_eq!(started["joined"], true, "{started}");
    let port = started["address"].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned();
    for host in ["127.0.0.1", "[::1]", if cfg!(target_os = "linux") { "127.0.0.2" } else { "127.0.0.1" }] {
        let output = kad(&["ping", &format!("{host}:{port}")]).output().unwrap();
        assert_eq!(code(&output), 0, "{host}: {}", stderr(&output));
    }
}

#[test]
fn a_contact_that_the_listen_address_cannot_reach_is_reported_with_what_helps() {
    let node = Node::start("json", &["--bootstrap", "192.0.2.1:8000"]);
    let failed = &node.started["bootstrap"]["failed"][0]["reason"];
    assert_eq!((&node.started["joined"], &failed["kind"]), (&false.into(), &"unreachable".into()));
    let port = node.addr.rsplit_once(':').unwrap().1;
    assert_eq!(failed["listen"], format!("0.0.0.0:{port}"));
    let mut process = node.process;
    process.child.kill().unwrap();
    let (_, errors) = process.end();
    assert!(errors.contains(&format!("--listen 0.0.0.0:{port} lets it reach them")), "{errors}");
}

#[cfg(unix)]
#[test]
fn a_filter_of_the_log_that_is_no_text_is_a_warning() {
    use std::os::unix::ffi::OsStrExt;
    let mut command = kad(&["config", "check", "/dev/null"]);
    let output = command.env("RUST_LOG", std::ffi::OsStr::from_bytes(b"debug\xff")).output().unwrap();
    let said = stderr(&output);
    assert!(code(&output) == 0 && said.contains("RUST_LOG is not used") && said.contains("UTF-8"), "{said}");
}
