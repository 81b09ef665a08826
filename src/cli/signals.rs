//! The signals that stop a node: Ctrl-C and, on Unix, SIGTERM and SIGHUP. The first stops it cleanly, a second ends the
//! process.

use std::time::Duration;

use tokio::time::Instant;

use super::failure::{Exit, Failure};
use super::stderr;
use crate::actors::node::Node;

#[cfg(unix)]
const SIGHUP: u8 = 1;
const SIGINT: u8 = 2;
#[cfg(unix)]
const SIGTERM: u8 = 15;
/// How long a node may take to stop. It needs a good two seconds at most, unless its disk hangs.
const STOP_WITHIN: Duration = Duration::from_millis(2_800);

/// Signals that come this soon after another one belong to the same request to stop. A supervisor that signals a process and
/// its group sends two, and so does one that sends SIGHUP after SIGTERM.
const SAME_REQUEST: Duration = Duration::from_millis(200);

/// The signals of this process, from the moment it was made: none of them ends the process by itself any more.
pub(super) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    /// `None` where it is not listened for: it was ignored when the process began, as `nohup` has it.
    #[cfg(unix)]
    hang_up: Option<tokio::signal::unix::Signal>,
    /// When the last request to stop began.
    requested: Option<Instant>,
}

impl Signals {
    #[cfg(unix)]
    pub(super) fn listen() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).map_err(cannot_listen);
        let heeds_hang_up = !is_ignored(SIGHUP);
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: heeds_hang_up.then(|| listen(SignalKind::hangup())).transpose()?,
            requested: None,
        })
    }

    #[cfg(not(unix))]
    pub(super) fn listen() -> Result<Self, Failure> {
        Ok(Self { requested: None })
    }

    /// The number of the next signal that asks to stop: one that comes within [`SAME_REQUEST`] of such a one asks nothing more.
    pub(super) async fn next(&mut self) -> u8 {
        loop {
            let number = self.next_of_all().await;
            if is_request(&mut self.requested, Instant::now()) {
                return number;
            }
        }
    }

    #[cfg(unix)]
    async fn next_of_all(&mut self) -> u8 {
        let hang_up = async {
            match &mut self.hang_up {
                Some(hang_up) => hang_up.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => SIGINT,
            _ = self.terminate.recv() => SIGTERM,
            _ = hang_up => SIGHUP,
        }
    }

    #[cfg(not(unix))]
    async fn next_of_all(&mut self) -> u8 {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "cannot listen for Ctrl-C");
            std::future::pending::<()>().await;
        }
        SIGINT
    }

    /// Stops `node` after a first request, unless a second one comes before it is done. It is cut short rather than late.
    pub(super) async fn stop(mut self, node: &Node) -> Result<(), Failure> {
        let stopped = tokio::select! {
            biased;
            number = self.next() => return Err(Failure::new(Exit::Signal(number), "ended before the node had stopped")),
            stopped = stop_in_time(node) => stopped,
        };
        if !stopped {
            stderr::note(format_args!(
                "the node was cut short after {STOP_WITHIN:?}: it had not handed over, or its disk not taken, all that it held"
            ));
        }
        Ok(())
    }
}

/// Whether a signal that comes `now` is another request than the last one, which began at `requested`.
fn is_request(requested: &mut Option<Instant>, now: Instant) -> bool {
    if requested.is_some_and(|last| now.saturating_duration_since(last) < SAME_REQUEST) {
        return false;
    }
    *requested = Some(now);
    true
}

/// Whether this process ignored signal `number` before it listened for any. Only Linux tells.
#[cfg(target_os = "linux")]
fn is_ignored(number: u8) -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores(&status, number))
}

/// Elsewhere it counts as ignored, so that it does what it always did: it ends a process, or nothing under `nohup`.
#[cfg(all(unix, not(target_os = "linux")))]
fn is_ignored(_: u8) -> bool {
    true
}

/// Whether `status`, as `/proc/self/status` has it, says that signal `number` is ignored.
#[cfg(target_os = "linux")]
fn ignores(status: &str, number: u8) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (number - 1) & 1 == 1)
}

/// Has a file that grows beyond the limit of this process (`ulimit -f`) fail like a full disk. The signal that tells of it
/// would end the process otherwise.
#[cfg(unix)]
pub(super) fn outlive_file_size_limit() -> Result<(), Failure> {
    use nix::sys::signal::Signal;
    use tokio::signal::unix::{SignalKind, signal};
    // The handler stays for as long as the process.
    signal(SignalKind::from_raw(Signal::SIGXFSZ as i32)).map(drop).map_err(cannot_listen)
}

/// There is no such signal here.
#[cfg(not(unix))]
pub(super) fn outlive_file_size_limit() -> Result<(), Failure> {
    Ok(())
}

/// Stops `node`; `false` if it needs longer than it may.
async fn stop_in_time(node: &Node) -> bool {
    tokio::time::timeout(STOP_WITHIN, node.stop()).await.is_ok()
}

#[cfg(unix)]
fn cannot_listen(error: std::io::Error) -> Failure {
    Failure::new(Exit::System, format!("cannot listen for signals: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::codec::Codec;
    use crate::protocol::config::Config;
    use crate::protocol::message::Request;
    use crate::sim::{MemoryNetwork, Reply, ScriptedPeers, in_virtual_time};

    #[test]
    fn signals_that_come_together_are_one_request_and_a_later_one_is_another() {
        let (mut requested, begun) = (None, Instant::now());
        let mut asks = |ms| is_request(&mut requested, begun + Duration::from_millis(ms));
        assert_eq!([0, 0, 199, 200, 399, 5_000].map(&mut asks), [true, false, false, true, false, true]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_says_which_signals_were_ignored_at_the_start() {
        let status = |mask| format!("Name:\tkad\nSigBlk:\t0000000000000000\nSigIgn:\t{mask}\nSigCgt:\t0\n");
        // SIGPIPE is 13: a program in Rust ignores it.
        assert!(!ignores(&status("0000000000001000"), SIGHUP) && ignores(&status("0000000000001000"), 13));
        assert!(ignores(&status("0000000000001001"), SIGHUP) && !ignores(&status("0000000000001001"), SIGTERM));
        assert!(!ignores("no such line", SIGHUP));
        assert!(is_ignored(13) && !is_ignored(9));
    }

    #[test]
    fn a_stop_that_would_take_a_minute_is_cut_short() {
        in_virtual_time(async {
            let network = MemoryNetwork::new(7);
            let peers = ScriptedPeers::new(&network, Codec::Json).with(3);
            // So slow that each value takes seconds to hand over, and always so slow, so that their answers are waited for.
            peers.on(|_| Reply::Usual.after(Duration::from_millis(1_500)));
            let config = Config::builder().hand_off_time(Duration::from_secs(60)).build().unwrap();
            let node = Node::builder().config(config).seed(1).bootstrap([peers.addr(0)]);
            let node = node.start_local_over(network.endpoint()).await.unwrap();
            // The first answers come after a second send, which says nothing of how long they take.
            for n in 0..4 {
                let _ = node.get_outcome(format!("absent {n}")).await.unwrap();
            }
            for n in 0..500 {
                let value = std::sync::Arc::new("v".into());
                let set = Request::Set { key: n.to_string().into(), value, ttl: None, age: None };
                peers.ask(0, node.local_addr(), set).await.unwrap();
            }
            let begun = Instant::now();
            assert!(!stop_in_time(&node).await);
            assert!((2_800..3_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
            assert!(
                tokio::time::timeout(Duration::from_secs(5), node.stopped()).await.is_err(),
                "it would have gone on"
            );
        });
    }
}
