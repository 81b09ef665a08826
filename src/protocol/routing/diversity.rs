//! Diversity: limits on the peers of one subnet, so that one owner cannot fill the table from one network (docs/wire.md, 9.6). It
//! counts verified peers, since only those enter the table.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::outcome::TableRefusal;
use crate::protocol::config::{AppliesTo, Config};
use crate::protocol::peer::Subnet;

/// The limits, and the count of each subnet in the whole table. The replacement caches are not counted here: they
/// are bounded by the bucket limit, each for itself.
#[derive(Debug, Clone)]
pub(super) struct Diversity {
    applies: AppliesTo,
    per_bucket: usize,
    per_table: usize,
    /// Live entries by subnet; no subnet has a count of zero.
    counts: BTreeMap<Subnet, u32>,
}

impl Diversity {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            applies: config.table.diversity,
            per_bucket: config.table.max_per_subnet_bucket,
            per_table: config.table.max_per_subnet_table,
            counts: BTreeMap::new(),
        }
    }

    /// Forgets all entries.
    pub(super) fn clear(&mut self) {
        self.counts.clear();
    }

    /// The subnet that `addr` is counted under; `None` where the limits do not apply.
    pub(super) fn subnet(&self, addr: &SocketAddr) -> Option<Subnet> {
        self.applies.subnet(&addr.ip())
    }

    pub(super) fn add(&mut self, addr: &SocketAddr) {
        if let Some(subnet) = self.subnet(addr) {
            *self.counts.entry(subnet).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, addr: &SocketAddr) {
        let Some(subnet) = self.subnet(addr) else { return };
        if let Some(count) = self.counts.get_mut(&subnet) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&subnet);
            }
        }
    }

    /// The reason for which `addr` may not enter a bucket whose live entries are at `bucket`, after `leaving` has left it; `None`
    /// if it may.
    pub(super) fn refuses<'a>(
        &self,
        addr: &SocketAddr,
        bucket: impl Iterator<Item = &'a SocketAddr>,
        leaving: Option<&SocketAddr>,
    ) -> Option<TableRefusal> {
        let subnet = self.subnet(addr)?;
        let in_table = self.counts.get(&subnet).map_or(0, |count| *count as usize);
        if in_table < self.per_bucket.min(self.per_table) {
            // So no bucket holds more.
            return None;
        }
        let leaves = usize::from(leaving.and_then(|addr| self.subnet(addr)) == Some(subnet));
        let in_bucket = bucket.filter(|addr| self.subnet(addr) == Some(subnet)).count();
        if in_bucket >= self.per_bucket + leaves {
            return Some(TableRefusal::SubnetInBucket(subnet));
        }
        (in_table >= self.per_table + leaves).then_some(TableRefusal::SubnetInTable(subnet))
    }

    /// The most peers of one subnet in a replacement cache.
    pub(super) fn per_cache(&self) -> usize {
        self.per_bucket
    }

    /// Live entries by subnet.
    #[cfg(test)]
    pub(super) fn counts(&self) -> &BTreeMap<Subnet, u32> {
        &self.counts
    }
}
