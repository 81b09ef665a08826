//! `kad node` over HTTP: where it listens, where its token is, and the lines of docs/http.md.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value as Json;

use super::process::{Node, Running, code, kad, stderr, within};

/// The status of a request, and the whole answer.
fn request(url: &str, line: &str, headers: &str) -> (u16, String) {
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(host).unwrap();
    // As a whole: a server that refuses the first part of it may close the connection before the next.
    let request = format!("{line} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap()
}

#[test]
fn the_first_line_has_the_address_and_the_token_which_lies_in_the_folder_while_the_node_runs() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("folder");
    let mut node = Node::start("json", &["--http", "127.0.0.1:0", "--data-dir", folder.to_str().unwrap()]);
    let (url, token) = (text(&node.started["http"]), text(&node.started["http_token"]));
    assert_eq!(fs::read_to_string(folder.join("http-token")).unwrap().trim(), token);
    assert_eq!(fs::read_to_string(folder.join("http-address")).unwrap().trim(), url);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(folder.join("http-token")).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(request(url, "GET /v1/values", "").0, 401);
    assert_eq!(request(url, "GET /v1/values", &format!("Authorization: Bearer {token}\r\n")).0, 200);
    assert_eq!(request(url, "{ /", "").0, 400);
    let metrics = request(url, "GET /metrics", "").1;
    assert!(metrics.contains("\nkad_uptime_seconds ") && metrics.contains("\nkad_lookups_total "), "{metrics}");
    #[cfg(unix)]
    {
        node.process.signal("-TERM");
        assert_eq!(node.process.end(), (Some(0), String::new()));
        assert!(!folder.join("http-token").exists() && !folder.join("http-address").exists());
    }
}

