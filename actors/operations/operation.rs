//! The trait of all operations. An operation decides which peers to ask and what their answers mean; it sends nothing by
//! itself and has no timer.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Instant;

use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::Request;
use kademlia_dynamic::protocol::peer::Peer;

use super::super::messages::{Answered, Failed, Late};

/// One job that queries peers. It ends in exactly one call of [`finish`](Operation::finish).
///
/// Each query that [`step`](Operation::step) asks for ends in exactly one [`answer`](Operation::answer) or
/// [`failure`](Operation::failure). Before that it may be reported as [`late`](Operation::late), more than once.
pub(crate) trait Operation: Sized + Unpin + 'static {
    /// What it is called in log lines.
    const NAME: &'static str;

    /// What the operation knows of the peers that it asks: a [`Peer`], or only an address.
    type Target: Target;

    /// The next thing to do. It is called at the start and after each event, until it returns [`Step::Wait`] or
    /// [`Step::Finished`].
    fn step(&mut self, now: Instant) -> Step<Self>;

    /// `from` has answered. Only an answer to the question that was asked comes here.
    fn answer(&mut self, from: Self::Target, answer: Answered, now: Instant);

    /// No answer of `from` has come yet, and it is later than expected. The end of the query is still to come.
    fn late(&mut self, _from: Self::Target, _how: Late) {}

    /// No answer of `from` will come.
    fn failure(&mut self, from: Self::Target, why: Failed, now: Instant);

    /// The operation is over: reports the outcome to the actors that wait for it. It must not wait for anything.
    fn finish(self, end: End);
}

/// How an operation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It said so itself, by [`Step::Finished`].
    Complete,
    /// It panicked, or the node stops.
    Broken,
}

/// The next thing that an operation wants done.
pub(crate) enum Step<O: Operation> {
    /// Send this query.
    Query(O::Target, Request),
    /// Await this, then apply what it returns to the operation. Other steps go on meanwhile.
    Await(Pin<Box<dyn Future<Output = Resume<O>>>>),
    /// Nothing, before an event or this instant.
    Wait {
        /// When to call [`Operation::step`] again; `None`: only after an event.
        until: Option<Instant>,
    },
    /// The operation is over.
    Finished,
}

/// How an operation goes on after [`Step::Await`].
pub(crate) type Resume<O> = Box<dyn FnOnce(&mut O, Instant)>;

impl<O: Operation> Step<O> {
    /// Awaits `future`, and has the operation take its output by `then`.
    pub(crate) fn after<T: 'static>(
        future: impl Future<Output = T> + 'static,
        then: impl FnOnce(&mut O, T, Instant) + 'static,
    ) -> Self {
        Self::Await(Box::pin(async move {
            let output = future.await;
            Box::new(move |operation: &mut O, now| then(operation, output, now)) as Resume<O>
        }))
    }
}

/// The receiver of a query, as far as the operation knows it.
pub(crate) trait Target: Copy {
    /// The target at `addr` that should have the id `id`; `None` where the operation did not ask such a target.
    fn of(addr: SocketAddr, id: Option<NodeId>) -> Option<Self>;
    /// Where the query goes.
    fn addr(&self) -> SocketAddr;
    /// The id that should answer, where it is known.
    fn id(&self) -> Option<NodeId>;
}

impl Target for Peer {
    fn of(addr: SocketAddr, id: Option<NodeId>) -> Option<Self> {
        id.map(|id| Peer::new(id, addr))
    }

    fn addr(&self) -> SocketAddr {
        self.addr
    }

    fn id(&self) -> Option<NodeId> {
        Some(self.id)
    }
}

impl Target for SocketAddr {
    fn of(addr: SocketAddr, _: Option<NodeId>) -> Option<Self> {
        Some(addr)
    }

    fn addr(&self) -> SocketAddr {
        *self
    }

    fn id(&self) -> Option<NodeId> {
        None
    }
}
