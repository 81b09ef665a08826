//! How long a cached copy lives: the shorter, the farther its key is from the node that caches it
//! (Kademlia paper, 2.3; docs/wire.md, 7). There are two formulas, and a setting chooses.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::protocol::config::Config;
use crate::protocol::id::NodeId;

/// How the life of a cached copy is computed. Whatever it says, no copy outlives what was left in the one that it was made
/// from, where the reader tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheTtl {
    /// As the Python package does, by the distance alone: see [`cache_ttl`].
    #[default]
    Package,
    /// As the paper suggests, by the nodes in between: see [`halving_cache_ttl`].
    Halving,
}

impl CacheTtl {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Package, Self::Halving];

    /// Its name, as on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Package => "package",
            Self::Halving => "halving",
        }
    }

    /// The life of a copy cached at `own` of the key that hashes to `target`, to which `nearer` known nodes are nearer.
    pub(super) fn life(self, own: &NodeId, target: &NodeId, nearer: usize, config: &Config) -> Duration {
        let Config { key_expiry, min_cache_ttl, .. } = *config;
        match self {
            Self::Package => cache_ttl(own, target, key_expiry, min_cache_ttl),
            Self::Halving => halving_cache_ttl(nearer, key_expiry, min_cache_ttl),
        }
    }
}

impl fmt::Display for CacheTtl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no formula. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a cache TTL is package or halving, not {found:?}")]
pub struct ParseCacheTtlError {
    /// What was found, at most its first 64 characters.
    pub found: String,
}

impl FromStr for CacheTtl {
    type Err = ParseCacheTtlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|formula| formula.name() == text);
        named.ok_or_else(|| ParseCacheTtlError { found: text.chars().take(64).collect() })
    }
}

/// The life of a copy cached at `own` of the key that hashes to `target`:
/// max(`min`, floor(`key_expiry` / (bits(own XOR target) + 1))), in whole seconds of the expiry.
pub fn cache_ttl(own: &NodeId, target: &NodeId, key_expiry: Duration, min: Duration) -> Duration {
    let share = u64::from(own.distance(target).bits()) + 1;
    Duration::from_secs(key_expiry.as_secs() / share).max(min)
}

/// Nodes nearer to a key that are counted: as many halvings leave nothing of any expiry.
pub const MAX_HALVINGS: usize = 32;

/// The life of a cached copy where `nearer` known nodes are nearer to its key: `key_expiry` halved for each of them, in whole
/// seconds, but at least `min`. So the life is exponentially inversely proportional to the number of nodes between the one
/// that caches and the one nearest to the key (Kademlia paper, 2.3).
pub fn halving_cache_ttl(nearer: usize, key_expiry: Duration, min: Duration) -> Duration {
    Duration::from_secs(key_expiry.as_secs() >> nearer.min(MAX_HALVINGS)).max(min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::config::{DEFAULT_KEY_EXPIRY, DEFAULT_MIN_CACHE_TTL};
    use proptest::prelude::*;

    #[derive(serde::Deserialize)]
    struct Vector {
        own: NodeId,
        target: NodeId,
        key_expiry_seconds: Option<u64>,
        min_cache_ttl_seconds: Option<u64>,
        ttl_seconds: u64,
    }

    #[test]
    fn it_is_what_a_legacy_node_computes() {
        let mut checked = 0;
        for line in include_str!("../../../vectors/ttl.jsonl").lines() {
            let vector: Vector = serde_json::from_str(line).unwrap();
            let expiry = vector.key_expiry_seconds.map_or(DEFAULT_KEY_EXPIRY, Duration::from_secs);
            let min = vector.min_cache_ttl_seconds.map_or(DEFAULT_MIN_CACHE_TTL, Duration::from_secs);
            let ttl = cache_ttl(&vector.own, &vector.target, expiry, min);
            assert_eq!(ttl, Duration::from_secs(vector.ttl_seconds), "{line}");
            checked += 1;
        }
        assert_eq!(checked, 10);
    }

    #[test]
    fn each_node_that_is_nearer_halves_it_down_to_the_minimum() {
        let life = |nearer| halving_cache_ttl(nearer, DEFAULT_KEY_EXPIRY, DEFAULT_MIN_CACHE_TTL).as_secs();
        assert_eq!([0, 1, 2, 7].map(life), [86_410, 43_205, 21_602, 675]);
        assert_eq!([8, 20, 32, 1_000, usize::MAX].map(life), [600; 5]);
        assert_eq!(halving_cache_ttl(MAX_HALVINGS, Duration::from_secs(365 * 86_400), Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn a_formula_has_a_name_and_no_other_text_is_one() {
        for formula in CacheTtl::ALL {
            assert_eq!(formula.to_string().parse(), Ok(formula));
            assert_eq!(serde_json::to_string(&formula).unwrap(), format!("\"{formula}\""));
        }
        let error = "paper".parse::<CacheTtl>().unwrap_err();
        assert_eq!(error.to_string(), "a cache TTL is package or halving, not \"paper\"");
    }

    proptest! {
        #[test]
        fn more_nodes_in_between_never_lengthen_it_and_the_minimum_holds(
            a in 0usize..200, b in 0usize..200, expiry in 1u64..31_536_000, min in 0u64..100_000,
        ) {
            let min = Duration::from_secs(min.min(expiry));
            let life = |nearer| halving_cache_ttl(nearer, Duration::from_secs(expiry), min);
            let (few, many) = (a.min(b), a.max(b));
            prop_assert!(life(few) >= life(many));
            prop_assert!(life(many) >= min && life(0) == Duration::from_secs(expiry));
        }

        #[test]
        fn a_nearer_key_is_cached_at_least_as_long(own: [u8; 20], a: [u8; 20], b: [u8; 20], expiry in 1u64..1_000_000) {
            let (own, a, b) = (NodeId::from_bytes(own), NodeId::from_bytes(a), NodeId::from_bytes(b));
            let ttl = |target| cache_ttl(&own, target, Duration::from_secs(expiry), Duration::ZERO);
            let (near, far) = if own.distance(&a) <= own.distance(&b) { (a, b) } else { (b, a) };
            prop_assert!(ttl(&near) >= ttl(&far));
            prop_assert!(ttl(&near) <= Duration::from_secs(expiry));
        }
    }
}
