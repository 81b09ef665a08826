//! Standard error of the process: the lines of the log and the notes of commands. A thread of its own writes them, so that
//! a full disk, a closed pipe or one that blocks changes nothing of what the process does. Lines that cannot be written are
//! dropped and counted, and the next line that can be written reports how many.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use serde::Serialize;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use super::{printable, streams};

/// Lines that wait to be written, a few hundred kB at most. Further ones are dropped.
const QUEUE: usize = 1_024;
/// How long the end of the process waits for lines that are not written yet: a pipe that blocks must not delay it longer.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

/// The lines of this process, from their first use on.
static LINES: OnceLock<Lines> = OnceLock::new();

/// Whether each line is a JSON object, as in the log.
static JSON: AtomicBool = AtomicBool::new(false);

/// Has each line from now on be a JSON object: the log has begun to write such lines.
pub(super) fn write_json() {
    JSON.store(true, Ordering::Relaxed);
}

/// Writes `text` as a line that begins with `kad: `. Further lines of `text` are written as they are. Beside a log of JSON it is
/// one object, as an error.
pub(super) fn note(text: impl fmt::Display) {
    if JSON.load(Ordering::Relaxed) {
        lines().push(object("ERROR", &text).into_bytes());
    } else {
        line(format_args!("kad: {text}"));
    }
}

/// A line of JSON, in the form of those of the log.
#[derive(Serialize)]
struct Object<'a> {
    timestamp: &'a str,
    level: &'a str,
    message: &'a str,
    target: &'a str,
}

fn object(level: &str, text: &dyn fmt::Display) -> String {
    let mut timestamp = String::new();
    // A clock that cannot be read leaves it empty.
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    let object = Object { timestamp: &timestamp, level, message: &text.to_string(), target: module_path!() };
    let json = serde_json::to_string(&object).expect("texts are written as JSON without a way to fail");
    printable::json(&json) + "\n"
}

/// Writes `text` and a line end; to a terminal without control characters, since keys and names in it may come from others.
pub(super) fn line(text: impl fmt::Display) {
    let text = format!("{text}\n");
    let shown = if io::stderr().is_terminal() { printable::for_terminal(&text) } else { text };
    lines().push(shown.into_bytes());
}

/// Waits until all lines so far are written, at most for [`FLUSH_WITHIN`].
pub(super) fn flush() {
    lines().flush(FLUSH_WITHIN);
}

/// How many lines could not be written since the start.
pub(super) fn dropped() -> u64 {
    lines().dropped.load(Ordering::Relaxed)
}

/// Has panics reported by a note: the usual hook would block where standard error does.
pub(super) fn take_panics() {
    std::panic::set_hook(Box::new(|panic| note(panic)));
}

/// The lines of this process, as a writer for the log.
pub(super) fn lines() -> &'static Lines {
    LINES.get_or_init(|| match streams::standard(io::stderr()) {
        Ok(errors) => Lines::to(errors),
        Err(_) => Lines::to(io::stderr()),
    })
}

/// A bounded queue of lines, and the thread that writes them.
#[derive(Debug)]
pub(super) struct Lines {
    queue: SyncSender<Job>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Job {
    Line(Vec<u8>),
    /// Answer once all before it is written.
    Flush(SyncSender<()>),
}

impl Lines {
    /// Lines that are written to `out`. Where no thread can be started, all are dropped and counted.
    fn to(out: impl Write + Send + 'static) -> Self {
        let (queue, jobs) = mpsc::sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = dropped.clone();
        // Without the thread the queue is closed, which `push` counts.
        let _ = thread::Builder::new().name("kad-stderr".to_owned()).spawn(move || work(&jobs, out, &counted));
        Self { queue, dropped }
    }

