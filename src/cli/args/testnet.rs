//! The arguments of `kad testnet`.

use clap::Args;

use super::values::{DEFAULT_ADDR, WIRES, one_of, setting};
use crate::cli::contact::ListenAddr;
use crate::protocol::codec::Codec;

#[derive(Debug, Args)]
pub(in crate::cli) struct TestnetArgs {
    /// How many nodes, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(in crate::cli) nodes: u32,
    /// Where the first node listens; the others listen at the same host, at any free ports
    #[arg(long, value_name = "ADDR:PORT", default_value = DEFAULT_ADDR)]
    pub(in crate::cli) listen: ListenAddr,
    /// How messages are encoded
    #[arg(long, value_name = "WIRE", default_value = Codec::default().name(), value_parser = one_of::<Codec>(WIRES))]
    pub(in crate::cli) wire: Codec,
    /// Where the first node serves HTTP with its dashboard: a loopback address; port 0 is any free one [default:
    /// 127.0.0.1:8420, or any free port if that is taken]
    #[arg(long, value_name = "ADDR:PORT", conflicts_with = "no_http")]
    pub(in crate::cli) http: Option<ListenAddr>,
    /// Serve no HTTP
    #[arg(long)]
    pub(in crate::cli) no_http: bool,
    /// A setting of all nodes, such as `--set key_expiry=60s`; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub(in crate::cli) set: Vec<(String, String)>,
    /// Print one line of JSON once all nodes have joined
    #[arg(long)]
    pub(in crate::cli) json: bool,
}
