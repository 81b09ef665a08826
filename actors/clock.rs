//! The only reader of time and of the system's entropy, and the one timer that an actor needs.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use actix::fut::ActorFuture;
use actix::{Actor, AsyncContext};
use kademlia_dynamic::protocol::entropy::Entropy;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::uptime::{slept, slept_by};
use tokio::time::Sleep;

/// The time now, with what the machine has slept: lives, ages and intervals go on meanwhile, while timers stand still. Under
/// tokio's paused clock it stands still until that is advanced.
pub fn now() -> Instant {
    let reading = tokio::time::Instant::now().into_std();
    reading + slept_by(reading)
}

/// The longest that a timer runs before it is looked at again: so late is what was due while the machine slept.
const LONGEST_NAP: Duration = Duration::from_secs(60);

/// How much farther the wall clock must have gone than the clock of timers, before that counts as having stood still.
const LEAST_JUMP: Duration = Duration::from_secs(2);

/// How far the wall clock must have gone before the clocks are compared again.
const COMPARE_EVERY: Duration = Duration::from_millis(100);

/// Notices a clock jump: all clocks but the wall clock have stood still, as in a virtual machine that was paused, or while the machine
/// slept where the system does not report that: the wall clock then is ahead all of a sudden. It may have been set, which looks
/// the same. In virtual time nothing stands still.
#[derive(Debug)]
pub(crate) struct ClockJump {
    started: Instant,
    /// The wall clock, less what had passed since the start. `None` in virtual time.
    ahead: Option<Duration>,
    /// The wall clock when they were compared last.
    compared: Duration,
}

impl ClockJump {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now() + slept(), ahead: Some(wall()), compared: wall() }
    }

    /// Whether it has stood still since it was asked last.
    pub(crate) fn noticed(&mut self) -> bool {
        let wall = wall();
        // It has not gone on by as much as a jump.
        if wall.abs_diff(self.compared) < COMPARE_EVERY {
            return false;
        }
        self.compared = wall;
        let real = Instant::now() + slept();
        let virtually = now();
        if real.max(virtually) - real.min(virtually) > LEAST_JUMP {
            self.ahead = None;
            return false;
        }
        self.noticed_at(wall, real.saturating_duration_since(self.started))
    }

    fn noticed_at(&mut self, wall: Duration, passed: Duration) -> bool {
        let ahead = wall.saturating_sub(passed);
        let before = self.ahead.replace(ahead);
        before.is_some_and(|before| ahead.saturating_sub(before) > LEAST_JUMP)
    }
}

/// The wall clock, since 1970.
fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The operating system's entropy, read a block at a time.
#[derive(Debug, Default)]
pub struct SystemEntropy {
    block: [u64; 32],
    left: usize,
}

impl Entropy for SystemEntropy {
    fn next_u64(&mut self) -> u64 {
        if self.left == 0 {
            let mut bytes = [0; 256];
            getrandom::fill(&mut bytes).expect("the operating system has a source of randomness");
            for (number, chunk) in self.block.iter_mut().zip(bytes.chunks_exact(8)) {
                *number = u64::from_le_bytes(chunk.try_into().expect("chunks of 8"));
            }
            self.left = self.block.len();
        }
        self.left -= 1;
        self.block[self.left]
    }
}

/// A fresh random node id from the operating system's entropy.
pub fn generate_node_id() -> NodeId {
    let mut bytes = [0; 20];
    SystemEntropy::default().fill(&mut bytes);
    NodeId::from_bytes(bytes)
}

/// An actor that wants to be woken at a time of its own, which may change with each message.
pub(crate) trait Alarmed: Actor {
    /// When to be woken next, if at all.
    fn next_alarm(&self) -> Option<Instant>;
    /// That time has come. It must move [`Alarmed::next_alarm`] past `now`, or it is called again at once.
    fn alarm(&mut self, now: Instant, ctx: &mut Self::Context);
}

/// The one timer of an actor: it looks at [`Alarmed::next_alarm`] whenever the actor has been awake, so nothing needs
/// to be armed or cancelled. Spawn it in `started`, which a restart calls again.
pub(crate) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Gives `ctx`'s actor its timer.
    pub(crate) fn spawn<A>(ctx: &mut A::Context)
    where
        A: Alarmed,
        A::Context: AsyncContext<A>,
    {
        ctx.spawn(Self { sleep: None });
    }
}

/// Makes a type an actor whose timer begins with it.
macro_rules! timed_actor {
    ($actor:ident) => {
        impl actix::Actor for $actor {
            type Context = actix::Context<Self>;

            fn started(&mut self, ctx: &mut Self::Context) {
                $crate::actors::clock::Alarm::spawn::<Self>(ctx);
            }
        }
    };
}

pub(super) use timed_actor;

impl<A: Alarmed> ActorFuture<A> for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, actor: &mut A, ctx: &mut A::Context, task: &mut Context<'_>) -> Poll<()> {
        // A backstop: an actor that never moves its alarm must not hold the thread.
        for _ in 0..64 {
            let Some(at) = actor.next_alarm() else { return Poll::Pending };
            let real = tokio::time::Instant::now();
            let slept = slept_by(real.into_std());
            if at <= real.into_std() + slept {
                #[cfg(test)]
                super::tests::drill::reached(std::any::type_name::<A>(), super::tests::drill::TIMER);
                actor.alarm(now(), ctx);
                continue;
            }
            let at = (tokio::time::Instant::from_std(at) - slept).min(real + LONGEST_NAP);
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
            if sleep.deadline() != at {
                sleep.as_mut().reset(at);
            }
            ready!(sleep.as_mut().poll(task));
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_stood_still_is_noticed_once_and_one_that_is_set_back_is_not() {
        let at = |jump: &mut ClockJump, wall: u64, passed: u64| {
            jump.noticed_at(Duration::from_secs(wall), Duration::from_secs(passed))
        };
        let mut jump = ClockJump { ahead: Some(Duration::from_secs(1_000_000)), ..ClockJump::new() };
        assert!(!at(&mut jump, 1_000_000, 0));
        assert!(!at(&mut jump, 1_000_060, 60));
        // It may be set a little.
        assert!(!at(&mut jump, 1_000_122, 120));
        assert!(at(&mut jump, 1_036_182, 180), "ten hours of sleep");
        assert!(!at(&mut jump, 1_036_242, 240));
        assert!(!at(&mut jump, 1_000, 300));
        assert!(!at(&mut jump, 1_060, 360));
        assert!(!ClockJump::new().noticed());
        let mut from_the_start = ClockJump { ahead: Some(Duration::from_secs(1_000_000)), ..ClockJump::new() };
        assert!(at(&mut from_the_start, 1_036_000, 0), "the first time, too");
    }
}
