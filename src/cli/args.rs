//! The command line as clap sees it: every option with its default, its range and its help.

pub(super) mod backup;
pub(super) mod check;
pub(super) mod config;
pub(super) mod crawl;
pub(super) mod remote;
pub(super) mod shell;
pub(super) mod testnet;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};
use serde::Deserialize;

use self::backup::{BackupArgs, RestoreArgs};
use self::check::CheckArgs;
use self::config::ConfigArgs;
use self::crawl::CrawlArgs;
use self::remote::{EventsArgs, KeysArgs, PeersArgs, PinArgs, StatusArgs, ValuesArgs, WatchArgs};
use self::shell::{CompletionsArgs, ManArgs};
use self::testnet::TestnetArgs;
pub(super) use self::values::DEFAULT_ADDR;
use self::values::{WIRES, one_of, setting, timeout};
use super::contact::{Contact, ListenAddr};
use crate::persist::Durability;
use crate::protocol::codec::Codec;
use crate::protocol::config::Config;
use crate::protocol::id::NodeId;

const SET_USAGE: &str = "\
kad set [OPTIONS] <KEY> <VALUE>
       kad set [OPTIONS] <KEY> --file <PATH>";

const FIND_NODE_USAGE: &str = "\
kad find-node [OPTIONS] <ID>
       kad find-node [OPTIONS] --key <KEY>";

/// A node of a Kademlia network, and the tools to use one
///
/// Start a node with `kad node`; store and read values with `kad set` and `kad get`.
#[derive(Debug, Parser)]
#[command(name = "kad", version = super::version::VERSION, after_help = include_str!("help/kad.txt"), max_term_width = 100)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) logging: Logging,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a node until Ctrl-C
    #[command(after_help = include_str!("help/node.txt"))]
    Node(NodeArgs),
    /// Store a value under a key
    #[command(after_help = include_str!("help/set.txt"), override_usage = SET_USAGE)]
    Set(SetArgs),
    /// Read the value of a key
    #[command(after_help = include_str!("help/get.txt"))]
    Get(GetArgs),
    /// Show which nodes hold a key, and for how long
    #[command(after_help = include_str!("help/health.txt"))]
    Health(HealthArgs),
    /// Check whether a node answers at an address, and how fast
    #[command(after_help = include_str!("help/ping.txt"))]
    Ping(PingArgs),
    /// List the nodes nearest to an id or a key
    #[command(after_help = include_str!("help/find-node.txt"), override_usage = FIND_NODE_USAGE)]
    FindNode(FindNodeArgs),
    /// Show whether a running node is ready and keeps up, and what to do if not
    #[command(after_help = include_str!("help/status.txt"))]
    Status(StatusArgs),
    /// List the peers that a running node knows
    #[command(after_help = include_str!("help/peers.txt"))]
    Peers(PeersArgs),
    /// List the keys that a running node publishes, or holds for others
    #[command(after_help = include_str!("help/values.txt"))]
    Values(ValuesArgs),
    /// Show what happens in a running node, until Ctrl-C
    #[command(after_help = include_str!("help/events.txt"))]
    Events(EventsArgs),
    /// Show the values of keys as they change, until Ctrl-C
    #[command(after_help = include_str!("help/watch.txt"))]
    Watch(WatchArgs),
    /// Have a running node count and repair the replicas of keys that it publishes
    #[command(after_help = include_str!("help/pin.txt"))]
    Pin(PinArgs),
    /// Have a running node no longer count replicas of keys
    #[command(after_help = include_str!("help/unpin.txt"))]
    Unpin(KeysArgs),
    /// Have a running node no longer publish keys
    #[command(after_help = include_str!("help/release.txt"))]
    Release(KeysArgs),
    /// Compare a key as several nodes of the network see it
    #[command(after_help = include_str!("help/check.txt"))]
    Check(CheckArgs),
    /// Find the nodes of a network, and estimate how many there are
    #[command(after_help = include_str!("help/crawl.txt"))]
    Crawl(CrawlArgs),
    /// Run a network of its own on this machine until Ctrl-C
    #[command(after_help = include_str!("help/testnet.txt"))]
    Testnet(TestnetArgs),
    /// Copy the store of a node to a file, also while the node runs
    #[command(after_help = include_str!("help/backup.txt"))]
    Backup(BackupArgs),
    /// Make a folder for a node from a backup
    #[command(after_help = include_str!("help/restore.txt"))]
    Restore(RestoreArgs),
    /// Check a file of settings, or print all settings with their meaning and source
    #[command(after_help = include_str!("help/config.txt"))]
    Config(ConfigArgs),
    /// Print a script for a shell, which then completes commands and options
    #[command(after_help = include_str!("help/completions.txt"))]
    Completions(CompletionsArgs),
    /// Print the manual page of a command, or write all of them
    #[command(after_help = include_str!("help/man.txt"))]
    Man(ManArgs),
}

