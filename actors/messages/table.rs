//! What the routing table is sent.

use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::ranges::Ranges;
use kademlia_dynamic::protocol::routing::TableSnapshot;
use kademlia_dynamic::protocol::transfer::Neighbours;
use tokio::sync::oneshot;

use super::super::blocklist::Origin;
use super::handle::handle;
use super::{FindNeighbours, LookupKey, ReplyTo};

handle! {
    /// Reaches the routing table.
    TableHandle = TableInbox {
        send seen(PeerSeen);
        send answered(PeerAnswered);
        send lost(PeerLost);
        send nearest(AnswerNearest);
        send seed(SeedLookup);
        send refresh(RefreshBuckets);
        send check(CheckTable);
        send find_neighbours(FindNeighbours);
        send share_neighbours(ShareNeighbours);
        send reconcile(AnswerReconcile);
        offer try_seen(PeerSeen);
        ask describe(DescribeTable) -> TableSnapshot;
    }
}

/// Dispatcher → routing table: this peer asked us something. Queries → routing table: it answered in the place of another.
/// That alone inserts no peer.
pub struct PeerSeen {
    /// The peer, as it names itself.
    pub peer: Peer,
    /// The datagram that says so.
    #[expect(dead_code, reason = "an origin that a panic drops is blocked")]
    pub origin: Origin,
}

/// Queries → routing table: this peer answered a query of ours, from the address that was asked.
pub struct PeerAnswered {
    /// The peer.
    pub peer: Peer,
    /// Its protocol version.
    pub version: Option<u32>,
    /// The datagram that says so.
    #[expect(dead_code, reason = "an origin that a panic drops is blocked")]
    pub origin: Origin,
}

/// Queries → routing table: this peer did not answer.
pub enum PeerLost {
    /// It did not in time.
    Silent(Peer),
    /// Another node answers at its address.
    Replaced(Peer),
}

/// Dispatcher, value store → routing table: answer with the peers nearest to `target`.
pub struct AnswerNearest {
    /// The id looked for.
    pub target: NodeId,
    /// Whether this answers a `find_value` that found nothing, or a `find_node`.
    pub value_missing: bool,
    /// Where the answer goes.
    pub to: ReplyTo,
}

/// Dispatcher → routing table: a peer wants to compare what it holds with what this node holds. If it has answered this node before,
/// pass it on as [`ReconcileRanges`](super::ReconcileRanges).
pub struct AnswerReconcile {
    /// The peer, as it names itself; `None` if it does not.
    pub peer: Option<Peer>,
    /// What it asks about.
    pub ranges: Ranges,
    /// The places of the values that it wants.
    pub wanted: Vec<NodeId>,
    /// Where the answer goes.
    pub to: ReplyTo,
}

/// Lookups → routing table: give this lookup the peers to start from, and hand it back as [`LaunchLookup`](super::LaunchLookup).
pub struct SeedLookup(pub LookupKey);

/// Maintenance → routing table: let the buckets that were not looked into for too long be refreshed, or all of them.
pub struct RefreshBuckets {
    /// All, as after a join, or only the stale ones.
    pub all: bool,
}

/// Maintenance → routing table: report [`TableEmpty`](super::TableEmpty) if no known peer answers.
pub struct CheckTable;

/// Republication → routing table: which peers do you know that answer, and are legacy ones among them?
pub struct ShareNeighbours(pub oneshot::Sender<(Neighbours, bool)>);

/// Node → routing table: what does it look like?
pub struct DescribeTable;
