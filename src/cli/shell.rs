//! `kad completions` and `kad man`: what a shell and `man` need to know of this program.

use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::args::Cli;
use super::args::shell::{CompletionsArgs, ManArgs};
use super::failure::{Exit, Failure};
use super::{blocking::off_thread, output};

pub(super) async fn completions(args: CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "kad", &mut script);
    output::print(script).await
}

pub(super) async fn man(args: ManArgs) -> Result<(), Failure> {
    if let Some(dir) = args.dir {
        let what = format!("cannot write to {}", dir.display());
        return off_thread(move || write(&dir)).await?.map_err(Failure::of(Exit::CANNOT_CREATE, what));
    }
    let mut page = &built();
    for name in &args.command {
        let text = || format!("there is no command {name:?} of {}; `kad --help` lists them", page.get_name());
        page = page.find_subcommand(name).ok_or_else(|| Failure::new(Exit::USAGE, text()))?;
    }
    output::print(render(page)).await
}

/// All commands, each with its full name.
fn built() -> Command {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    command
}

fn write(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(built(), dir)
}

fn render(command: &Command) -> Vec<u8> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page).expect("a vector takes any bytes");
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;
    use clap_complete::Shell;

    #[test]
    fn every_shell_gets_a_script_that_knows_all_commands() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "kad", &mut script);
            let script = String::from_utf8(script).unwrap();
            for command in Cli::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }

    #[test]
    fn a_folder_gets_a_page_of_each_command_which_has_its_examples_and_options() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("man1")).unwrap();
        let page = |name: &str| std::fs::read_to_string(dir.path().join("man1").join(name)).unwrap();
        for command in Cli::command().get_subcommands() {
            let page = page(&format!("kad-{}.1", command.get_name()));
            assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{page}");
        }
        assert!(page("kad-node.1").contains("bootstrap") && page("kad-node.1").contains("Examples:"));
        assert!(page("kad.1").contains("Exit codes:"));
        assert!(page("kad-config-print.1").contains("NAME=VALUE"));
    }
}
