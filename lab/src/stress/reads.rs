//! Reads from the node that is measured, by a node of this process, which is on a thread of its own.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kademlia_dynamic::actors::outcome::{Error, GetResult};
use kademlia_dynamic::actors::requests::GetOptions;
use kademlia_dynamic::{Node, NodeId};
use tokio::time::{MissedTickBehavior, interval};

use crate::failure::{Exit, Failure};

/// Keys that the node holds.
const KEYS: usize = 1_000;
/// Bytes of a value.
const VALUE_LEN: usize = 200;
/// How often a key is read.
const EVERY: Duration = Duration::from_millis(5);

/// Reads keys of one node.
pub(super) struct Reader {
    node: Node,
    from: NodeId,
}

/// The reads of a row.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// How long each took that found its value.
    pub(super) times: Vec<Duration>,
    /// Those that did not.
    pub(super) failed: usize,
}

impl Reader {
    /// A node that has joined the one at `addr`, which holds what is to be read.
    pub(super) async fn start(addr: SocketAddr) -> Result<Self, Failure> {
        let failed = |error: Error| Failure::new(Exit::Internal, format!("the reading node failed: {error}"));
        let node = Node::builder().bootstrap([addr]).start().await;
        let node = node.map_err(|error| Failure::new(Exit::System, format!("cannot start a node: {error}")))?;
        node.joined().await.map_err(failed)?;
        let from = node.ping(addr).await.map_err(failed)?.peer.id;
        for number in 0..KEYS {
            let set = node.set(key(number), "v".repeat(VALUE_LEN)).await.map_err(failed)?;
            if set.stored != 1 {
                return Err(Failure::new(Exit::Internal, format!("the node does not hold what it was sent: {set:?}")));
            }
        }
        Ok(Self { node, from })
    }

    /// The node that is read from.
    pub(super) fn read_from(&self) -> NodeId {
        self.from
    }

    /// Reads for so long.
    pub(super) async fn read(&self, long: Duration) -> Reads {
        let (begun, mut reads, mut ticks) = (Instant::now(), Reads::default(), interval(EVERY));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in 0.. {
            ticks.tick().await;
            let asked = Instant::now();
            if asked - begun >= long {
                break;
            }
            let outcome = self.node.get_with(key(number % KEYS), GetOptions::default().fresh(true)).await;
            match outcome.map(|outcome| outcome.result) {
                Ok(GetResult::Found { holder: Some(_), .. }) => reads.times.push(asked.elapsed()),
                _ => reads.failed += 1,
            }
        }
        reads
    }

    /// Ends the node.
    pub(super) async fn end(self) {
        self.node.stop().await;
    }
}

/// Long, so that a list of them is what a slow client does not take at once.
fn key(number: usize) -> String {
    format!("{number:0>200}")
}
