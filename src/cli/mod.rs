//! The `kad` command: it reads the command line, starts a node or a client, and reports the outcome. It uses the same
//! [`Node`](crate::actors::node::Node) as any application.

mod args;
mod backup;
mod blocking;
mod check;
mod client;
mod config;
mod contact;
mod crawl;
mod data_dir;
mod deadline;
mod failure;
mod find_node;
mod get;
mod health;
mod hints;
mod http;
mod journal;
mod logging;
mod near;
mod node;
mod output;
mod ping;
mod printable;
mod progress;
mod remote;
mod saving;
mod service;
mod set;
mod settings;
mod shell;
mod signals;
mod started;
mod stderr;
mod streams;
mod testnet;
mod trace;
mod version;
mod watchdog;
mod wording;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use self::args::{Cli, Command, LogFormat};
use self::failure::{Exit, Failure};
use crate::actors::limits::{self, Needs};

/// What a command needs beside a node: a runtime and threads of its own, and the files that it is given.
const NEEDS: Needs =
    Needs { descriptors: 2 * limits::NODE.descriptors, memory: limits::NODE.memory + limits::NODE.memory / 2 };

/// Runs the command line `args`, the program's own name first, and returns the exit code of the process.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    // Before anything else: an allocation that fails ends the process without a note, and a note needs a thread.
    if let Err(limit) = limits::check(NEEDS) {
        // Where standard error cannot be written, the code says the same.
        let _ = writeln!(io::stderr(), "kad: {limit}");
        return ExitCode::from(Exit::SYSTEM.code());
    }
    let args: Vec<OsString> = args.into_iter().collect();
    let program = &wording::program(args.first().map(OsString::as_os_str));
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are "errors" with code 0. That they cannot be printed is no failure.
            let error = hints::suggest(error, &args);
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { Exit::USAGE.code() } else { 0 });
        }
    };
    stderr::take_panics();
    match cli.command {
        // It starts its log itself: the format is a setting.
        Command::Node(_) => {}
        // What its many nodes warn of, as they start all at once, is none of a user's business.
        Command::Testnet(_) => logging::start(&cli.logging, LogFormat::Text, "error"),
        _ => logging::start(&cli.logging, LogFormat::Text, "warn"),
    }
    ExitCode::from(conclude(async {
        match cli.command {
            Command::Node(args) => node::run(args, &cli.logging, program).await,
            Command::Set(args) => set::run(args).await,
            Command::Get(args) => get::run(args).await,
            Command::Health(args) => health::run(args).await,
            Command::Ping(args) => ping::run(args).await,
            Command::FindNode(args) => find_node::run(args).await,
            Command::Status(args) => remote::status::run(args).await,
            Command::Peers(args) => remote::peers::run(args).await,
            Command::Values(args) => remote::values::run(args).await,
            Command::Events(args) => remote::events::run(args).await,
            Command::Watch(args) => remote::watch::run(args).await,
            Command::Pin(args) => remote::marks::pin(args).await,
            Command::Unpin(args) => remote::marks::unpin(args).await,
            Command::Release(args) => remote::marks::release(args).await,
            Command::Check(args) => check::run(args).await,
            Command::Crawl(args) => crawl::run(args, cli.logging.quiet).await,
            Command::Testnet(args) => testnet::run(args, cli.logging.quiet, program).await,
            Command::Backup(args) => backup::backup(args).await,
            Command::Restore(args) => backup::restore(args).await,
            Command::Config(args) => config::run(args).await,
            Command::Completions(args) => shell::completions(args).await,
            Command::Man(args) => shell::man(args).await,
        }
    }))
}

/// Runs `command`, reports its failure, and returns the exit code of the process.
fn conclude(command: impl Future<Output = Result<(), Failure>>) -> u8 {
    let outcome = execute(command);
    if let Err(failure) = &outcome {
        stderr::note(failure);
    }
    stderr::flush();
    outcome.map_or_else(|failure| failure.exit.code(), |()| 0)
}

fn execute(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::of(Exit::SYSTEM, "cannot start"))?;
    let outcome = runtime.block_on(async {
        signals::outlive_file_size_limit()?;
        command.await
    });
    // A name that is still being resolved, or a disk that hangs, must not delay the end of the process.
    runtime.shutdown_background();
    outcome
}
