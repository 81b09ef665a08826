//! The command line of `kad-lab`.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::growth::{self, GROWTH_EXAMPLES, GrowthArgs};
use crate::hold::{self, HoldArgs};
use crate::loopback::{self, LOOPBACK_EXAMPLES, LoopbackArgs};
use crate::publish::{self, PublishArgs};
use crate::requests::{self, REQUESTS_EXAMPLES, RequestsArgs};
use crate::sim;
use crate::sim_args::{SIM_EXAMPLES, SimArgs};
use crate::stress::{self, STRESS_EXAMPLES, StressArgs};

/// Experiments on Kademlia networks of `kademlia-dynamic`, and measurements of its nodes
#[derive(Debug, Parser)]
#[command(name = "kad-lab", max_term_width = 100)]
pub(crate) struct Cli {
    /// Log more to standard error. RUST_LOG chooses more finely
    #[arg(short, long, global = true)]
    verbose: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Simulate a network in virtual time, and measure it
    #[command(after_help = SIM_EXAMPLES)]
    Sim(SimArgs),
    /// Simulate one publisher with many values, and measure what it takes to renew all of them once
    Publish(PublishArgs),
    /// Simulate nodes that hold the same values while nothing happens, and measure what it takes to keep them
    Hold(HoldArgs),
    /// Measure how the steps of a node grow with its peers, its values and its lookups
    #[command(after_help = GROWTH_EXAMPLES)]
    Growth(GrowthArgs),
    /// Measure reads and writes in a network of this process over real sockets of the loopback interface
    #[command(after_help = LOOPBACK_EXAMPLES)]
    Loopback(LoopbackArgs),
    /// Measure what a request costs `kad` binaries, beside a plain UDP echo
    #[command(after_help = REQUESTS_EXAMPLES)]
    Requests(RequestsArgs),
    /// Measure the reads of a `kad` binary while slow HTTP clients, watches and a flood of datagrams are at it
    #[command(after_help = STRESS_EXAMPLES)]
    Stress(StressArgs),
    /// Answer datagrams at once: what `requests` compares nodes with
    Echo,
}

/// Runs the command line `args`, the program's own name first, and returns what the process ends with.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are "errors" with code 0.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    start_log(cli.verbose);
    let done = match cli.command {
        Command::Sim(args) => sim::run(&args),
        Command::Publish(args) => publish::run(&args),
        Command::Hold(args) => hold::run(&args),
        Command::Growth(args) => growth::run(&args),
        Command::Loopback(args) => loopback::run(&args),
        Command::Requests(args) => requests::run(&args),
        Command::Stress(args) => stress::run(&args),
        Command::Echo => requests::echo(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "kad-lab: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

/// What the nodes of a simulation warn of is what was simulated, so only errors are logged unless more is wanted.
fn start_log(verbose: bool) {
    let usual = if verbose { "info" } else { "error" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // An error means that this process has a log already.
    let _ = log.with_ansi(io::stderr().is_terminal()).finish().try_init();
}
