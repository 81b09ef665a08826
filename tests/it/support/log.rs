//! The log of a test.

use std::io;
use std::sync::{Arc, Mutex};

use tracing::dispatcher::{DefaultGuard, Dispatch};
use tracing::subscriber::NoSubscriber;
use tracing_subscriber::fmt::MakeWriter;

/// A log that a test reads.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self::Writer {
        self.clone()
    }
}

impl Lines {
    /// What is logged on this thread from now on, until the guards are dropped.
    ///
    /// The second dispatcher is there since where `tracing` knows of one only, it asks the thread that first reaches a log
    /// statement whether that is logged at all, and keeps the answer: a thread of another test, which logs nothing.
    pub(crate) fn of_this_thread() -> (Self, (DefaultGuard, Dispatch)) {
        let lines = Self::default();
        let second = Dispatch::new(NoSubscriber::default());
        let log = tracing_subscriber::fmt().with_writer(lines.clone()).finish();
        (lines, (tracing::subscriber::set_default(log), second))
    }

    /// How many lines contain `what`.
    pub(crate) fn that_say(&self, what: &str) -> usize {
        String::from_utf8_lossy(&self.0.lock().unwrap()).lines().filter(|line| line.contains(what)).count()
    }
}
