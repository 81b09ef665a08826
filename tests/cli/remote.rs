//! The commands that ask a running node through its gateway: each against a node that runs.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::mpsc;

use serde_json::Value as Json;

use super::process::{Node, Running, code, kad, silent, stderr, usage, within};

/// A node that serves HTTP, and whose folder has its token.
struct Served {
    node: Node,
    folder: tempfile::TempDir,
}

impl Served {
    fn start(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let node = Node::start("json", &[&["--http", "127.0.0.1:0", "--data-dir", path], more].concat());
        Self { node, folder }
    }

    fn url(&self) -> &str {
        self.node.started["http"].as_str().unwrap()
    }

    fn token(&self) -> &str {
        self.node.started["http_token"].as_str().unwrap()
    }

    /// `args` with the folder.
    fn args<'a>(&'a self, args: &[&'a str]) -> Vec<&'a str> {
        let (name, rest) = args.split_first().unwrap();
        [&[*name, "--data-dir", self.folder.path().to_str().unwrap()], rest].concat()
    }

    fn run(&self, args: &[&str]) -> Output {
        kad(&self.args(args)).output().unwrap()
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(code(&output), 0, "{args:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, args: &[&str]) -> Vec<Json> {
        self.ok(args).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Has the node publish a value, by HTTP.
    fn publish(&self, encoded_key: &str, value: &str) {
        let host = self.url().trim_start_matches("http://").trim_end_matches('/');
        let mut stream = TcpStream::connect(host).unwrap();
        let (token, len) = (self.token(), value.len());
        write!(
            stream,
            "PUT /v1/values/{encoded_key} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
             Connection: close\r\nContent-Length: {len}\r\n\r\n{value}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
}

/// A server that gives each request this answer, and reports what it was asked.
fn server(answer: &'static str) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (asked, requests) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let head: Vec<String> = lines.map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
            let _ = stream.write_all(answer.as_bytes());
            if asked.send(head.join("\n")).is_err() {
                return;
            }
        }
    });
    (url, requests)
}

#[test]
fn status_says_whether_a_node_is_ready_and_keeps_up() {
    let first = Served::start(&[]);
    let text = first.ok(&["status"]);
    assert!(text.starts_with("Ready      yes\nKeeps up   not quite:\n           - No peer is known"), "{text}");
    let second = Served::start(&["--bootstrap", &first.node.addr]);
    let text = second.ok(&["status"]);
    assert!(text.starts_with("Ready      yes\nKeeps up   yes: nothing is overdue\nReachable  unknown"), "{text}");
    for part in [&*second.node.id, &second.node.addr, "\nPeers      1\n", "\nPublished  0 values (0 B)\n"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let [json] = &second.json(&["status", "--json"])[..] else { panic!() };
    assert_eq!((&json["ready"], &json["http"]), (&true.into(), &second.url().into()));
    assert_eq!(json["node"]["id"], *second.node.id);
    // It needs no token.
    let output = kad(&["status", "--node", second.url()]).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}

#[test]
fn a_node_that_has_not_joined_is_not_ready_which_is_exit_code_1() {
    let (_socket, addr) = silent();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    // It prints its first line once the attempt to join has failed.
    let node = Running::start(&[
        "node",
        "--listen",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
        "--data-dir",
        path,
        "--json",
        "--bootstrap",
        &addr,
    ]);
    let served = folder.path().join("http-address");
    while !served.exists() {
        std::thread::yield_now();
    }
    let output = kad(&["status", "--data-dir", path]).output().unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(code(&output) == 1 && text.starts_with("Ready      no: "), "{text}");
    assert!(stderr(&output).starts_with("kad: not ready: "), "{}", stderr(&output));
    drop(node);
}

#[test]
fn peers_are_listed_as_a_table_and_as_json() {
    let first = Served::start(&[]);
    assert!(first.ok(&["peers"]).contains("knows no peer"));
    let second = Served::start(&["--bootstrap", &first.node.addr]);
    let text = second.ok(&["peers"]);
    assert!(text.starts_with("NODE ") && text.contains(&first.node.id) && text.contains(&first.node.addr), "{text}");
    let peers = second.json(&["peers", "--json"]);
    assert_eq!((peers.len(), &peers[0]["node_id"]), (1, &(*first.node.id).into()));
}

#[test]
fn keys_are_listed_by_prefix_pinned_unpinned_and_released() {
    let served = Served::start(&[]);
    assert_eq!(served.ok(&["values"]), "No key.\n");
    served.publish("config%2Fa", "1");
    served.publish("config%2Fb", "2");
    served.publish("other", "3");
    let keys = |args: &[&str]| -> Vec<String> {
        served.json(args).iter().map(|value| value["key"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(keys(&["values", "--json"]), ["config/a", "config/b", "other"]);
    assert_eq!(keys(&["values", "config/", "--json"]), ["config/a", "config/b"]);
    let said = served.ok(&["pin", "config/a", "config/b", "--min-replicas", "5"]);
    assert_eq!(said, "Pinned \"config/a\": at least 5 replicas.\nPinned \"config/b\": at least 5 replicas.\n");
    let text = served.ok(&["values"]);
    assert!(text.contains("published      1  24 h     yes     \"config/a\"\n"), "{text}");
    assert_eq!(served.json(&["unpin", "config/a", "--json"])[0]["unpinned"], true);
    let again = served.run(&["unpin", "config/a"]);
    assert_eq!((code(&again), &*stderr(&again)), (1, "kad: \"config/a\" was not pinned\n"));
    let absent = served.run(&["pin", "absent"]);
    assert!(code(&absent) == 1 && stderr(&absent).contains("\"absent\" is not published"), "{}", stderr(&absent));
    let some = served.run(&["release", "other", "absent", "config/b", "--json"]);
    assert_eq!(code(&some), 1);
    assert_eq!(String::from_utf8(some.stdout.clone()).unwrap().lines().count(), 3);
    assert!(stderr(&some).ends_with("kad: not done for 1 of 3 keys\n"), "{}", stderr(&some));
}

#[test]
fn keys_come_from_standard_input_too() {
    let served = Served::start(&[]);
    served.publish("a", "1");
    served.publish("b%20b", "2");
    let with_input = |args: &[&str], input: &str| {
        let mut child = kad(&served.args(args)).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let output = with_input(&["release", "-"], "a\n\nb b\n");
    assert_eq!((code(&output), String::from_utf8(output.stdout).unwrap().lines().count()), (0, 2));
    let empty = with_input(&["pin", "-"], "\n");
    assert_eq!((code(&empty), &*stderr(&empty)), (2, "kad: standard input has no key\n"));
}

#[test]
fn events_and_changes_of_keys_are_shown_as_they_happen() {
    let served = Served::start(&[]);
    served.publish("k", "one");
    let mut watch = Running::start(&served.args(&["watch", "k", "--json"]));
    let first: Json = serde_json::from_str(&watch.line()).unwrap();
    assert_eq!((&first["event"], &first["key"], &first["value"]), (&"value".into(), &"k".into(), &"one".into()));
    let mut text = Running::start(&served.args(&["watch", "k"]));
    let line = text.line();
    assert!(line.contains("Z  \"k\"  \"one\"  (ends in 24 h)\n"), "{line}");
    let mut events = Running::start(&served.args(&["events", "values", "--json"]));
    // An event comes once the stream is open: values are set until it does.
    let (seen, line) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| seen.send(events.line()).unwrap());
        for number in 0.. {
            served.publish("k", &format!("two {number}"));
            if let Ok(line) = line.try_recv() {
                let event: Json = serde_json::from_str(&line).unwrap();
                assert_eq!((&event["event"], &event["key"]), (&"published".into(), &"k".into()));
                break;
            }
        }
    });
    assert!(serde_json::from_str::<Json>(&watch.line()).unwrap()["value"].as_str().unwrap().starts_with("two "));
}

#[test]
fn a_kind_of_events_that_there_is_not_is_wrong_usage_and_the_error_lists_all() {
    let served = Served::start(&[]);
    let output = served.run(&["events", "value"]);
    let said = stderr(&output);
    assert!(code(&output) == 2 && said.contains("\"value\"") && said.contains("lookup_ended"), "{said}");
}

#[test]
fn a_node_that_stops_ends_its_streams_with_exit_code_69() {
    let served = Served::start(&[]);
    served.publish("k", "v");
    let mut watch = Running::start(&served.args(&["watch", "k"]));
    assert!(watch.line().contains("\"v\""));
    drop(served);
    let (exit, said) = watch.end();
    assert!(exit == Some(69) && said.contains("has ended the stream"), "{said}");
}

#[test]
fn the_last_events_of_a_node_that_ends_are_printed() {
    let events: String = (0..20).map(|number| format!("event: published\ndata: {{\"n\":{number}}}\n\n")).collect();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    let (url, _requests) = server((head.to_owned() + &events).leak());
    let output = kad(&["events", "--json", "--node", &url]).output().unwrap();
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    let expected: String = (0..20).map(|number| format!("{{\"n\":{number}}}\n")).collect();
    assert_eq!((code(&output), &*printed), (69, &*expected), "{}", stderr(&output));
}

#[test]
fn a_reader_that_closes_the_pipe_ends_a_stream_without_an_error() {
    let served = Served::start(&[]);
    served.publish("k", "v");
    let mut watch = kad(&served.args(&["watch", "k"])).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(watch.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("\"v\""));
    // The pipe is closed now, which the next change finds.
    let mut number = 0;
    let status = loop {
        served.publish("k", &number.to_string());
        number += 1;
        if let Some(status) = watch.try_wait().unwrap() {
            break status;
        }
    };
    let mut said = String::new();
    watch.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((status.code(), &*said), (Some(0), ""));
}

#[test]
fn a_key_of_control_characters_is_shown_escaped() {
    let served = Served::start(&[]);
    served.publish("a%1B%5D0%3Bx%07%0Ab%E2%80%AE", "\u{1b}[2J");
    for args in [&["values"][..], &["release", "a\u{1b}]0;x\u{7}\nb\u{202e}"]] {
        let text = served.ok(args);
        assert!(text.contains(r#""a\u{1b}]0;x\u{7}\nb\u{202e}""#), "{text:?}");
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{text:?}");
    }
}

#[test]
fn what_is_no_kad_node_is_said_so() {
    let (listener, _) = silent();
    drop(listener);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let output = kad(&["status", "--node", &closed]).output().unwrap();
    let said = stderr(&output);
    assert!(code(&output) == 69 && said.contains("no node serves HTTP at") && said.contains("--node URL"), "{said}");
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        "SSH-2.0-OpenSSH_9.2\r\n",
    ] {
        let (url, _requests) = server(answer);
        for command in [&["status"][..], &["peers"], &["watch", "k"]] {
            let output = kad(&[command, &["--node", &url]].concat()).output().unwrap();
            let said = stderr(&output);
            assert!(code(&output) == 69 && said.contains("is no kad node"), "{command:?} {answer}: {said}");
        }
    }
    // It accepts, and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let output = kad(&["status", "--node", &addr, "--timeout", "200ms"]).output().unwrap();
    let said = stderr(&output);
    assert!(code(&output) == 69 && said.contains("not answered within 200 ms"), "{said}");
    let said = usage(&["status", "--node", "https://dht.example.org"]);
    assert!(said.contains("ssh -L") && said.contains("curl"), "{said}");
}

#[test]
fn a_node_that_answers_too_many_others_is_asked_again_within_the_timeout_alone() {
    let answer = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let (url, requests) = server(answer);
    let output = within(30, &mut kad(&["status", "--node", &url, "--timeout", "3s"]));
    let said = stderr(&output);
    assert!(code(&output) == 69 && said.contains("--timeout"), "{said}");
    let asked = requests.try_iter().count();
    assert!((1..=3).contains(&asked), "it asked {asked} times");
}

#[test]
fn a_wrong_token_and_a_missing_one_are_exit_code_77_and_say_where_the_right_one_is() {
    let served = Served::start(&[]);
    let values = |token: Option<&str>| {
        let mut command = kad(&["values", "--node", served.url()]);
        token.map(|token| command.env("KAD_HTTP_TOKEN", token));
        command.output().unwrap()
    };
    let missing = values(None);
    assert!(code(&missing) == 77 && stderr(&missing).contains("KAD_HTTP_TOKEN"), "{}", stderr(&missing));
    let wrong = values(Some("0123456789abcdef"));
    assert!(code(&wrong) == 77 && stderr(&wrong).contains("http-token"), "{}", stderr(&wrong));
    assert_eq!(code(&values(Some(served.token()))), 0);
    let file = served.folder.path().join("a copy");
    fs::write(&file, served.token()).unwrap();
    let output = kad(&["values", "--node", served.url(), "--http-token-file"]).arg(&file).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}

/// What the first request of `command` had, with `environment`.
fn sent(requests: &mpsc::Receiver<String>, args: &[&str], environment: &[(&str, &str)]) -> String {
    kad(args).envs(environment.iter().copied()).output().unwrap();
    requests.recv().unwrap().to_ascii_lowercase()
}

#[test]
fn a_token_of_a_folder_is_sent_to_no_other_address() {
    const REDIRECT: &str = "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let served = Served::start(&[]);
    let (url, requests) = server(REDIRECT);
    let folder = served.folder.path().to_str().unwrap();
    let head = sent(&requests, &["values", "--data-dir", folder, "--node", &url], &[]);
    assert!(head.starts_with("get /v1/values") && !head.contains("authorization"), "{head}");
    let environment = [("KAD_NODE_DATA_DIR", folder)];
    assert!(!sent(&requests, &["values", "--node", &url], &environment).contains("authorization"));
    assert!(!sent(&requests, &["values"], &[environment[0], ("KAD_HTTP", &url)]).contains("authorization"));
    // Nor by way of a proxy.
    let proxies = [("HTTP_PROXY", &*url), ("http_proxy", &url), ("ALL_PROXY", &url), ("all_proxy", &url)];
    let output = kad(&served.args(&["values"])).envs(proxies).output().unwrap();
    assert_eq!((code(&output), requests.try_recv()), (0, Err(mpsc::TryRecvError::Empty)));
    // One of the user goes where the user says.
    let token = ("KAD_HTTP_TOKEN", "0123456789abcdef");
    assert!(sent(&requests, &["values", "--node", &url], &[token]).contains("bearer 0123456789abcdef"));
}

#[test]
fn a_redirection_takes_no_token_elsewhere() {
    let served = Served::start(&[]);
    let (elsewhere, requests) = server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let answer =
        format!("HTTP/1.1 307 Elsewhere\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let (url, _first) = server(answer.leak());
    // The address that the folder names answers by a redirection.
    fs::write(served.folder.path().join("http-address"), &url).unwrap();
    let output = served.run(&["values"]);
    assert!(code(&output) == 69 && stderr(&output).contains("is no kad node"), "{}", stderr(&output));
    assert_eq!(requests.try_recv(), Err(mpsc::TryRecvError::Empty));
}

#[test]
fn a_folder_without_a_node_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let output = kad(&["status", "--data-dir"]).arg(folder.path()).output().unwrap();
    let said = stderr(&output);
    assert!(code(&output) == 69 && said.contains("serves HTTP") && said.contains("--no-http"), "{said}");
    let output = kad(&["status", "--data-dir"]).arg(Path::new("/nowhere")).output().unwrap();
    assert_eq!(code(&output), 69);
}