/// What is logged, to standard error.
#[derive(Debug, Default, Args)]
pub(super) struct Logging {
    /// Log more, to standard error: -v each query and its result, each lookup, peers added and removed; -vv each message;
    /// -vvv libraries too. RUST_LOG selects more finely
    #[arg(short, long, action = ArgAction::Count, global = true, conflicts_with = "quiet", display_order = 900)]
    pub(super) verbose: u8,
    /// Log nothing; failures are still reported
    #[arg(short, long, global = true, display_order = 901)]
    pub(super) quiet: bool,
}

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogFormat {
    /// Lines of text.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Each is a setting as well, by its name with `_` for `-`. The defaults are those of the settings.
#[derive(Debug, Args)]
pub(super) struct NodeArgs {
    /// Where to listen; port 0 is any free port [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(super) listen: Option<ListenAddr>,
    /// How messages are encoded: the same for all nodes of a network [default: json] [possible values: json, bencode,
    /// msgpack]
    #[arg(long, value_name = "WIRE", value_parser = one_of::<Codec>(WIRES), hide_possible_values = true)]
    pub(super) wire: Option<Codec>,
    /// A node to join through; may be repeated. Without it, and without known nodes, the node is the first of its network
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) bootstrap: Vec<Contact>,
    /// The node's id, 40 hex digits [default: that of the last run, or a random one]
    #[arg(long, value_name = "HEX")]
    pub(super) node_id: Option<NodeId>,
    /// The folder for values, the id and known nodes [default: one for each address in the platform's data
    /// directory; none at port 0]
    #[arg(long, value_name = "DIR", conflicts_with = "ephemeral")]
    pub(super) data_dir: Option<PathBuf>,
    /// Store nothing on disk
    #[arg(long)]
    pub(super) ephemeral: bool,
    /// When a value counts as stored: durable, once it is on the disk; relaxed, up to a second before, so that a crash may
    /// lose it [default: durable]
    #[arg(long, value_name = "WHEN", value_parser = one_of::<Durability>(&["durable", "relaxed"]))]
    #[arg(hide_possible_values = true, conflicts_with = "ephemeral")]
    pub(super) durability: Option<Durability>,
    #[command(flatten)]
    pub(super) http: HttpArgs,
    /// The format of the log [default: text] [possible values: text, json]
    #[arg(long, value_name = "FORMAT", value_parser = one_of::<LogFormat>(&["text", "json"]), hide_possible_values = true)]
    pub(super) log_format: Option<LogFormat>,
    /// A TOML file with settings, such as `max_values = 10000` and `query_timeout = "2s"`; KAD_NODE_CONFIG names one too.
    /// KAD_NODE_MAX_VALUES and so on in the environment override it, and options override both. docs/operations.md lists all
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Any setting, such as `--set max_values=10000`; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub(super) set: Vec<(String, String)>,
    /// Print one line of JSON once the node serves. Without it a terminal shows a few lines of text, and a pipe or a file
    /// gets nothing: the log says the same
    #[arg(long)]
    pub(super) json: bool,
}

