//! The arguments of `kad check`.

use std::time::Duration;

use clap::Args;

use super::values::{WIRES, one_of, timeout};
use crate::cli::contact::Contact;
use crate::protocol::codec::Codec;

#[derive(Debug, Args)]
pub(in crate::cli) struct CheckArgs {
    /// The key
    pub(in crate::cli) key: String,
    /// A vantage point: a node through which the key is looked up; several may follow, or the option may be repeated
    #[arg(long, value_name = "HOST:PORT", required = true, num_args = 1..)]
    pub(in crate::cli) via: Vec<Contact>,
    /// How messages are encoded: the same as the network's nodes
    #[arg(long, value_name = "WIRE", default_value = Codec::default().name(), value_parser = one_of::<Codec>(WIRES))]
    pub(in crate::cli) wire: Codec,
    /// How long all vantage points together may take, in seconds or with a unit, such as 500ms or 2m; 0.1 to 3600 seconds
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = timeout)]
    pub(in crate::cli) timeout: Duration,
    /// Print one JSON object: it has digests and no values, so that it may be shared
    #[arg(long)]
    pub(in crate::cli) json: bool,
}
