//! What is printed: results on standard output. What they say is written elsewhere.

use std::io::{self, Write};

use serde::Serialize;

use super::failure::{Exit, Failure};
use super::{off_thread, stderr, streams};

/// Writes `bytes` to standard output as they are, however long that takes. A reader that has gone, as `head` does, has all
/// that it wanted. Who no longer waits for it has to end the process: a thread may go on with it. What was noted on standard
/// error comes before it, as both may be one terminal.
///
/// # Errors
/// [`Exit::Output`].
pub(super) async fn print(bytes: impl Into<Vec<u8>>) -> Result<(), Failure> {
    let bytes = bytes.into();
    let write = move || {
        stderr::flush();
        streams::output()?.write_all(&bytes)
    };
    match off_thread(write).await? {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Output, format!("cannot write to standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes `value` to standard output as one line of JSON.
///
/// # Errors
/// As [`print`].
pub(super) async fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    print(format!("{}\n", json(value))).await
}

/// `value` as one line of JSON.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("what is printed has only strings as keys, and no paths: no way to fail")
}
