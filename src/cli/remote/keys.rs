//! Keys as arguments, or from standard input. How long they may be, the node says.

use std::io::Read;

use crate::cli::blocking::off_thread;
use crate::cli::failure::{Exit, Failure};
use crate::cli::streams;

/// The most bytes that are read of standard input: room for 16,000 of the longest keys.
const MAX_INPUT: u64 = 16 << 20;

/// The keys of `args`, where `-` stands for those on standard input.
pub(super) async fn all(args: Vec<String>) -> Result<Vec<String>, Failure> {
    let mut keys = Vec::new();
    for arg in args {
        if arg == "-" {
            keys.extend(off_thread(of_input).await??);
        } else {
            keys.push(arg);
        }
    }
    if keys.is_empty() {
        return Err(Failure::new(Exit::USAGE, "standard input has no key"));
    }
    Ok(keys)
}

fn of_input() -> Result<Vec<String>, Failure> {
    let mut text = String::new();
    let read = streams::input().and_then(|input| input.take(MAX_INPUT + 1).read_to_string(&mut text));
    read.map_err(Failure::of(Exit::NO_INPUT, "cannot read standard input"))?;
    if text.len() as u64 > MAX_INPUT {
        let text = format!("standard input has more than {} MiB of keys", MAX_INPUT >> 20);
        return Err(Failure::new(Exit::USAGE, text));
    }
    Ok(text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
}
