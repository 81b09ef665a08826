//! Supervision: mailboxes, restarts after a panic, the budget for them, and the end of the node as a whole. It knows no actor
//! by name.

use std::any::Any;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use actix::dev::ContextFut;
use actix::dev::channel::{AddressReceiver, channel};
use actix::{Actor, Addr, Context, Supervised};
use kademlia_dynamic::protocol::config::{Config, SupervisionConfig};
use kademlia_dynamic::protocol::seconds;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::counters::{Counters, locked};
use super::events::{Event, EventKind};
use super::subscriptions::Events;
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
    tasks: Arc<Mutex<Tasks>>,
    /// Held by each task until it is gone.
    alive: watch::Sender<()>,
    counters: Arc<Counters>,
    events: Events,
    budget: SupervisionConfig,
}

/// The tasks of a node. Actors are woken all the time and a node ends once: so its tasks do not look whether it has, but are
/// aborted.
#[derive(Debug, Default)]
struct Tasks {
    ended: Option<StopReason>,
    running: JoinSet<()>,
}

/// Ends the node. It can be sent anywhere.
#[derive(Clone, Debug)]
pub(crate) struct Ender(Arc<Mutex<Tasks>>);

impl Ender {
    /// Ends the node for `reason`, unless it has ended already.
    pub(crate) fn end(&self, reason: StopReason) {
        let mut tasks = locked(&self.0);
        if tasks.ended.is_none() {
            tasks.ended = Some(reason);
            tasks.running.abort_all();
        }
    }

    /// Why it ended, if it has.
    pub(crate) fn reason(&self) -> Option<StopReason> {
        locked(&self.0).ended.clone()
    }
}

/// Resolves once nothing of the node lives any more.
#[derive(Clone, Debug)]
pub(crate) struct Ended(watch::Receiver<()>);

impl Ended {
    pub(crate) async fn wait(mut self) {
        // Nothing is sent: it ends when the last sender is gone.
        while self.0.changed().await.is_ok() {}
    }
}

impl Lifetime {
    pub(crate) fn new(config: &Config, counters: Arc<Counters>) -> (Self, Ended) {
        let (alive, ended) = watch::channel(());
        let (events, budget) = (Events::default(), config.supervision.clone());
        (Self { tasks: Arc::default(), alive, counters, events, budget }, Ended(ended))
    }

    /// Where it reports restarts.
    pub(crate) fn events(&self) -> &Events {
        &self.events
    }

    /// Ends the node.
    pub(crate) fn ender(&self) -> Ender {
        Ender(self.tasks.clone())
    }

    /// Runs a short-lived actor as `name`: until it stops by itself or the node ends. It is not restarted.
    pub(crate) fn run<A: Actor<Context = Context<A>>>(&self, name: &'static str, actor: A) {
        let mut context = Mailbox::new(SHORT_MAILBOX).guarded(actor);
        self.spawn(async move {
            if let Err(panic) = poll_fn(|cx| context.poll(cx)).await {
                let panic = panic_text(&*panic);
                log(|| tracing::error!(operation = name, panic, "panicked: it has ended"));
            }
        });
    }

    /// Runs a future as part of the node: it is dropped when the node ends, and the end waits for that.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let (mut tasks, alive) = (locked(&self.tasks), self.alive.clone());
        if tasks.ended.is_some() {
            return;
        }
        while tasks.running.try_join_next().is_some() {}
        tasks.running.spawn_local(async move {
            future.await;
            // Named after the future, so that it outlives it wherever the task is aborted.
            drop(alive);
        });
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

    /// `actor` on this mailbox. It goes on as long as others hold its address.
    fn guarded(self, actor: A) -> Guarded<A> {
        Guarded(Some(Box::new(Context::with_receiver(self.receiver).into_future(actor))))
    }

    /// Runs `actor` on this mailbox as `name`, restarted after a panic, until the node ends.
    pub(crate) fn supervise(self, lifetime: &Lifetime, name: &'static str, actor: A)
    where
        A: Supervised,
    {
        // Boxed, since a task has room for its future twice.
        lifetime.spawn(Box::pin(watch_over(self.guarded(actor), name, lifetime.clone())));
    }
}

/// Runs an actor, catches its panics and restarts it: `Supervised::restarting`, then `Actor::started`. Mailbox, addresses
/// and queued messages survive; the message being handled is lost.
async fn watch_over<A>(mut context: Guarded<A>, name: &'static str, lifetime: Lifetime)
where
    A: Actor<Context = Context<A>> + Supervised,
{
    let mut panics: VecDeque<Instant> = VecDeque::new();
    let mut restarted = Ok(());
    loop {
        // A panic while restarting counts as any other.
        let outcome = match restarted {
            Ok(()) => poll_fn(|cx| context.poll(cx)).await,
            panicked => panicked,
        };
        let Err(panic) = outcome else { return };
        // Boxed: it is rare, and otherwise the task of each actor would reserve memory for it.
        if !Box::pin(lifetime.may_restart(name, &mut panics, panic_text(&*panic))).await {
            return;
        }
        restarted = context.restart();
    }
}

impl Lifetime {
    /// The actor `name` has panicked, with these words. Waits until it may be restarted and returns true, or ends the node.
    async fn may_restart(&self, name: &'static str, panics: &mut VecDeque<Instant>, last: String) -> bool {
        let (budget, message, now) = (&self.budget, handling::interrupted(), clock::now());
        panics.push_back(now);
        while panics.front().is_some_and(|at| now.saturating_duration_since(*at) > budget.restart_window) {
            panics.pop_front();
        }
        if panics.len() > budget.max_restarts as usize {
            log(|| {
                tracing::error!(actor = name, handling = message, panic = last, "panicked too often: the node stops")
            });
            let panics = u32::try_from(panics.len()).unwrap_or(u32::MAX);
            self.ender().end(StopReason::RestartBudgetSpent {
                actor: name,
                panics,
                within: budget.restart_window,
                last,
            });
            return false;
        }
        let pause = back_off(panics.len());
        log(|| tracing::error!(actor = name, handling = message, panic = last, ?pause, "panicked: it is restarted"));
        self.counters.restarted(name, now);
        self.events.emit(EventKind::Restarted, || Event::Restarted { actor: name });
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        true
    }
}

/// The pause before a restart, after `panics` of them within the window: none before the first, then doubling.
fn back_off(panics: usize) -> Duration {
    let Some(doublings) = panics.checked_sub(2) else { return Duration::ZERO };
    FIRST_BACK_OFF.saturating_mul(1 << doublings.min(16)).min(LONGEST_BACK_OFF)
}

/// An actor's future, none of whose panics get out: neither while it is polled nor while it is dropped. It is boxed, since each
/// future that takes another one in has room for it twice: a task would have room for each actor four times.
struct Guarded<A: Actor<Context = Context<A>>>(Option<Box<ContextFut<A, Context<A>>>>);

type Panic = Box<dyn Any + Send>;

impl<A: Actor<Context = Context<A>>> Guarded<A> {
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

impl<A: Actor<Context = Context<A>>> Drop for Guarded<A> {
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
        assert!(locked(&lifetime.tasks).running.len() <= 2);
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
