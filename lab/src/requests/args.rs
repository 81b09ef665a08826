//! The options of `kad-lab requests`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use kademlia_dynamic::Codec;

/// The most requests of a row: with those of the warm-up, and those at half the rate, each `set` still has a key of its own, within the
/// 100,000 values that a node holds.
pub(super) const MAX_REQUESTS: u64 = 50_000;
/// The most rounds.
const MAX_ROUNDS: u64 = 1_000;

pub(crate) const REQUESTS_EXAMPLES: &str = "\
Examples:
  kad-lab requests --kad target/release/kad
                                        # CPU per request of a node, beside a plain UDP echo
  kad-lab requests --kad old/kad --kad new/kad --wire msgpack
                                        # two builds, in turn, on another wire
  kad-lab requests --at 127.0.0.1:8000  # requests a second of a node that runs already

In each round every binary is started as `kad node --ephemeral --listen 127.0.0.1:0 --json --wire …`, with addresses to be \
verified and rates to be limited everywhere, but by limits that are not reached; and the echo as `kad-lab echo`. Before the first row a node gets 32 peers into its table, which run in this process. Then the rows follow; \
in each the processes are measured one after the other. They run on one processor and this program on another (Linux). 64 requests are in flight, from 4 sockets, under the node's own id, \
so that they enter no table. They name version 2 of the protocol and show the token that the node gave. The echo receives and sends datagrams of the lengths that the first node did. CPU is user and system time of the \
whole process, from /proc (Linux), after a warm-up of a tenth of the requests. Then 20 % as many requests are sent evenly, at half of the rate that the process has just reached, and the time is shown within \
which 99 % of the answers came. Figures are the medians over the rounds.";

#[derive(Debug, Args)]
pub(crate) struct RequestsArgs {
    /// A `kad` binary to measure; give it again for more
    #[arg(long, value_name = "PATH", required_unless_present = "at")]
    pub(crate) kad: Vec<PathBuf>,
    /// Measure the node at this loopback address instead, without CPU. It keeps what is written to it, and 32 peers that end
    #[arg(long, value_name = "ADDR", conflicts_with = "kad", value_parser = loopback)]
    pub(crate) at: Option<SocketAddr>,
    /// The wire: json, bencode or msgpack
    #[arg(long, alias = "codec", value_name = "WIRE", default_value_t)]
    pub(crate) wire: Codec,
    /// How many times each row is measured
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u64).range(1..=MAX_ROUNDS))]
    pub(crate) rounds: u64,
    /// Requests of each row and round
    #[arg(long, value_name = "N", default_value = "50000", value_parser = clap::value_parser!(u64).range(1..=MAX_REQUESTS))]
    pub(crate) requests: u64,
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(addr) if addr.ip().is_loopback() && addr.port() != 0 => Ok(addr),
        _ => {
            Err("a loopback address and a port are needed, as 127.0.0.1:8000: elsewhere a node limits rates".to_owned())
        }
    }
}
