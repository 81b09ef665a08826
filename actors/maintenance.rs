//! The scheduler: when refresh, republish, restore, expiry and rejoin are due, each with jitter so that nodes do not act in
//! step. It does none of the work itself.

use std::rc::Rc;
use std::time::{Duration, Instant};

use actix::{Actor, Context, Supervised};
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::entropy::Entropy;

use super::clock::{self, Alarm, Alarmed};
use super::handles::Handles;
use super::handling::Receive;
use super::join_state::{Attempt, Contacts};
use super::messages::{
    Answer, CheckTable, ExpireValues, JoinNetwork, QueriesHandle, RefreshBuckets, RepublishDue, StoreHandle,
    TableEmpty, TableHandle,
};
use super::operations::join::{Aim, Join, JoinContext};
use super::operations::runner::Runner;
use super::outcome::BootstrapOutcome;
use super::shared::Shared;

/// How much each interval is varied.
const JITTER: f64 = 0.1;
/// Contacts named by the application that are remembered for a rejoin. Beyond it the oldest are forgotten.
const MAX_CONTACTS: usize = 200;
/// How often the table is checked for peers that answer.
const CHECK_ROUND: Duration = Duration::from_secs(60);
/// The pause between a join and the check whether it brought any peer, and between the first rejoin and the second; it
/// doubles with each one that reaches no peer. A join sends two datagrams to each contact, which may both be lost.
const FIRST_REJOIN: Duration = Duration::from_secs(2);
/// The longest pause between rejoins.
const LONGEST_REJOIN: Duration = Duration::from_secs(60);

/// The actor that schedules.
pub struct Maintenance {
    shared: Rc<Shared>,
    schedule: Schedule,
    contacts: Vec<String>,
    rejoin_pause: Duration,
    /// Whether the table reported that it is empty since it was last checked.
    found_empty: bool,
    entropy: Box<dyn Entropy>,
    join_context: JoinContext,
    queries: QueriesHandle,
    table: TableHandle,
    store: StoreHandle,
}

/// When each duty is due next.
struct Schedule {
    refresh: Instant,
    republish: Instant,
    expire: Instant,
    rejoin: Instant,
}

impl Schedule {
    fn next(&self) -> Instant {
        self.refresh.min(self.republish).min(self.expire).min(self.rejoin)
    }
}

/// How often stale buckets are looked for: often enough that none is stale for much longer than it may be.
fn refresh_round(config: &Config) -> Duration {
    (config.table.bucket_refresh_interval / 6).max(Duration::from_millis(10))
}

/// How often republishing and restoring are looked after. Each value has its own jittered time; this is how late it may be.
pub(super) fn republish_round(config: &Config) -> Duration {
    let shortest = config.values.restore_interval.min(config.effective_republish_interval());
    (shortest / 20).clamp(Duration::from_millis(10), Duration::from_secs(60))
}

/// How often expired values are swept. They are never served, swept or not.
fn expiry_round(config: &Config) -> Duration {
    config.table.bucket_refresh_interval.min(config.values.key_expiry / 4).max(Duration::from_millis(10))
}

impl Maintenance {
    pub(crate) fn new(shared: &Rc<Shared>, join_context: JoinContext, handles: &Handles) -> Self {
        let now = clock::now();
        let mut maintenance = Self {
            shared: shared.clone(),
            schedule: Schedule { refresh: now, republish: now, expire: now, rejoin: now },
            contacts: Vec::new(),
            rejoin_pause: FIRST_REJOIN,
            found_empty: false,
            entropy: shared.entropy(4),
            join_context,
            queries: handles.queries.clone(),
            table: handles.table.clone(),
            store: handles.store.clone(),
        };
        maintenance.schedule_all(now);
        maintenance
    }

    fn schedule_all(&mut self, now: Instant) {
        self.schedule = Schedule {
            refresh: now + self.jittered(refresh_round(&self.shared.config)),
            republish: now + self.jittered(republish_round(&self.shared.config)),
            expire: now + self.jittered(expiry_round(&self.shared.config)),
            rejoin: now + self.jittered(FIRST_REJOIN),
        };
    }

    fn jittered(&mut self, base: Duration) -> Duration {
        self.entropy.jitter(base, JITTER)
    }

    fn remember(&mut self, contacts: &[String]) {
        for contact in contacts {
            if !self.contacts.contains(contact) {
                self.contacts.push(contact.clone());
            }
        }
        let surplus = self.contacts.len().saturating_sub(MAX_CONTACTS);
        self.contacts.drain(..surplus);
    }

    fn join(&self, contacts: Vec<String>, attempt: Attempt, answer: Option<Answer<BootstrapOutcome>>) {
        let join = Join::new(&self.shared, &self.join_context, contacts, Aim::Join(answer), Some(attempt));
        Runner::run(join, &self.shared.lifetime, &self.queries);
    }
}

impl Actor for Maintenance {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        Alarm::spawn::<Self>(ctx);
    }
}

impl Supervised for Maintenance {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.rejoin_pause = FIRST_REJOIN;
        self.schedule_all(clock::now());
    }
}

impl Alarmed for Maintenance {
    fn next_alarm(&self) -> Option<Instant> {
        Some(self.schedule.next())
    }

    fn alarm(&mut self, now: Instant, _: &mut Self::Context) {
        // The next time is set first: a duty that fails does not stop the next round.
        if self.schedule.refresh <= now {
            self.schedule.refresh = now + self.jittered(refresh_round(&self.shared.config));
            self.table.refresh(RefreshBuckets { all: false });
        }
        if self.schedule.republish <= now {
            self.schedule.republish = now + self.jittered(republish_round(&self.shared.config));
            self.store.republish_due(RepublishDue);
        }
        if self.schedule.expire <= now {
            self.schedule.expire = now + self.jittered(expiry_round(&self.shared.config));
            self.store.expire(ExpireValues);
        }
        if self.schedule.rejoin <= now {
            // Until the table reports that it is empty, this is a check, not a rejoin.
            if !std::mem::take(&mut self.found_empty) {
                self.rejoin_pause = FIRST_REJOIN;
            }
            self.schedule.rejoin = now + self.jittered(CHECK_ROUND);
            self.table.check(CheckTable);
        }
    }
}

impl Receive<JoinNetwork> for Maintenance {
    fn receive(&mut self, join: JoinNetwork, _: &mut Self::Context) {
        self.remember(&join.contacts);
        // If this brings no peer, the next try is not far.
        self.rejoin_pause = FIRST_REJOIN;
        self.schedule.rejoin = clock::now() + self.jittered(FIRST_REJOIN);
        self.join(join.contacts, join.attempt, join.answer);
    }
}

impl Receive<TableEmpty> for Maintenance {
    fn receive(&mut self, empty: TableEmpty, _: &mut Self::Context) {
        // Both have a bound of their own, so that neither keeps the other out.
        let mut contacts = self.contacts.clone();
        contacts.extend(empty.once_known.iter().map(|peer| peer.addr.to_string()));
        if contacts.is_empty() {
            return;
        }
        self.found_empty = true;
        let pause = self.jittered(self.rejoin_pause);
        self.rejoin_pause = (self.rejoin_pause * 2).min(LONGEST_REJOIN);
        self.schedule.rejoin = clock::now() + pause;
        tracing::info!(contacts = contacts.len(), next_in = ?pause, "no peer is known: joining again");
        let attempt = empty.attempt.unwrap_or_else(|| self.shared.joined.attempt(Contacts::Again));
        self.join(contacts, attempt, None);
    }
}
