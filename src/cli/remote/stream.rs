//! A stream of server-sent events of a gateway, and its output.

use std::io::{BufRead, BufReader, Read};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value as Json;
use tokio::sync::mpsc;

use super::client::{Ask, Client};
use crate::cli::blocking::off_thread;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Reader};

/// The longest line of a stream: a value of 60,000 bytes has a sixth of that where each is escaped.
const MAX_LINE: u64 = 2 << 20;
/// Events that wait to be printed. Beyond it the node is not read, and reports what it has left out.
const WAITING: usize = 64;

/// Prints each event at `path`, as JSON or as `text` has it, until the node ends or the reader of the output has gone. What came
/// before the end of the node is printed first.
pub(super) async fn follow(
    client: Client,
    ask: Ask,
    path: String,
    json: bool,
    text: impl Fn(&Json) -> String,
) -> Result<(), Failure> {
    let (events, mut received) = mpsc::channel(WAITING);
    let reader = off_thread(move || {
        let stream = client.open(&ask, &path)?;
        read(stream, |event| events.blocking_send(event).is_ok()).map_err(|why| client.ended(&why))
    });
    // Its error ends both. `None`: the reader of the output has gone.
    let printer = async {
        while let Some(event) = received.recv().await {
            let line = match json {
                true => output::json(&event),
                false => format!("{}  {}", time_of_day(SystemTime::now()), text(&event)),
            };
            if output::stream(line + "\n").await.map_err(Some)? == Reader::Gone {
                return Err(None);
            }
        }
        Ok(())
    };
    match tokio::try_join!(printer, async { Ok(reader.await) }) {
        Ok(((), ended)) => ended?,
        Err(stopped) => stopped.map_or(Ok(()), Err),
    }
}

/// Gives the data of each event of `stream` to `take`, until that wants no more. The error says how the stream ended.
fn read(stream: impl Read, mut take: impl FnMut(Json) -> bool) -> Result<(), String> {
    let mut lines = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut lines).take(MAX_LINE).read_until(b'\n', &mut line).map_err(|error| error.to_string())?;
        if read == 0 {
            return Err("it has stopped, or was asked to".to_owned());
        }
        if line.last() != Some(&b'\n') && read as u64 == MAX_LINE {
            return Err("a line is longer than any event".to_owned());
        }
        // The name of an event stands in its data as well. Comments show that the node is there.
        let Some(data) = line.strip_prefix(b"data:") else { continue };
        let event = serde_json::from_slice(data).map_err(|error| format!("an event is no JSON: {error}"))?;
        if !take(event) {
            return Ok(());
        }
    }
}

/// The time of the day in UTC, as `12:34:56Z`.
fn time_of_day(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    format!("{:02}:{:02}:{:02}Z", seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    #[test]
    fn events_are_read_one_by_one_and_comments_passed_over() {
        let stream = b": every 15 seconds\n\nevent: a\ndata: {\"n\":1}\n\n:\n\nevent: b\ndata: {\"n\":2}\n\n";
        let mut events = Vec::new();
        let ended = read(&stream[..], |event| {
            events.push(event);
            true
        });
        assert_eq!(events, [json!({"n": 1}), json!({"n": 2})]);
        assert!(ended.unwrap_err().contains("stopped"));
        assert_eq!(read(&stream[..], |_| false), Ok(()));
    }

    #[test]
    fn a_stream_that_is_none_takes_no_more_memory_than_an_event_may() {
        let ended = read(std::io::repeat(b'x'), |_| true);
        assert!(ended.unwrap_err().contains("longer than any event"));
        assert!(read(&b"data: {\n\n"[..], |_| true).unwrap_err().contains("no JSON"));
    }

    #[test]
    fn a_time_of_the_day_is_utc() {
        assert_eq!(time_of_day(UNIX_EPOCH + Duration::from_secs(86_400 + 3_661)), "01:01:01Z");
    }
}
