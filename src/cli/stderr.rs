//! Standard error of the process: the lines of the log and the notes of commands. A thread of its own writes them, so that
//! a full disk, a reader that is gone or a pipe that blocks changes nothing of what the process does. What cannot be
//! written is dropped, counted, and reported with the next line that can be.

use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use super::printable;

/// Lines that wait to be written, a few hundred kB at most. A further one is dropped.
const QUEUE: usize = 1_024;
/// How long the end of the process waits for lines that are still to be written: a pipe that blocks must not hold it.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);
/// How often a line is tried on a standard error that does not block and takes no more, and the pause before each.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// Where the lines of this process go, once it was asked for.
static LINES: OnceLock<Lines> = OnceLock::new();

/// Writes `text` as a line that begins with `kad: `. A second line of `text` is written as it is.
pub(super) fn note(text: impl fmt::Display) {
    line(format_args!("kad: {text}"));
}

/// Writes `text` and a line end; to a terminal with all escaped that this would obey, since keys and names in it may be of
/// others.
pub(super) fn line(text: impl fmt::Display) {
    let text = format!("{text}\n");
    let shown = if io::stderr().is_terminal() { printable::for_terminal(&text).into_owned() } else { text };
    lines().push(shown.into_bytes());
}

/// Waits until all lines so far are written, but no longer than [`FLUSH_WITHIN`].
pub(super) fn flush() {
    lines().flush(FLUSH_WITHIN);
}

/// How many lines could not be written since the start.
pub(super) fn dropped() -> u64 {
    lines().dropped.load(Ordering::Relaxed)
}

/// Panics are told by a note: the usual hook would block where standard error does.
pub(super) fn take_panics() {
    std::panic::set_hook(Box::new(|panic| note(panic)));
}

/// The lines of this process, as a writer of the log.
pub(super) fn lines() -> &'static Lines {
    LINES.get_or_init(|| Lines::to(io::stderr()))
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
    /// Lines that are written to `out`. Where the system gives no thread, all are dropped and counted.
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
        match self.queue.try_send(Job::Flush(done)) {
            Ok(()) => drop(written.recv_timeout(within)),
            // A full queue is one that is not being written, or is so slowly that its end is not worth waiting for.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

/// Writes what comes until the process ends.
fn work(jobs: &Receiver<Job>, mut out: impl Write, dropped: &AtomicU64) {
    let mut reported = 0;
    while let Ok(job) = jobs.recv() {
        match job {
            Job::Line(line) => {
                let lost = dropped.load(Ordering::Relaxed);
                if lost > reported && write(&mut out, &missing(lost - reported)).is_ok() {
                    reported = lost;
                }
                if write(&mut out, &line).is_err() {
                    dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            Job::Flush(done) => drop(done.try_send(())),
        }
    }
}

fn missing(lines: u64) -> Vec<u8> {
    format!("kad: {lines} lines before this one could not be written\n").into_bytes()
}

/// Writes all of `line`, also where `out` does not block.
fn write(out: &mut impl Write, mut line: &[u8]) -> io::Result<()> {
    let mut tries = 0;
    while !line.is_empty() {
        match out.write(line) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => line = &line[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock && tries < TRIES => {
                tries += 1;
                thread::sleep(PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
    out.flush()
}

/// One line of the log on its way.
pub(super) struct LogLine(Vec<u8>);

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        lines().push(std::mem::take(&mut self.0));
    }
}

/// Makes a writer for each line of the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Log;

impl MakeWriter<'_> for Log {
    type Writer = LogLine;

    fn make_writer(&self) -> LogLine {
        LogLine(Vec::new())
    }
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
        /// How often it says that it would block.
        busy: u32,
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
                return Err(ErrorKind::StorageFull.into());
            }
            if state.busy > 0 {
                state.busy -= 1;
                return Err(ErrorKind::WouldBlock.into());
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

    #[test]
    fn a_standard_error_that_does_not_block_is_tried_again() {
        let paper = Paper::default();
        let lines = Lines::to(paper.clone());
        paper.set(|state| state.busy = 3);
        line(&lines, "a line that is longer than what is taken at once");
        assert_eq!(paper.text(), "a line that is longer than what is taken at once\n");
        assert_eq!(lines.dropped.load(Ordering::Relaxed), 0);
    }
}
