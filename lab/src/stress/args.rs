//! The options of `kad-lab stress`.

use std::path::PathBuf;

use clap::Args;
use clap::value_parser;

pub(crate) const STRESS_EXAMPLES: &str = "\
Examples:
  kad-lab stress --kad target/release/kad
  kad-lab stress --kad target/release/kad --slow-clients 2000 --flood 20000 --rounds 5

A `kad node` with a gateway is started, and a node in this process, which joins it, reads keys from it one after the other: 200 \
reads a second, each asks the network. What else is at the node comes from a thread of its own: nothing; slow HTTP clients, of \
which a third each sends the head of its request, or reads its answer, at a byte a second, or reads nothing, and which connect \
anew when they are ended; watched keys, on one connection; a flood of datagrams, half of them pings and half of them no \
messages; and all of that at once. The times are those of all reads of a row, over all rounds. CPU and memory are those of the \
node's process, from /proc (Linux): memory at the end of a row, and the most within it.";

#[derive(Debug, Clone, Args)]
pub(crate) struct StressArgs {
    /// The `kad` binary to measure
    #[arg(long, value_name = "PATH")]
    pub(crate) kad: PathBuf,
    /// Slow HTTP clients. Each takes a file descriptor: see `ulimit -n`
    #[arg(long, value_name = "N", default_value = "1000", value_parser = value_parser!(u64).range(1..=50_000))]
    pub(crate) slow_clients: u64,
    /// Watched keys, at most 10,000
    #[arg(long, value_name = "N", default_value = "10000", value_parser = value_parser!(u64).range(1..=10_000))]
    pub(crate) watched: u64,
    /// Datagrams a second
    #[arg(long, value_name = "N", default_value = "10000", value_parser = value_parser!(u64).range(1..=1_000_000))]
    pub(crate) flood: u64,
    /// Seconds of each row
    #[arg(long, value_name = "S", default_value = "10", value_parser = value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: u64,
    /// How many times each row is measured, one after the other
    #[arg(long, value_name = "N", default_value = "3", value_parser = value_parser!(u64).range(1..=1_000))]
    pub(crate) rounds: u64,
}