/// The node over HTTP.
#[derive(Debug, Args)]
pub(super) struct HttpArgs {
    /// Where the node serves HTTP: values, events, metrics, health; port 0 is any free port [default: 127.0.0.1:8420, unless
    /// that is taken]
    #[arg(long, value_name = "ADDR:PORT", conflicts_with = "no_http")]
    pub(super) http: Option<ListenAddr>,
    /// Serve no HTTP
    #[arg(long)]
    pub(super) no_http: bool,
    /// A file with the token that permits everything; at any other address than a loopback one reads need it too [default: a new
    /// one, in the node's folder]
    #[arg(long, value_name = "FILE", conflicts_with = "no_http")]
    pub(super) http_token_file: Option<PathBuf>,
    /// A name by which HTTP clients reach the node, such as that of a proxy in front, without a port; reads need the token then;
    /// may be repeated
    #[arg(long, value_name = "NAME", conflicts_with = "no_http")]
    pub(super) http_host: Vec<String>,
    /// An origin whose pages may use the node with the token (CORS): scheme, host and any unusual port; may be repeated
    #[arg(long, value_name = "ORIGIN", conflicts_with = "no_http")]
    pub(super) http_origin: Vec<String>,
}

/// The options of all clients.
#[derive(Debug, Args)]
pub(super) struct Network {
    /// A node of the network; may be repeated: all are asked
    #[arg(long, value_name = "HOST:PORT", default_value = DEFAULT_ADDR)]
    pub(super) bootstrap: Vec<Contact>,
    /// How messages are encoded: the same as the network's nodes
    #[arg(long, value_name = "WIRE", default_value = Codec::default().name(), value_parser = one_of::<Codec>(WIRES))]
    pub(super) wire: Codec,
    /// How long the command may take, in seconds or with a unit, such as 500ms or 2m; 0.1 to 3600 seconds
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = timeout)]
    pub(super) timeout: Duration,
    /// Print JSON, one object per line. Failures are reported on standard error as text
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("input").required(true))]
pub(super) struct SetArgs {
    /// The key, at most 1024 bytes of UTF-8
    pub(super) key: String,
    /// The value, as text
    #[arg(group = "input", allow_negative_numbers = true)]
    pub(super) value: Option<String>,
    /// Take the value from a file, or from standard input (-). UTF-8 is stored as text, anything else as bytes
    #[arg(long, value_name = "PATH", group = "input")]
    pub(super) file: Option<PathBuf>,
    /// Store the value as bytes, even if it is text
    #[arg(long)]
    pub(super) bytes: bool,
    /// Stay, and republish the value until Ctrl-C
    #[arg(long)]
    pub(super) republish: bool,
    #[command(flatten)]
    pub(super) network: Network,
}

#[derive(Debug, Args)]
pub(super) struct GetArgs {
    /// The key
    pub(super) key: String,
    /// Write the value to a file, exactly as it was stored; an existing file is replaced once all of the value has been
    /// written, and keeps its owner and mode; links are followed, pipes and devices written to
    #[arg(long, short, value_name = "PATH", conflicts_with = "json")]
    pub(super) output: Option<PathBuf>,
    /// Report on standard error how the value was looked up: which nodes were asked, what they answered. With --json, as a
    /// field
    #[arg(long)]
    pub(super) trace: bool,
    /// Read this many copies, from holders in different networks, and take the value that most of them have
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=Config::DEFAULT.lookup.k as i64))]
    pub(super) quorum: u8,
    #[command(flatten)]
    pub(super) network: Network,
}

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// The key
    pub(super) key: String,
    #[command(flatten)]
    pub(super) network: Network,
}

#[derive(Debug, Args)]
pub(super) struct PingArgs {
    /// The addresses to ping; without any, those of --bootstrap
    #[arg(value_name = "HOST:PORT")]
    pub(super) addrs: Vec<Contact>,
    #[command(flatten)]
    pub(super) network: Network,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("target").required(true))]
