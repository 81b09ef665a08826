//! Ballots: the choice between the values that several peers answered with. Each network has one vote, and most votes win. A
//! ballot sends nothing and does not know whether a value is true.

use std::sync::Arc;

use serde::Serialize;

use crate::protocol::config::{AppliesTo, Config};
use crate::protocol::id::{Distance, NodeId};
use crate::protocol::peer::{Peer, Subnet};
use crate::protocol::value::Value;

/// The votes of an election: how certain a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Votes {
    /// Votes for this value.
    pub agreed: usize,
    /// Votes for any value.
    pub cast: usize,
    /// Votes that were wanted. Fewer were cast where fewer peers, or fewer networks, hold a value.
    pub wanted: usize,
}

impl Votes {
    /// The votes of a value that was taken from the first peer that answered with it.
    pub const SINGLE: Self = Self { agreed: 1, cast: 1, wanted: 1 };
}

/// A value that a lookup found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The value.
    pub value: Arc<Value>,
    /// The peer that had it, of several voters the nearest to the key; `None`: this node itself.
    pub holder: Option<Peer>,
    /// Seconds until the holder's copy expires, where it reports that.
    pub ttl: Option<u32>,
    /// How certain it is.
    pub votes: Votes,
}

/// One election. It stores at most as many values as votes are wanted.
///
/// - Of a subnet (/24, /64) to which `diversity` applies only the first vote counts: the owner of a network owns all
///   addresses in it, and can choose the ids at them to be near any key.
/// - Most votes win. Of values with equal votes, that which this node holds wins, otherwise the one whose nearest voter is
///   nearest to the key.
#[derive(Debug, Clone)]
pub struct Ballot {
    target: NodeId,
    wanted: usize,
    diversity: AppliesTo,
    /// The subnets that have voted.
    subnets: Vec<Subnet>,
    /// The values, each with at least one vote; no two are equal.
    values: Vec<Standing>,
    cast: usize,
}

#[derive(Debug, Clone)]
struct Standing {
    value: Arc<Value>,
    votes: usize,
    /// `None`, which comes first, if this node holds it itself.
    nearest: Option<Distance>,
    holder: Option<Peer>,
    ttl: Option<u32>,
}

impl Ballot {
    /// An election of the value at `target` by `wanted` votes (at least 1).
    pub fn new(target: NodeId, wanted: usize, config: &Config) -> Self {
        let (subnets, values) = (Vec::new(), Vec::new());
        Self { target, wanted: wanted.max(1), diversity: config.table.diversity, subnets, values, cast: 0 }
    }

    /// Takes the vote of `voter` (`None`: this node itself, once) for `value`, of which its copy lives for `ttl` seconds.
    /// Returns whether it counts: not if its subnet has voted, or all wanted votes are cast.
    pub fn vote(&mut self, voter: Option<Peer>, value: &Arc<Value>, ttl: Option<u32>) -> bool {
        if self.is_decided() {
            return false;
        }
        if let Some(subnet) = voter.and_then(|voter| self.diversity.subnet(&voter.addr.ip())) {
            if self.subnets.contains(&subnet) {
                return false;
            }
            self.subnets.push(subnet);
        }
        self.cast += 1;
        let nearest = voter.map(|voter| voter.id.distance(&self.target));
        match self.values.iter_mut().find(|standing| standing.value == *value) {
            Some(standing) => {
                standing.votes += 1;
                if nearest < standing.nearest {
                    (standing.nearest, standing.holder, standing.ttl) = (nearest, voter, ttl);
                }
            }
            None => self.values.push(Standing { value: value.clone(), votes: 1, nearest, holder: voter, ttl }),
        }
        true
    }

    /// Returns whether all wanted votes are cast.
    pub fn is_decided(&self) -> bool {
        self.cast >= self.wanted
    }

