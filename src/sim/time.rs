//! Virtual time: a runtime whose clock stands still while there is something to do, and else jumps to the next timer.

use actix::System;

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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("the operating system gives what a runtime needs");
    System::with_tokio_rt(move || runtime).block_on(future)
}
