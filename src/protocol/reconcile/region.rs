//! The region of a node: the places to which it is among the k nearest.

use crate::protocol::id::NodeId;
use crate::protocol::prefix::Prefix;

/// A set of places: prefixes that do not overlap, in the order of their first ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    prefixes: Vec<Prefix>,
}

impl Region {
    /// All places under these prefixes, which do not overlap.
    pub fn new(mut prefixes: Vec<Prefix>) -> Self {
        prefixes.sort_unstable_by_key(Prefix::first);
        prefixes.shrink_to_fit();
        Self { prefixes }
    }

    /// Returns whether `place` belongs to it.
    pub fn covers(&self, place: &NodeId) -> bool {
        let after = self.prefixes.partition_point(|prefix| prefix.first() <= *place);
        after.checked_sub(1).is_some_and(|last| self.prefixes[last].covers(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::entropy::{Entropy, SeededEntropy};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_covers_what_one_of_its_prefixes_covers(seed: u64, count in 0usize..20) {
            let mut entropy = SeededEntropy::new(seed);
            let mut chosen: Vec<Prefix> = Vec::new();
            for _ in 0..count {
                let length = 1 + entropy.below(8) as u32;
                let prefix = Prefix::of(&Prefix::ALL.random_id(&mut entropy), length);
                if !chosen.iter().any(|other| other.covers(&prefix.first()) || prefix.covers(&other.first())) {
                    chosen.push(prefix);
                }
            }
            let region = Region::new(chosen.clone());
            for _ in 0..200 {
                let place = Prefix::ALL.random_id(&mut entropy);
                prop_assert_eq!(region.covers(&place), chosen.iter().any(|prefix| prefix.covers(&place)));
            }
        }
    }
}
