//! What a person may have meant by a command or an option that does not exist: names that other programs use, and settings.

use clap::error::{ContextKind, ContextValue, Error};

use super::settings;

/// What others call our commands.
const COMMANDS: &[(&str, &str)] = &[
    ("put", "set"),
    ("store", "set"),
    ("publish", "set"),
    ("add", "set"),
    ("write", "set"),
    ("read", "get"),
    ("fetch", "get"),
    ("find", "get"),
    ("find-value", "get"),
    ("find_value", "get"),
    ("lookup", "find-node"),
    ("find_node", "find-node"),
    ("start", "node"),
    ("run", "node"),
    ("serve", "node"),
    ("server", "node"),
    ("daemon", "node"),
    ("check", "health"),
    ("simulate", "sim"),
];

/// What others call our options.
const OPTIONS: &[(&str, &str)] = &[
    ("--port", "--listen"),
    ("--host", "--listen"),
    ("--bind", "--listen"),
    ("--addr", "--listen"),
    ("--address", "--listen"),
    ("--peer", "--bootstrap"),
    ("--peers", "--bootstrap"),
    ("--join", "--bootstrap"),
    ("--connect", "--bootstrap"),
    ("--contact", "--bootstrap"),
    ("--codec", "--wire"),
    ("--format", "--wire"),
    ("--protocol", "--wire"),
    ("--id", "--node-id"),
    ("--dir", "--data-dir"),
    ("--data", "--data-dir"),
    ("--path", "--data-dir"),
    ("--settings", "--config"),
];

/// `error` with a suggestion, where it has none and one is known.
pub(super) fn suggest(mut error: Error) -> Error {
    let text = |error: &Error, kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let meant = |names: &[(&str, &str)], typed: &str| {
        names.iter().find(|(other, _)| *other == typed).map(|(_, ours)| (*ours).to_owned())
    };
    if let Some(typed) = text(&error, ContextKind::InvalidSubcommand)
        && let Some(command) = meant(COMMANDS, &typed)
    {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![command]));
    }
    if let Some(typed) = text(&error, ContextKind::InvalidArg)
        && let Some(option) = meant(OPTIONS, &typed).or_else(|| settings::option_for(&typed))
    {
        error.insert(ContextKind::SuggestedArg, ContextValue::String(option));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Cli;
    use clap::{CommandFactory, Parser};

    fn told(args: &[&str]) -> String {
        suggest(Cli::try_parse_from(args).unwrap_err()).to_string()
    }

    #[test]
    fn a_command_or_an_option_of_another_program_is_told_ours() {
        assert!(
            told(&["kad", "put", "k", "v"]).contains("a similar subcommand exists: 'set'"),
            "{}",
            told(&["kad", "put"])
        );
        assert!(
            told(&["kad", "node", "--port", "9000"]).contains("'--listen'"),
            "{}",
            told(&["kad", "node", "--port"])
        );
        assert!(told(&["kad", "nodes"]).contains("'node'"), "what clap finds itself stays");
        let setting = told(&["kad", "node", "--max-values", "5"]);
        assert!(setting.contains("'--set max_values=VALUE'"), "{setting}");
    }

    #[test]
    fn all_that_is_suggested_exists() {
        let command = Cli::command();
        for (other, ours) in COMMANDS {
            assert!(
                command.find_subcommand(ours).is_some() && command.find_subcommand(other).is_none(),
                "{other}, {ours}"
            );
        }
        let node = command.find_subcommand("node").unwrap();
        let longs: Vec<String> =
            node.get_arguments().filter_map(|arg| Some(format!("--{}", arg.get_long()?))).collect();
        for (other, ours) in OPTIONS {
            assert!(
                longs.iter().any(|long| long == ours) && !longs.iter().any(|long| long == other),
                "{other}, {ours}"
            );
        }
    }
}
