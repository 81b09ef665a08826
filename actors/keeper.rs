//! The keeper: it sees to it that kept keys have their replicas. It has each audited on a schedule, has it published anew
//! before it falls below its minimum, and says so in events. When, and what an audit means, is the protocol's decision; who
//! is asked, and where a value goes, is that of others.

use std::time::Instant;

use actix::{Actor, Addr, AsyncContext, Context, Message, MessageResult, Recipient, Supervised};
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::entropy::Entropy;
use kademlia_dynamic::protocol::keeping::{Count, Keeping};
use kademlia_dynamic::protocol::store::Class;
use tokio::sync::oneshot;

use super::clock::{self, Alarm, Alarmed};
use super::events::{Event, Events};
use super::handling::Handler;
use super::lookup_coordinator::patience;
use super::messages::{AuditKey, DescribeKept, PublicationEnded, RepublishKey, UnkeepKey, UnwatchKey, WatchKey};
use super::outcome::{Error, Health, SetOutcome};
use super::supervision::Lifetime;

/// The actor that keeps.
pub struct Keeper {
    config: Config,
    /// It outlives a panic: kept keys stay kept.
    keeping: Keeping,
    entropy: Box<dyn Entropy>,
    lifetime: Lifetime,
    events: Events,
    links: KeeperLinks,
}

/// Whom the keeper tells.
pub(crate) struct KeeperLinks {
    pub(crate) audit: Recipient<AuditKey>,
    pub(crate) republish: Recipient<RepublishKey>,
    pub(crate) unkeep: Recipient<UnkeepKey>,
}

/// Itself → keeper: the audit of this number is over.
#[derive(Message)]
#[rtype(result = "()")]
struct AuditEnded {
    number: u64,
    result: Result<Health, Error>,
}

/// Itself → keeper: the repair of this number is over.
#[derive(Message)]
#[rtype(result = "()")]
struct RepairEnded {
    number: u64,
    result: Result<SetOutcome, Error>,
}

impl Keeper {
    pub(crate) fn new(
        config: Config,
        entropy: Box<dyn Entropy>,
        lifetime: Lifetime,
        events: Events,
        links: KeeperLinks,
    ) -> Self {
        let keeping = Keeping::new(&config);
        Self { config, keeping, entropy, lifetime, events, links }
    }

    /// Waits for what somebody was told to find out, outside of this actor: as many wait as audits run at once.
    fn wait<T, M>(
        &self,
        answer: oneshot::Receiver<Result<T, Error>>,
        keeper: Addr<Self>,
        ended: impl FnOnce(Result<T, Error>) -> M + 'static,
    ) where
        T: 'static,
        M: Message<Result = ()> + Send + 'static,
        Self: Handler<M>,
    {
        let patience = patience(&self.config);
        self.lifetime.spawn(async move {
            let result = match tokio::time::timeout(patience, answer).await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err(Error::Interrupted),
                Err(_) => Err(Error::TookTooLong(patience)),
            };
            keeper.do_send(ended(result));
        });
    }

    fn counted(&mut self, number: u64, count: Count, keeper: Addr<Self>) {
        let Some((key, finding)) = self.keeping.audited(number, count, clock::now(), &mut *self.entropy) else {
            return;
        };
        if let Some(min_replicas) = finding.below {
            tracing::warn!(?key, confirmed = count.confirmed, min_replicas, "a kept key has too few replicas");
            let confirmed = count.confirmed;
            self.events.emit(Event::ReplicasLow { key: key.to_string(), confirmed, min_replicas });
        }
        if finding.repair {
            let (answer, answered) = oneshot::channel();
            self.links.republish.do_send(RepublishKey { key, answer });
            self.wait(answered, keeper, move |result| RepairEnded { number, result });
        }
    }
}

impl Actor for Keeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        Alarm::spawn::<Self>(ctx);
    }
}

impl Supervised for Keeper {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.keeping.restart(clock::now(), &mut *self.entropy);
    }
}

impl Alarmed for Keeper {
    fn next_alarm(&self) -> Option<Instant> {
        self.keeping.next_wakeup()
    }

