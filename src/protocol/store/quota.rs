//! How much strangers may fill, and what gives way when they have. It keeps the orders of eviction, and with them the order of all full
//! copies by their distance; the records themselves are elsewhere, and what this node published never gives way.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::outcome::{ClassCount, Refusal};
use super::record::{Record, StoredRecord};
use crate::protocol::config::{AppliesTo, Config};
use crate::protocol::id::Distance;
use crate::protocol::peer::Subnet;

/// One subnet fills at most this part of the store, and so do cached copies (docs/wire.md, 9.10).
pub(super) const SHARE: usize = 10;

/// Keys in the order of something; the key itself breaks ties.
type Ordered<T> = BTreeSet<(T, Arc<str>)>;

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
    by_age: Ordered<Instant>,
    /// Its cached copies, the one that ends soonest first.
    by_expiry: Ordered<Instant>,
}

/// The copies that strangers brought, as they count and as they give way, and what writes in flight have reserved.
///
/// Invariants: each such copy counts in the account of its source; it stands in the orders of eviction (`by_age` and the first part
/// of `by_distance` if it is full, `by_expiry` and `soonest` if it is cached) unless it is part of a write in flight. An account has
/// at least one copy or reservation, and stands in `ranking` under its current weight. Each full copy, this node's own included, is
/// in one of the two parts of `by_distance`.
#[derive(Debug, Default)]
pub(super) struct Quota {
    limit: ClassCount,
    /// What one source may fill, and what cached copies may.
    share: ClassCount,
    diversity: AppliesTo,
    total: ClassCount,
    cached: ClassCount,
    /// Cached copies, the one that ends soonest first.
    soonest: Ordered<Instant>,
    /// Full copies, the one farthest from this node last: those that may give way, then all others.
    by_distance: [Ordered<Distance>; 2],
    accounts: HashMap<Subnet, Account>,
    /// Sources by what they fill, the largest last.
    ranking: BTreeSet<(u128, Subnet)>,
}

