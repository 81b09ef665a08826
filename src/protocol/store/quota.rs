//! How much strangers may fill, and what gives way when they have. It keeps the orders of eviction; the records
//! themselves are elsewhere, and what this node published never comes here.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::outcome::{ClassCount, Refusal};
use super::record::Record;
use crate::protocol::config::{AppliesTo, Config};
use crate::protocol::id::Distance;
use crate::protocol::peer::Subnet;

/// One subnet fills at most this part of the store, and so do cached copies (docs/wire.md, 9.10).
pub(super) const SHARE: usize = 10;

/// Keys in the order of something; the key itself breaks ties.
type Ordered<T> = BTreeSet<(T, Arc<str>)>;

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

/// What one subnet has brought.
#[derive(Debug, Default)]
struct Account {
    total: ClassCount,
    cached: ClassCount,
    /// Its full copies, the oldest first.
    by_age: Ordered<Instant>,
    /// Its cached copies, the one that ends soonest first.
    by_expiry: Ordered<Instant>,
}

/// The copies that strangers brought, as they count and as they give way.
///
/// Invariants: each such copy is in the account of its source and either in `farthest` (full) or in `soonest`
/// (cached); an account has at least one copy and stands in `ranking` under its current weight.
#[derive(Debug)]
pub(super) struct Quota {
    limit: ClassCount,
    source_limit: ClassCount,
    cached_limit: ClassCount,
    diversity: AppliesTo,
    total: ClassCount,
    cached: ClassCount,
    /// Cached copies, the one that ends soonest first.
    soonest: Ordered<Instant>,
    /// Full copies, the one farthest from this node last.
    farthest: Ordered<Distance>,
    accounts: HashMap<Subnet, Account>,
    /// Sources by what they fill, the largest last.
    ranking: BTreeSet<(u128, Subnet)>,
}

impl Quota {
    pub(super) fn new(config: &Config) -> Self {
        let limit = ClassCount { values: config.max_values, bytes: config.max_store_bytes };
        // A small store still takes one value from each.
        let share = ClassCount { values: (limit.values / SHARE).max(1).min(limit.values), bytes: limit.bytes / SHARE };
        Self {
            limit,
            source_limit: share,
            cached_limit: share,
            diversity: config.diversity,
            total: ClassCount::default(),
            cached: ClassCount::default(),
            soonest: Ordered::new(),
            farthest: Ordered::new(),
            accounts: HashMap::new(),
            ranking: BTreeSet::new(),
        }
    }

    /// All that counts.
    pub(super) fn total(&self) -> ClassCount {
        self.total
    }

    /// How many sources there are.
    pub(super) fn sources(&self) -> usize {
        self.accounts.len()
    }

    /// Counts `record`, if a stranger brought it.
    pub(super) fn charge(&mut self, record: &Record) {
        let Some(source) = record.stored.source else { return };
        let (subnet, bytes, key) = (Subnet::of(&source.ip()), record.bytes(), record.stored.key.clone());
        self.total.add(bytes);
        let account = self.accounts.entry(subnet).or_default();
        self.ranking.remove(&(weight(&self.limit, &account.total), subnet));
        account.total.add(bytes);
        self.ranking.insert((weight(&self.limit, &account.total), subnet));
        if record.is_full() {
            account.by_age.insert((record.stored.stored_at, key.clone()));
            self.farthest.insert((record.distance, key));
        } else {
            account.cached.add(bytes);
            self.cached.add(bytes);
            account.by_expiry.insert((record.stored.expires_at, key.clone()));
            self.soonest.insert((record.stored.expires_at, key));
        }
    }

    /// Takes back what [`Quota::charge`] did. `record` must be as it was then.
    pub(super) fn discharge(&mut self, record: &Record) {
        let Some(source) = record.stored.source else { return };
        let (subnet, bytes, key) = (Subnet::of(&source.ip()), record.bytes(), record.stored.key.clone());
        let Some(account) = self.accounts.get_mut(&subnet) else { return };
        self.total.subtract(bytes);
        self.ranking.remove(&(weight(&self.limit, &account.total), subnet));
        account.total.subtract(bytes);
        if record.is_full() {
            account.by_age.remove(&(record.stored.stored_at, key.clone()));
            self.farthest.remove(&(record.distance, key));
        } else {
            account.cached.subtract(bytes);
            self.cached.subtract(bytes);
            account.by_expiry.remove(&(record.stored.expires_at, key.clone()));
            self.soonest.remove(&(record.stored.expires_at, key));
        }
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
    /// Where no eviction would help, and then on the first call: nothing is evicted for a copy that is refused.
    pub(super) fn victim(&self, claim: &Claim) -> Result<Option<&Arc<str>>, Refusal> {
        let subnet = Subnet::of(&claim.source.ip());
        let account = self.accounts.get(&subnet);
        if self.diversity.covers(&claim.source.ip()) {
            let (total, cached) = account.map_or_else(Default::default, |account| (account.total, account.cached));
            if !total.without(&cached).fits(claim.bytes, &self.source_limit) {
                return Err(Refusal::SourceFull);
            }
            if !total.fits(claim.bytes, &self.source_limit) {
                return Ok(account.and_then(|account| first(&account.by_expiry)));
            }
        }
        if !claim.full {
            let full = self.total.without(&self.cached);
            if !ClassCount::default().fits(claim.bytes, &self.cached_limit) || !full.fits(claim.bytes, &self.limit) {
                return Err(Refusal::Full);
            }
            let fits = self.cached.fits(claim.bytes, &self.cached_limit) && self.total.fits(claim.bytes, &self.limit);
            return Ok(if fits { None } else { first(&self.soonest) });
        }
        if !ClassCount::default().fits(claim.bytes, &self.limit) {
            return Err(Refusal::Full);
        }
        if self.total.fits(claim.bytes, &self.limit) {
            return Ok(None);
        }
        let farther = self.farthest.last().filter(|(distance, _)| *distance > claim.distance).map(|(_, key)| key);
        Ok(first(&self.soonest).or(farther).or_else(|| self.oldest_of_the_largest(account)))
    }

    /// The oldest copy of the source that fills most. Where that is no more than the newcomer's own source fills, the
    /// newcomer's own: nobody is displaced by a source as large as itself.
    fn oldest_of_the_largest<'a>(&'a self, newcomers: Option<&'a Account>) -> Option<&'a Arc<str>> {
        let (most, largest) = self.ranking.last()?;
        let own = newcomers.filter(|account| weight(&self.limit, &account.total) == *most);
        first(&own.or_else(|| self.accounts.get(largest))?.by_age)
    }
}

fn first<T: Ord>(ordered: &Ordered<T>) -> Option<&Arc<str>> {
    ordered.first().map(|(_, key)| key)
}

/// What part of the store `count` fills, by values or by bytes, whichever is more: comparable, without unit.
fn weight(limit: &ClassCount, count: &ClassCount) -> u128 {
    let product = |a: usize, b: usize| a as u128 * b as u128;
    product(count.values, limit.bytes).max(product(count.bytes, limit.values))
}

impl ClassCount {
    pub(super) fn add(&mut self, bytes: usize) {
        self.values += 1;
        self.bytes += bytes;
    }

    pub(super) fn subtract(&mut self, bytes: usize) {
        self.values -= 1;
        self.bytes -= bytes;
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
        (self.total, self.cached, &self.soonest, &self.farthest, &self.ranking, accounts)
    }

    /// What each source fills.
    pub(super) fn source_totals(&self) -> impl Iterator<Item = (&Subnet, ClassCount)> {
        self.accounts.iter().map(|(subnet, account)| (subnet, account.total))
    }
}
