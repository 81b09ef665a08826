//! `kad crawl`: finds the nodes of a network, and prints them with an estimate of how many there are.

use std::future::poll_fn;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use serde::Serialize;

use super::args::crawl::CrawlArgs;
use super::client::{bind_for, silence};
use super::failure::{Exit, Failure};
use super::signals::Signals;
use super::wording::{columns, human, list, nodes};
use super::{output, progress, stderr};
use crate::actors::clock::SystemEntropy;
use crate::actors::outcome::Error;
use crate::actors::socket::transport::{Datagram, Sent, Transport};
use crate::actors::socket::udp::UdpTransport;
use crate::protocol::codec::Codec;
use crate::protocol::crawl::{Answered, Crawl, CrawlAnswer, CrawlLimits, CrawlQuery, CrawlStep, Estimate};
use crate::protocol::id::NodeId;
use crate::protocol::message::{Body, Message, PROTOCOL_VERSION, QueryId, Request, Response, Sender, Token};
use crate::protocol::peer::canonical;

/// Datagrams that are read at once.
const BATCH: usize = 64;

pub(super) async fn run(args: CrawlArgs, quiet: bool) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let CrawlArgs { bootstrap, wire, rate, max_nodes, timeout, json } = args;
    let limits = CrawlLimits { rate, max_nodes: max_nodes as usize };
    let template = "{bar:30} {pos} of {len} nodes asked, {msg} answered, {elapsed}";
    let progress = progress::bar(template, 0, quiet).with_message("0");
    let begun = Instant::now();
    let mut crawler = Crawler { transport: bind(bind_for(&bootstrap))?, wire, crawl: Crawl::new(limits), progress };
    let stopped_by = tokio::select! {
        biased;
        _ = signals.next() => Some("signal"),
        () = tokio::time::sleep(timeout) => Some("timeout"),
        done = crawler.work(&bootstrap) => done.map(|()| None)?,
    };
    crawler.progress.finish_and_clear();
    let report = Report::new(&crawler.crawl, begun.elapsed(), stopped_by);
    if report.summary.answered == 0 {
        return Err(silence(&list(&bootstrap), wire));
    }
    // A pipe that is not read must not outlive a second Ctrl-C.
    tokio::select! {
        biased;
        number = signals.next() => Err(Failure::new(Exit::signal(number), "ended before all was printed")),
        printed = output::print(if json { report.json() } else { report.text() }) => printed,
    }
}

/// Where the crawl listens; over IPv4 alone where the system has no IPv6.
fn bind(addr: SocketAddr) -> Result<UdpTransport, Failure> {
    let bound = match UdpTransport::bind(addr) {
        Err(_) if addr.ip() == Ipv6Addr::UNSPECIFIED => UdpTransport::bind(([0; 4], 0).into()),
        bound => bound,
    };
    bound.map_err(|source| Error::Bind { addr, source }.into())
}

/// A crawl over a socket.
struct Crawler {
    transport: UdpTransport,
    wire: Codec,
    crawl: Crawl,
    progress: ProgressBar,
}

impl Crawler {
    /// Asks all nodes that can be found through `contacts`.
    async fn work(&mut self, contacts: &[impl ToString]) -> Result<(), Failure> {
        for contact in contacts.iter().map(ToString::to_string) {
            match tokio::net::lookup_host(&contact).await {
                Ok(found) => found
                    .filter(|addr| self.transport.speaks_family_of(addr))
                    .for_each(|addr| self.crawl.contact(canonical(addr))),
                Err(error) => stderr::note(format_args!("{contact}: {error}")),
            }
        }
        let mut entropy = SystemEntropy::default();
        loop {
            match self.crawl.poll(Instant::now(), &mut entropy) {
                CrawlStep::Done => return Ok(()),
                CrawlStep::Send(query) => self.ask(query).await,
                CrawlStep::Wait(until) => {
                    let mut batch = Vec::new();
                    let receive = poll_fn(|cx| self.transport.poll_receive(cx, &mut batch, BATCH));
                    // What does not come in time is noticed by the next step.
                    if let Ok(Err(_)) = tokio::time::timeout_at(until.into(), receive).await {
                        // An earlier datagram was refused by its receiver: there is nothing to read, and more may come.
                        tokio::task::yield_now().await;
                    }
                    self.take(batch).await;
                }
            }
            self.show();
        }
    }

