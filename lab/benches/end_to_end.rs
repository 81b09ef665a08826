//! What a request costs a node, over real sockets, as a share of what a plain UDP echo of the same size does: a table for each wire.
//! `cargo bench --bench end_to_end` builds `kad`, and takes some minutes; the load generator and the echo are those of
//! `kad-lab requests`, whose options follow a `--`:
//! `cargo bench --bench end_to_end -- requests --kad old/kad --kad new/kad --wire json`.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use kad_lab::command;

fn main() -> Result<ExitCode, &'static str> {
    let args: Vec<OsString> = env::args_os().filter(|arg| arg != "--bench").collect();
    // The echo is this program once more.
    if args.len() > 1 {
        return Ok(command::run(args));
    }
    let kad = built().ok_or("`kad` could not be built")?;
    for wire in ["json", "bencode", "msgpack"] {
        let args = ["kad-lab", "requests", "--wire", wire, "--kad"].map(OsString::from);
        let code = command::run(args.into_iter().chain([kad.clone().into_os_string()]));
        if code != ExitCode::SUCCESS {
            return Ok(code);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds `kad` with the profile of releases, and returns where it is: cargo builds the programs of a bench's own package only.
fn built() -> Option<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = ["build", "--release", "--quiet", "--package", "kademlia-dynamic", "--bin", "kad"];
    let built = Command::new(cargo).args(build).status().is_ok_and(|status| status.success());
    // This program is in the folder `deps` beside it.
    let own = env::current_exe().ok()?;
    let kad = own.parent()?.parent()?.join("kad").with_extension(env::consts::EXE_EXTENSION);
    built.then_some(kad)
}
