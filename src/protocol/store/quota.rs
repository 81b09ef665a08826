//! How much strangers may fill, and what gives way when they have. It keeps the orders of eviction, and with them the order of all full
//! copies by their distance; the records themselves are elsewhere, and what this node published never gives way.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;

use super::order::{Order, Timeline, rank_of};
use super::outcome::{ClassCount, Refusal};
use super::record::Record;
use super::slots::Slot;
use crate::protocol::config::{AppliesTo, Config};
use crate::protocol::id::Distance;
use crate::protocol::peer::Subnet;

/// One subnet fills at most this part of the store, and so do cached copies (docs/wire.md, 9.10).
pub(super) const SHARE: usize = 10;

/// Of full copies by distance: those that may give way.
const OFFERED: usize = 0;
/// All others.
const FIXED: usize = 1;

/// What a stranger's copy wants to take up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    pub(super) source: SocketAddr,
    pub(super) bytes: usize,
    /// A full copy, or a cached one.
    pub(super) full: bool,
    /// Of the key from this node.
    pub(super) distance: Distance,
}

/// What a write in flight may take up once it is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reservation {
    subnet: Subnet,
    total: ClassCount,
    /// Of that, what its subnet fills.
    account: ClassCount,
}

/// What one subnet has brought.
#[derive(Debug, Default)]
struct Account {
    total: ClassCount,
    /// Of that, its cached copies.
    cached: ClassCount,
    /// Its full copies, the oldest first.
    by_age: Order,
    /// Its cached copies, the one that ends soonest first.
    by_expiry: Order,
}

/// The copies that strangers brought, as they count and as they give way, and what writes in flight have reserved.
///
/// Invariants: each such copy counts in the account of its source; it stands in the orders of eviction (`by_age` and the first part
/// of `by_distance` if it is full, `by_expiry` and `soonest` if it is cached) unless it is part of a write in flight. An account has
/// at least one copy or reservation, and stands in `ranking` under its current weight. Each full copy, this node's own included, is
/// in one of the two parts of `by_distance`.
#[derive(Debug)]
pub(super) struct Quota {
    timeline: Timeline,
    limit: ClassCount,
    /// What one source may fill, and what cached copies may.
    share: ClassCount,
    diversity: AppliesTo,
    total: ClassCount,
    cached: ClassCount,
    /// Cached copies, the one that ends soonest first.
    soonest: Order,
    /// Full copies, the one farthest from this node last: those that may give way, then all others.
    by_distance: [Order; 2],
    accounts: HashMap<Subnet, Account>,
    /// Sources by what they fill, the largest last.
    ranking: BTreeSet<(u128, Subnet)>,
}

impl Quota {
    pub(super) fn new(config: &Config, timeline: Timeline) -> Self {
        let limit = ClassCount { values: config.store.max_values, bytes: config.store.max_store_bytes };
        // A small store still takes one value from each.
        let share = ClassCount { values: (limit.values / SHARE).max(1).min(limit.values), bytes: limit.bytes / SHARE };
        Self {
            timeline,
            limit,
            share,
            diversity: config.table.diversity,
            total: ClassCount::default(),
            cached: ClassCount::default(),
            soonest: Order::default(),
            by_distance: Default::default(),
            accounts: HashMap::new(),
            ranking: BTreeSet::new(),
        }
    }

    /// All that counts.
    pub(super) fn total(&self) -> ClassCount {
        self.total
    }

    /// The bound of all that counts, and of the cached copies among it.
    pub(super) fn limits(&self) -> (ClassCount, ClassCount) {
        (self.limit, self.share)
    }

    /// How many sources there are.
    pub(super) fn sources(&self) -> usize {
        self.accounts.len()
    }

    /// Counts `record`, if a remote host brought it, and lets it give way to others.
    pub(super) fn charge(&mut self, slot: Slot, record: &Record) {
        self.change(record, ClassCount::add);
        let part = if self.rank(slot, record, true) { OFFERED } else { FIXED };
        if record.is_full() {
            self.by_distance[part].insert(rank_of(&record.distance), slot);
        }
    }

    /// Takes back what [`Quota::charge`] or [`Quota::count`] did. `record` must be as it was then.
    pub(super) fn discharge(&mut self, slot: Slot, record: &Record) {
        self.rank(slot, record, false);
        self.change(record, ClassCount::subtract);
        if record.is_full() {
            let (rank, [offered, fixed]) = (rank_of(&record.distance), &mut self.by_distance);
            let _ = offered.remove(rank, slot) || fixed.remove(rank, slot);
        }
    }

    /// Counts `record`, if a remote host brought it, without letting it give way.
    pub(super) fn count(&mut self, slot: Slot, record: &Record) {
        self.change(record, ClassCount::add);
        if record.is_full() {
            self.by_distance[FIXED].insert(rank_of(&record.distance), slot);
        }
    }

