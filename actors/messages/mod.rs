//! The messages of the actors, and the handles that send them: a file for each receiver. Commands are in the imperative,
//! events in the participle. A message carries what the next actor needs, so that none asks back.

mod dispatcher;
mod handle;
mod handoff;
mod lookup_result;
mod lookups;
mod maintenance;
mod pins;
mod placement;
mod queries;
mod socket;
mod store;
mod table;

use std::pin::Pin;

use actix::{MailboxError, Message};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

pub use self::dispatcher::*;
pub use self::handoff::*;
pub use self::lookup_result::*;
pub use self::lookups::*;
pub use self::maintenance::*;
pub use self::pins::*;
pub use self::placement::*;
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