    fn alarm(&mut self, now: Instant, ctx: &mut Self::Context) {
        while let Some((number, key)) = self.keeping.next_audit(now) {
            let (answer, answered) = oneshot::channel();
            self.links.audit.do_send(AuditKey { key, answer });
            self.wait(answered, ctx.address(), move |result| AuditEnded { number, result });
        }
    }
}

impl Handler<WatchKey> for Keeper {
    type Result = ();

    fn handle(&mut self, watch: WatchKey, _: &mut Self::Context) {
        let WatchKey { key, min_replicas, was_kept, answer } = watch;
        let kept = self.keeping.keep(key.clone(), min_replicas, clock::now(), &mut *self.entropy);
        let kept = kept.map_err(|full| {
            // A key may be kept against others and not be known here: it was so when the node was started again.
            if !was_kept {
                self.links.unkeep.do_send(UnkeepKey { key, answer: None });
            }
            Error::Busy { what: "keys that can be kept", limit: full.limit }
        });
        // Whoever asked may have gone.
        let _ = answer.send(kept);
    }
}

impl Handler<UnwatchKey> for Keeper {
    type Result = ();

    fn handle(&mut self, unwatch: UnwatchKey, _: &mut Self::Context) {
        let UnwatchKey { key, was_kept, answer } = unwatch;
        let watched = self.keeping.release(&key);
        // Whoever asked may have gone.
        let _ = answer.send(Ok(watched || was_kept));
    }
}

impl Handler<PublicationEnded> for Keeper {
    type Result = ();

    fn handle(&mut self, ended: PublicationEnded, _: &mut Self::Context) {
        self.keeping.release(&ended.0);
    }
}

impl Handler<AuditEnded> for Keeper {
    type Result = ();

    fn handle(&mut self, ended: AuditEnded, ctx: &mut Self::Context) {
        let AuditEnded { number, result } = ended;
        match result {
            Ok(health) if health.here.is_none_or(|here| here.class != Class::Published) => {
                if let Some(key) = self.keeping.no_longer_published(number) {
                    tracing::warn!(?key, "its publication has ended: it is no longer kept");
                    self.events.emit(Event::NoLongerKept { key: key.to_string() });
                }
            }
            Ok(health) => {
                let count = Count { confirmed: health.confirmed(), nearest: health.nearest.len() };
                self.counted(number, count, ctx.address());
            }
            Err(Error::NobodyAnswered { .. }) => {
                self.counted(number, Count { confirmed: 0, nearest: 0 }, ctx.address());
            }
            Err(error) => {
                tracing::debug!(%error, "an audit came to nothing");
                self.keeping.came_to_nothing(number, clock::now(), &mut *self.entropy);
            }
        }
    }
}

impl Handler<RepairEnded> for Keeper {
    type Result = ();

    fn handle(&mut self, ended: RepairEnded, _: &mut Self::Context) {
        let RepairEnded { number, result } = ended;
        let now = clock::now();
        let outcome = match result {
            // The newer value has a placement of its own, and is audited as this one was.
            Ok(outcome) if !outcome.superseded => outcome,
            Ok(_) => return self.keeping.came_to_nothing(number, now, &mut *self.entropy),
            Err(error) => {
                tracing::debug!(%error, "a repair came to nothing");
                return self.keeping.came_to_nothing(number, now, &mut *self.entropy);
            }
        };
        let Some((key, count)) = self.keeping.repaired(number, now, &mut *self.entropy) else { return };
        let key = key.to_string();
        match outcome.stored {
            0 if count.confirmed == 0 => {
                tracing::warn!(key, "no replica of a kept key is left, and none could be made");
                self.events.emit(Event::Lost { key });
            }
            // The next audit counts again.
            0 => {}
            stored => self.events.emit(Event::Repaired { key, stored }),
        }
    }
}

impl Handler<DescribeKept> for Keeper {
    type Result = MessageResult<DescribeKept>;

    fn handle(&mut self, _: DescribeKept, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.keeping.snapshot(clock::now()))
    }
}
