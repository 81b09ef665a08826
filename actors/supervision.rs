//! Supervision: mailboxes, restarts after a panic, the budget for them, and the end of the node as a whole. It knows no actor
//! by name.

use std::any::Any;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use actix::dev::ContextFut;
use actix::dev::channel::{AddressReceiver, channel};
use actix::{Actor, Addr, Context, Supervised};
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::seconds;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::counters::Counters;
use super::{clock, handling};

/// The pause before a second restart in a row; it doubles with each further one.
pub const FIRST_BACK_OFF: Duration = Duration::from_millis(100);
/// The longest pause before a restart.
pub const LONGEST_BACK_OFF: Duration = Duration::from_secs(10);

/// Why a node is no longer running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopReason {
    /// It was asked to stop, or its last handle was dropped.
    #[error("the node was stopped")]
    Asked,
    /// An actor panicked more often than its budget allows.
    #[error("the {actor} panicked {panics} times within {within:?}, last with: {last}")]
    RestartBudgetSpent {
        /// Which actor.
        actor: &'static str,
        /// How often, the last time included.
        panics: u32,
        /// In which time.
        #[serde(serialize_with = "seconds::serialize")]
        within: Duration,
        /// What the last panic said.
        last: String,
    },
}

/// The life of one node: its actors run until it is ended, and the end can be awaited.
#[derive(Clone)]
pub(crate) struct Lifetime {
    members: Arc<Mutex<Members>>,
    alive: mpsc::Sender<Infallible>,
    counters: Arc<Counters>,
    budget: Budget,
}

/// Ends the node. It can be sent anywhere.
#[derive(Clone, Debug)]
pub(crate) struct Ender(Arc<Mutex<Members>>);

impl Ender {
    /// Ends the node for `reason`, unless it has ended already.
    pub(crate) fn end(&self, reason: StopReason) {
        let tasks = {
            let mut members = locked(&self.0);
            if members.ended.is_some() {
                return;
            }
            members.ended = Some(reason);
            std::mem::take(&mut members.tasks)
        };
        for task in tasks.into_iter().flatten() {
            task.abort();
        }
    }

    /// Why it ended, if it has.
    pub(crate) fn reason(&self) -> Option<StopReason> {
        locked(&self.0).ended.clone()
    }
}

/// The tasks of a node. Actors are woken all the time and a node ends once: so its tasks do not look whether it has, but are
/// aborted.
///
/// Invariant: the numbers in `free` are those of the empty places. No place is taken once the node has ended.
#[derive(Debug, Default)]
struct Members {
    ended: Option<StopReason>,
    tasks: Vec<Option<AbortHandle>>,
    free: Vec<usize>,
}

impl Members {
    /// A place for the task that is about to begin; `None` once the node has ended.
    fn reserve(&mut self) -> Option<usize> {
        if self.ended.is_some() {
            return None;
        }
        Some(self.free.pop().unwrap_or_else(|| {
            self.tasks.push(None);
            self.tasks.len() - 1
        }))
    }
}

fn locked(members: &Mutex<Members>) -> MutexGuard<'_, Members> {
    members.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The place of a running task. It is free again when the task is gone, and only then has the node ended.
struct Membership {
    place: usize,
    members: Arc<Mutex<Members>>,
    _alive: mpsc::Sender<Infallible>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut members = locked(&self.members);
        // Once the node has ended there are no places.
        if let Some(task) = members.tasks.get_mut(self.place) {
            *task = None;
            members.free.push(self.place);
        }
    }
}

/// Resolves once nothing of the node lives any more.
pub(crate) struct Ended(mpsc::Receiver<Infallible>);

impl Ended {
    pub(crate) async fn wait(mut self) {
        // Nothing can be sent: it ends when the last sender is gone.
        while self.0.recv().await.is_some() {}
    }
}

