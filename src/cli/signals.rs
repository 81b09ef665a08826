//! The signals that stop a node: Ctrl-C and, on Unix, SIGTERM and SIGHUP. The first stops it cleanly, a second ends the
//! process.

use std::time::Duration;

#[cfg(unix)]
use nix::sys::signal::Signal;
#[cfg(unix)]
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use super::failure::{Exit, Failure};
use super::stderr;
use crate::actors::node::Node;

/// How long a node may take to stop. It needs a good two seconds at most, unless its disk hangs.
const STOP_WITHIN: Duration = Duration::from_millis(2_800);

/// Signals that come this soon after another one belong to the same request to stop. A supervisor that signals a process and
/// its group sends two, and so does one that sends SIGHUP after SIGTERM.
const SAME_REQUEST: Duration = Duration::from_millis(200);

/// The signals of this process, from the moment it was made: none of them ends the process by itself any more.
pub(super) struct Signals {
    /// By number.
    #[cfg(unix)]
    streams: Vec<(u8, tokio::signal::unix::Signal)>,
    /// When the last request to stop began.
    requested: Option<Instant>,
}

impl Signals {
    /// Listens from now on. SIGHUP stays ignored where it was when the process began, as `nohup` has it.
    #[cfg(unix)]
    pub(super) fn listen() -> Result<Self, Failure> {
        let kinds = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
        let heeded = kinds.into_iter().filter(|kind| *kind != Signal::SIGHUP || !is_ignored(*kind));
        let streams = heeded.map(|kind| Ok((kind as u8, listen_for(kind)?)));
        Ok(Self { streams: streams.collect::<Result<_, Failure>>()?, requested: None })
    }

    #[cfg(not(unix))]
    pub(super) fn listen() -> Result<Self, Failure> {
        Ok(Self { requested: None })
    }

    /// The number of the next signal that requests a stop: one that comes within [`SAME_REQUEST`] of another one does not.
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
        std::future::poll_fn(|context| {
            let mut streams = self.streams.iter_mut();
            let ready = streams.find_map(|(number, stream)| stream.poll_recv(context).is_ready().then_some(*number));
            ready.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        })
        .await
    }

    #[cfg(not(unix))]
    async fn next_of_all(&mut self) -> u8 {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "cannot listen for Ctrl-C");
            std::future::pending::<()>().await;
        }
        2
    }

    /// Stops `node` after a first request, unless a second one comes before that is done, or it takes longer than it may.
    pub(super) async fn stop(mut self, node: &Node) -> Result<(), Failure> {
        let stopped = tokio::select! {
            biased;
            number = self.next() => return Err(Failure::new(Exit::signal(number), "ended before the node had stopped")),
            stopped = stop_in_time(node) => stopped,
        };
        if !stopped {
            stderr::note(format_args!(
                "the node was ended after {STOP_WITHIN:?}, before all of its values were handed off and on the disk"
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

#[cfg(unix)]
fn listen_for(kind: Signal) -> Result<tokio::signal::unix::Signal, Failure> {
    signal(SignalKind::from_raw(kind as i32)).map_err(Failure::of(Exit::SYSTEM, "cannot listen for signals"))
}

/// Whether this process ignored signal `kind` before it listened for any. Only Linux says. Elsewhere it counts as ignored, so
/// that it does what it always did: it ends a process, or nothing under `nohup`.
#[cfg(unix)]
fn is_ignored(kind: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status");
    !cfg!(target_os = "linux") || status.is_ok_and(|status| ignores(&status, kind))
}

/// Whether `status`, as `/proc/self/status` has it, says that signal `kind` is ignored.
#[cfg(unix)]
fn ignores(status: &str, kind: Signal) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (kind as i32 - 1) & 1 == 1)
}

/// Has a file that grows beyond the limit of this process (`ulimit -f`) fail like a full disk. SIGXFSZ, which reports it, would
/// end the process otherwise. Only Unix has it.
pub(super) fn outlive_file_size_limit() -> Result<(), Failure> {
    // The handler stays for as long as the process.
    #[cfg(unix)]
    let _ = listen_for(Signal::SIGXFSZ)?;
    Ok(())
}

/// Stops `node`; `false` if it needs longer than it may.
async fn stop_in_time(node: &Node) -> bool {
    tokio::time::timeout(STOP_WITHIN, node.stop()).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GetOptions;
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
        // A program in Rust ignores SIGPIPE.
        let (one, two) = (status("0000000000001000"), status("0000000000001001"));
        assert!(!ignores(&one, Signal::SIGHUP) && ignores(&one, Signal::SIGPIPE));
        assert!(ignores(&two, Signal::SIGHUP) && !ignores(&two, Signal::SIGTERM));
        assert!(!ignores("no such line", Signal::SIGHUP));
        assert!(is_ignored(Signal::SIGPIPE) && !is_ignored(Signal::SIGKILL));
    }

    #[test]
    fn a_stop_that_would_take_a_minute_is_cut_short() {
        in_virtual_time(async {
            let network = MemoryNetwork::new(7);
            let peers = ScriptedPeers::new(&network, Codec::Json).with(3);
            // So slow that the handoff of each value takes seconds, and always so slow, so that their answers are waited for.
            peers.on(|_| Reply::Usual.after(Duration::from_millis(1_500)));
            let config = Config::builder().handoff_time(Duration::from_secs(60)).build().unwrap();
            let node = Node::builder().config(config).seed(1).bootstrap([peers.addr(0)]);
            let node = node.start_local_over(network.endpoint()).await.unwrap();
            // The first answers come after a second send, which says nothing of how long they take.
            for n in 0..4 {
                let _ = node.get_with(format!("absent {n}"), GetOptions::default()).await.unwrap().result;
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
