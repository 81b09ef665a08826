//! The messages of the actors, and the handles that send them: a file for each receiver. Commands are in the imperative,
//! events in the participle. A message carries what the next actor needs, so that none asks back.

mod dispatcher;
mod handle;
mod handoff;
mod lookups;
mod maintenance;
mod pins;
mod queries;
mod socket;
mod store;
mod table;

use std::pin::Pin;

use actix::{MailboxError, Message};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

pub use self::dispatcher::*;
pub use self::handoff::*;
pub use self::lookups::*;
pub use self::maintenance::*;
pub use self::pins::*;
pub use self::queries::*;
pub use self::socket::*;
pub use self::store::*;
pub use self::table::*;
use super::outcome::Error;

/// One of the dispatch slots (64 by default): it is given back when this is dropped, that is when the datagram has been
/// answered, turned away, or handed to an actor that waits.
pub type Permit = OwnedSemaphorePermit;

/// Where an answer goes to an application that waits for it.
pub type Answer<T> = oneshot::Sender<Result<T, Error>>;

/// The answer to a message that was asked by a handle.
pub type Asked<M> = Pin<Box<dyn Future<Output = Result<<M as Message>::Result, MailboxError>>>>;

/// One handle for each actor that others reach.
#[derive(Clone)]
pub(crate) struct Handles {
    pub(crate) socket: SocketHandle,
    pub(crate) dispatcher: DispatcherHandle,
    pub(crate) queries: QueriesHandle,
    pub(crate) table: TableHandle,
    pub(crate) store: StoreHandle,
    pub(crate) lookups: LookupsHandle,
    pub(crate) maintenance: MaintenanceHandle,
    pub(crate) pins: PinsHandle,
    pub(crate) handoff: HandoffHandle,
}

#[cfg(test)]
mod ignored {
    use std::sync::Arc;

    use super::*;

    /// In the place of an actor that a test has no use for.
    struct Ignored;

    impl SocketInbox for Ignored {}
    impl DispatcherInbox for Ignored {}
    impl QueriesInbox for Ignored {}
    impl TableInbox for Ignored {}
    impl StoreInbox for Ignored {}
    impl LookupsInbox for Ignored {}
    impl MaintenanceInbox for Ignored {}
    impl PinsInbox for Ignored {}
    impl HandoffInbox for Ignored {}

    impl Handles {
        /// Handles that ignore every message: a test replaces those that it is about.
        pub(crate) fn ignored() -> Self {
            Self {
                socket: Arc::new(Ignored),
                dispatcher: Arc::new(Ignored),
                queries: Arc::new(Ignored),
                table: Arc::new(Ignored),
                store: Arc::new(Ignored),
                lookups: Arc::new(Ignored),
                maintenance: Arc::new(Ignored),
                pins: Arc::new(Ignored),
                handoff: Arc::new(Ignored),
            }
        }
    }
}
