//! What is printed: results on standard output. What they say is written elsewhere.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::failure::{Exit, Failure};
use super::{off_thread, printable, stderr, streams};

/// Writes `bytes` to standard output, however long that takes: as they are, but [`shown`] where that is a terminal. A reader that has gone, as `head` does, has all
/// that it wanted. Who no longer waits for it has to end the process: a thread may go on with it. What was noted on standard
/// error comes before it, as both may be one terminal.
///
/// # Errors
/// [`Exit::Output`].
pub(super) async fn print(bytes: impl Into<Vec<u8>>) -> Result<(), Failure> {
    let bytes = bytes.into();
    let write = move || {
        stderr::flush();
        streams::output()?.write_all(&shown(&bytes, io::stdout().is_terminal()))
    };
    match off_thread(write).await? {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Output, format!("cannot write to standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// `bytes` as they are, or where they go to a terminal as text with all escaped that this would obey: keys, values and names in
/// it may be of others.
fn shown(bytes: &[u8], terminal: bool) -> Cow<'_, [u8]> {
    if !terminal {
        return Cow::Borrowed(bytes);
    }
    Cow::Owned(printable::for_terminal(&String::from_utf8_lossy(bytes)).into_owned().into_bytes())
}

/// Writes `value` to standard output as one line of JSON.
///
/// # Errors
/// As [`print`].
pub(super) async fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    print(format!("{}\n", json(value))).await
}

/// `value` as one line of JSON, in which a terminal finds nothing to obey.
pub(super) fn json(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value);
    printable::json(json.expect("what is printed has only strings as keys, and no paths: no way to fail"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_text_escaped_and_a_pipe_as_it_is() {
        let text = "a\x1b[2J\u{202e}\r\n";
        assert_eq!(&*shown(text.as_bytes(), true), b"a\\u{1b}[2J\\u{202e}\\u{d}\n");
        assert_eq!(&*shown(text.as_bytes(), false), text.as_bytes());
        assert_eq!(&*shown(b"\xff\x1b", true), "\u{fffd}\\u{1b}".as_bytes());
        assert_eq!(&*shown(b"\xff\x1b", false), b"\xff\x1b");
        assert_eq!(json(&text), r#""a\u001b[2J\u202e\r\n""#);
    }
}
