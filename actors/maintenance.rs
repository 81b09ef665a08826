//! The scheduler: when refresh, republish, restore, expiry and rejoin are due, each with jitter so that nodes do not act in
//! step. It does none of the work itself.

use std::rc::Rc;
use std::time::{Duration, Instant};

use actix::Supervised;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::entropy::Entropy;

use super::clock::{self, Alarmed, timed_actor};
use super::handling::Receive;
use super::join_state::{Attempt, Contacts};
use super::messages::{
    Answer, CheckTable, ExpireValues, FindNeighbours, Handles, HandoffCause, JoinNetwork, RefreshBuckets, RepublishDue,
    TableEmpty,
};
use super::operations::join::{Aim, Join};
use super::operations::runner::Runner;
use super::outcome::BootstrapOutcome;
use super::shared::Shared;

/// How much each interval is varied.
const JITTER: f64 = 0.1;
/// Contacts named by the application that are remembered for a rejoin. Beyond it the oldest are forgotten.
const MAX_CONTACTS: usize = 200;
/// The shortest pause between two rounds of a duty.
const SHORTEST_ROUND: Duration = Duration::from_millis(10);
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
    /// When each of the [`DUTIES`] is due next.
    due: [Instant; DUTIES.len()],
    contacts: Vec<String>,
    rejoin_pause: Duration,
    /// Whether the table reported that it is empty since it was last checked.
    found_empty: bool,
    entropy: Box<dyn Entropy>,
}

/// What is done in intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duty {
    Refresh,
    Republish,
    Expire,
    Rejoin,
}

const DUTIES: [Duty; 4] = [Duty::Refresh, Duty::Republish, Duty::Expire, Duty::Rejoin];

/// How often republishing and restoring are looked after. Each value has its own jittered time; this is how late it may be.
pub(super) fn republish_round(config: &Config) -> Duration {
    let shortest = config.values.restore_interval.min(config.effective_republish_interval());
    (shortest / 20).clamp(SHORTEST_ROUND, Duration::from_secs(60))
}

impl Maintenance {
    pub(crate) fn new(shared: &Rc<Shared>) -> Self {
        let now = clock::now();
        let mut maintenance = Self {
            shared: shared.clone(),
            due: [now; DUTIES.len()],
            contacts: Vec::new(),
            rejoin_pause: FIRST_REJOIN,
            found_empty: false,
            entropy: shared.entropy(4),
        };
        maintenance.schedule_all(now);
        maintenance
    }

    /// How often `duty` is done.
    fn round(&self, duty: Duty) -> Duration {
        let Config { table, values, .. } = &self.shared.config;
        match duty {
            // Often enough that no bucket is stale for much longer than it may be.
            Duty::Refresh => (table.bucket_refresh_interval / 6).max(SHORTEST_ROUND),
            Duty::Republish => republish_round(&self.shared.config),
            // Expired values are never served, swept or not.
            Duty::Expire => table.bucket_refresh_interval.min(values.key_expiry / 4).max(SHORTEST_ROUND),
            Duty::Rejoin => CHECK_ROUND,
        }
    }

    fn schedule(&mut self, duty: Duty, round: Duration, now: Instant) {
        self.due[duty as usize] = now + self.jittered(round);
    }

    fn schedule_all(&mut self, now: Instant) {
        for duty in DUTIES {
            let round = if duty == Duty::Rejoin { FIRST_REJOIN } else { self.round(duty) };
            self.schedule(duty, round, now);
        }
    }

    fn carry_out(&mut self, duty: Duty) {
        let Handles { table, store, .. } = &self.shared.handles;
        match duty {
            Duty::Refresh => table.refresh(RefreshBuckets { all: false }),
            Duty::Republish => {
                store.republish_due(RepublishDue);
                // A client is no peer's neighbour, and holds nothing for others.
                if !self.shared.client {
                    table.find_neighbours(FindNeighbours(HandoffCause::Upkeep));
                }
            }
            Duty::Expire => store.expire(ExpireValues),
            Duty::Rejoin => {
                // Until the table reports that it is empty, this is a check, not a rejoin.
                if !std::mem::take(&mut self.found_empty) {
                    self.rejoin_pause = FIRST_REJOIN;
                }
                table.check(CheckTable);
            }
        }
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
        Runner::run(Join::new(&self.shared, contacts, Aim::Join(answer), Some(attempt)), &self.shared);
    }
}

timed_actor!(Maintenance);

impl Supervised for Maintenance {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.rejoin_pause = FIRST_REJOIN;
        self.schedule_all(clock::now());
    }
}

impl Alarmed for Maintenance {
    fn next_alarm(&self) -> Option<Instant> {
        self.due.iter().min().copied()
    }

    fn alarm(&mut self, now: Instant, _: &mut Self::Context) {
        for duty in DUTIES {
            if self.due[duty as usize] <= now {
                // The next time is set first: a duty that fails does not stop the next round.
                self.schedule(duty, self.round(duty), now);
                self.carry_out(duty);
            }
        }
    }
}

impl Receive<JoinNetwork> for Maintenance {
    fn receive(&mut self, join: JoinNetwork, _: &mut Self::Context) {
        self.remember(&join.contacts);
        // If this brings no peer, the next try is not far.
        self.rejoin_pause = FIRST_REJOIN;
        self.schedule(Duty::Rejoin, FIRST_REJOIN, clock::now());
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
        self.due[Duty::Rejoin as usize] = clock::now() + pause;
        tracing::info!(contacts = contacts.len(), next_in = ?pause, "no peer is known: joining again");
        let attempt = empty.attempt.unwrap_or_else(|| self.shared.joined.attempt(Contacts::Again));
        self.join(contacts, attempt, None);
    }
}