    /// Adds what `record` takes up to all counts that it is part of, or subtracts it.
    fn change(&mut self, record: &Record, change: fn(&mut ClassCount, &ClassCount)) {
        let Some(subnet) = subnet_of(record) else { return };
        let amount = record.amount();
        change(&mut self.total, &amount);
        if !record.is_full() {
            change(&mut self.cached, &amount);
        }
        self.change_account(subnet, |account| {
            change(&mut account.total, &amount);
            if !record.is_full() {
                change(&mut account.cached, &amount);
            }
        });
    }

    /// From now on `record`, which is counted, may give way to others.
    pub(super) fn offer(&mut self, slot: Slot, record: &Record) {
        if self.rank(slot, record, true) {
            self.move_by_distance(slot, record, FIXED, OFFERED);
        }
    }

    /// From now on `record` gives way to no other: a write in flight decides about it.
    pub(super) fn withdraw(&mut self, slot: Slot, record: &Record) {
        if self.rank(slot, record, false) {
            self.move_by_distance(slot, record, OFFERED, FIXED);
        }
    }

    fn move_by_distance(&mut self, slot: Slot, record: &Record, from: usize, to: usize) {
        if record.is_full() {
            let rank = rank_of(&record.distance);
            self.by_distance[from].remove(rank, slot);
            self.by_distance[to].insert(rank, slot);
        }
    }

    /// Inserts `record`, which is counted, into the orders of eviction but the one by distance, or removes it. Says whether it may give
    /// way at all.
    fn rank(&mut self, slot: Slot, record: &Record, offered: bool) -> bool {
        let Some(account) = subnet_of(record).and_then(|subnet| self.accounts.get_mut(&subnet)) else { return false };
        let set = |order: &mut Order, rank| {
            if offered {
                order.insert(rank, slot);
            } else {
                order.remove(rank, slot);
            }
        };
        if record.is_full() {
            set(&mut account.by_age, self.timeline.rank(record.stored.stored_at));
        } else {
            let rank = self.timeline.rank(record.stored.expires_at);
            set(&mut account.by_expiry, rank);
            set(&mut self.soonest, rank);
        }
        true
    }

    /// The full copies at these distances from this node, both included, and perhaps some that are nearly so; in no particular order.
    pub(super) fn within(&self, nearest: Distance, farthest: Distance) -> impl Iterator<Item = Slot> {
        let (first, last) = (rank_of(&nearest), rank_of(&farthest));
        let [offered, fixed] = self.by_distance.each_ref().map(|order| order.from(first));
        offered
            .take_while(move |(rank, _)| *rank <= last)
            .chain(fixed.take_while(move |(rank, _)| *rank <= last))
            .map(|(_, slot)| slot)
    }

    /// The full copies at least so far from this node that give way to no other, in the order of their distances.
    pub(super) fn fixed_from(&self, nearest: Distance) -> impl Iterator<Item = Slot> {
        self.by_distance[FIXED].from(rank_of(&nearest)).map(|(_, slot)| slot)
    }

    /// Reserves what `claim` takes up beyond what `leaving` gives back: whichever of the writes in flight fail, no bound is
    /// exceeded. It is freed with [`Quota::free`].
    pub(super) fn reserve(&mut self, claim: &Claim, leaving: &[&Record]) -> Reservation {
        let subnet = Subnet::of(&claim.source.ip());
        let (mut total, mut account) = (ClassCount { values: 1, bytes: claim.bytes }, ClassCount::default());
        account.add(&total);
        for record in leaving {
            let Some(source) = subnet_of(record) else { continue };
            total.subtract(&record.amount());
            if source == subnet {
                account.subtract(&record.amount());
            }
        }
        self.total.add(&total);
        self.change_account(subnet, |changed| changed.total.add(&account));
        Reservation { subnet, total, account }
    }

    /// Frees what was [reserved](Quota::reserve): its write has ended.
    pub(super) fn free(&mut self, reservation: Reservation) {
        self.total.subtract(&reservation.total);
        self.change_account(reservation.subnet, |account| account.total.subtract(&reservation.account));
    }

    /// Changes what an account fills, and so its place in the ranking.
    fn change_account(&mut self, subnet: Subnet, change: impl FnOnce(&mut Account)) {
        let account = self.accounts.entry(subnet).or_default();
        self.ranking.remove(&(weight(&self.limit, &account.total), subnet));
        change(account);
        if account.total.values == 0 {
            self.accounts.remove(&subnet);
        } else {
            self.ranking.insert((weight(&self.limit, &account.total), subnet));
        }
    }

