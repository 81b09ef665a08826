//! The loop that reads datagrams for the socket actor: how many at once, and when the other actors run. What becomes of them is
//! the actor's business.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use actix::fut::ActorFuture;
use actix::{Actor, AsyncContext, Context};
use tokio::time::Sleep;

use super::Socket;
use super::transport::Datagram;

/// Datagrams read before the other actors run. A loop that reads on would take all there are while no actor works on
/// them, and so run out of slots in the middle of a burst that an idle node can bear.
const READ_AT_ONCE: usize = 32;
/// Datagrams that are a burst: each waits in the system's buffer. Once so many were read and there was always a
/// further one, more comes than can be worked off, and what waits there would only grow, answers to our own queries
/// among it. From then on all that has come is read at once and strangers beyond the free slots are dropped, until nothing
/// is left to read.
const BURST: usize = 256;
/// The most that is then read at once.
const DRAINED_AT_ONCE: usize = 1_024;
/// How often the other actors run to work off a batch before the next one is read.
const POLLS_FOR_OTHERS: u32 = 8;
/// Errors of the transport in a row after which reading pauses for [`PAUSE_AFTER_ERRORS`]: a broken network must not
/// keep a processor busy.
const ERRORS_IN_A_ROW: u32 = 16;
const PAUSE_AFTER_ERRORS: Duration = Duration::from_millis(100);
/// How often the system is asked what it dropped, while datagrams come in. The system then writes a line for each socket of
/// the machine: where 200 nodes ran in one process, and each asked once a second, that was 3 % of their work.
const CHECK_FOR_LOSSES: Duration = Duration::from_secs(5);

/// It is polled whenever the socket actor has been awake.
#[derive(Default)]
pub(super) struct ReaderLoop {
    batch: Vec<Datagram>,
    /// How often the other actors still run before the next batch.
    polls: u32,
    /// Datagrams read since there was last nothing to read.
    in_a_row: usize,
    /// Errors in a row.
    errors: u32,
    /// Set after too many of them.
    pause: Option<Pin<Box<Sleep>>>,
    /// When to ask for losses. Set while datagrams came in since the last time.
    check: Option<Pin<Box<Sleep>>>,
}

impl ReaderLoop {
    /// Reads a batch, or all that waits where that is too much. Pending: the transport will wake this actor.
    fn read(&mut self, socket: &mut Socket, cx: &mut TaskContext<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        if self.polls > 0 {
            self.polls -= 1;
            if socket.is_short_of_slots(READ_AT_ONCE) && self.polls > 0 {
                return Poll::Ready(());
            }
            self.polls = 0;
        }
        let mut left = if self.in_a_row < BURST { READ_AT_ONCE } else { DRAINED_AT_ONCE };
        while left > 0 {
            let outcome = socket.transport.poll_receive(cx, &mut self.batch, READ_AT_ONCE.min(left));
            let Poll::Ready(outcome) = outcome else {
                self.in_a_row = 0;
                return Poll::Pending;
            };
            self.polls = POLLS_FOR_OTHERS;
            if let Err(error) = outcome {
                tracing::debug!(%error, "nothing received");
                self.failed();
                break;
            }
            self.errors = 0;
            let room = READ_AT_ONCE.saturating_sub(self.batch.len());
            // Mostly that was all. To hear so now saves this actor from being woken to look once more.
            let all = room > 0 && socket.transport.poll_receive(cx, &mut self.batch, room).is_pending();
            left = left.saturating_sub(self.batch.len());
            self.in_a_row += self.batch.len();
            socket.take_in(&mut self.batch);
            if socket.losses.reported {
                self.check.get_or_insert_with(|| Box::pin(tokio::time::sleep(CHECK_FOR_LOSSES)));
            }
            if all {
                self.in_a_row = 0;
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    fn failed(&mut self) {
        self.errors += 1;
        if self.errors >= ERRORS_IN_A_ROW {
            self.errors = 0;
            self.pause = Some(Box::pin(tokio::time::sleep(PAUSE_AFTER_ERRORS)));
        }
    }

    fn check_for_losses(&mut self, socket: &mut Socket, cx: &mut TaskContext<'_>) {
        if let Some(check) = &mut self.check
            && check.as_mut().poll(cx).is_ready()
        {
            self.check = None;
            socket.count_losses();
        }
    }
}

impl Actor for Socket {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(ReaderLoop::default());
    }
}

impl ActorFuture<Socket> for ReaderLoop {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        socket: &mut Socket,
        _: &mut Context<Socket>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        socket.flush(cx);
        if self.read(socket, cx).is_ready() {
            // There may be more: go on once the other actors have run.
            cx.waker().wake_by_ref();
        }
        self.check_for_losses(socket, cx);
        Poll::Pending
    }
}