impl Lifetime {
    pub(crate) fn new(config: &Config, counters: Arc<Counters>) -> (Self, Ended) {
        let members = Arc::new(Mutex::new(Members::default()));
        let (alive, ended) = mpsc::channel(1);
        let budget = Budget { restarts: config.supervision.max_restarts, window: config.supervision.restart_window };
        (Self { members, alive, counters, budget }, Ended(ended))
    }

    /// Ends the node.
    pub(crate) fn ender(&self) -> Ender {
        Ender(self.members.clone())
    }

    /// Runs a short-lived actor as `name`: until it stops by itself or the node ends. It is not restarted.
    pub(crate) fn run<A: Actor<Context = Context<A>>>(&self, name: &'static str, actor: A) -> Addr<A> {
        let mailbox = Mailbox::new(SHORT_MAILBOX);
        let addr = mailbox.addr();
        let mut context = Guarded(Some(Context::with_receiver(mailbox.receiver).into_future(actor)));
        // Only the task and the holders of the address keep it going.
        drop(mailbox.addr);
        self.spawn(async move {
            if let Err(panic) = poll_fn(|cx| context.poll(cx)).await {
                let panic = panic_text(&*panic);
                log(|| tracing::error!(operation = name, panic, "panicked: it has ended"));
            }
        });
        addr
    }

    /// Runs a future as part of the node: it is dropped when the node ends, and the end waits for that.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let Some(place) = locked(&self.members).reserve() else { return };
        let membership = Membership { place, members: self.members.clone(), _alive: self.alive.clone() };
        let task = actix_rt::spawn(async move {
            future.await;
            // Named after the future, so that it outlives it wherever the task is aborted.
            drop(membership);
        });
        let handle = task.abort_handle();
        match locked(&self.members).tasks.get_mut(place) {
            Some(task) => *task = Some(handle),
            // It ended meanwhile, in another thread.
            None => handle.abort(),
        }
    }
}

/// The mailbox of a short-lived actor. No message is offered to it, so the bound is not used.
const SHORT_MAILBOX: usize = 16;

/// An actor's mailbox before the actor is there: so that actors which know each other can be made one after the other.
pub(crate) struct Mailbox<A: Actor> {
    addr: Addr<A>,
    receiver: AddressReceiver<A>,
}

impl<A: Actor<Context = Context<A>>> Mailbox<A> {
    /// A mailbox that takes `capacity` messages by `try_send` from one sender.
    pub(crate) fn new(capacity: usize) -> Self {
        let (sender, receiver) = channel(capacity);
        Self { addr: Addr::new(sender), receiver }
    }

    pub(crate) fn addr(&self) -> Addr<A> {
        self.addr.clone()
    }

