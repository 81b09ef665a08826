//! What a request costs a node, over real sockets, as a share of what a plain UDP echo of the same size does: a table for each wire.
//! `cargo bench --bench end_to_end` takes some minutes; the load generator and the echo are those of `kad-lab requests`, whose
//! options follow a `--`: `cargo bench --bench end_to_end -- requests --kad old/kad --kad new/kad --wire json`.

use std::ffi::OsString;
use std::process::ExitCode;

use kad_lab::command;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().filter(|arg| arg != "--bench").collect();
    // The echo is this program once more.
    if args.len() > 1 {
        return command::run(args);
    }
    for wire in ["json", "bencode", "msgpack"] {
        let args = ["kad-lab", "requests", "--kad", env!("CARGO_BIN_EXE_kad"), "--wire", wire];
        let code = command::run(args.map(OsString::from));
        if code != ExitCode::SUCCESS {
            return code;
        }
    }
    ExitCode::SUCCESS
}
