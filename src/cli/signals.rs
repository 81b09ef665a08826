//! The signals that stop a node: Ctrl-C and, on Unix, SIGTERM. The first stops it cleanly, a second ends the process.

use std::time::Duration;

use super::failure::{Exit, Failure};
use crate::actors::node::Node;

const SIGINT: u8 = 2;
#[cfg(unix)]
const SIGTERM: u8 = 15;
/// How long a node may take to stop. It needs a good two seconds at most, unless its disk hangs.
const STOP_WITHIN: Duration = Duration::from_millis(2_800);

/// The signals of this process, from the moment it was made: none of them ends the process by itself any more.
pub(super) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    pub(super) fn listen() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).map_err(cannot_listen);
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    #[cfg(not(unix))]
    pub(super) fn listen() -> Result<Self, Failure> {
        Ok(Self {})
    }

    /// The number of the next signal.
    #[cfg(unix)]
    pub(super) async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => SIGINT,
            _ = self.terminate.recv() => SIGTERM,
        }
    }

    /// The number of the next signal.
    #[cfg(not(unix))]
    pub(super) async fn next(&mut self) -> u8 {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "cannot listen for Ctrl-C");
            std::future::pending::<()>().await;
        }
        SIGINT
    }

    /// Stops `node` after a first signal, unless a second one comes before it is done. It is cut short rather than late.
    pub(super) async fn stop(mut self, node: &Node) -> Result<(), Failure> {
        let stopped = tokio::select! {
            biased;
            number = self.next() => return Err(Failure::new(Exit::Signal(number), "ended before the node had stopped")),
            stopped = stop_in_time(node) => stopped,
        };
        if !stopped {
            eprintln!(
                "kad: the node was cut short after {STOP_WITHIN:?}: it had not handed over, or its disk not taken, all that it held"
            );
        }
        Ok(())
    }
}

/// Stops `node`; `false` if it needs longer than it may.
async fn stop_in_time(node: &Node) -> bool {
    tokio::time::timeout(STOP_WITHIN, node.stop()).await.is_ok()
}

#[cfg(unix)]
fn cannot_listen(error: std::io::Error) -> Failure {
    Failure::new(Exit::System, format!("cannot listen for signals: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::codec::Codec;
    use crate::protocol::config::Config;
    use crate::protocol::message::Request;
    use crate::sim::{MemoryNetwork, Reply, ScriptedPeers, in_virtual_time};
    use tokio::time::Instant;

    #[test]
    fn a_stop_that_would_take_a_minute_is_cut_short() {
        in_virtual_time(async {
            let network = MemoryNetwork::new(7);
            let peers = ScriptedPeers::new(&network, Codec::Json).with(3);
            // So slow that each value takes seconds to hand over, and always so slow, so that their answers are waited for.
            peers.on(|_| Reply::Usual.after(Duration::from_millis(1_500)));
            let config = Config::builder().hand_off_time(Duration::from_secs(60)).build().unwrap();
            let node = Node::builder().config(config).seed(1).bootstrap([peers.addr(0)]);
            let node = node.start_local_over(network.endpoint()).await.unwrap();
            for n in 0..500 {
                let value = std::sync::Arc::new("v".into());
                let set = Request::Set { key: n.to_string().into(), value, ttl: None, age: None };
                peers.ask(0, node.local_addr(), set).await.unwrap();
            }
            let begun = Instant::now();
            assert!(!stop_in_time(&node).await);
            assert!((2_800..3_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
            assert!(
                tokio::time::timeout(Duration::from_secs(5), node.stopped()).await.is_err(),
                "it would have gone on"
            );
        });
    }
}
