//! Ctrl-C and, on Unix, SIGTERM: the first asks the command to end early, a second one ends the process.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

use crate::failure::{Exit, Failure};

const SIGINT: u8 = 2;
#[cfg(unix)]
const SIGTERM: u8 = 15;

/// The number of the signal that asked to end; 0 before that.
pub(crate) struct Interrupt(Arc<AtomicU8>);

impl Interrupt {
    /// Listens from now on, on a thread of its own.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let cannot = |error: io::Error| Failure::new(Exit::System, format!("cannot listen for signals: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(cannot)?;
        let mut signals = runtime.block_on(async { Signals::listen() }).map_err(cannot)?;
        let requested = Arc::new(AtomicU8::new(0));
        let request = requested.clone();
        let wait = async move {
            loop {
                let number = signals.next().await;
                if request.swap(number, Ordering::Relaxed) > 0 {
                    let _ = writeln!(io::stderr(), "kad-lab: ended before the work had stopped");
                    std::process::exit(128 + i32::from(number));
                }
            }
        };
        thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(wait)).map_err(cannot)?;
        Ok(Self(requested))
    }

    /// The number of the signal that asked to end, if one has.
    pub(crate) fn requested(&self) -> Option<u8> {
        Some(self.0.load(Ordering::Relaxed)).filter(|number| *number > 0)
    }
}

struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    #[cfg(not(unix))]
    fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(unix)]
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => SIGINT,
            _ = self.terminate.recv() => SIGTERM,
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) -> u8 {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        SIGINT
    }
}