    /// Runs `actor` on this mailbox as `name`, restarted after a panic, until the node ends.
    pub(crate) fn supervise(self, lifetime: &Lifetime, name: &'static str, actor: A) -> Addr<A>
    where
        A: Supervised,
    {
        let context = Context::with_receiver(self.receiver).into_future(actor);
        lifetime.spawn(watch_over(context, name, lifetime.clone()));
        self.addr
    }
}

/// How many restarts within which time.
#[derive(Debug, Clone, Copy)]
struct Budget {
    restarts: u32,
    window: Duration,
}

/// Runs an actor, catches its panics and restarts it: `Supervised::restarting`, then `Actor::started`. Mailbox, addresses
/// and queued messages survive; the message being handled is lost.
async fn watch_over<A>(context: ContextFut<A, Context<A>>, name: &'static str, lifetime: Lifetime)
where
    A: Actor<Context = Context<A>> + Supervised,
{
    let budget = lifetime.budget;
    let mut context = Guarded(Some(context));
    let mut panics: VecDeque<Instant> = VecDeque::new();
    let mut restarted = Ok(());
    loop {
        // A panic while restarting counts as any other.
        let outcome = match restarted {
            Ok(()) => poll_fn(|cx| context.poll(cx)).await,
            panicked => panicked,
        };
        let Err(panic) = outcome else { return };
        let message = handling::interrupted();
        let last = panic_text(&*panic);
        let now = clock::now();
        panics.push_back(now);
        while panics.front().is_some_and(|at| now.saturating_duration_since(*at) > budget.window) {
            panics.pop_front();
        }
        if panics.len() > budget.restarts as usize {
            log(|| {
                tracing::error!(actor = name, handling = message, panic = last, "panicked too often: the node stops")
            });
            let panics = u32::try_from(panics.len()).unwrap_or(u32::MAX);
            lifetime.ender().end(StopReason::RestartBudgetSpent { actor: name, panics, within: budget.window, last });
            return;
        }
        let pause = back_off(panics.len());
        log(|| tracing::error!(actor = name, handling = message, panic = last, ?pause, "panicked: it is restarted"));
        lifetime.counters.restarted(name);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        restarted = context.restart();
    }
}

/// The pause before a restart, after `panics` of them within the window: none before the first, then doubling.
fn back_off(panics: usize) -> Duration {
    let Some(doublings) = panics.checked_sub(2) else { return Duration::ZERO };
    FIRST_BACK_OFF.saturating_mul(1 << doublings.min(16)).min(LONGEST_BACK_OFF)
}

/// An actor's future, none of whose panics get out: neither while it is polled nor while it is dropped.
struct Guarded<A>(Option<ContextFut<A, Context<A>>>)
where
    A: Actor<Context = Context<A>>;

type Panic = Box<dyn Any + Send>;

impl<A> Guarded<A>
where
    A: Actor<Context = Context<A>>,
{
    fn poll(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Result<(), Panic>> {
        let Some(context) = &mut self.0 else { return Poll::Ready(Ok(())) };
        match catch_unwind(AssertUnwindSafe(|| Pin::new(context).poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }

    /// Restarts the actor. If no other holds its address any more, the next poll ends it.
    fn restart(&mut self) -> Result<(), Panic>
    where
        A: Supervised,
    {
        let Some(context) = &mut self.0 else { return Ok(()) };
        catch_unwind(AssertUnwindSafe(|| context.restart())).map(drop)
    }
}

impl<A> Drop for Guarded<A>
where
    A: Actor<Context = Context<A>>,
{
    fn drop(&mut self) {
        // actix polls the future once more while dropping it.
        let context = self.0.take();
        if catch_unwind(AssertUnwindSafe(move || drop(context))).is_err() {
            log(|| tracing::error!("an actor panicked while it was stopped"));
        }
    }
}

/// Logs by `line`. The log of an application may panic, and an actor must be restarted all the same.
fn log(line: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(line));
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a text").chars().take(256).collect()
}

impl fmt::Debug for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifetime").field("ended", &locked(&self.members).ended).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifetime() -> (Lifetime, Ended) {
        Lifetime::new(&Config::default(), Arc::new(Counters::default()))
    }

    #[actix::test]
    async fn the_place_of_a_task_that_has_gone_is_free_again() {
        let (lifetime, _ended) = lifetime();
        for _ in 0..1_000 {
            lifetime.spawn(async {});
            tokio::task::yield_now().await;
        }
        assert!(locked(&lifetime.members).tasks.len() <= 2);
    }

    #[actix::test]
    async fn what_runs_is_dropped_at_the_end_which_waits_for_it_and_nothing_begins_after_it() {
        let (lifetime, ended) = lifetime();
        let ender = lifetime.ender();
        let owned = Arc::new(());
        let of_the_task = owned.clone();
        lifetime.spawn(async move {
            std::future::pending::<()>().await;
            drop(of_the_task);
        });
        tokio::task::yield_now().await;
        // From another thread, as an application may.
        std::thread::spawn(move || ender.end(StopReason::Asked)).join().unwrap();
        let late = owned.clone();
        lifetime.spawn(async move { panic!("begun after the end, with {late:?}") });
        drop(lifetime);
        ended.wait().await;
        assert_eq!(Arc::strong_count(&owned), 1);
    }
}
