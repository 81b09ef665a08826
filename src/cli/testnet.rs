//! `kad testnet`: a network of nodes over UDP in this process, until a signal comes.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use indicatif::ProgressBar;
use serde::Serialize;
use tokio::sync::oneshot;

use super::args::DEFAULT_ADDR;
use super::args::testnet::TestnetArgs;
use super::failure::{Exit, Failure};
use super::http::settings::{DEFAULT_HTTP, HttpListen, HttpSettings};
use super::http::{self, Http, HttpStarted, Listening};
use super::settings::effective;
use super::signals::Signals;
use super::{data_dir, output, progress};
use crate::actors::limits::{self, Needs};
use crate::actors::node::Node;
use crate::actors::outcome::Error;
use crate::protocol::codec::Codec;
use crate::protocol::config::Config;
use crate::protocol::id::NodeId;

/// Address space that each further node takes to begin.
const NODE_MEMORY: u64 = 1 << 20;
/// How long the nodes may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(2);

pub(super) async fn run(args: TestnetArgs, quiet: bool, program: &str) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let count = args.nodes as usize;
    let needs = Needs {
        descriptors: limits::NODE.descriptors + count,
        memory: limits::NODE.memory + NODE_MEMORY * u64::from(args.nodes),
    };
    limits::check(needs).map_err(|limit| Failure::from(Error::from(limit)))?;
    let config = effective::config_of(&args.set)?;
    let (first, http, listening) = tokio::select! {
        biased;
        _ = signals.next() => return Ok(()),
        addresses = addresses(&args) => addresses?,
    };
    let progress = progress::bar("{bar:30} {pos} of {len} nodes started, {elapsed}", args.nodes.into(), quiet);
    let nodes = tokio::select! {
        biased;
        _ = signals.next() => return Ok(()),
        nodes = on_a_thread(first, args.wire, config, progress.clone()) => nodes?,
    };
    progress.finish_and_clear();
    // The first node is served over HTTP until this function ends. Metrics would be those of all nodes together.
    let http = match (listening, nodes.first()) {
        (Some(listening), Some(node)) => Some(Http::start(listening, &http, node, None, None).await?),
        _ => None,
    };
    let network = Network::of(&nodes, args.wire, http.as_ref().map(Http::started));
    let text = if args.json { output::json(&network) + "\n" } else { network.text(program) };
    let mut stopped: FuturesUnordered<_> = nodes.iter().map(Node::stopped).collect();
    // A pipe that is not read holds up neither a signal nor the report of a node that has failed.
    let failed = async {
        tokio::select! {
            Err(failure) = output::print(text) => failure,
            Some(reason) = stopped.next() => reason.into(),
        }
    };
    let ended = tokio::select! {
        biased;
        _ = signals.next() => Ok(()),
        failure = failed => Err(failure),
    };
    drop(stopped);
    // A second signal, or one that takes too long, ends the process with the nodes.
    tokio::select! {
        biased;
        number = signals.next() => Err(Failure::new(Exit::signal(number), "ended before all nodes had stopped")),
        _ = tokio::time::timeout(STOP_WITHIN, join_all(nodes.iter().map(Node::stop))) => ended,
    }
}

/// Where the first node listens, and serves HTTP. Names are resolved for that.
async fn addresses(args: &TestnetArgs) -> Result<(SocketAddr, HttpSettings, Option<Listening>), Failure> {
    let first = data_dir::address(&args.listen).await?;
    let http = http_settings(args).await?;
    let listening = listen(&http).await?;
    Ok((first, http, listening))
}

/// Where the first node is to serve HTTP.
async fn http_settings(args: &TestnetArgs) -> Result<HttpSettings, Failure> {
    let listen = match &args.http {
        Some(addr) => HttpListen::At(addr.clone()),
        None if args.no_http => HttpListen::Off,
        None => HttpListen::Default,
    };
    if let HttpListen::At(addr) = &listen
        && !data_dir::address(addr).await?.ip().to_canonical().is_loopback()
    {
        let text = format!(
            "--http {addr} is reached from other machines: a network for trying has its dashboard at a loopback address"
        );
        return Err(Failure::new(Exit::USAGE, text));
    }
    Ok(HttpSettings { listen, token_file: None, hosts: Vec::new(), origins: Vec::new() })
}

/// Binds the port for HTTP: any free one, where none was asked for and the default is taken.
async fn listen(settings: &HttpSettings) -> Result<Option<Listening>, Failure> {
    let listening = http::listen(settings).await?;
    if listening.is_some() || settings.listen != HttpListen::Default {
        return Ok(listening);
    }
    let any = "127.0.0.1:0".parse().expect("it is an address");
    http::listen(&HttpSettings { listen: HttpListen::At(any), ..settings.clone() }).await
}

