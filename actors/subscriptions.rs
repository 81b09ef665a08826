//! Subscriptions to events: each has a bounded queue of the kinds that it names. An event that no subscription names is not made.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::Stream;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::counters::locked;
use super::events::{Event, EventKind};

/// Events kept for a subscriber that is slow. It loses the oldest beyond that, and [learns](EventStream::missed) how many.
pub const KEPT: usize = 1_024;

/// After a subscriber was woken it is not woken again within this time: what happens meanwhile comes with the next wake. To wake
/// the thread of a subscriber costs more than to store a value.
pub const WAKE_INTERVAL: Duration = Duration::from_millis(20);

/// The sending side, held by the actors.
#[derive(Clone, Default)]
pub(crate) struct Events(Arc<Subscriptions>);

#[derive(Default)]
struct Subscriptions {
    /// The kinds that any subscriber wants, a bit each.
    wanted: AtomicU32,
    subscribers: Mutex<Vec<Arc<Subscriber>>>,
}

struct Subscriber {
    /// The kinds that it wants, a bit each.
    kinds: u32,
    inbox: Mutex<Inbox>,
}

/// What a subscriber has not taken yet.
#[derive(Default)]
struct Inbox {
    events: VecDeque<Event>,
    missed: u64,
    /// Set while the subscriber waits for an event.
    waker: Option<Waker>,
    /// When it is woken next, or was woken last.
    wake: Option<Instant>,
}

impl Events {
    /// Reports an event of this kind, if a subscriber wants it or it is logged.
    pub(crate) fn emit(&self, kind: EventKind, event: impl FnOnce() -> Event) {
        let wanted = self.0.wanted.load(Ordering::Relaxed) & kind.bit() != 0;
        if !wanted && !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let event = event();
        debug_assert_eq!(event.kind(), kind);
        tracing::debug!(?event);
        for subscriber in locked(&self.0.subscribers).iter().filter(|subscriber| subscriber.kinds & kind.bit() != 0) {
            subscriber.push(event.clone());
        }
    }

    /// Subscribes to these kinds until the node has `gone`.
    pub(crate) fn subscribe(
        &self,
        kinds: impl IntoIterator<Item = EventKind>,
        gone: impl Future<Output = ()> + Send + Sync + 'static,
    ) -> EventStream {
        let kinds = kinds.into_iter().fold(0, |kinds, kind| kinds | kind.bit());
        let subscriber = Arc::new(Subscriber { kinds, inbox: Mutex::default() });
        self.change(|subscribers| subscribers.push(subscriber.clone()));
        EventStream { subscriber, events: self.clone(), gone: Some(Box::pin(gone)) }
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Subscriber>>)) {
        let mut subscribers = locked(&self.0.subscribers);
        change(&mut subscribers);
        let wanted = subscribers.iter().fold(0, |wanted, subscriber| wanted | subscriber.kinds);
        self.0.wanted.store(wanted, Ordering::Relaxed);
    }
}

impl Subscriber {
    fn push(self: &Arc<Self>, event: Event) {
        let mut inbox = locked(&self.inbox);
        if inbox.events.len() >= KEPT {
            inbox.events.pop_front();
            inbox.missed += 1;
        }
        inbox.events.push_back(event);
        if inbox.waker.is_none() {
            return;
        }
        let now = Instant::now();
        let next = inbox.wake.map_or(now, |last| last + WAKE_INTERVAL);
        match Handle::try_current() {
            // It must not lose what comes before its next wake.
            _ if inbox.events.len() >= KEPT / 2 => {
                inbox.wake = Some(now);
                inbox.wake();
            }
            // It is about to be woken.
            _ if inbox.wake.is_some_and(|wake| wake > now) => {}
            Ok(runtime) if next > now => {
                inbox.wake = Some(next);
                let subscriber = self.clone();
                runtime.spawn(async move {
                    tokio::time::sleep_until(next).await;
                    locked(&subscriber.inbox).wake();
                });
            }
            _ => {
                inbox.wake = Some(now);
                inbox.wake();
            }
        }
    }
}