#[test]
fn an_ephemeral_node_leaves_its_token_below_the_runtime_directory() {
    let runtime = tempfile::tempdir().unwrap();
    let mut command = kad(&["node", "--json", "--ephemeral", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    command.env("XDG_RUNTIME_DIR", runtime.path());
    let mut node = Running::spawn(command);
    let started = node.started();
    let port = text(&started["http"]).trim_end_matches('/').rsplit_once(':').unwrap().1.to_owned();
    let token = runtime.path().join(format!("kad/127.0.0.1_{port}/http-token"));
    assert_eq!(fs::read_to_string(token).unwrap().trim(), started["http_token"]);
}

#[test]
fn a_port_that_was_asked_for_and_is_taken_is_exit_code_71_and_without_http_there_is_none() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let output = kad(&["node", "--ephemeral", "--listen", "127.0.0.1:0", "--http", &addr]).output().unwrap();
    assert!(code(&output) == 71 && stderr(&output).contains(&addr), "{}", stderr(&output));
    let off = Node::start("json", &["--no-http"]);
    assert_eq!((&off.started["http"], &off.started["http_token"]), (&Json::Null, &Json::Null));
    let both = kad(&["node", "--no-http", "--http", "127.0.0.1:0"]).output().unwrap();
    assert_eq!(code(&both), 2);
}

#[test]
fn a_default_port_that_is_taken_is_said_and_the_node_goes_on_without() {
    // It may be taken by another program already.
    let _taken = TcpListener::bind("127.0.0.1:8420");
    let mut command = kad(&["node", "--json", "--ephemeral", "--listen", "127.0.0.1:0"]);
    let mut node = Running::spawn(command.env_remove("KAD_NODE_HTTP"));
    assert_eq!(node.started()["http"], Json::Null);
    node.child.kill().unwrap();
    let (_, errors) = node.end();
    assert!(errors.contains("WARN") && errors.contains("no HTTP: 127.0.0.1:8420"), "{errors}");
}

#[test]
fn hosts_and_origins_that_no_request_can_name_are_exit_code_64_and_the_right_form_is_said() {
    let node = ["node", "--json", "--ephemeral", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    for (option, setting, wrong, right) in [
        ("--http-host", "http_hosts", "dht.example.org:443", "dht.example.org"),
        ("--http-host", "http_hosts", "https://dht.example.org", "dht.example.org"),
        ("--http-host", "http_hosts", "2001:db8::7", "[2001:db8::7]"),
        ("--http-origin", "http_origins", "https://app.example.org/", "https://app.example.org"),
        ("--http-origin", "http_origins", "https://app.example.org:443", "https://app.example.org"),
        ("--http-origin", "http_origins", "app.example.org", "https://app.example.org"),
    ] {
        let output = within(30, &mut kad(&[&node[..], &[option, wrong]].concat()));
        let said = stderr(&output);
        assert!(code(&output) == 64 && said.contains(option) && said.contains(right), "{wrong}: {said}");
        let output = within(30, &mut kad(&[&node[..], &["--set", &format!("{setting}={wrong}")]].concat()));
        let said = stderr(&output);
        assert!(code(&output) == 64 && said.contains(setting) && said.contains(right), "{wrong}: {said}");
    }
}

#[test]
fn an_address_that_others_reach_takes_a_token_of_the_operator_for_everything() {
    let node = ["node", "--json", "--ephemeral", "--listen", "127.0.0.1:0", "--http", "0.0.0.0:0"];
    let refused = kad(&node).output().unwrap();
    assert!(code(&refused) == 64 && stderr(&refused).contains("--http-token-file"), "{}", stderr(&refused));
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    fs::write(path, "short").unwrap();
    let short = kad(&[&node[..], &["--http-token-file", path]].concat()).output().unwrap();
    assert!(code(&short) == 64 && stderr(&short).contains("16 characters"), "{}", stderr(&short));
    fs::write(path, "the token of the operator".replace(' ', "-") + "\n").unwrap();
    let mut running =
        Running::start(&[&node[..], &["--http-token-file", path, "--http-host", "dht.example.org"]].concat());
    let started = running.started();
    let url = text(&started["http"]).to_owned();
    assert_eq!(started["http_token"], "the-token-of-the-operator");
    assert_eq!(request(&url, "GET /v1/node", "").0, 401);
    assert_eq!(request(&url, "GET /healthz", "").0, 200);
    assert_eq!(request(&url, "GET /v1/node", "Authorization: Bearer the-token-of-the-operator\r\n").0, 200);
    // A proxy in front makes each of its clients a local one.
    let named = Node::start("json", &["--http", "127.0.0.1:0", "--http-host", "dht.example.org"]);
    assert_eq!(request(text(&named.started["http"]), "GET /v1/node", "").0, 401);
    let missing = kad(&[&node[..], &["--http-token-file", "/nowhere/token"]].concat()).output().unwrap();
    assert_eq!(code(&missing), 66);
}

/// The blocks of the documentation: what a shell runs, and the block behind it.
fn blocks(text: &str) -> Vec<(String, Option<(String, String)>)> {
    let mut parts = text.split("```").skip(1);
    let mut blocks: Vec<(String, Option<(String, String)>)> = Vec::new();
    let mut follows = false;
    while let Some(block) = parts.next() {
        let (kind, body) = block.split_once('\n').unwrap();
        match kind {
            "sh" => blocks.push((body.to_owned(), None)),
            kind if follows => blocks.last_mut().unwrap().1 = Some((kind.to_owned(), body.to_owned())),
            _ => {}
        }
        follows = kind == "sh" && parts.next().is_some_and(|between| between == "\n");
        if kind != "sh" {
            parts.next();
        }
    }
    blocks
}

fn fields(json: &str) -> Vec<String> {
    let json: Json = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"));
    json.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_lines_of_the_documentation_work_and_answer_what_it_says() {
    if Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_err() {
        assert!(std::env::var_os("CI").is_none(), "curl is needed");
        return;
    }
    let node = Node::start("json", &["--http", "127.0.0.1:0"]);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/http.md");
    let blocks = blocks(&fs::read_to_string(file).unwrap());
    assert!(blocks.len() >= 10, "{blocks:?}");
    for (lines, expected) in blocks {
        let mut shell = Command::new("sh");
        shell.args(["-e", "-c", &lines]);
        shell.env("KAD_HTTP", text(&node.started["http"])).env("KAD_HTTP_TOKEN", text(&node.started["http_token"]));
        let output = shell.output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{lines}: {printed} {}", String::from_utf8_lossy(&output.stderr));
        match expected {
            Some((kind, expected)) if kind == "json" => assert_eq!(fields(&printed), fields(&expected), "{lines}"),
            Some((_, expected)) => assert_eq!(printed.trim(), expected.trim(), "{lines}"),
            None => {}
        }
    }
}