/// Starts as many nodes as `progress` is long, on one thread of their own. The first listens at `first`, and the others join
/// through it.
async fn on_a_thread(
    first: SocketAddr,
    wire: Codec,
    config: Config,
    progress: ProgressBar,
) -> Result<Vec<Node>, Failure> {
    let (ready, started) = oneshot::channel();
    let body = move || {
        actix::System::new().block_on(async move {
            let _ = ready.send(start(first, wire, config, &progress).await);
            // The nodes live for as long as the process.
            std::future::pending::<()>().await;
        });
    };
    let cannot = Failure::of(Exit::SYSTEM, "cannot start a thread (ulimit -u, or ulimit -v for its stack)");
    thread::Builder::new().name("kad-testnet".to_owned()).spawn(body).map_err(cannot)?;
    let started = started.await.map_err(|_| Failure::new(Exit::INTERNAL, "the thread of the nodes panicked"))?;
    started.map_err(data_dir::cannot_start)
}

async fn start(first: SocketAddr, wire: Codec, config: Config, progress: &ProgressBar) -> Result<Vec<Node>, Error> {
    // All of them stop at once: there is no other node to take what they hold.
    let mut config = config;
    config.values.handoff_time = Duration::ZERO;
    let mut nodes: Vec<Node> = Vec::new();
    // One after another: a join is some 200 queries, all of them work for the processor. Several at a time, on one thread or on
    // more, took longer, since each then finds fewer of the others and has its queries answered later.
    for number in 0..progress.length().unwrap_or(0) {
        let addr = if number == 0 { first } else { SocketAddr::new(first.ip(), 0) };
        let contact = nodes.first().map(|node| super::watchdog::reach(node.local_addr()));
        let builder = Node::builder().bind(addr).codec(wire).config(config.clone()).bootstrap(contact);
        nodes.push(builder.require_bootstrap(number > 0).start_local().await?);
        progress.inc(1);
    }
    Ok(nodes)
}

/// The network that has started, as JSON. Fields may be added.
#[derive(Serialize)]
struct Network {
    wire: Codec,
    /// The first node over HTTP.
    http: Option<String>,
    http_token: Option<String>,
    /// Its dashboard, with a one-time code.
    dashboard: Option<String>,
    nodes: Vec<NodeJson>,
}

/// A node of it.
#[derive(Serialize)]
struct NodeJson {
    node_id: NodeId,
    address: SocketAddr,
}

impl Network {
    fn of(nodes: &[Node], wire: Codec, http: Option<HttpStarted>) -> Self {
        Self {
            wire,
            http: http.as_ref().map(|http| http.url.clone()),
            http_token: http.as_ref().map(|http| http.token.reveal().to_owned()),
            dashboard: http.map(|http| http.page),
            nodes: nodes.iter().map(|node| NodeJson { node_id: node.id(), address: node.local_addr() }).collect(),
        }
    }

    fn text(&self, program: &str) -> String {
        let Self { wire, http, dashboard, nodes, .. } = self;
        let lines: String = nodes.iter().map(|node| format!("  {}  {}\n", node.node_id, node.address)).collect();
        let reach = |node: &NodeJson| super::watchdog::reach(node.address).to_string();
        let (Some(first), Some(last)) = (nodes.first().map(reach), nodes.last().map(reach)) else { return lines };
        let wire_option = if *wire == Codec::default() { String::new() } else { format!(" --wire {wire}") };
        let client =
            if first == DEFAULT_ADDR { wire_option.clone() } else { format!(" --bootstrap {first}{wire_option}") };
        let count = super::wording::nodes(nodes.len());
        let page = dashboard.as_ref().map(|page| format!("Dashboard of the first node: {page}\n")).unwrap_or_default();
        let own = format!("http://{DEFAULT_HTTP}/");
        let status = match http {
            None => String::new(),
            Some(url) if *url == own => format!("{program} status\n  "),
            Some(url) => format!("{program} status --node {url}\n  "),
        };
        format!(
            "A network of {count} on this machine ({wire} wire), in memory only:\n\n{lines}\n{page}\
             Try from another terminal:\n  {status}\
               {program} set greeting \"hello\"{client}\n  \
               {program} get greeting --bootstrap {last}{wire_option}\n  \
               {program} crawl{client}\n  \
               {program} node --listen 127.0.0.1:0 --bootstrap {first}{wire_option}\n\
             Ctrl-C stops it.\n"
        )
    }
}
