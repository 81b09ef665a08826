//! How long a cached copy lives: the shorter, the farther its key is from the node that caches it
//! (Kademlia paper, 2.3; docs/wire.md, 7). No copy outlives what was left in the one that it was made from, where the
//! reader says how much that is.

use std::time::Duration;

use crate::protocol::id::NodeId;

/// The life of a copy cached at `own` of the key that hashes to `target`:
/// max(`min`, floor(`key_expiry` / (bits(own XOR target) + 1))), in whole seconds of the expiry.
pub fn cache_ttl(own: &NodeId, target: &NodeId, key_expiry: Duration, min: Duration) -> Duration {
    let share = u64::from(own.distance(target).bits()) + 1;
    Duration::from_secs(key_expiry.as_secs() / share).max(min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::config::Config;
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
            let expiry = vector.key_expiry_seconds.map_or(Config::DEFAULT.values.key_expiry, Duration::from_secs);
            let min = vector.min_cache_ttl_seconds.map_or(Config::DEFAULT.values.min_cache_ttl, Duration::from_secs);
            let ttl = cache_ttl(&vector.own, &vector.target, expiry, min);
            assert_eq!(ttl, Duration::from_secs(vector.ttl_seconds), "{line}");
            checked += 1;
        }
        assert_eq!(checked, 10);
    }

    proptest! {
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
