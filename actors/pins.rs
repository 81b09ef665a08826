//! Pins: the replicas of the pinned keys. Each key is audited on a schedule, and published anew before it falls below its
//! minimum; events report that. When an audit is due, and what it means, is the protocol's decision; which peers are asked, and
//! where a value goes, is decided elsewhere.

use std::rc::Rc;
use std::time::Instant;

use actix::{Addr, AsyncContext, Message, Supervised};
use kademlia_dynamic::causes::Causes;
use kademlia_dynamic::protocol::entropy::Entropy;
use kademlia_dynamic::protocol::pins::{Count, PinnedKeys, PinsSnapshot};
use kademlia_dynamic::protocol::store::Class;
use tokio::sync::oneshot;

use super::clock::{self, Alarmed, timed_actor};
use super::events::{Event, EventKind};
use super::handling::Receive;
use super::messages::{
    AuditKey, DescribePins, Priority, PublicationEnded, RepublishKey, UnpinKey, UnwatchKey, WatchKey,
};
use super::outcome::{Error, Health, SetOutcome};
use super::shared::Shared;

/// The actor of pinned keys.
pub struct Pins {
    shared: Rc<Shared>,
    /// It outlives a panic: pinned keys stay pinned.
    pinned: PinnedKeys,
    entropy: Box<dyn Entropy>,
}

/// Pins → itself: the audit of this number is over.
#[derive(Message)]
#[rtype(result = "()")]
struct AuditEnded {
    number: u64,
    result: Result<Health, Error>,
}

/// Pins → itself: the repair of this number is over.
#[derive(Message)]
#[rtype(result = "()")]
struct RepairEnded {
    number: u64,
    result: Result<SetOutcome, Error>,
}

impl Pins {
    pub(crate) fn new(shared: &Rc<Shared>) -> Self {
        let (pinned, entropy) = (PinnedKeys::new(&shared.config), shared.entropy(5));
        Self { shared: shared.clone(), pinned, entropy }
    }

    /// Waits for an answer outside of this actor: as many wait as audits run at once.
    fn wait<T, M>(
        &self,
        answer: oneshot::Receiver<Result<T, Error>>,
        pins: Addr<Self>,
        ended: impl FnOnce(Result<T, Error>) -> M + 'static,
    ) where
        T: 'static,
        M: Message<Result = ()> + Send + 'static,
        Self: Receive<M>,
    {
        let answered = self.shared.answered(answer, self.shared.patience());
        self.shared.lifetime.spawn(async move { pins.do_send(ended(answered.await.and_then(|result| result))) });
    }

    fn counted(&mut self, number: u64, count: Count, pins: Addr<Self>) {
        let Some((key, finding)) = self.pinned.audited(number, count, clock::now(), &mut *self.entropy) else {
            return;
        };
        if let Some(min_replicas) = finding.below {
            tracing::warn!(?key, confirmed = count.confirmed, min_replicas, "a pinned key has too few replicas");
            let confirmed = count.confirmed;
            let event = || Event::ReplicasLow { key: key.to_string(), confirmed, min_replicas };
            self.shared.events.emit(EventKind::ReplicasLow, event);
        }
        if finding.repair {
            let (answer, answered) = oneshot::channel();
            self.shared.handles.store.republish(RepublishKey { key, answer });
            self.wait(answered, pins, move |result| RepairEnded { number, result });
        }
    }
}

timed_actor!(Pins);

impl Supervised for Pins {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.pinned.restart(clock::now(), &mut *self.entropy);
    }
}

impl Alarmed for Pins {
    fn next_alarm(&self) -> Option<Instant> {
        self.pinned.next_wakeup()
    }

    fn alarm(&mut self, now: Instant, ctx: &mut Self::Context) {
        while let Some((number, key)) = self.pinned.next_audit(now) {
            let (answer, answered) = oneshot::channel();
            self.shared.handles.store.audit(AuditKey { key, priority: Priority::Background, answer });
            self.wait(answered, ctx.address(), move |result| AuditEnded { number, result });
        }
    }
}

impl Receive<WatchKey> for Pins {
    fn receive(&mut self, WatchKey { key, min_replicas, was_pinned, answer }: WatchKey, _: &mut Self::Context) {
        let result = self.pinned.pin(key.clone(), min_replicas, clock::now(), &mut *self.entropy);
        let result = result.map_err(|full| {
            // A key may be pinned against others and not be known here: it was so when the node was started again.
            if !was_pinned {
                self.shared.handles.store.unpin(UnpinKey { key, answer: None });
            }
            Error::Busy { what: "keys that can be pinned", limit: full.limit }
        });
        // The caller may have gone.
        let _ = answer.send(result);
    }
}

impl Receive<UnwatchKey> for Pins {
    fn receive(&mut self, UnwatchKey { key, was_pinned, answer }: UnwatchKey, _: &mut Self::Context) {
        let watched = self.pinned.unpin(&key);
        // The caller may have gone.
        let _ = answer.send(Ok(watched || was_pinned));
    }
}

impl Receive<PublicationEnded> for Pins {
    fn receive(&mut self, ended: PublicationEnded, _: &mut Self::Context) {
        self.pinned.unpin(&ended.0);
    }
}

impl Receive<AuditEnded> for Pins {
    fn receive(&mut self, AuditEnded { number, result }: AuditEnded, ctx: &mut Self::Context) {
        match result {
            Ok(health) if health.here.is_none_or(|here| here.class != Class::Published) => {
                if let Some(key) = self.pinned.no_longer_published(number) {
                    tracing::warn!(?key, "its publication has ended: it is no longer pinned");
                    self.shared
                        .events
                        .emit(EventKind::NoLongerPinned, || Event::NoLongerPinned { key: key.to_string() });
                }
            }
            Ok(health) => {
                let count = Count { confirmed: health.confirmed(), nearest: health.nearest.len() };
                self.counted(number, count, ctx.address());
            }
            Err(Error::NoneAnswered { .. }) => {
                self.counted(number, Count { confirmed: 0, nearest: 0 }, ctx.address());
            }
            Err(error) => {
                tracing::debug!(error = %Causes(&error), "an audit came to nothing");
                self.pinned.failed(number, clock::now(), &mut *self.entropy);
            }
        }
    }
}

impl Receive<RepairEnded> for Pins {
    fn receive(&mut self, RepairEnded { number, result }: RepairEnded, _: &mut Self::Context) {
        let now = clock::now();
        let outcome = match result {
            // The newer value has a placement of its own, and is audited as this one was.
            Ok(outcome) if !outcome.superseded => outcome,
            Ok(_) => return self.pinned.failed(number, now, &mut *self.entropy),
            Err(error) => {
                tracing::debug!(error = %Causes(&error), "a repair came to nothing");
                return self.pinned.failed(number, now, &mut *self.entropy);
            }
        };
        let Some((key, count)) = self.pinned.repaired(number, now, &mut *self.entropy) else { return };
        match outcome.stored {
            0 if count.confirmed == 0 => {
                tracing::warn!(?key, "no replica of a pinned key is left, and none could be made");
                self.shared.events.emit(EventKind::Lost, || Event::Lost { key: key.to_string() });
            }
            // The next audit counts again.
            0 => {}
            stored => {
                let event = || Event::Repaired { key: key.to_string(), stored };
                self.shared.events.emit(EventKind::Repaired, event);
            }
        }
    }
}

impl Receive<DescribePins> for Pins {
    fn receive(&mut self, _: DescribePins, _: &mut Self::Context) -> PinsSnapshot {
        self.pinned.snapshot(clock::now())
    }
}
