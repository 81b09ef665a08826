//! How much strangers may fill, and what gives way when they have. It keeps the orders of eviction, and with them the order of all full
//! copies by their distance; the records themselves are elsewhere, and what this node published never gives way.

use std::net::SocketAddr;

use super::accounts::{Account, Accounts};
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
    /// Whether another holder brings it, and not its publisher.
    pub(super) restored: bool,
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

/// The copies that strangers brought, as they count and as they give way, and what writes in flight have reserved.
///
/// Invariants: each such copy counts in the account of its source; it stands in the orders of eviction (`by_age` and the first part
/// of `by_distance` if it is full, `by_expiry` and `soonest` if it is cached) unless it is part of a write in flight. Each full copy,
/// this node's own included, is in one of the two parts of `by_distance`.
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
    accounts: Accounts,
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
            accounts: Accounts::new(limit),
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
        self.enter(slot, record, true);
    }

    /// Counts `record`, if a remote host brought it, without letting it give way.
    pub(super) fn count(&mut self, slot: Slot, record: &Record) {
        self.enter(slot, record, false);
    }

    fn enter(&mut self, slot: Slot, record: &Record, offered: bool) {
        let (full, turn) = (record.is_full(), self.turn(record));
        let subnet = subnet_of(record);
        if let Some(subnet) = subnet {
            let amount = record.amount();
            self.total.add(&amount);
            self.accounts.change(subnet, |account| {
                account.total.add(&amount);
                if !full {
                    account.cached.add(&amount);
                }
                if offered {
                    account.order(full).insert(turn, slot);
                }
            });
            if !full {
                self.cached.add(&amount);
                if offered {
                    self.soonest.insert(turn, slot);
                }
            }
        }
        if full {
            let part = if offered && subnet.is_some() { OFFERED } else { FIXED };
            self.by_distance[part].insert(rank_of(&record.distance), slot);
        }
    }

    /// Takes back what [`Quota::charge`] or [`Quota::count`] did. `record` must be as it was then.
    pub(super) fn discharge(&mut self, slot: Slot, record: &Record) {
        let (full, turn) = (record.is_full(), self.turn(record));
        if let Some(subnet) = subnet_of(record) {
            let amount = record.amount();
            self.total.subtract(&amount);
            self.accounts.change(subnet, |account| {
                account.order(full).remove(turn, slot);
                account.total.subtract(&amount);
                if !full {
                    account.cached.subtract(&amount);
                }
            });
            if !full {
                self.cached.subtract(&amount);
                self.soonest.remove(turn, slot);
            }
        }
        if full {
            let (rank, [offered, fixed]) = (rank_of(&record.distance), &mut self.by_distance);
            let _ = offered.remove(rank, slot) || fixed.remove(rank, slot);
        }
    }

    /// When it is the turn of `record` to give way, among those of its source and kind.
    fn turn(&self, record: &Record) -> u64 {
        self.timeline.rank(if record.is_full() { record.stored.stored_at } else { record.stored.expires_at })
    }

    /// From now on `record`, which is counted, may give way to others.
    pub(super) fn offer(&mut self, slot: Slot, record: &Record) {
        self.set_offered(slot, record, true);
    }

    /// From now on `record` gives way to no other: a write in flight decides about it.
    pub(super) fn withdraw(&mut self, slot: Slot, record: &Record) {
        self.set_offered(slot, record, false);
    }

    fn set_offered(&mut self, slot: Slot, record: &Record, offered: bool) {
        let (full, turn) = (record.is_full(), self.turn(record));
        let Some(account) = subnet_of(record).and_then(|subnet| self.accounts.get_mut(&subnet)) else { return };
        account.order(full).set(turn, slot, offered);
        if full {
            let rank = rank_of(&record.distance);
            self.by_distance[OFFERED].set(rank, slot, offered);
            self.by_distance[FIXED].set(rank, slot, !offered);
        } else {
            self.soonest.set(turn, slot, offered);
        }
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

    /// The full copies at least so far from this node, and perhaps some that are nearly so, that give way to no other: in the order of
    /// their ranks.
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
        self.accounts.change(subnet, |changed| changed.total.add(&account));
        Reservation { subnet, total, account }
    }

    /// Frees what was [reserved](Quota::reserve): its write has ended.
    pub(super) fn free(&mut self, reservation: Reservation) {
        self.total.subtract(&reservation.total);
        self.accounts.change(reservation.subnet, |account| account.total.subtract(&reservation.account));
    }

    /// Which copy has to give way first so that `claim` fits; `None` once it does.
    ///
    /// Cached copies go first, then full copies farther from this node than the newcomer, then the oldest copy of the
    /// source that fills most. A source at its limit makes room by its own cached copies only, and a cached copy by
    /// cached copies only. What is restored displaces none that is nearer: the holders of what gives way would restore that in turn,
    /// and so on for ever. Full stores so come to hold what is nearest to them.
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
        let oldest = || if claim.restored { None } else { self.oldest_of_the_largest(account) };
        self.soonest.first().or(farther).or_else(oldest).map(Some).ok_or(Refusal::Full)
    }

    /// How many bytes a copy has that counts, on average.
    pub(super) fn mean_bytes(&self) -> usize {
        self.total.bytes.checked_div(self.total.values).unwrap_or(0)
    }

    /// The oldest copy of the source that fills most. Where that is no more than the newcomer's own source fills, the
    /// newcomer's own: no source displaces another that is as large as itself.
    fn oldest_of_the_largest(&self, newcomers: Option<&Account>) -> Option<Slot> {
        let own = newcomers.filter(|account| self.accounts.is_largest(account));
        own.into_iter().chain(self.accounts.largest()).find_map(|account| account.by_age.first())
    }
}

/// Whose account `record` is in; `None` for what counts in none.
fn subnet_of(record: &Record) -> Option<Subnet> {
    record.stored.source.map(|source| Subnet::of(&source.ip()))
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
        use std::collections::{BTreeMap, BTreeSet};

        let named = |order: &Order| order.iter().map(|(rank, slot)| (rank, key(slot))).collect::<BTreeSet<_>>();
        let account = |account: &Account| {
            let Account { total, cached, by_age, by_expiry } = account;
            (*total, *cached, named(by_age), named(by_expiry))
        };
        let accounts: BTreeMap<_, _> = self.accounts.iter().map(|(subnet, of_it)| (subnet, account(of_it))).collect();
        let mut ranking: Vec<_> =
            self.accounts.ranking().map(|(rank, total)| (rank, total.values, total.bytes)).collect();
        ranking.sort_unstable();
        let by_distance = self.by_distance.each_ref().map(named);
        format!("{:?}", (self.total, self.cached, named(&self.soonest), by_distance, ranking, accounts))
    }

    /// What each source fills.
    pub(super) fn source_totals(&self) -> impl Iterator<Item = (&Subnet, ClassCount)> {
        self.accounts.iter().map(|(subnet, account)| (subnet, account.total))
    }
}