    fn push(&self, line: Vec<u8>) {
        if self.queue.try_send(Job::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self, within: Duration) {
        let (done, written) = mpsc::sync_channel(1);
        // A full queue is not being written, or so slowly that it is not worth waiting for.
        if self.queue.try_send(Job::Flush(done)).is_ok() {
            let _ = written.recv_timeout(within);
        }
    }
}

/// Each write is one line: the log makes it as a whole.
impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes lines until the process ends.
fn work(jobs: &Receiver<Job>, mut out: impl Write, dropped: &AtomicU64) {
    let mut reported = 0;
    let mut write = |line: &[u8]| out.write_all(line).and_then(|()| out.flush());
    while let Ok(job) = jobs.recv() {
        let line = match job {
            Job::Line(line) => line,
            Job::Flush(done) => {
                let _ = done.try_send(());
                continue;
            }
        };
        let lost = dropped.load(Ordering::Relaxed);
        let report = loss(lost - reported, JSON.load(Ordering::Relaxed));
        if lost > reported && write(report.as_bytes()).is_ok() {
            reported = lost;
        }
        if write(&line).is_err() {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The line that reports so many lost lines.
fn loss(lines: u64, json: bool) -> String {
    let text = format!("{lines} lines before this one could not be written");
    if json { object("WARN", &text) } else { format!("kad: {text}\n") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Condvar, Mutex};

    /// What was written, and whether it can be.
    #[derive(Clone, Default)]
    struct Paper(Arc<(Mutex<State>, Condvar)>);

    #[derive(Default)]
    struct State {
        text: Vec<u8>,
        full: bool,
        blocks: bool,
    }

    impl Paper {
        fn set(&self, change: impl FnOnce(&mut State)) {
            change(&mut self.0.0.lock().unwrap());
            self.0.1.notify_all();
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.0.lock().unwrap().text.clone()).unwrap()
        }
    }

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut state = self.0.1.wait_while(self.0.0.lock().unwrap(), |state| state.blocks).unwrap();
            if state.full {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let some = bytes.len().min(7);
            state.text.extend_from_slice(&bytes[..some]);
            Ok(some)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn line(lines: &Lines, text: &str) {
        lines.push(format!("{text}\n").into_bytes());
        lines.flush(Duration::from_secs(60));
    }

    #[test]
    fn a_full_disk_costs_the_lines_that_it_does_not_take_and_they_are_reported_when_it_takes_one() {
        let paper = Paper::default();
        let lines = Lines::to(paper.clone());
        line(&lines, "first");
        paper.set(|state| state.full = true);
        line(&lines, "second");
        line(&lines, "third");
        paper.set(|state| state.full = false);
        line(&lines, "fourth");
        line(&lines, "fifth");
        assert_eq!(paper.text(), "first\nkad: 2 lines before this one could not be written\nfourth\nfifth\n");
        assert_eq!(lines.dropped.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn what_is_lost_is_reported_in_the_form_of_the_log() {
        assert_eq!(loss(2, false), "kad: 2 lines before this one could not be written\n");
        let line: serde_json::Value = serde_json::from_str(&loss(2, true)).unwrap();
        assert_eq!(
            (&line["level"], &line["message"]),
            (&"WARN".into(), &"2 lines before this one could not be written".into())
        );
        let text = object("ERROR", &"two\nlines \u{202e}");
        assert!(text.lines().count() == 1 && text.contains("two\\nlines \\u202e"), "{text}");
    }

    #[test]
    fn a_pipe_that_blocks_holds_up_neither_the_lines_nor_the_end_and_costs_what_the_queue_does_not_take() {
        let paper = Paper::default();
        let lines = Lines::to(paper.clone());
        paper.set(|state| state.blocks = true);
        for n in 0..3 * QUEUE {
            lines.push(format!("{n}\n").into_bytes());
        }
        lines.flush(Duration::from_millis(1));
        let lost = lines.dropped.load(Ordering::Relaxed);
        // One is being written.
        assert!((2 * QUEUE as u64 - 1..=2 * QUEUE as u64).contains(&lost), "{lost}");
        paper.set(|state| state.blocks = false);
        // The queue may still be full.
        while !paper.text().ends_with("last\n") {
            line(&lines, "last");
        }
        let text = paper.text();
        assert!(text.lines().position(|line| line == "0") < text.lines().position(|line| line == "1"), "{text}");
        assert!(text.contains(" lines before this one could not be written\n"), "{text}");
    }
}