    /// The winner by the votes cast so far; `None` without any.
    pub fn elected(&self) -> Option<Found> {
        let first = |standing: &&Standing| (std::cmp::Reverse(standing.votes), standing.nearest);
        let won = self.values.iter().min_by_key(first)?;
        let votes = Votes { agreed: won.votes, cast: self.cast, wanted: self.wanted };
        Some(Found { value: won.value.clone(), holder: won.holder, ttl: won.ttl, votes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A peer whose distance from the target zero is `distance`, at a host of its own network.
    fn voter(distance: u8, network: u8) -> Option<Peer> {
        let mut id = [0; 20];
        id[19] = distance;
        Some(Peer::new(NodeId::from_bytes(id), ([45, 0, network, distance], 7_000).into()))
    }

    fn value(text: &str) -> Arc<Value> {
        Arc::new(text.into())
    }

    fn ballot(wanted: usize) -> Ballot {
        Ballot::new(NodeId::ZERO, wanted, &Config::default())
    }

    /// The winning value, the votes for it and all votes.
    fn won(ballot: &Ballot) -> (String, usize, usize) {
        let Found { value, votes, .. } = ballot.elected().unwrap();
        (value.as_text().unwrap().to_owned(), votes.agreed, votes.cast)
    }

    #[test]
    fn most_votes_win_and_further_ones_do_not_count() {
        let mut ballot = ballot(3);
        assert_eq!(ballot.elected(), None);
        assert!(ballot.vote(voter(1, 1), &value("false"), None));
        assert_eq!(won(&ballot), ("false".into(), 1, 1));
        assert!(ballot.vote(voter(5, 2), &value("true"), Some(9)) && !ballot.is_decided());
        assert!(ballot.vote(voter(3, 3), &value("true"), Some(7)) && ballot.is_decided());
        assert!(!ballot.vote(voter(0, 4), &value("false"), None));
        let elected = ballot.elected().unwrap();
        assert_eq!((elected.value, elected.holder, elected.ttl), (value("true"), voter(3, 3), Some(7)));
        assert_eq!(elected.votes, Votes { agreed: 2, cast: 3, wanted: 3 });
    }

    #[test]
    fn a_network_has_one_vote_however_many_hosts_it_has_unless_it_is_private() {
        let mut global = ballot(5);
        let cast = (0..20).filter(|host| global.vote(voter(*host, 1), &value(&host.to_string()), None)).count();
        assert_eq!((cast, won(&global)), (1, ("0".into(), 1, 1)));
        let mut private = ballot(5);
        let host = |n: u8| Some(Peer::new(NodeId::of_key(&n.to_string()), ([10, 0, 0, n], 7).into()));
        assert_eq!((0..20).filter(|n| private.vote(host(*n), &value("v"), None)).count(), 5);
        let slash_64 = |n: u16| {
            let addr = ([0x2001, 0xdb8, 0, 1, 0, 0, 0, n], 7).into();
            Some(Peer::new(NodeId::of_key(&n.to_string()), addr))
        };
        let mut v6 = ballot(5);
        assert_eq!((0..20).filter(|n| v6.vote(slash_64(*n), &value("v"), None)).count(), 1);
    }

    #[test]
    fn of_equals_the_value_held_here_wins_then_that_of_the_nearest_voter() {
        let mut ballot = ballot(4);
        assert!(ballot.vote(voter(2, 1), &value("near"), None));
        assert!(ballot.vote(voter(9, 2), &value("far"), None));
        assert_eq!(won(&ballot), ("near".into(), 1, 2));
        assert!(ballot.vote(voter(1, 3), &value("far"), None) && ballot.vote(voter(8, 4), &value("near"), None));
        assert_eq!(won(&ballot), ("far".into(), 2, 4), "the nearest voter is for it by now");
        let mut here = self::ballot(2);
        assert!(here.vote(voter(0, 1), &value("theirs"), None) && here.vote(None, &value("ours"), Some(5)));
        let elected = here.elected().unwrap();
        assert_eq!((elected.value, elected.holder, elected.ttl), (value("ours"), None, Some(5)));
    }

    #[test]
    fn text_and_bytes_are_different_values() {
        let mut ballot = ballot(2);
        assert!(ballot.vote(voter(2, 1), &value("a"), None));
        assert!(ballot.vote(voter(1, 2), &Arc::new(Value::from(b"a")), None));
        assert_eq!(ballot.elected().unwrap().votes.agreed, 1);
    }

    proptest! {
        #[test]
        fn a_value_that_most_networks_vote_for_wins_in_any_order_of_votes(
            honest in 2u8..6,
            liars in 0u8..40,
            order in any::<u64>(),
        ) {
            // All liars are in one network, and nearer than the honest voters.
            let mut voters: Vec<(Option<Peer>, &str)> = (0..liars).map(|n| (voter(n, 200), "false")).collect();
            voters.extend((0..honest).map(|n| (voter(100 + n, n), "true")));
            voters.sort_by_key(|(voter, _)| NodeId::of_key(&format!("{order} {voter:?}")));
            let mut ballot = ballot(usize::from(honest) + 1);
            for (voter, text) in voters {
                ballot.vote(voter, &value(text), None);
            }
            let cast = usize::from(honest + liars.min(1));
            prop_assert_eq!(won(&ballot), ("true".into(), honest.into(), cast));
            prop_assert!(ballot.values.len() <= 2);
        }
    }
}
