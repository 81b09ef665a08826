//! The arguments of the commands that ask a running node through its gateway.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::values::timeout;
use crate::cli::remote::url::NodeUrl;

/// Which node is asked, and how.
#[derive(Debug, Args)]
pub(in crate::cli) struct Remote {
    /// The node's HTTP address, as it prints it; KAD_HTTP names one too [default: http://127.0.0.1:8420]
    #[arg(long, value_name = "URL")]
    pub(in crate::cli) node: Option<NodeUrl>,
    /// The folder of the node: its address and its token are read there; KAD_NODE_DATA_DIR names one too
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) data_dir: Option<PathBuf>,
    /// A file with the token for --node [default: KAD_HTTP_TOKEN, or what the node at that address left in its folder]
    #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
    pub(in crate::cli) http_token_file: Option<PathBuf>,
    /// How long the node may take to answer, in seconds or with a unit, such as 500ms or 2m; 0.1 to 3600 seconds
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = timeout)]
    pub(in crate::cli) timeout: Duration,
    /// Print JSON, one object per line. Failures are reported on standard error as text
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct StatusArgs {
    #[command(flatten)]
    pub(in crate::cli) remote: Remote,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct PeersArgs {
    #[command(flatten)]
    pub(in crate::cli) remote: Remote,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ValuesArgs {
    /// List only keys that begin with this
    #[arg(default_value = "", hide_default_value = true)]
    pub(in crate::cli) prefix: String,
    #[command(flatten)]
    pub(in crate::cli) remote: Remote,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct EventsArgs {
    /// Kinds of events, such as `published`, or groups of them: `peers`, `values`, `lookups`, `restarts` [default: all]
    #[arg(value_name = "KIND")]
    pub(in crate::cli) kinds: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) remote: Remote,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct WatchArgs {
    /// The keys, at most 10000; - reads them from standard input, one a line
    #[arg(value_name = "KEY", required = true)]
    pub(in crate::cli) keys: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) remote: Remote,
}

/// Keys, which is all of `kad unpin` and `kad release`.
#[derive(Debug, Args)]
pub(in crate::cli) struct KeysArgs {
    /// The keys; - reads them from standard input, one a line
    #[arg(value_name = "KEY", required = true)]
    pub(in crate::cli) keys: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) remote: Remote,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct PinArgs {
    /// The least number of replicas, 1 to 255
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    pub(in crate::cli) min_replicas: u8,
    #[command(flatten)]
    pub(in crate::cli) keys: KeysArgs,
}
