//! The arguments of `kad backup` and `kad restore`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(in crate::cli) struct BackupArgs {
    /// The folder of the node, as `kad node` names it
    pub(in crate::cli) data_dir: PathBuf,
    /// The file to write; one that exists is replaced once the copy is whole
    pub(in crate::cli) file: PathBuf,
    /// Print the outcome as one JSON object
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RestoreArgs {
    /// The file that `kad backup` wrote
    pub(in crate::cli) file: PathBuf,
    /// The folder for the node; it may exist, but hold no store
    pub(in crate::cli) data_dir: PathBuf,
    /// Print the outcome as one JSON object
    #[arg(long)]
    pub(in crate::cli) json: bool,
}
