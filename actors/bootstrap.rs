//! What came of a bootstrap: the contacts that answered, those that failed and why, and those that are still being tried.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::seconds;
use serde::Serialize;

/// Failed contacts that a sentence names. The others it only counts.
const NAMED: usize = 8;

/// What came of a bootstrap, at the moment at which it was asked for. Contacts are tried independently of each other, and
/// the first answer decides, so that others may still be [pending](Self::pending) then.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BootstrapOutcome {
    /// The contacts that answered, as the peers that they are, in the order of their answers.
    pub answered: Vec<Peer>,
    /// The contacts that failed: no address of theirs answered.
    pub failed: Vec<FailedContact>,
    /// The contacts that were still being tried, as they were given.
    pub pending: Vec<String>,
}

impl BootstrapOutcome {
    /// Whether a contact answered, so that this node is part of a network now.
    pub fn joined(&self) -> bool {
        !self.answered.is_empty()
    }

    /// Whether this node is all that its contacts stand for.
    pub(crate) fn is_itself_alone(&self) -> bool {
        let others = self.failed.iter().any(|failed| failed.reason != ContactFailure::Itself);
        !others && self.answered.is_empty() && self.pending.is_empty()
    }
}

/// Names each contact that did not answer, and what came back.
impl fmt::Display for BootstrapOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (failed, pending) = (self.failed.len(), self.pending.len());
        let parts = self.failed.iter().map(FailedContact::to_string);
        let parts = parts.chain(self.pending.iter().map(|contact| format!("{contact} (still being tried)")));
        let named: Vec<String> = parts.take(NAMED).collect();
        f.write_str(&named.join(", "))?;
        match (failed + pending).saturating_sub(named.len()) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// A contact that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FailedContact {
    /// The contact as it was given.
    pub contact: String,
    /// The addresses that it stands for and that were tried: at most 8. None where its name did not resolve.
    pub addresses: Vec<SocketAddr>,
    /// What came back.
    pub reason: ContactFailure,
}

/// `dht.example.org:8000 at 192.0.2.7:8000 (no answer within 2s)`.
impl fmt::Display for FailedContact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.contact)?;
        let addresses: Vec<String> = self.addresses.iter().map(SocketAddr::to_string).collect();
        if !addresses.is_empty() && addresses != [self.contact.as_str()] {
            write!(f, " at {}", addresses.join(" and "))?;
        }
        write!(f, " ({})", self.reason)
    }
}

/// Why a contact failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ContactFailure {
    /// No datagram came back.
    #[error("no answer within {within:?}")]
    Silent {
        /// How long it was waited for.
        #[serde(serialize_with = "seconds::serialize")]
        within: Duration,
    },
    /// Datagrams came back, but they are no messages of this node's wire.
    #[error(fmt = other_wire)]
    OtherWire {
        /// The wire that their first byte indicates; `None`: none that is known here.
        wire: Option<Codec>,
    },
    /// It answered without a node id, so it is no node.
    #[error("it answers without a node id")]
    NoNode,
    /// Its name stands for no address, or did not resolve in time.
    #[error("{reason}")]
    Unresolved {
        /// What the system says.
        reason: String,
    },
    /// The socket of this node cannot send to it.
    #[error("{reason}{}", .listen.map_or_else(String::new, |listen| format!(": listen at {listen}")))]
    Unreachable {
        /// The address that this node listens at.
        bound: SocketAddr,
        /// Why not.
        reason: String,
        /// An address to listen at instead, from which it may be reached; `None` where that is not what is in the way.
        listen: Option<SocketAddr>,
    },
    /// It is this node itself.
    #[error("it is this node itself")]
    Itself,
    /// Another node has the id of this one: its folder was copied, perhaps with a whole machine. Each takes the other's place
    /// in the tables of others, until one of the two has another id.
    #[error(
        "another node there has the id of this one, {id}, as when a folder or a whole machine was copied: give one of the two another id \
         (--node-id HEX), or a new folder (--data-dir DIR)"
    )]
    Copied {
        /// The id of both.
        id: NodeId,
    },
    /// It was not asked: too many queries are in flight, the network takes no more, or the settings `deny` or `max_send_rate`
    /// forbid it.
    #[error("not asked: too many queries are in flight, or a setting (deny, max_send_rate) forbids it")]
    NotAsked,
}

impl ContactFailure {
    /// The wire that it answers in, where that is known and another one than this node's.
    pub fn wire(&self) -> Option<Codec> {
        match self {
            Self::OtherWire { wire } => *wire,
            _ => None,
        }
    }
}

fn other_wire(wire: &Option<Codec>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match wire {
        Some(wire) => write!(f, "it answers in another wire: {wire}"),
        None => f.write_str("what it answers is no message of any known wire"),
    }
}

/// A peer that answered a ping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Pong {
    /// The peer that answered.
    pub peer: Peer,
    /// How long it took.
    #[serde(serialize_with = "seconds::serialize")]
    pub rtt: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_names_each_contact_and_what_came_back_up_to_a_bound() {
        let addr: SocketAddr = "127.0.0.1:8000".parse().unwrap();
        let silent = ContactFailure::Silent { within: Duration::from_secs(2) };
        let failed = |contact: &str, addresses: &[SocketAddr], reason| FailedContact {
            contact: contact.to_owned(),
            addresses: addresses.to_vec(),
            reason,
        };
        let mut outcome = BootstrapOutcome {
            answered: Vec::new(),
            failed: vec![
                failed("127.0.0.1:8000", &[addr], silent.clone()),
                failed("localhost:8000", &[addr], ContactFailure::OtherWire { wire: Some(Codec::Bencode) }),
                failed("nowhere:1", &[], ContactFailure::Unresolved { reason: "no such name".into() }),
            ],
            pending: vec!["slow:1".into()],
        };
        let text = "127.0.0.1:8000 (no answer within 2s), \
                    localhost:8000 at 127.0.0.1:8000 (it answers in another wire: bencode), \
                    nowhere:1 (no such name), slow:1 (still being tried)";
        assert_eq!(outcome.to_string(), text);
        outcome.failed = vec![failed("127.0.0.1:8000", &[addr], silent); 200];
        assert!(outcome.to_string().ends_with("(no answer within 2s) and 193 more"), "{outcome}");
    }
}
