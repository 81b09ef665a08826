//! The arguments of `kad config`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::values::setting;

#[derive(Debug, Args)]
pub(in crate::cli) struct ConfigArgs {
    #[command(subcommand)]
    pub(in crate::cli) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ConfigCommand {
    /// Check a file of settings: each mistake with its line, and the setting that may have been meant
    Check {
        /// The TOML file, as for `kad node --config`
        file: PathBuf,
        /// Print the outcome as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Print all settings of a node: values, meaning, what is permitted, and where each comes from
    Print {
        /// The TOML file, as for `kad node --config`; KAD_NODE_CONFIG names one too
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// A setting, as for `kad node --set`; may be repeated
        #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
        set: Vec<(String, String)>,
        /// Print JSON, one object per line: each setting
        #[arg(long)]
        json: bool,
    },
}
