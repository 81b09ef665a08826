//! docs/migrating.md: its program for the Python package and the one that replaces it do the same, in any mixture; and it leaves out
//! no name of the package.
#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::net::UdpSocket;
use std::process::Stdio;
use std::time::Duration;

use kademlia_dynamic::{Codec, Error, Node};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::python::{Version, left_out, with_package};

const GUIDE: &str = include_str!("../../docs/migrating.md");
/// Longer than anything here takes, for a test that must not hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// Prints the names of the package, one a line: of the module, and of each class with what its instances have.
const NAMES: &str = "
import inspect
from kademlia_dynamic import kademlia as module
server = module.KademliaServer()
instances = [server, server.own_peer, server.routing_table, module.KBucket(), module.StoredValue('', False),
             module.KademliaProtocol(server)]
names = {name for name in vars(module) if not inspect.ismodule(getattr(module, name))}
names -= {'Dict', 'List', 'Optional', 'Tuple', 'Union'}
for instance in instances:
    names |= {name for name in vars(instance) if not name.startswith('_')}
    names |= {name for name in vars(type(instance)) if not name.startswith('_')}
names |= set(inspect.signature(module.KademliaServer).parameters)
print('\\n'.join(sorted(name for name in names if not name.startswith('_'))))
";

/// The guide's first block of this language.
fn block(language: &str) -> &'static str {
    nth_block(language, 1)
}

fn nth_block(language: &str, number: usize) -> &'static str {
    let opening = format!("```{language}\n");
    GUIDE.split(&opening).nth(number).and_then(|rest| rest.split("```").next()).expect("the guide has such a block")
}

// These two are part of the guide's program.

async fn start(port: u16, contact: u16, name: &str, address: &str) -> Result<Node, Error> {
    let node = Node::builder().bind(format!("127.0.0.1:{port}")).codec(Codec::Json);
    let node = node.bootstrap([format!("127.0.0.1:{contact}")]).start().await?;
    node.set(format!("phone/{name}"), address).await?;
    Ok(node)
}

async fn look_up(node: &Node, name: &str) -> Result<String, Error> {
    let found = node.get(format!("phone/{name}")).await?;
    Ok(found.map_or("not listed".to_owned(), |address| address.to_string()))
}

/// The guide's program for the package, which runs.
struct Script {
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Script {
    async fn start(version: Version, port: u16, contact: u16, name: &str, address: &str) -> Self {
        let python = with_package(version).await.unwrap_or_else(|why| panic!("{why}"));
        let mut command = Command::new(python);
        command.args(["-c", block("python"), &port.to_string(), &contact.to_string(), name, address]);
        Self::spawn(command).await
    }

    /// The one that goes through a node over HTTP.
    #[cfg(feature = "http")]
    async fn over_http(version: Version, url: &str, token: &str, name: &str, address: &str) -> Self {
        let python = with_package(version).await.unwrap_or_else(|why| panic!("{why}"));
        let mut command = Command::new(python);
        command.args(["-c", nth_block("python", 2), name, address]);
        command.env("KAD_HTTP", url).env("KAD_HTTP_TOKEN", token).env("NO_PROXY", "*");
        Self::spawn(command).await
    }

    async fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the interpreter can be started");
        let stdin = child.stdin.take().expect("it is piped");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut script = Self { stdin, lines, _child: child };
        assert_eq!(script.next_line().await, "listed");
        script
    }

    async fn next_line(&mut self) -> String {
        let line = timeout(PATIENCE, self.lines.next_line()).await.expect("it prints in time");
        line.expect("it can be read").expect("it has not ended")
    }
}

enum PhoneBook {
    Before(Box<Script>),
    After(Node),
}

impl PhoneBook {
    async fn start(before: bool, version: Version, ports: [u16; 2], entry: [&str; 2]) -> Self {
        if before {
            PhoneBook::Before(Box::new(Script::start(version, ports[0], ports[1], entry[0], entry[1]).await))
        } else {
            PhoneBook::After(start(ports[0], ports[1], entry[0], entry[1]).await.unwrap())
        }
    }

