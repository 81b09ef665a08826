//! A copy on its way to its places: which message each is sent, and what an answer means. It queries nothing by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::lookup::Failure;
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::placement::{self, Mode, Placed, Placement};
use kademlia_dynamic::protocol::store::{Class, StoredCopy, age_seconds, is_later};

use super::super::messages::{Answered, LookupResult, Priority};
use super::super::outcome::SetOutcome;
use super::super::shared::Shared;

/// A copy that is sent to its places.
pub(super) struct Sending {
    pub(super) copy: StoredCopy,
    pub(super) placement: Placement,
    /// The shortest life of a copy that its holder reported.
    shortest: Option<Duration>,
}

impl Sending {
    /// The way of `copy` to the places that are `found`; `None` where it is not for this node to restore it.
    pub(super) fn new(
        shared: &Shared,
        key: &str,
        copy: StoredCopy,
        found: &LookupResult,
        priority: Priority,
        now: Instant,
    ) -> Option<Self> {
        let (config, target) = (&shared.config, NodeId::of_key(key));
        let (mut others, mut mode) = (config.lookup.k, Mode::Publish);
        if copy.class != Class::Published {
            let is_nearer = |last: &Peer| shared.id.distance(&target) < last.id.distance(&target);
            if !found.closest.get(config.lookup.k - 1).is_none_or(is_nearer) {
                return None;
            }
            // A holder that restores is one of the k itself: one more would be a copy that no publication reaches.
            others -= 1;
            mode = Mode::Restore;
        }
        // Where no peer answered the lookup, all of the table are worth the try.
        let mixed = config.lookup.mixed_placement && found.legacy || found.closest.is_empty();
        let targets = placement::targets(&target, others, &found.closest, &found.own_table, mixed);
        let mut placement = Placement::new(mode, &targets, config, now);
        if mode == Mode::Publish && shared.may_burst(priority, now) {
            placement = placement.at_once(copy.value.len());
        }
        Some(Self { copy, placement, shortest: None })
    }

    /// The way of a publication to these places.
    pub(super) fn to(shared: &Shared, copy: StoredCopy, targets: &[Peer], now: Instant) -> Self {
        Self { copy, placement: Placement::new(Mode::Publish, targets, &shared.config, now), shortest: None }
    }

    /// The outcome so far: what has become of the value at the peers that are decided.
    pub(super) fn outcome(&self, superseded: bool) -> SetOutcome {
        let Placed { asked, refused, stored, held_already, .. } = self.placement.outcome();
        let stored = stored + held_already;
        let silent = asked - stored - refused;
        SetOutcome { asked, stored, refused, silent, pending: 0, expires_in: self.shortest, superseded }
    }

    pub(super) fn is_restore(&self) -> bool {
        self.copy.class != Class::Published
    }

    pub(super) fn set(&self, key: Arc<str>, now: Instant) -> Request {
        // A restore says what is left now: a placement may take seconds, and no copy may outlive the publication.
        let ttl = self.is_restore().then(|| u32::try_from(self.left(now).as_secs()).unwrap_or(u32::MAX));
        let age = self.age(now).filter(|_| self.is_restore()).map(age_seconds);
        Request::Set { key, value: self.copy.value.clone(), ttl, age }
    }

    pub(super) fn answer(&mut self, from: &NodeId, answer: Answered, shared: &Shared, now: Instant) {
        match answer.response {
            Response::Set { stored, ttl } => {
                let left = ttl.filter(|_| stored).map(|seconds| Duration::from_secs(seconds.into()));
                self.shortest = self.shortest.into_iter().chain(left).min();
                self.placement.handle_stored(from, stored);
            }
            Response::CheckStore { has_key, age, .. } => {
                // A legacy node is sent no restore of a value that has so little left.
                let too_late = || answer.version.is_none() && self.left(now) < shared.config.nearly_expired();
                if self.is_restore() && !has_key && too_late() {
                    self.placement.leave_out(from);
                } else {
                    let is_behind = self.is_behind(age, shared.config.same_publication(), now);
                    self.placement.handle_checked(from, has_key && !is_behind);
                }
            }
            _ => self.placement.handle_failure(from, Failure::Silent),
        }
    }

    /// Whether a copy that was published so many seconds ago is of an earlier publication than the one that is restored.
    fn is_behind(&self, theirs: Option<u32>, margin: Duration, now: Instant) -> bool {
        let theirs = theirs.map(|seconds| Duration::from_secs(seconds.into()));
        self.is_restore() && self.age(now).zip(theirs).is_some_and(|(ours, theirs)| is_later(ours, theirs, margin))
    }

    fn age(&self, now: Instant) -> Option<Duration> {
        self.copy.published_at().map(|at| now.saturating_duration_since(at))
    }

    fn left(&self, now: Instant) -> Duration {
        self.copy.expires_at.saturating_duration_since(now)
    }
}
