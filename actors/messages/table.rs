//! What the routing table is told.

use actix::Message;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::routing::TableSnapshot;

use super::super::poison::Origin;
use super::{LookupKey, ReplyTo};

/// Dispatcher → routing table: this peer asked us something. Queries → routing table: it answered in the place of another.
/// That alone inserts nobody.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PeerSeen {
    /// Who, by its own word.
    pub peer: Peer,
    /// Its protocol version.
    pub version: Option<u32>,
    /// The datagram that says so.
    pub origin: Origin,
}

/// Queries → routing table: this peer answered a query of ours, from the address that was asked.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PeerAnswered {
    /// Who.
    pub peer: Peer,
    /// Its protocol version.
    pub version: Option<u32>,
    /// The datagram that says so.
    pub origin: Origin,
}

/// Queries → routing table: this peer did not answer in time.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PeerSilent(pub Peer);

/// Queries → routing table: somebody else answers at this peer's address.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PeerReplaced(pub Peer);

/// Dispatcher, value store → routing table: answer with the peers nearest to `target`.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AnswerNearest {
    /// The id looked for.
    pub target: NodeId,
    /// Whether this answers a `find_value` that found nothing, or a `find_node`.
    pub value_missing: bool,
    /// Where the answer goes.
    pub to: ReplyTo,
}

/// Coordinator → routing table: give this lookup the peers to start from, and hand it back as [`LaunchLookup`](super::LaunchLookup).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SeedLookup(pub LookupKey);

/// Maintenance → routing table: let the buckets that were not looked into for too long be refreshed, or all of them.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct RefreshBuckets {
    /// All, as after a join, or only the stale ones.
    pub all: bool,
}

/// Maintenance → routing table: say [`TableEmpty`](super::TableEmpty) if nobody is known who answers.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CheckTable;

/// Coordinator → routing table: a lookup passed through the bucket of this id.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LookupDone(pub NodeId);

/// Node → routing table: what does it look like?
#[derive(Debug, Message)]
#[rtype(result = "TableSnapshot")]
pub struct DescribeTable;
