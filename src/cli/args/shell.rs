//! The arguments of `kad completions` and `kad man`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

#[derive(Debug, Args)]
pub(in crate::cli) struct CompletionsArgs {
    /// The shell
    pub(in crate::cli) shell: Shell,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ManArgs {
    /// The command whose page is printed, such as `node` or `config print` [default: the page of kad itself]
    pub(in crate::cli) command: Vec<String>,
    /// Write the pages of all commands into this folder, as kad.1, kad-node.1 and so on
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    pub(in crate::cli) dir: Option<PathBuf>,
}