pub(super) struct FindNodeArgs {
    /// The id, 40 hex digits
    #[arg(group = "target")]
    pub(super) id: Option<NodeId>,
    /// The place of this key instead of an id
    #[arg(long, group = "target")]
    pub(super) key: Option<String>,
    #[command(flatten)]
    pub(super) network: Network,
}

#[cfg(test)]
mod tests {
    use super::values::{MAX_TIMEOUT, MIN_TIMEOUT};
    use super::*;
    use clap::CommandFactory;

    fn usage_error(args: &[&str]) -> String {
        Cli::try_parse_from(args).unwrap_err().to_string()
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_client_looks_where_a_node_listens_by_default() {
        let Command::Node(node) = Cli::try_parse_from(["kad", "node"]).unwrap().command else { panic!() };
        let Command::Get(get) = Cli::try_parse_from(["kad", "get", "k"]).unwrap().command else { panic!() };
        assert_eq!((node.listen, node.wire), (None, None));
        assert_eq!(get.network.bootstrap[0].to_string(), DEFAULT_ADDR);
        assert_eq!((get.network.wire, get.network.timeout), (Codec::default(), Duration::from_secs(10)));
    }

    #[test]
    fn a_timeout_out_of_its_range_names_the_value_and_the_range() {
        for bad in ["0", "0.09", "3601", "inf", "NaN", "soon"] {
            let error = usage_error(&["kad", "get", "k", "--timeout", bad]);
            assert!(error.contains(bad) && error.contains("0.1 to 3600 seconds"), "{error}");
        }
        assert_eq!([timeout("5s"), timeout("500ms")], [Ok(Duration::from_secs(5)), Ok(Duration::from_millis(500))]);
        assert_eq!(timeout("0.1"), Ok(Duration::from_millis(100)));
        assert_eq!(timeout("3600"), Ok(Duration::from_secs(3_600)));
    }

    #[test]
    fn a_wire_is_one_of_three_and_the_error_lists_them() {
        for codec in Codec::ALL {
            let cli = Cli::try_parse_from(["kad", "node", "--wire", codec.name()]).unwrap();
            let Command::Node(node) = cli.command else { panic!() };
            assert_eq!(node.wire, Some(codec));
        }
        let error = usage_error(&["kad", "node", "--wire", "xml"]);
        assert!(error.contains("xml") && error.contains("json, bencode, msgpack"), "{error}");
    }

    #[test]
    fn a_set_takes_its_value_from_one_place() {
        let error = usage_error(&["kad", "set", "k"]);
        assert!(error.contains("VALUE") && error.contains("--file"), "{error}");
        let error = usage_error(&["kad", "set", "k", "v", "--file", "f"]);
        assert!(error.contains("VALUE") && error.contains("--file"), "{error}");
        let Command::Set(set) = Cli::try_parse_from(["kad", "set", "k", "-5"]).unwrap().command else { panic!() };
        assert_eq!(set.value.as_deref(), Some("-5"));
    }

    #[test]
    fn what_the_help_says_of_limits_is_what_they_are() {
        let mut command = Cli::command();
        let help = command.find_subcommand_mut("set").unwrap().render_help().to_string();
        assert!(help.contains(&format!("at most {} bytes", Config::DEFAULT.store.max_key_len)), "{help}");
        assert!(help.contains(&format!("{} hours", Config::DEFAULT.values.key_expiry.as_secs() / 3_600)), "{help}");
        assert!(help.contains(&format!("{MIN_TIMEOUT} to {MAX_TIMEOUT}")), "{help}");
    }

    #[test]
    fn a_node_is_looked_for_by_id_or_by_key() {
        let error = usage_error(&["kad", "find-node"]);
        assert!(error.contains("ID") && error.contains("--key"), "{error}");
        let error = usage_error(&["kad", "find-node", "12"]);
        assert!(error.contains("exactly 40 hex digits, not \"12\""), "{error}");
    }
}
