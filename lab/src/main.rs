//! The `kad-lab` binary. All of it is in the library, where it can be tested.

use std::process::ExitCode;

fn main() -> ExitCode {
    kad_lab::command::run(std::env::args_os())
}
