//! What the system lets this process have: looked at before a node is begun, since where too little is left an allocation
//! aborts the process and tokio panics. What is taken later is refused with an error, or is no more than was seen here.

use std::fs::File;
use std::io;
use std::thread;

/// What is needed of the limits of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Files, sockets and the like that are opened.
    pub(crate) descriptors: usize,
    /// Bytes of address space.
    pub(crate) memory: u64,
}

/// What one node needs to begin: its runtime, its sockets and what it reads now and then; its thread's stack, its buffers and
/// the cache of a store on disk. Values come on top of that.
pub(crate) const NODE: Needs = Needs { descriptors: 12, memory: 32 << 20 };

/// A limit of this process that leaves too little for a node. Nothing was begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Limit {
    /// Files, sockets and the like.
    #[error("too few descriptors: {needed} are needed, and {free} are left of {} that this process may have (ulimit -n)", those(.limit))]
    Descriptors {
        /// How many it may have, where the system says.
        limit: Option<u64>,
        /// How many can still be opened.
        free: usize,
        /// How many are needed.
        needed: usize,
    },
    /// Memory, or the addresses for it.
    #[error("too little address space: {} KiB are left of the {} KiB that this process may use ({flag}), and {} KiB are needed", free / 1_024, limit / 1_024, needed / 1_024)]
    Memory {
        /// How many bytes it may use.
        limit: u64,
        /// How many bytes are left.
        free: u64,
        /// How many bytes are needed.
        needed: u64,
        /// How a shell sets this limit.
        flag: &'static str,
    },
    /// Threads.
    #[error("no thread can be started (ulimit -u, or ulimit -v for its stack): {0}")]
    Threads(String),
}

fn those(limit: &Option<u64>) -> String {
    limit.map_or_else(|| "those".to_owned(), |limit| format!("the {limit}"))
}

/// Sees whether `needs` can be met now.
///
/// # Errors
/// The first limit that leaves too little. Other threads may take what was free.
pub(crate) fn check(needs: Needs) -> Result<(), Limit> {
    check_memory(needs.memory)?;
    check_descriptors(needs.descriptors)?;
    let probe = thread::Builder::new().name("kademlia-probe".to_owned()).spawn(|| {});
    // It did nothing, so it cannot have panicked.
    probe.map(|thread| drop(thread.join())).map_err(|error| Limit::Threads(error.to_string()))
}

/// Opens as many files as are needed, and closes them: no system says otherwise how many are left.
fn check_descriptors(needed: usize) -> Result<(), Limit> {
    let mut open = Vec::with_capacity(needed);
    while open.len() < needed {
        match File::open(NULL) {
            Ok(file) => open.push(file),
            Err(error) if is_descriptor_limit(&error) => {
                return Err(Limit::Descriptors { limit: descriptor_limit(), free: open.len(), needed });
            }
            // There is none here to try it with.
            Err(_) => break,
        }
    }
    Ok(())
}

#[cfg(unix)]
const NULL: &str = "/dev/null";
#[cfg(not(unix))]
const NULL: &str = "NUL";

#[cfg(unix)]
fn is_descriptor_limit(error: &io::Error) -> bool {
    use nix::errno::Errno;
    error.raw_os_error().is_some_and(|code| [Errno::EMFILE, Errno::ENFILE].contains(&Errno::from_raw(code)))
}

#[cfg(not(unix))]
fn is_descriptor_limit(_: &io::Error) -> bool {
    false
}

#[cfg(unix)]
fn descriptor_limit() -> Option<u64> {
    use nix::sys::resource::{Resource, getrlimit};
    getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft)
}

#[cfg(not(unix))]
fn descriptor_limit() -> Option<u64> {
    None
}

/// Only Linux says how much is in use.
#[cfg(target_os = "linux")]
fn check_memory(needed: u64) -> Result<(), Limit> {
    use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
    let limits = [(Resource::RLIMIT_AS, "VmSize:", "ulimit -v"), (Resource::RLIMIT_DATA, "VmData:", "ulimit -d")];
    for (resource, field, flag) in limits {
        let limit = getrlimit(resource).map_or(RLIM_INFINITY, |(soft, _)| soft);
        if limit == RLIM_INFINITY {
            continue;
        }
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let free = limit.saturating_sub(in_use(&status, field).unwrap_or(0));
        if free < needed {
            return Err(Limit::Memory { limit, free, needed, flag });
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn check_memory(_: u64) -> Result<(), Limit> {
    Ok(())
}

/// The bytes after `field` in `status`, as `/proc/self/status` has it.
#[cfg(target_os = "linux")]
fn in_use(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_without_tight_limits_has_what_a_node_needs() {
        assert_eq!(check(NODE), Ok(()));
    }

    #[test]
    fn each_limit_says_what_is_left_what_is_needed_and_how_it_is_set() {
        let text = Limit::Descriptors { limit: Some(8), free: 3, needed: 12 }.to_string();
        assert_eq!(
            text,
            "too few descriptors: 12 are needed, and 3 are left of the 8 that this process may have (ulimit -n)"
        );
        let text = Limit::Memory { limit: 20 << 20, free: 1 << 20, needed: 32 << 20, flag: "ulimit -v" }.to_string();
        assert_eq!(
            text,
            "too little address space: 1024 KiB are left of the 20480 KiB that this process may use (ulimit -v), and 32768 KiB are needed"
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_in_use_is_read_from_the_status_of_a_process() {
        let status = "Name:\tkad\nVmPeak:\t  216372 kB\nVmSize:\t  150836 kB\nVmData:\t   20 kB\n";
        assert_eq!(in_use(status, "VmSize:"), Some(150_836 * 1_024));
        assert_eq!((in_use(status, "VmData:"), in_use(status, "VmLck:")), (Some(20 * 1_024), None));
        let own = std::fs::read_to_string("/proc/self/status").unwrap();
        assert!(in_use(&own, "VmSize:").unwrap() > 1 << 20);
    }
}