impl Inbox {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// A bounded stream of events, from the moment of the subscription.
pub struct EventStream {
    subscriber: Arc<Subscriber>,
    events: Events,
    /// Ready when the node has stopped; the handles to it may live on. `None` after that.
    gone: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl EventStream {
    /// The next event; `None` once the node has stopped and all earlier events were returned. It can be cancelled without
    /// loss.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// How many events were lost so far because this subscriber was slower than [`KEPT`] events.
    pub fn missed(&self) -> u64 {
        locked(&self.subscriber.inbox).missed
    }
}

/// So that an actor can take it as a stream of its own.
impl Stream for EventStream {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if let Some(gone) = &mut self.gone
            && gone.as_mut().poll(cx).is_ready()
        {
            self.gone = None;
        }
        let mut inbox = locked(&self.subscriber.inbox);
        match inbox.events.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None if self.gone.is_none() => Poll::Ready(None),
            None => {
                inbox.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.events.change(|subscribers| subscribers.retain(|other| !Arc::ptr_eq(other, &self.subscriber)));
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").field("missed", &self.missed()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use actix::{Actor, ActorContext, AsyncContext, StreamHandler};
    use tokio::sync::oneshot;

    use super::*;

    fn lost(number: usize) -> Event {
        Event::Lost { key: number.to_string() }
    }

    /// Subscribes to a node that runs until the sender is dropped.
    fn subscribe(events: &Events, kinds: &[EventKind]) -> (EventStream, oneshot::Sender<()>) {
        let (node, gone) = oneshot::channel();
        (events.subscribe(kinds.iter().copied(), async { drop(gone.await) }), node)
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn nothing_is_made_for_kinds_that_no_subscription_names() {
        let events = Events::default();
        let made = AtomicUsize::new(0);
        let emit = |kind, event: Event| {
            events.emit(kind, || {
                made.fetch_add(1, Ordering::Relaxed);
                event
            });
        };
        emit(EventKind::Lost, lost(0));
        let (mut losses, _node) = subscribe(&events, &[EventKind::Lost]);
        let (all, _other) = subscribe(&events, EventKind::ALL);
        emit(EventKind::NetworkLost, Event::NetworkLost);
        drop(all);
        emit(EventKind::NetworkFound, Event::NetworkFound);
        emit(EventKind::Lost, lost(1));
        assert_eq!((made.load(Ordering::Relaxed), losses.next().await), (2, Some(lost(1))));
        drop(losses);
        emit(EventKind::Lost, lost(2));
        assert_eq!(made.load(Ordering::Relaxed), 2, "there is no subscription any longer");
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_wakes_a_subscriber_that_waits_once_at_its_beginning_and_once_after_an_interval() {
        const BURST: usize = KEPT / 2;
        let events = Events::default();
        let (mut stream, _node) = subscribe(&events, &[EventKind::Lost]);
        let wakes = Arc::new(Wakes::default());
        let (waker, mut seen, mut taken) = (wakes.clone().into(), 0, 0);
        let mut cx = Context::from_waker(&waker);
        // The subscriber takes all that there is whenever it is woken, as on a thread of its own.
        let mut take_all = |seen: &mut usize, wakes: &Wakes| {
            if *seen == 0 || *seen <= wakes.0.load(Ordering::Relaxed) {
                *seen = wakes.0.load(Ordering::Relaxed) + 1;
                while Pin::new(&mut stream).poll_next(&mut cx).is_ready() {
                    taken += 1;
                }
            }
            taken
        };
        take_all(&mut seen, &wakes);
        for number in 0..BURST {
            events.emit(EventKind::Lost, || lost(number));
            take_all(&mut seen, &wakes);
        }
        assert_eq!((take_all(&mut seen, &wakes), wakes.0.load(Ordering::Relaxed)), (1, 1), "the first comes at once");
        tokio::time::sleep(WAKE_INTERVAL * 2).await;
        assert_eq!((take_all(&mut seen, &wakes), wakes.0.load(Ordering::Relaxed)), (BURST, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_subscriber_that_takes_all_at_each_wake_misses_nothing_however_many_come_in_an_interval() {
        let events = Events::default();
        let (mut stream, _node) = subscribe(&events, &[EventKind::Lost]);
        let wakes = Arc::new(Wakes::default());
        let waker = wakes.clone().into();
        let mut cx = Context::from_waker(&waker);
        let (mut seen, mut taken) = (0, 0);
        assert!(Pin::new(&mut stream).poll_next(&mut cx).is_pending());
        for number in 0..5 * KEPT {
            events.emit(EventKind::Lost, || lost(number));
            if wakes.0.load(Ordering::Relaxed) > seen {
                seen = wakes.0.load(Ordering::Relaxed);
                while Pin::new(&mut stream).poll_next(&mut cx).is_ready() {
                    taken += 1;
                }
            }
        }
        assert_eq!(stream.missed(), 0);
        assert!(taken > 4 * KEPT && seen <= 11, "{taken} taken in {seen} wakes");
    }

    #[tokio::test]
    async fn a_slow_subscriber_learns_how_many_it_has_missed_and_has_the_latest() {
        let events = Events::default();
        let (mut stream, node) = subscribe(&events, &[EventKind::Lost]);
        for number in 0..KEPT + 5 {
            events.emit(EventKind::Lost, || lost(number));
        }
        assert_eq!((stream.next().await, stream.missed()), (Some(lost(5)), 5));
        drop(node);
        let mut rest = 0;
        while stream.next().await.is_some() {
            rest += 1;
        }
        assert_eq!(rest, KEPT - 1, "what came before the node stopped comes before the end");
    }

    struct Listener(Vec<Event>, tokio::sync::mpsc::UnboundedSender<Vec<Event>>);

    impl Actor for Listener {
        type Context = actix::Context<Self>;
    }

    impl StreamHandler<Event> for Listener {
        fn handle(&mut self, event: Event, _: &mut Self::Context) {
            self.0.push(event);
        }

        fn finished(&mut self, ctx: &mut Self::Context) {
            let _ = self.1.send(std::mem::take(&mut self.0));
            ctx.stop();
        }
    }

    #[actix::test]
    async fn an_actor_takes_the_events_as_a_stream_of_its_own() {
        let events = Events::default();
        let (stream, node) = subscribe(&events, &[EventKind::Lost]);
        let (done, mut heard) = tokio::sync::mpsc::unbounded_channel();
        Listener::create(|ctx| {
            ctx.add_stream(stream);
            Listener(Vec::new(), done)
        });
        tokio::task::yield_now().await;
        events.emit(EventKind::Lost, || lost(1));
        events.emit(EventKind::Lost, || lost(2));
        drop(node);
        assert_eq!(heard.recv().await, Some(vec![lost(1), lost(2)]));
    }
}
