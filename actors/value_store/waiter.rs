//! What waits for a write to end. What it is told then is decided elsewhere.

use std::net::SocketAddr;

use tokio::sync::oneshot;

use super::super::blocklist::Origin;
use super::super::messages::{Answer, PinKey, Placing, PreparePlacement, ReplyTo, UnpinKey};
use super::super::outcome::SetOutcome;

/// What waits for a write to end.
pub(super) enum Waiter {
    /// A peer that has sent a value.
    Peer { to: ReplyTo, cached: bool },
    /// The placement of an earlier value, where a later one was found at this address.
    Adopter { from: SocketAddr, asked: PreparePlacement },
    /// A `set` of the application, and the placement of its value.
    Publisher { answer: Answer<SetOutcome>, placing: oneshot::Sender<Placing> },
    /// The application: where it goes whether there was a publication to end.
    Release(Answer<bool>),
    /// The application, of a key that is pinned with it.
    Pin(PinKey),
    /// The application or the pins.
    Unpin(UnpinKey),
}

impl Waiter {
    /// Whether a peer has caused the write: such writes fill a queue of their own, so that they never leave the application without
    /// a place.
    pub(super) fn is_remote(&self) -> bool {
        matches!(self, Self::Peer { .. } | Self::Adopter { .. })
    }

    /// Whether the write is never refused: the pins undo what they could not finish, at most once a pin.
    pub(super) fn is_certain(&self) -> bool {
        matches!(self, Self::Unpin(UnpinKey { answer: None, .. }))
    }

    /// Its write is planned, and so out of reach of a panic: its datagram is not to blame any more, and needs no memory.
    pub(super) fn is_planned(&mut self) {
        if let Self::Peer { to, .. } = self {
            to.origin = Origin::default();
        }
    }

    /// It must wait, in a queue of its own bound, so its dispatch slot is free.
    pub(super) fn waits(&mut self) {
        if let Self::Peer { to, .. } = self {
            to.permit = None;
        }
    }
}
