//! What a user may have meant by a command or an option that does not exist: names that other programs use, and settings.

use std::ffi::OsString;

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, Error};

use super::args::Cli;
use super::settings;

/// Our commands, and what other programs call them.
const COMMANDS: &[(&str, &[&str])] = &[
    ("set", &["put", "store", "publish", "add", "write"]),
    ("get", &["read", "fetch", "find", "find-value", "find_value"]),
    ("find-node", &["lookup", "find_node"]),
    ("status", &["info", "state"]),
    ("peers", &["contacts", "neighbours", "neighbors"]),
    ("values", &["list", "ls", "keys"]),
    ("events", &["log", "logs", "tail"]),
    ("watch", &["follow", "subscribe"]),
    ("release", &["delete", "remove", "rm", "del", "unpublish"]),
    ("node", &["start", "run", "serve", "server", "daemon"]),
    ("health", &["holders"]),
    ("crawl", &["scan", "walk", "map"]),
    ("testnet", &["devnet", "demo", "network"]),
    ("backup", &["save", "dump", "export"]),
    ("restore", &["import", "load"]),
    ("config", &["settings"]),
    ("man", &["manual"]),
];

/// Our options, and what other programs, or other commands, call them. The first that the command has is suggested.
const OPTIONS: &[(&str, &[&str])] = &[
    ("--node", &["--url", "--http", "--gateway", "--bootstrap", "--addr", "--address", "--host", "--port"]),
    ("--via", &["--bootstrap"]),
    ("--http-token-file", &["--token", "--token-file"]),
    ("--listen", &["--port", "--host", "--bind", "--addr", "--address"]),
    (
        "--bootstrap",
        &["--peer", "--peers", "--join", "--connect", "--contact", "--node", "--host", "--addr", "--address"],
    ),
    ("--wire", &["--codec", "--format", "--protocol"]),
    ("--node-id", &["--id"]),
    ("--data-dir", &["--dir", "--data", "--path"]),
    ("--config", &["--settings"]),
];

/// `error`, which `args` led to, with a suggestion, where one is known.
pub(super) fn suggest(mut error: Error, args: &[OsString]) -> Error {
    let typed = |error: &Error, kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    if let Some(typed) = typed(&error, ContextKind::InvalidSubcommand)
        && let Some((ours, _)) = COMMANDS.iter().find(|(_, others)| others.contains(&&*typed))
    {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![(*ours).to_owned()]));
    }
    if let Some(typed) = typed(&error, ContextKind::InvalidArg)
        && let Some(ours) = option_for(&typed, args)
    {
        error.insert(ContextKind::SuggestedArg, ContextValue::String(ours));
    }
    error
}

/// The option of the command in `args` that is meant by `typed`.
fn option_for(typed: &str, args: &[OsString]) -> Option<String> {
    let kad = Cli::command();
    let command = args.iter().skip(1).find_map(|arg| kad.find_subcommand(arg))?;
    let has = |long: &str| command.get_arguments().any(|arg| arg.get_long() == Some(long.trim_start_matches('-')));
    let known = OPTIONS.iter().find(|(ours, others)| others.contains(&typed) && has(ours));
    let setting = || settings::option_for(typed).filter(|_| has("--set"));
    known.map(|(ours, _)| (*ours).to_owned()).or_else(setting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn text(args: &[&str]) -> String {
        let typed: Vec<OsString> = args.iter().map(OsString::from).collect();
        suggest(Cli::try_parse_from(args).unwrap_err(), &typed).to_string()
    }

    #[test]
    fn a_command_or_an_option_of_another_program_is_answered_with_ours() {
        assert!(
            text(&["kad", "put", "k", "v"]).contains("a similar subcommand exists: 'set'"),
            "{}",
            text(&["kad", "put"])
        );
        assert!(
            text(&["kad", "node", "--port", "9000"]).contains("'--listen'"),
            "{}",
            text(&["kad", "node", "--port"])
        );
        assert!(text(&["kad", "nodes"]).contains("'node'"), "what clap finds itself stays");
        let setting = text(&["kad", "node", "--max-values", "5"]);
        assert!(setting.contains("'--set max_values=VALUE'"), "{setting}");
    }

    #[test]
    fn no_option_is_suggested_that_the_command_does_not_have() {
        for (args, ours) in [
            (["kad", "status", "--bootstrap", "127.0.0.1:1"], "'--node'"),
            (["kad", "check", "--bootstrap", "127.0.0.1:1"], "'--via'"),
            (["kad", "get", "--host", "127.0.0.1:1"], "'--bootstrap'"),
        ] {
            assert!(text(&args).contains(ours), "{}", text(&args));
        }
        assert!(!text(&["kad", "get", "--max-values", "5"]).contains("--set"));
    }

    #[test]
    fn all_that_is_suggested_exists() {
        let command = Cli::command();
        let commands: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        for (ours, others) in COMMANDS {
            assert!(commands.contains(ours) && others.iter().all(|other| !commands.contains(other)), "{ours}");
        }
        let longs: Vec<&str> = command
            .get_subcommands()
            .flat_map(|command| command.get_arguments())
            .filter_map(clap::Arg::get_long)
            .collect();
        for (ours, _) in OPTIONS {
            assert!(longs.contains(&ours.trim_start_matches('-')), "{ours}");
        }
    }
}