    /// Which copy has to give way first so that `claim` fits; `None` once it does.
    ///
    /// Cached copies go first, then full copies farther from this node than the newcomer, then the oldest copy of the
    /// source that fills most. A source at its limit makes room by its own cached copies only, and a cached copy by
    /// cached copies only.
    ///
    /// # Errors
    /// Where no eviction would help, or all that would is part of writes in flight.
    pub(super) fn victim(&self, claim: &Claim) -> Result<Option<Slot>, Refusal> {
        let subnet = Subnet::of(&claim.source.ip());
        let account = self.accounts.get(&subnet);
        if self.diversity.covers(&claim.source.ip()) {
            let (total, cached) = account.map_or_else(Default::default, |account| (account.total, account.cached));
            if !total.without(&cached).fits(claim.bytes, &self.share) {
                return Err(Refusal::SourceFull);
            }
            if !total.fits(claim.bytes, &self.share) {
                let own = account.and_then(|account| account.by_expiry.first());
                return own.map(Some).ok_or(Refusal::SourceFull);
            }
        }
        if !claim.full {
            let full = self.total.without(&self.cached);
            if !ClassCount::default().fits(claim.bytes, &self.share) || !full.fits(claim.bytes, &self.limit) {
                return Err(Refusal::Full);
            }
            let fits = self.cached.fits(claim.bytes, &self.share) && self.total.fits(claim.bytes, &self.limit);
            return if fits { Ok(None) } else { self.soonest.first().map(Some).ok_or(Refusal::Full) };
        }
        if !ClassCount::default().fits(claim.bytes, &self.limit) {
            return Err(Refusal::Full);
        }
        if self.total.fits(claim.bytes, &self.limit) {
            return Ok(None);
        }
        let farther = self.by_distance[OFFERED].last().filter(|(rank, _)| *rank > rank_of(&claim.distance));
        let farther = farther.map(|(_, slot)| slot);
        self.soonest.first().or(farther).or_else(|| self.oldest_of_the_largest(account)).map(Some).ok_or(Refusal::Full)
    }

    /// The oldest copy of the source that fills most. Where that is no more than the newcomer's own source fills, the
    /// newcomer's own: no source displaces another that is as large as itself.
    fn oldest_of_the_largest(&self, newcomers: Option<&Account>) -> Option<Slot> {
        let (most, _) = self.ranking.last()?;
        let own = newcomers.filter(|account| weight(&self.limit, &account.total) == *most);
        let largest = self.ranking.iter().rev().filter_map(|(_, subnet)| self.accounts.get(subnet));
        own.into_iter().chain(largest).find_map(|account| account.by_age.first())
    }
}

/// Whose account `record` is in; `None` for what counts in none.
fn subnet_of(record: &Record) -> Option<Subnet> {
    record.stored.source.map(|source| Subnet::of(&source.ip()))
}

/// What part of the store `count` fills, by values or by bytes, whichever is more: comparable, without unit.
fn weight(limit: &ClassCount, count: &ClassCount) -> u128 {
    let product = |a: usize, b: usize| a as u128 * b as u128;
    product(count.values, limit.bytes).max(product(count.bytes, limit.values))
}

impl Record {
    /// What it counts.
    pub(super) fn amount(&self) -> ClassCount {
        ClassCount { values: 1, bytes: self.bytes() }
    }
}

impl ClassCount {
    pub(super) fn add(&mut self, other: &Self) {
        self.values += other.values;
        self.bytes += other.bytes;
    }

    /// Never less than nothing.
    pub(super) fn subtract(&mut self, other: &Self) {
        self.values = self.values.saturating_sub(other.values);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }

    fn without(&self, part: &ClassCount) -> ClassCount {
        ClassCount { values: self.values - part.values, bytes: self.bytes - part.bytes }
    }

    /// Whether one more value of `bytes` bytes stays within `limit`.
    fn fits(&self, bytes: usize, limit: &ClassCount) -> bool {
        self.values < limit.values && self.bytes.saturating_add(bytes) <= limit.bytes
    }
}

#[cfg(test)]
impl Quota {
    /// All orders and counts, with the keys of the slots, for comparison.
    pub(super) fn orders(&self, key: impl Fn(Slot) -> std::sync::Arc<str>) -> String {
        let named = |order: &Order| order.iter().map(|(rank, slot)| (rank, key(slot))).collect::<BTreeSet<_>>();
        let account = |account: &Account| {
            let Account { total, cached, by_age, by_expiry } = account;
            (*total, *cached, named(by_age), named(by_expiry))
        };
        let accounts: std::collections::BTreeMap<_, _> =
            self.accounts.iter().map(|(subnet, of_it)| (subnet, account(of_it))).collect();
        let by_distance = self.by_distance.each_ref().map(named);
        format!("{:?}", (self.total, self.cached, named(&self.soonest), by_distance, &self.ranking, accounts))
    }

    /// What each source fills.
    pub(super) fn source_totals(&self) -> impl Iterator<Item = (&Subnet, ClassCount)> {
        self.accounts.iter().map(|(subnet, account)| (subnet, account.total))
    }
}
