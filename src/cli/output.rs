//! Standard output: the results of commands.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::failure::{Exit, Failure};
use super::{blocking::off_thread, printable, stderr, streams};

/// Whether a reader of standard output is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    Reads,
    /// It has closed the pipe: there is no use in more.
    Gone,
}

/// Writes `bytes` as [`stream`] does, where no more is to follow: that a reader such as `head` closes the pipe early is no error.
///
/// # Errors
/// [`Exit::OUTPUT`].
pub(super) async fn print(bytes: impl Into<Vec<u8>>) -> Result<(), Failure> {
    stream(bytes).await.map(|_| ())
}

/// Writes `bytes` to standard output, however long that takes: as they are, or as [`shown`] to a terminal. A caller that stops
/// waiting has to end the process, since a thread may still be writing. Earlier notes on standard error are written first, as
/// both may be one terminal.
///
/// # Errors
/// [`Exit::OUTPUT`].
pub(super) async fn stream(bytes: impl Into<Vec<u8>>) -> Result<Reader, Failure> {
    let bytes = bytes.into();
    let write = move || {
        stderr::flush();
        streams::standard(io::stdout())?.write_all(&shown(&bytes, io::stdout().is_terminal()))
    };
    match off_thread(write).await? {
        Ok(()) => Ok(Reader::Reads),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::of(Exit::OUTPUT, "cannot write to standard output")(error)),
    }
}

/// `bytes` as they are; for a terminal as text whose control characters are escaped, since keys, values and names in it may
/// come from others.
fn shown(bytes: &[u8], terminal: bool) -> Cow<'_, [u8]> {
    if !terminal {
        return Cow::Borrowed(bytes);
    }
    Cow::Owned(printable::for_terminal(&String::from_utf8_lossy(bytes)).into_bytes())
}

/// `value` as JSON on one line, without control characters.
pub(super) fn json(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value);
    printable::json(&json.expect("what is printed has only strings as keys, and no paths: no way to fail"))
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
