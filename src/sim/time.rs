//! Virtual time: a runtime whose clock stands still while there is something to do, and else jumps to the next timer.

use std::fmt;

use actix::{System, SystemRunner};

/// Runs `future` in an actix system of its own, on this thread, in virtual time: days pass in milliseconds.
///
/// The clock is paused before anything reads it, so timers do not depend on when the run began: with a seeded
/// [network](super::MemoryNetwork) and [seeded nodes](crate::NodeBuilder::seed) two runs are the same to the bit. (After
/// `tokio::time::pause()` within a running system timers may come a millisecond earlier or later.) Nothing in `future`
/// may wait for another thread or process, since virtual time does not wait for it; sockets are not to be had at all, which
/// saves a quarter of the time.
///
/// # Panics
/// Where the system gives no runtime, and where `future` panics.
pub fn in_virtual_time<F: Future>(future: F) -> F::Output {
    VirtualTime::new().run(future)
}

/// An actix system in virtual time that outlives what is run in it: nodes of one run are there in the next. Between two runs
/// no time passes. What [`in_virtual_time`] says holds here too.
pub struct VirtualTime(SystemRunner);

impl VirtualTime {
    /// A system of its own on this thread.
    ///
    /// # Panics
    /// Where the system gives no runtime.
    #[allow(clippy::new_without_default, reason = "it takes over the thread's system, which a default should not")]
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("the operating system gives what a runtime needs");
        Self(System::with_tokio_rt(move || runtime))
    }

    /// Runs `future` to its end, and with it whatever else goes on in the system.
    ///
    /// # Panics
    /// Where `future` does.
    pub fn run<F: Future>(&self, future: F) -> F::Output {
        self.0.block_on(future)
    }
}

impl fmt::Debug for VirtualTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualTime").finish_non_exhaustive()
    }
}