impl Quota {
    pub(super) fn new(config: &Config) -> Self {
        let limit = ClassCount { values: config.store.max_values, bytes: config.store.max_store_bytes };
        // A small store still takes one value from each.
        let share = ClassCount { values: (limit.values / SHARE).max(1).min(limit.values), bytes: limit.bytes / SHARE };
        Self { limit, share, diversity: config.table.diversity, ..Self::default() }
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
    pub(super) fn charge(&mut self, record: &Record) {
        self.change(record, ClassCount::add);
        let part = if self.rank(record, true) { OFFERED } else { FIXED };
        if record.is_full() {
            self.by_distance[part].insert(distance_of(record));
        }
    }

    /// Takes back what [`Quota::charge`] or [`Quota::count`] did. `record` must be as it was then.
    pub(super) fn discharge(&mut self, record: &Record) {
        self.rank(record, false);
        self.change(record, ClassCount::subtract);
        if record.is_full() {
            let at = distance_of(record);
            let [offered, fixed] = &mut self.by_distance;
            let _ = offered.remove(&at) || fixed.remove(&at);
        }
    }

    /// Counts `record`, if a remote host brought it, without letting it give way.
    pub(super) fn count(&mut self, record: &Record) {
        self.change(record, ClassCount::add);
        if record.is_full() {
            self.by_distance[FIXED].insert(distance_of(record));
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
    pub(super) fn offer(&mut self, record: &Record) {
        if self.rank(record, true) {
            self.move_by_distance(record, FIXED, OFFERED);
        }
    }

    /// From now on `record` gives way to no other: a write in flight decides about it.
    pub(super) fn withdraw(&mut self, record: &Record) {
        if self.rank(record, false) {
            self.move_by_distance(record, OFFERED, FIXED);
        }
    }

    fn move_by_distance(&mut self, record: &Record, from: usize, to: usize) {
        if record.is_full() {
            let at = distance_of(record);
            self.by_distance[from].remove(&at);
            self.by_distance[to].insert(at);
        }
    }

    /// Inserts `record`, which is counted, into the orders of eviction but the one by distance, or removes it. Says whether it may give
    /// way at all.
    fn rank(&mut self, record: &Record, offered: bool) -> bool {
        fn set<T: Ord>(order: &mut Ordered<T>, at: T, key: Arc<str>, offered: bool) {
            if offered {
                order.insert((at, key))
            } else {
                order.remove(&(at, key))
            };
        }
        let Some(account) = subnet_of(record).and_then(|subnet| self.accounts.get_mut(&subnet)) else { return false };
        let StoredRecord { key, stored_at, expires_at, .. } = &*record.stored;
        if record.is_full() {
            set(&mut account.by_age, *stored_at, key.clone(), offered);
        } else {
            set(&mut account.by_expiry, *expires_at, key.clone(), offered);
            set(&mut self.soonest, *expires_at, key.clone(), offered);
        }
        true
    }

    /// The keys of the full copies at these distances from this node, both included; in no particular order.
    pub(super) fn within(&self, nearest: Distance, farthest: Distance) -> impl Iterator<Item = &Arc<str>> {
        let first = (nearest, Arc::from(""));
        let within = move |(distance, _): &&(Distance, Arc<str>)| *distance <= farthest;
        let [offered, fixed] = self.by_distance.each_ref().map(|order| order.range(first.clone()..).take_while(within));
        offered.chain(fixed).map(|(_, key)| key)
    }

    /// The keys of the full copies at least so far from this node that give way to no other, in the order of their distances.
    pub(super) fn fixed_from(&self, nearest: Distance) -> impl Iterator<Item = &Arc<str>> {
        self.by_distance[FIXED].range((nearest, Arc::from(""))..).map(|(_, key)| key)
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
    pub(super) fn victim(&self, claim: &Claim) -> Result<Option<&Arc<str>>, Refusal> {
        let subnet = Subnet::of(&claim.source.ip());
        let account = self.accounts.get(&subnet);
        if self.diversity.covers(&claim.source.ip()) {
            let (total, cached) = account.map_or_else(Default::default, |account| (account.total, account.cached));
            if !total.without(&cached).fits(claim.bytes, &self.share) {
                return Err(Refusal::SourceFull);
            }
            if !total.fits(claim.bytes, &self.share) {
                let own = account.and_then(|account| first(&account.by_expiry));
                return own.map(Some).ok_or(Refusal::SourceFull);
            }
        }
        if !claim.full {
            let full = self.total.without(&self.cached);
            if !ClassCount::default().fits(claim.bytes, &self.share) || !full.fits(claim.bytes, &self.limit) {
                return Err(Refusal::Full);
            }
            let fits = self.cached.fits(claim.bytes, &self.share) && self.total.fits(claim.bytes, &self.limit);
            return if fits { Ok(None) } else { first(&self.soonest).map(Some).ok_or(Refusal::Full) };
        }
        if !ClassCount::default().fits(claim.bytes, &self.limit) {
            return Err(Refusal::Full);
        }
        if self.total.fits(claim.bytes, &self.limit) {
            return Ok(None);
        }
        let farther =
            self.by_distance[OFFERED].last().filter(|(distance, _)| *distance > claim.distance).map(|(_, key)| key);
        first(&self.soonest).or(farther).or_else(|| self.oldest_of_the_largest(account)).map(Some).ok_or(Refusal::Full)
    }

    /// The oldest copy of the source that fills most. Where that is no more than the newcomer's own source fills, the
    /// newcomer's own: no source displaces another that is as large as itself.
    fn oldest_of_the_largest<'a>(&'a self, newcomers: Option<&'a Account>) -> Option<&'a Arc<str>> {
        let (most, _) = self.ranking.last()?;
        let own = newcomers.filter(|account| weight(&self.limit, &account.total) == *most);
        let largest = self.ranking.iter().rev().filter_map(|(_, subnet)| self.accounts.get(subnet));
        own.into_iter().chain(largest).find_map(|account| first(&account.by_age))
    }
}

/// Whose account `record` is in; `None` for what counts in none.
fn subnet_of(record: &Record) -> Option<Subnet> {
    record.stored.source.map(|source| Subnet::of(&source.ip()))
}

/// Where a full copy stands in an order by distance.
fn distance_of(record: &Record) -> (Distance, Arc<str>) {
    (record.distance, record.stored.key.clone())
}

fn first<T: Ord>(ordered: &Ordered<T>) -> Option<&Arc<str>> {
    ordered.first().map(|(_, key)| key)
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
    /// All orders and counts, for comparison.
    pub(super) fn orders(&self) -> impl std::fmt::Debug + '_ {
        let accounts: std::collections::BTreeMap<_, _> = self.accounts.iter().collect();
        (self.total, self.cached, &self.soonest, &self.by_distance, &self.ranking, accounts)
    }

    /// What each source fills.
    pub(super) fn source_totals(&self) -> impl Iterator<Item = (&Subnet, ClassCount)> {
        self.accounts.iter().map(|(subnet, account)| (subnet, account.total))
    }
}