    async fn look_up(&mut self, name: &str) -> String {
        match self {
            PhoneBook::Before(script) => {
                script.stdin.write_all(format!("{name}\n").as_bytes()).await.unwrap();
                script.next_line().await
            }
            PhoneBook::After(node) => look_up(node, name).await.unwrap(),
        }
    }
}

fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn the_guides_program_and_its_replacement_print_the_same_in_any_mixture() {
    if left_out() {
        return;
    }
    let (_, functions) = block("rust,no_run").split_once("async fn start(").unwrap();
    assert!(include_str!("migrating.rs").contains(functions), "this test runs another program than the guide shows");
    for version in [Version::V1_0_0, Version::V1_1_1] {
        for (anna_before, ben_before) in [(true, true), (true, false), (false, true), (false, false)] {
            let (first, second) = (free_port(), free_port());
            // The first one is its own contact: it is alone.
            let mut anna = PhoneBook::start(anna_before, version, [first, first], ["anna", "192.0.2.7"]).await;
            let mut ben = PhoneBook::start(ben_before, version, [second, first], ["ben", "Straße 8 ☎"]).await;
            for (book, who) in [(&mut anna, "anna"), (&mut ben, "ben")] {
                let mut printed = Vec::new();
                for name in ["anna", "ben", "carl"] {
                    printed.push(book.look_up(name).await);
                }
                let case = format!("{version}, {who}; before: {anna_before}, {ben_before}");
                assert_eq!(printed, ["192.0.2.7", "Straße 8 ☎", "not listed"], "{case}");
            }
        }
    }
}

#[cfg(feature = "http")]
#[tokio::test]
async fn the_guides_program_over_http_prints_the_same_with_the_standard_library_alone() {
    use kademlia_dynamic::gateway::Gateway;
    use kademlia_dynamic::gateway::server::Server;
    if left_out() {
        return;
    }
    for version in [Version::V1_0_0, Version::V1_1_1] {
        let first = free_port();
        let mut anna = PhoneBook::start(true, version, [first, first], ["anna", "192.0.2.7"]).await;
        let node = Node::builder().bind("127.0.0.1:0").codec(Codec::Json);
        let node = node.bootstrap([format!("127.0.0.1:{first}")]).start().await.unwrap();
        let gateway = Gateway::builder(node).build();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server::start(listener, gateway.clone()).await.unwrap();
        let token = gateway.token().reveal();
        let ben = Script::over_http(version, &server.url(), token, "ben", "Straße 8 ☎").await;
        let mut ben = PhoneBook::Before(Box::new(ben));
        for (book, who) in [(&mut anna, "anna"), (&mut ben, "ben")] {
            let mut printed = Vec::new();
            for name in ["anna", "ben", "carl"] {
                printed.push(book.look_up(name).await);
            }
            assert_eq!(printed, ["192.0.2.7", "Straße 8 ☎", "not listed"], "{version}, {who}");
        }
    }
}

#[tokio::test]
async fn the_guide_names_all_that_the_package_has() {
    if left_out() {
        return;
    }
    for version in [Version::V1_0_0, Version::V1_1_1] {
        let python = with_package(version).await.unwrap_or_else(|why| panic!("{why}"));
        let output = Command::new(python).args(["-c", NAMES]).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let names = String::from_utf8(output.stdout).unwrap();
        assert!(names.lines().count() > 60, "{names}");
        // Names stand in code: alone, or with their arguments or their class.
        let in_code = |name: &str| {
            GUIDE
                .split('`')
                .skip(1)
                .step_by(2)
                .any(|code| code.split(|c: char| c != '_' && !c.is_alphanumeric()).any(|part| part == name))
        };
        let missing: Vec<&str> = names.lines().filter(|name| !in_code(name)).collect();
        assert!(missing.is_empty(), "docs/migrating.md does not say what becomes of {missing:?} of {version}");
    }
}
