//! The dispatcher: it decodes what came in, decides what each source may cost, and routes each message to the actor that owns the
//! answer. What waits for a proof of its address is apart.

mod actor;
mod proving;

pub use self::actor::Dispatcher;
