//! One datagram under way: when it is due, and what it leaves in the trace.

use std::cmp::Ordering;
use std::net::SocketAddr;

/// A datagram under way.
pub(super) struct Delivery {
    /// When it arrives, in nanoseconds since the start.
    pub(super) due: u64,
    /// What was sent first arrives first, if both are due at the same time.
    pub(super) sequence: u64,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) payload: Vec<u8>,
}

impl Ord for Delivery {
    /// The heap gives the greatest first: that is the one due first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.sequence).cmp(&(self.due, self.sequence))
    }
}

impl PartialOrd for Delivery {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Delivery {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Delivery {}

/// The trace's next fingerprint: eight bytes a step, since it passes over everything that is sent.
pub(super) fn fingerprint(trace: u64, now: u64, from: &SocketAddr, to: &SocketAddr, payload: &[u8]) -> u64 {
    let mix = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mix_bytes = |mut hash: u64, bytes: &[u8]| {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            hash = mix(hash, u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        mix(mix(hash, u64::from_le_bytes(last)), bytes.len() as u64)
    };
    let mix_addr = |hash, addr: &SocketAddr| match addr {
        SocketAddr::V4(v4) => mix(hash, u64::from(v4.ip().to_bits()) << 16 | u64::from(v4.port())),
        SocketAddr::V6(v6) => mix(mix_bytes(hash, &v6.ip().octets()), v6.port().into()),
    };
    mix_bytes(mix_addr(mix_addr(mix(trace, now), from), to), payload)
}
