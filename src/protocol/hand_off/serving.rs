//! Which of the values held go to which newcomer. A node that holds 100,000 values looks through all of them whenever peers
//! have come, which strangers can do at will: what depends on the peers alone is worked out once.

use std::collections::HashSet;
use std::time::Instant;

use super::{Look, Neighbour, Neighbours};
use crate::protocol::id::{NODE_ID_BYTES, NodeId};

/// A look through what is held, for newcomers. See [`Neighbours::serving`].
#[derive(Debug)]
pub struct Serving<'a> {
    neighbours: &'a Neighbours,
    look: &'a Look,
    /// The bits at which the id of some peer that could give a value first differs from ours. Such a peer is nearer to a key
    /// than we are exactly if that bit of the key is not ours.
    givers: [u8; NODE_ID_BYTES],
    last_came: Option<Instant>,
}

impl Neighbours {
    /// For the newcomers of `look`, which are among these neighbours.
    pub fn serving<'a>(&'a self, look: &'a Look) -> Serving<'a> {
        let came = look.newcomers.iter().map(|newcomer| newcomer.who.peer.id);
        let new: HashSet<NodeId> = look.unsettled.iter().copied().chain(came).collect();
        let mut givers = [0; NODE_ID_BYTES];
        for giver in self.known.iter().filter(|other| !other.legacy && !new.contains(&other.peer.id)) {
            let bit = self.own.common_prefix(&giver.peer.id) as usize;
            if let Some(byte) = givers.get_mut(bit / 8) {
                *byte |= 0x80 >> (bit % 8);
            }
        }
        let last_came = look.newcomers.iter().map(|newcomer| newcomer.since).max();
        Serving { neighbours: self, look, givers, last_came }
    }
}

impl<'a> Serving<'a> {
    /// Which newcomers this node gives the value of `key` to, which it holds since `stored_at`: those among the `k` nearest to
    /// the key, this node counted, that came later than the value, which was brought to the nearest of its time.
    ///
    /// And that only if nobody else does: the one to give it is whoever is nearest to the key of the nodes of our kind, since
    /// legacy nodes give nothing to newcomers, and newcomers have nothing yet (Kademlia paper, 2.5).
    pub fn of(&self, key: &NodeId, stored_at: Instant, k: usize) -> Vec<&'a Neighbour> {
        if self.last_came.is_none_or(|came| came < stored_at) || self.another_gives(key) {
            return Vec::new();
        }
        let reach = self.neighbours.reach(key, k);
        let later = self.look.newcomers.iter().filter(|newcomer| newcomer.since >= stored_at);
        later.map(|newcomer| &newcomer.who).filter(|who| who.peer.id.distance(key) <= reach).collect()
    }

    /// Whether a peer that could give it is nearer to `key` than we are.
    fn another_gives(&self, key: &NodeId) -> bool {
        let own = self.neighbours.own.distance(key);
        own.as_bytes().iter().zip(&self.givers).any(|(differs, giver)| differs & giver != 0)
    }
}
