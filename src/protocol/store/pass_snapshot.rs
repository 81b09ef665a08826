//! How far a pass over the publications is, for programs that watch the node.

use std::time::Duration;

use serde::Serialize;

use crate::protocol::id::NodeId;
use crate::protocol::seconds;

/// How far the renewal of all publications that are due has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PassSnapshot {
    /// Publications that it is done with.
    pub done: u64,
    /// The place of the one that it took last: the region at hand.
    pub place: NodeId,
    /// What part of the id space it is through with, in percent.
    pub percent: u8,
    /// How long it has been running.
    #[serde(serialize_with = "seconds::serialize")]
    pub running: Duration,
    /// How long it will take yet, as fast as it was so far. `None`: it has only begun.
    #[serde(serialize_with = "seconds::serialize")]
    pub left: Option<Duration>,
}

impl PassSnapshot {
    /// A pass that has been `running` so long and has come to `place`, at a node with the id `own`: it goes by the distance from that.
    pub fn new(done: u64, own: &NodeId, place: NodeId, running: Duration) -> Self {
        let distance = own.distance(&place);
        let [a, b, ..] = *distance.as_bytes();
        let part = f64::from(u16::from_be_bytes([a, b])) / 65_536.0;
        let left = (part > 0.0).then(|| running.mul_f64(((1.0 - part) / part).min(1e6)));
        Self { done, place, percent: (part * 100.0) as u8, running, left }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_says_how_far_it_is_and_how_long_it_takes_yet() {
        let own = NodeId::ZERO;
        let at = |byte| NodeId::from_bytes([byte; 20]);
        let snapshot = PassSnapshot::new(500, &own, at(0x40), Duration::from_secs(100));
        assert_eq!((snapshot.percent, snapshot.left.unwrap().as_secs()), (25, 298));
        assert_eq!(PassSnapshot::new(0, &own, at(0), Duration::ZERO).left, None);
        assert_eq!(PassSnapshot::new(9, &own, at(0xff), Duration::from_secs(100)).percent, 99);
    }
}