    fn show(&self) {
        let counts = self.crawl.counts();
        self.progress.set_length(self.crawl.known() as u64);
        self.progress.set_position((counts.answered + counts.silent) as u64);
        self.progress.set_message(counts.answered.to_string());
    }

    async fn ask(&self, CrawlQuery { to, id, asked, target, token }: CrawlQuery) {
        self.send(to, id, asked, token, Body::Request(Request::FindNode { target })).await;
    }

    /// Sends a message, under no id of its own: so it enters no routing table. One that cannot be sent is as one that is lost.
    async fn send(&self, to: SocketAddr, id: QueryId, claim: Option<NodeId>, token: Option<Token>, body: Body) {
        let sender = Sender::new(claim, self.transport.local_addr());
        let message = Message { id, sender, version: Some(PROTOCOL_VERSION), token, body };
        if let Ok(payload) = self.wire.encode(&message) {
            let mut batch = [Datagram::new(to, payload)].into();
            poll_fn(|cx| self.transport.poll_send(cx, &mut batch, &mut Sent::default())).await;
        }
    }

    /// Takes what has come.
    async fn take(&mut self, batch: Vec<Datagram>) {
        for Datagram { addr: from, payload, .. } in batch {
            let Ok(Message { id, sender, version, token, body }) = self.wire.decode(&payload) else { continue };
            match body {
                // So that it sends whole answers: an address proves itself by a pong. Others are not answered.
                Body::Request(Request::Ping) if self.crawl.knows(&from) => {
                    self.send(from, id, None, None, Body::Response(Response::Pong)).await;
                }
                Body::Response(Response::FindNode { peers }) => {
                    let answer = CrawlAnswer { from, id, sender: sender.id, version, token, peers: &peers };
                    let transport = &self.transport;
                    if self.crawl.answer(answer, Instant::now(), |addr| transport.speaks_family_of(addr)) {
                        tracing::debug!(%from, peers = peers.len(), "answered");
                    }
                }
                _ => {}
            }
        }
    }
}

/// What a crawl has found.
struct Report {
    answers: Vec<Answered>,
    estimate: Option<Estimate>,
    summary: Summary,
}

/// A node, as JSON. Fields may be added.
#[derive(Serialize)]
struct NodeJson {
    r#type: &'static str,
    node_id: NodeId,
    address: SocketAddr,
    /// Null: a legacy node.
    version: Option<u32>,
    legacy: bool,
    /// Null where it is not known.
    rtt_ms: Option<f64>,
}

/// The whole, as JSON. Fields may be added.
#[derive(Debug, Clone, Serialize)]
struct Summary {
    r#type: &'static str,
    answered: usize,
    legacy: usize,
    silent: usize,
    /// Nodes that were named and not asked before the end.
    left: usize,
    /// How often a node was named beyond a limit.
    beyond: u64,
    queries: u64,
    seconds: f64,
    /// `signal` or `timeout`; null where all were asked.
    stopped_by: Option<&'static str>,
    /// The estimated number of nodes that would answer.
    estimated_nodes: Option<u64>,
    /// By how much it may be wrong, in 95 of 100 networks.
    estimate_error: Option<u64>,
}

impl Report {
    fn new(crawl: &Crawl, took: Duration, stopped_by: Option<&'static str>) -> Self {
        let (answers, counts, estimate) = (crawl.answers(), crawl.counts(), crawl.estimate());
        let summary = Summary {
            r#type: "summary",
            answered: counts.answered,
            legacy: answers.iter().filter(|answered| answered.version.is_none()).count(),
            silent: counts.silent,
            left: crawl.known() - counts.answered - counts.silent,
            beyond: counts.beyond,
            queries: counts.queries,
            seconds: (took.as_secs_f64() * 1e3).round() / 1e3,
            stopped_by,
            estimated_nodes: estimate.map(|estimate| estimate.nodes.round() as u64),
            estimate_error: estimate.map(|estimate| estimate.error.ceil() as u64),
        };
        Self { answers, estimate, summary }
    }

