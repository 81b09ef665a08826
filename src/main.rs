//! The `kad` binary. All of it is in the library's `cli`, where it can be tested.

#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

fn main() -> ExitCode {
    kademlia_dynamic::cli::run(std::env::args_os())
}
