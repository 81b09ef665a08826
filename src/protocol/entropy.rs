//! Sources of randomness: the trait, and a seeded source for tests and simulation. Only `actors/clock.rs` reads the system's
//! entropy.

use std::time::Duration;

/// A source of random bits.
pub trait Entropy {
    /// The next 64 random bits.
    fn next_u64(&mut self) -> u64;

    /// Fills `buffer` with random bytes.
    fn fill(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let bytes = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }

    /// A number in `0..bound`; 0 if `bound` is 0. The bias is below 2^-32 for bounds up to 2^32.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in `[0, 1)`, with 53 random bits.
    fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A duration between `base * (1 - share)` and `base * (1 + share)`, so that nodes do not act in step.
    fn jitter(&mut self, base: Duration, share: f64) -> Duration {
        base.mul_f64((1.0 + share * (2.0 * self.unit() - 1.0)).max(0.0))
    }
}

impl<E: Entropy + ?Sized> Entropy for Box<E> {
    fn next_u64(&mut self) -> u64 {
        (**self).next_u64()
    }
}

/// A seeded source (SplitMix64): the same seed gives the same bits, on every platform. It must not
/// make anything that a stranger must not guess.
#[derive(Debug, Clone)]
pub struct SeededEntropy {
    state: u64,
}

impl SeededEntropy {
    /// A source that starts at `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }
}

impl Entropy for SeededEntropy {
    fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bits() {
        let (mut a, mut b) = (SeededEntropy::new(7), SeededEntropy::new(7));
        assert!((0..100).all(|_| a.next_u64() == b.next_u64()));
    }

    #[test]
    fn jitter_stays_within_its_share() {
        let mut entropy = SeededEntropy::new(1);
        let base = Duration::from_secs(100);
        for _ in 0..1_000 {
            let jittered = entropy.jitter(base, 0.1);
            assert!(jittered >= Duration::from_secs(90) && jittered <= Duration::from_secs(110), "{jittered:?}");
        }
    }

    #[test]
    fn a_bound_is_never_reached() {
        let mut entropy = SeededEntropy::new(2);
        assert!((0..10_000).all(|_| entropy.below(7) < 7));
        assert_eq!(entropy.below(0), 0);
    }
}
