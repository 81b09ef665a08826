//! The ground under all actors: what they say to each other, a file for each who is told. Commands are imperatives, events
//! participles. A message carries what the next room needs, so nobody asks back.

mod dispatch;
mod hand_off;
mod keeper;
mod lookups;
mod maintenance;
mod queries;
mod socket;
mod store;
mod table;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

pub use self::dispatch::*;
pub use self::hand_off::*;
pub use self::keeper::*;
pub use self::lookups::*;
pub use self::maintenance::*;
pub use self::queries::*;
pub use self::socket::*;
pub use self::store::*;
pub use self::table::*;
use super::outcome::Error;

/// One of the dispatch slots (64 by default): it is given back when this is dropped, that is when the datagram has been
/// answered, turned away, or handed to a room that waits.
pub type Permit = OwnedSemaphorePermit;

/// Where an answer goes to an application that waits for it.
pub type Answer<T> = oneshot::Sender<Result<T, Error>>;
