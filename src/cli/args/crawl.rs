//! The arguments of `kad crawl`.

use std::time::Duration;

use clap::Args;

use super::values::{DEFAULT_ADDR, WIRES, one_of, timeout};
use crate::cli::contact::Contact;
use crate::protocol::codec::Codec;

#[derive(Debug, Args)]
pub(in crate::cli) struct CrawlArgs {
    /// A node of the network, to begin at; may be repeated
    #[arg(long, value_name = "HOST:PORT", default_value = DEFAULT_ADDR)]
    pub(in crate::cli) bootstrap: Vec<Contact>,
    /// How messages are encoded: the same as the network's nodes
    #[arg(long, value_name = "WIRE", default_value = Codec::default().name(), value_parser = one_of::<Codec>(WIRES))]
    pub(in crate::cli) wire: Codec,
    /// Queries a second, 1 to 1000. Each node gets two or three
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(in crate::cli) rate: u32,
    /// Nodes that are asked at most, 1 to 1000000; each takes some 200 bytes of memory
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(in crate::cli) max_nodes: u32,
    /// How long the crawl may take, in seconds or with a unit, such as 500ms or 2m; 0.1 to 3600 seconds. What was
    /// found by then is printed
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = timeout)]
    pub(in crate::cli) timeout: Duration,
    /// Print JSON, one object per line: each node, then a summary
    #[arg(long)]
    pub(in crate::cli) json: bool,
}
