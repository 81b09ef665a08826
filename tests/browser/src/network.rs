//! Real nodes on loopback ports, the gateway of the first, and the `kad` binary beside them.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use kademlia_dynamic::gateway::server::Server;
use kademlia_dynamic::gateway::{Builder, Gateway};
use kademlia_dynamic::{Config, Node};

/// Nodes that know each other.
#[derive(Debug)]
pub struct Network {
    /// The nodes. The first is the one that has a page.
    pub nodes: Vec<Node>,
    gateway: Gateway,
    server: Server,
}

impl Network {
    /// So many nodes, all joined through the first.
    pub async fn start(nodes: usize) -> Self {
        Self::of(nodes, Config::default(), |builder| builder).await
    }

    /// The same, with these settings, and a gateway that `change` has changed.
    pub async fn of(nodes: usize, config: Config, change: impl FnOnce(Builder) -> Builder) -> Self {
        let first = Node::builder().config(config.clone()).start().await.unwrap();
        let contact = first.local_addr().to_string();
        let mut all = vec![first];
        for _ in 1..nodes {
            let node = Node::builder().config(config.clone()).bootstrap([&contact]).start().await.unwrap();
            assert!(node.joined().await.unwrap().is_some_and(|outcome| outcome.joined()));
            all.push(node);
        }
        let gateway = change(Gateway::builder(all[0].clone())).build();
        let server = Server::start(TcpListener::bind("127.0.0.1:0").unwrap(), gateway.clone()).await.unwrap();
        Self { nodes: all, gateway, server }
    }

    /// The address of the page.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The same with a one-time code.
    pub fn url_with_code(&self) -> String {
        format!("{}?code={}", self.url(), self.gateway.one_time_code().reveal())
    }

    /// The token of the gateway.
    pub fn token(&self) -> String {
        self.gateway.token().reveal().to_owned()
    }

    /// What `kad ARGS --bootstrap NODE` prints, which must succeed. It joins through the last node.
    pub async fn kad(&self, args: &[&str]) -> String {
        let contact = self.nodes.last().unwrap().local_addr().to_string();
        let mut command = Command::new(kad());
        command.args(args).args(["--bootstrap", &contact]).stdin(Stdio::null());
        command.env("HOME", "/dev/null").env_remove("XDG_DATA_HOME").env_remove("RUST_LOG");
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "kad {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// The binary that was built with these tests: `.ci/steps/browser` builds it first.
fn kad() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let kad = test.parent().unwrap().parent().unwrap().join("kad");
    assert!(kad.is_file(), "{} is missing: cargo build --bin kad", kad.display());
    kad
}
