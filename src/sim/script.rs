//! What a script of scripted peers sees, and what it answers.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::protocol::id::NodeId;
use crate::protocol::message::{QueryId, Request, Response};

/// A request that a scripted peer received.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Which peer, counted from 0 as they were added.
    pub peer: usize,
    /// Where the request came from.
    pub from: SocketAddr,
    /// Under which id it was sent; `None` where it had none.
    pub sender: Option<NodeId>,
    /// The sender's protocol version; `None` from a legacy node.
    pub version: Option<u32>,
    /// The query's id.
    pub query: QueryId,
    /// The request.
    pub request: Request,
    /// How many bytes the datagram had.
    pub bytes: usize,
    /// When it arrived.
    pub at: Instant,
}

/// What a script answers.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub enum Reply {
    /// What a peer usually does: it answers a ping, names the scripted peers nearest to what is looked for, holds what
    /// it is reported to hold, and serves it.
    Usual,
    /// This answer. Nothing is remembered by it.
    Answer(Response),
    /// None.
    Silence,
    /// The same, so much later than at once.
    After(Duration, Box<Reply>),
    /// These bytes, be they a message or not.
    Raw(Vec<u8>),
    /// This answer, under another id.
    As(NodeId, Response),
}

impl Reply {
    /// The same reply, so much later.
    pub fn after(self, delay: Duration) -> Self {
        Self::After(delay, Box::new(self))
    }
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        Self::Answer(response)
    }
}

/// No node answered a scripted peer's question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{to} did not answer within {within:?}")]
pub struct Silent {
    /// Who was asked.
    pub to: SocketAddr,
    /// How long it was waited for.
    pub within: Duration,
}
