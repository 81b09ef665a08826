//! What is measured: a node made ready, or the echo beside it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use kademlia_dynamic::Codec;

use super::echo;
use super::load::{Load, Traffic, cannot};
use super::pace::{self, pace};
use super::peers::FakePeers;
use super::rows::{Client, HELD, Row};
use crate::failure::{Exit, Failure};
use crate::process::Process;

/// Sockets over which a window of requests is in flight.
const SOCKETS: usize = 4;
/// Peers that a node names once its table is filled.
const TABLE: usize = 20;
/// How many times the peers introduce themselves, and the pause after each.
const INTRODUCTIONS: usize = 50;
const PAUSE: Duration = Duration::from_millis(100);
/// Of how many requests one is sent before the clock starts.
const WARM_UP: u64 = 10;
/// How many requests are sent at half the rate, in tenths of those at the full one: within so short a time most machines are not
/// busy with something else.
const PACED: u64 = 2;

/// The lengths in bytes of the datagrams of a row: of a request, and of its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lengths {
    pub(super) request: usize,
    pub(super) answer: usize,
}

/// One measurement of one row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// Requests a second.
    pub(super) rate: f64,
    /// Microseconds of CPU for each request, if the process is one of ours.
    pub(super) cpu: Option<f64>,
    /// Requests that were not answered.
    pub(super) lost: usize,
    /// Microseconds within which 99 % of the answers came, at half of that rate.
    pub(super) p99: Option<f64>,
}

/// A node or an echo, ready to be measured.
pub(super) struct Target {
    load: Load,
    /// For requests at an even rate.
    paced: Load,
    process: Option<Process>,
    kind: Kind,
}

enum Kind {
    Node { client: Client, _peers: FakePeers },
    Echo { lengths: Vec<Lengths> },
}

impl Target {
    /// A fresh node of this binary.
    pub(super) async fn node(binary: &Path, codec: Codec) -> Result<Self, Failure> {
        let process = Process::node(binary, codec).await?;
        let ready = Self::at(process.addr, codec).await?;
        Ok(Self { process: Some(process), ..ready })
    }

    /// The node at this address, with a full table, and with the keys that are asked for.
    pub(super) async fn at(addr: SocketAddr, codec: Codec) -> Result<Self, Failure> {
        let (load, paced) = connect(addr).await?;
        let mut client = Client::new(codec);
        for socket in load.sockets().iter().chain(paced.sockets()) {
            let pong = load.ask_from(socket, &Rows { client: client.clone(), row: Row::Ping }, 0).await?;
            client.learn(socket.local_addr().map_err(|error| cannot(addr, &error))?, &pong);
        }
        let peers = fill(&load, &client, (codec, addr)).await?;
        load.run(&Held(client.clone()), 0, HELD).await?;
        Ok(Self { load, paced, process: None, kind: Kind::Node { client, _peers: peers } })
    }

    /// A fresh echo of datagrams of these lengths, by row.
    pub(super) async fn echo(lengths: Vec<Lengths>) -> Result<Self, Failure> {
        let process = Process::echo().await?;
        let (load, paced) = connect(process.addr).await?;
        Ok(Self { load, paced, process: Some(process), kind: Kind::Echo { lengths } })
    }

    /// The lengths of each row's datagrams at this node.
    pub(super) async fn lengths(&self) -> Result<Vec<Lengths>, Failure> {
        let client = match &self.kind {
            Kind::Node { client, .. } => client,
            Kind::Echo { lengths } => return Ok(lengths.clone()),
        };
        let mut lengths = Vec::new();
        for row in Row::ALL {
            let rows = Rows { client: client.clone(), row };
            let answer = self.load.ask(&rows, 0).await?.len();
            let request = rows.request(0, self.load.addr()?).len();
            lengths.push(Lengths { request, answer });
        }
        Ok(lengths)
    }

    /// Measures row number `at`.
    pub(super) async fn measure(&self, at: usize, requests: u64) -> Result<Sample, Failure> {
        match &self.kind {
            Kind::Node { client, .. } => self.run(&Rows { client: client.clone(), row: Row::ALL[at] }, requests).await,
            Kind::Echo { lengths } => self.run(&lengths[at], requests).await,
        }
    }

    async fn run(&self, traffic: &impl Traffic, requests: u64) -> Result<Sample, Failure> {
        let warm_up = requests / WARM_UP;
        self.load.run(traffic, 0, warm_up).await?;
        let before = self.process.as_ref().map(Process::cpu).transpose()?;
        let run = self.load.run(traffic, warm_up, requests).await?;
        let after = self.process.as_ref().map(Process::cpu).transpose()?;
        let used = before.zip(after).map(|(before, after)| after.saturating_sub(before));
        let rate = requests as f64 / run.elapsed.as_secs_f64();
        let cpu = used.map(|used| used.as_secs_f64() * 1e6 / requests as f64);
        let paced = requests * PACED / 10;
        let mut took = pace(&self.paced, traffic, warm_up + requests, paced, rate / 2.0).await?;
        let lost = run.lost + (paced as usize).saturating_sub(took.len());
        took.sort_unstable();
        let p99 = took.get(took.len() * 99 / 100).map(|took| took.as_secs_f64() * 1e6);
        Ok(Sample { rate, cpu, lost, p99 })
    }
}

/// Sockets for a window of requests, and others for requests at an even rate.
async fn connect(to: SocketAddr) -> Result<(Load, Load), Failure> {
    Ok((Load::connect(to, SOCKETS).await?, Load::connect(to, pace::SOCKETS).await?))
}

/// Lets fake peers enter the node's table until it names as many as an answer holds.
async fn fill(load: &Load, client: &Client, (codec, addr): (Codec, SocketAddr)) -> Result<FakePeers, Failure> {
    let failed = |error| Failure::new(Exit::System, format!("cannot start peers for {addr}: {error}"));
    let peers = FakePeers::start(codec, addr).await.map_err(failed)?;
    let mut named = 0;
    for n in 0..INTRODUCTIONS {
        peers.introduce(addr).await.map_err(failed)?;
        tokio::time::sleep(PAUSE).await;
        named = client.peers_in(&load.ask(&Rows { client: client.clone(), row: Row::FindNode }, n as u64).await?);
        if named >= TABLE {
            return Ok(peers);
        }
    }
    Err(Failure::new(
        Exit::Internal,
        format!("the node at {addr} names {named} peers after all have called, not {TABLE}"),
    ))
}

/// The requests of a row, to a node.
struct Rows {
    client: Client,
    row: Row,
}

impl Traffic for Rows {
    fn request(&self, n: u64, from: SocketAddr) -> Vec<u8> {
        self.client.row(self.row, n, from)
    }

    fn is_answer(&self, datagram: &[u8]) -> bool {
        self.client.is_answer(self.row, datagram)
    }
}

/// The writes that let a node hold what hits are to find.
struct Held(Client);

impl Traffic for Held {
    fn request(&self, n: u64, from: SocketAddr) -> Vec<u8> {
        self.0.hold(n, from)
    }

    fn is_answer(&self, datagram: &[u8]) -> bool {
        self.0.is_answer(Row::Set, datagram)
    }
}

/// The requests of a row, to the echo.
impl Traffic for Lengths {
    fn request(&self, _n: u64, _from: SocketAddr) -> Vec<u8> {
        echo::request(self.request, self.answer)
    }

    fn is_answer(&self, datagram: &[u8]) -> bool {
        datagram.len() == self.answer
    }
}
