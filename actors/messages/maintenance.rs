//! What the scheduler is sent.

use kademlia_dynamic::protocol::peer::Peer;

use super::super::join_state::Attempt;
use super::super::outcome::BootstrapOutcome;
use super::Answer;
use super::handle::handle;

handle! {
    /// Reaches the scheduler.
    MaintenanceHandle = MaintenanceInbox {
        send join(JoinNetwork);
        send table_empty(TableEmpty);
    }
}

/// Node → maintenance: join the network through these contacts, and remember them for when the table is empty.
pub struct JoinNetwork {
    /// `host:port` each, an IP address or a name.
    pub contacts: Vec<String>,
    /// Reports to the node how far it is.
    pub attempt: Attempt,
    /// Where the outcome goes.
    pub answer: Option<Answer<BootstrapOutcome>>,
}

/// Routing table → maintenance: no peer is known that answers. These were, lately. At the start: these were known to the last
/// process.
pub struct TableEmpty {
    /// Peers that were in the table, most recently answered first.
    pub once_known: Vec<Peer>,
    /// Reports to the node how far the bootstrap at its start is; `None` later on.
    pub attempt: Option<Attempt>,
}
