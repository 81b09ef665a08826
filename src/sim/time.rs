//! Virtual time: a runtime whose clock stands still while there is something to do, and else jumps to the next timer.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use actix::{System, SystemRunner};

use crate::uptime;

/// Runs `future` in an actix system of its own, on this thread, in virtual time: days pass in milliseconds.
///
/// The clock is paused before anything reads it, so timers do not depend on when the run began: with a seeded
/// [network](super::MemoryNetwork) and [seeded nodes](crate::NodeBuilder::seed) two runs are the same to the bit. (After
/// `tokio::time::pause()` within a running system timers may come a millisecond earlier or later.) Nothing in `future`
/// may wait for another thread or process, since virtual time does not wait for it; sockets are not to be had at all, which
/// saves a quarter of the time.
///
/// # Panics
/// Where a runtime runs on this thread already, so in any `async fn`, and in a test under `#[tokio::test]` or
/// `#[actix::test]`. A plain `#[test]` is what this is made for; elsewhere it takes a thread of its own, such as
/// `tokio::task::spawn_blocking` gives. In a `future` that is in virtual time already, await what you would have handed in
/// ([`SimBuilder::build`](super::SimBuilder::build) for a network). Also where the system gives no runtime, and where
/// `future` panics.
#[track_caller]
pub fn in_virtual_time<F: Future>(future: F) -> F::Output {
    VirtualTime::new().run(future)
}

/// Lets the machine sleep for `time`, as all nodes of this thread see it: time passes, and no timer runs meanwhile.
pub fn suspend(time: Duration) {
    uptime::pretend(time);
}

/// Whether time is virtual here: the clock of the runtime stands still while the machine's goes on.
pub(super) fn is_virtual() -> bool {
    let before = tokio::time::Instant::now();
    let started = std::time::Instant::now();
    // Some nanoseconds.
    while started.elapsed().is_zero() {}
    tokio::time::Instant::now() == before
}

/// An actix system in virtual time that outlives what is run in it: nodes of one run are there in the next. Between two runs
/// no time passes. What [`in_virtual_time`] says holds here too.
pub struct VirtualTime(SystemRunner);

impl VirtualTime {
    /// A system of its own on this thread.
    ///
    /// # Panics
    /// Where a runtime runs on this thread already, as [`in_virtual_time`] does. Where the system gives no runtime.
    #[track_caller]
    #[allow(clippy::new_without_default, reason = "it takes over the thread's system, which a default should not")]
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("the operating system gives what a runtime needs");
        // Whether one runs here already tokio tells only by the panic; what to do then it cannot know.
        let is_alone = catch_unwind(AssertUnwindSafe(|| runtime.block_on(async {}))).is_ok();
        assert!(
            is_alone,
            "virtual time begins outside of any runtime: call this from a plain #[test] or thread (spawn_blocking gives \
             one), not from async code; in virtual time already, await SimBuilder::build instead"
        );
        Self(System::with_tokio_rt(move || runtime))
    }

    /// Runs `future` to its end, and with it whatever else goes on in the system.
    ///
    /// # Panics
    /// Where a runtime runs on this thread already, as [`in_virtual_time`] does. Where `future` panics.
    pub fn run<F: Future>(&self, future: F) -> F::Output {
        self.0.block_on(future)
    }
}

impl fmt::Debug for VirtualTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualTime").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::any::Any;

    use tokio::time::Instant;

    use super::*;
    use crate::sim::Sim;

    fn said(panic: Box<dyn Any + Send>) -> String {
        match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(panic) => panic.downcast::<&str>().map(|text| text.to_string()).unwrap_or_default(),
        }
    }

    /// All that begins virtual time of its own.
    fn all() -> [(&'static str, fn()); 3] {
        [
            ("in_virtual_time", || in_virtual_time(async {})),
            ("VirtualTime", || drop(VirtualTime::new())),
            ("Sim", || drop(Sim::run(Sim::builder().nodes(2), async |_| ()))),
        ]
    }

    /// That each says what to do instead.
    fn all_refuse() {
        for (name, begin) in all() {
            let panic = catch_unwind(begin).expect_err(name);
            let said = said(panic);
            assert!(said.contains("plain #[test]") && said.contains("SimBuilder::build"), "{name}: {said}");
        }
    }

    #[tokio::test]
    async fn within_a_tokio_test_virtual_time_says_where_it_can_begin() {
        assert!(!is_virtual());
        all_refuse();
    }

    #[actix_rt::test]
    async fn within_an_actix_test_virtual_time_says_where_it_can_begin() {
        all_refuse();
    }

    #[test]
    fn within_virtual_time_no_other_begins_and_a_network_is_built_and_awaited() {
        in_virtual_time(async {
            all_refuse();
            assert!(is_virtual());
            let before = Instant::now();
            let sim = Sim::builder().nodes(2).build().await.unwrap();
            assert_eq!(sim.places().len(), 2);
            assert!(before.elapsed().as_secs() > 0, "what a build takes passed in no time");
        });
    }

    #[tokio::test]
    async fn on_a_thread_for_what_blocks_virtual_time_begins_even_under_a_runtime() {
        let ours = || Sim::run(Sim::builder().nodes(2), async |sim| sim.population().ours).unwrap();
        assert_eq!(tokio::task::spawn_blocking(ours).await.unwrap(), 2);
    }
}