    fn json(&self) -> String {
        let node = |answered: &Answered| {
            let Answered { peer, version, rtt } = *answered;
            let rtt_ms = rtt.map(|rtt| (rtt.as_secs_f64() * 1e6).round() / 1e3);
            let (node_id, address, legacy) = (peer.id, peer.addr, version.is_none());
            output::json(&NodeJson { r#type: "node", node_id, address, version, legacy, rtt_ms }) + "\n"
        };
        let nodes: String = self.answers.iter().map(node).collect();
        nodes + &output::json(&self.summary) + "\n"
    }

    fn text(&self) -> String {
        let mut rows = vec![["ID", "ADDRESS", "VERSION", "ROUND TRIP"].map(str::to_owned)];
        rows.extend(self.answers.iter().map(|Answered { peer, version, rtt }| {
            let version = version.map_or_else(|| "legacy".to_owned(), |version| version.to_string());
            let rtt = rtt.map_or_else(|| "unknown".to_owned(), |rtt| format!("{:.1} ms", rtt.as_secs_f64() * 1e3));
            [peer.id.to_string(), peer.addr.to_string(), version, rtt]
        }));
        let Summary { answered, legacy, silent, left, beyond, queries, .. } = self.summary;
        let end = match self.summary.stopped_by {
            None => "All nodes that any of them named were asked.".to_owned(),
            Some("timeout") => format!("The time was up (--timeout) before {} could be asked.", nodes(left)),
            Some(_) => format!("Stopped before {} could be asked.", nodes(left)),
        };
        let took = human(Duration::from_secs_f64(self.summary.seconds));
        let mut text = columns(&rows).concat();
        text += &format!(
            "\n{} answered ({legacy} legacy), {silent} did not; {queries} queries in {took}. {end}\n",
            nodes(answered)
        );
        if beyond > 0 {
            let line = format!(
                "Others were named {beyond} times and not asked: beyond --max-nodes, or too many at one host.\n"
            );
            text += &line;
        }
        text + &match self.estimate {
            Some(Estimate { nodes, error }) => {
                format!("Estimated size, from the distances between ids: {nodes:.0} ± {error:.0} nodes.\n")
            }
            None => "Too few to estimate the size of the network.\n".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::peer::Peer;

    fn report(stopped_by: Option<&'static str>) -> Report {
        let peer = |number| Peer::new(NodeId::from_bytes([number; 20]), ([192, 0, 2, number], 8_000).into());
        let answered = |number, version, rtt| Answered { peer: peer(number), version, rtt };
        let answers = vec![answered(1, Some(2), Some(Duration::from_micros(12_345))), answered(2, None, None)];
        let mut report =
            Report::new(&Crawl::new(CrawlLimits { rate: 1, max_nodes: 1 }), Duration::from_secs(90), stopped_by);
        (report.summary.answered, report.summary.legacy, report.summary.left) = (2, 1, 5);
        (report.answers, report.estimate) = (answers, Some(Estimate { nodes: 19.6, error: 4.2 }));
        report
    }

    #[test]
    fn a_table_has_each_node_and_what_is_known_of_the_whole() {
        let text = report(None).text();
        assert!(text.contains(&format!("{}  192.0.2.1:8000  2        12.3 ms\n", "01".repeat(20))), "{text}");
        assert!(text.contains(&format!("{}  192.0.2.2:8000  legacy   unknown\n", "02".repeat(20))), "{text}");
        assert!(text.contains("\n2 nodes answered (1 legacy), 0 did not; 0 queries in 1 min. All nodes"), "{text}");
        assert!(text.ends_with("Estimated size, from the distances between ids: 20 ± 4 nodes.\n"), "{text}");
        assert!(report(Some("signal")).text().contains("Stopped before 5 nodes could be asked.\n"));
        assert!(report(Some("timeout")).text().contains("(--timeout) before 5 nodes could be asked.\n"));
    }

    #[test]
    fn json_is_a_line_for_each_node_and_one_for_the_whole() {
        let json = report(Some("signal")).json();
        let lines: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), &lines[0]["type"], &lines[2]["type"]), (3, &"node".into(), &"summary".into()));
        assert_eq!((&lines[0]["rtt_ms"], &lines[0]["legacy"]), (&12.345.into(), &false.into()));
        assert_eq!((&lines[1]["version"], &lines[1]["legacy"]), (&serde_json::Value::Null, &true.into()));
        assert_eq!((&lines[2]["stopped_by"], &lines[2]["left"]), (&"signal".into(), &5.into()));
    }
}
