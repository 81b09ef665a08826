//! Standard output.

use std::io::{self, Write};

use serde::Serialize;

use crate::failure::{Exit, Failure};

/// Writes to standard output. A reader that has gone, as `head` does, has all that it wanted.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Output, format!("cannot write to standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A report as one line of JSON.
pub(crate) fn json(report: &impl Serialize) -> String {
    serde_json::to_string(report).expect("a report has only strings as keys") + "\n"
}
