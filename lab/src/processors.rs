//! Which processor a thread runs on. What is measured gets one of its own: otherwise the system may let it wait for the program that
//! measures it, a few milliseconds at a time.

use std::sync::LazyLock;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Two processors that this program could use when it was first asked: the first, and the last.
static ENDS: LazyLock<Option<(CpuSet, CpuSet)>> = LazyLock::new(|| {
    let all = sched_getaffinity(None).ok()?;
    let mut usable = (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu));
    let (first, last) = (usable.next()?, usable.next_back()?);
    let only = |cpu| {
        let mut set = CpuSet::new();
        set.set(cpu);
        set
    };
    Some((only(first), only(last)))
});

/// Starts a process by `start`. It runs on one processor, and this thread on another from then on, where there are two.
pub(crate) fn apart<T>(start: impl FnOnce() -> T) -> T {
    let Some((ours, theirs)) = &*ENDS else { return start() };
    // A process inherits what the thread that starts it has. Where the system refuses, both run anywhere, as before.
    let _ = sched_setaffinity(None, theirs);
    let started = start();
    let _ = sched_setaffinity(None, ours);
    started
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_started_runs_on_another_processor_where_there_is_one() {
        // Each thread ends with what was changed of it.
        let changed = std::thread::spawn(|| {
            let before = sched_getaffinity(None).unwrap();
            let starts = [(); 2].map(|()| apart(|| std::thread::spawn(|| sched_getaffinity(None).unwrap())));
            (before, sched_getaffinity(None).unwrap(), starts.map(|started| started.join().unwrap()))
        });
        let (before, own, started) = changed.join().unwrap();
        match &*ENDS {
            Some((ours, theirs)) => assert!(own == *ours && started == [*theirs; 2] && ours != theirs),
            None => assert!(own == before && started == [before; 2]),
        }
    }
}
