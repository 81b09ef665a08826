//! What a user may have meant by a command or an option that does not exist: names that other programs use, and settings.

use clap::error::{ContextKind, ContextValue, Error};

use super::settings;

/// Our commands, and what other programs call them.
const COMMANDS: &[(&str, &[&str])] = &[
    ("set", &["put", "store", "publish", "add", "write"]),
    ("get", &["read", "fetch", "find", "find-value", "find_value"]),
    ("find-node", &["lookup", "find_node"]),
    ("node", &["start", "run", "serve", "server", "daemon"]),
    ("health", &["holders"]),
    ("crawl", &["scan", "walk", "map"]),
    ("testnet", &["devnet", "demo", "network"]),
    ("backup", &["save", "dump", "export"]),
    ("restore", &["import", "load"]),
    ("config", &["settings"]),
    ("man", &["manual"]),
];

/// Our options, and what other programs call them.
const OPTIONS: &[(&str, &[&str])] = &[
    ("--listen", &["--port", "--host", "--bind", "--addr", "--address"]),
    ("--bootstrap", &["--peer", "--peers", "--join", "--connect", "--contact"]),
    ("--wire", &["--codec", "--format", "--protocol"]),
    ("--node-id", &["--id"]),
    ("--data-dir", &["--dir", "--data", "--path"]),
    ("--config", &["--settings"]),
];

/// `error` with a suggestion, where it has none and one is known.
pub(super) fn suggest(mut error: Error) -> Error {
    let typed = |error: &Error, kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let meant = |names: &[(&str, &[&str])], typed: &str| {
        names.iter().find(|(_, others)| others.contains(&typed)).map(|(ours, _)| (*ours).to_owned())
    };
    if let Some(command) = typed(&error, ContextKind::InvalidSubcommand).and_then(|typed| meant(COMMANDS, &typed)) {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![command]));
    }
    let option = |typed: String| meant(OPTIONS, &typed).or_else(|| settings::option_for(&typed));
    if let Some(option) = typed(&error, ContextKind::InvalidArg).and_then(option) {
        error.insert(ContextKind::SuggestedArg, ContextValue::String(option));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Cli;
    use clap::{CommandFactory, Parser};

    fn text(args: &[&str]) -> String {
        suggest(Cli::try_parse_from(args).unwrap_err()).to_string()
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
    fn all_that_is_suggested_exists() {
        let command = Cli::command();
        let commands: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        let node = command.find_subcommand("node").unwrap();
        let longs: Vec<String> =
            node.get_arguments().filter_map(|arg| Some(format!("--{}", arg.get_long()?))).collect();
        let longs: Vec<&str> = longs.iter().map(String::as_str).collect();
        for (names, known) in [(COMMANDS, commands), (OPTIONS, longs)] {
            for (ours, others) in names {
                assert!(known.contains(ours), "{ours}");
                assert!(others.iter().all(|other| !known.contains(other)), "{others:?}");
            }
        }
    }
}
