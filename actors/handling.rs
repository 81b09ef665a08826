//! The door through which messages come to the long-lived actors: the same for all of them, so that what each is working on
//! is known when it panics, and tests can see to it that it does. It handles nothing itself.

use std::any::type_name;
use std::cell::Cell;

use actix::{Actor, Context, Message};

use super::reply::Later;

/// How a long-lived actor takes a message that it answers at once, or not at all.
pub(crate) trait Receive<M: Message>: Actor<Context = Context<Self>> {
    /// Handles `message`, and returns the answer to it.
    fn receive(&mut self, message: M, ctx: &mut Context<Self>) -> M::Result;
}

/// How a long-lived actor takes a message that it answers later.
pub trait Handler<M: Message>: Actor<Context = Context<Self>> {
    /// Handles `message`, and returns the answer that is to come.
    fn handle(&mut self, message: M, ctx: &mut Context<Self>) -> Later<M::Result>;
}

thread_local! {
    /// The message that an actor of this thread is working on.
    static MESSAGE: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Has `actor` handle a message of type `M`.
pub(super) fn noted<A, M, R>(actor: &mut A, handle: impl FnOnce(&mut A) -> R) -> R {
    MESSAGE.set(Some(type_name::<M>()));
    #[cfg(test)]
    super::tests::drill::reached(type_name::<A>(), type_name::<M>());
    let result = handle(actor);
    MESSAGE.set(None);
    result
}

/// After a panic: the message that was being handled, if it was one.
pub(super) fn interrupted() -> Option<&'static str> {
    MESSAGE.take().map(short)
}

/// The last part of a type's path.
pub(super) fn short(name: &'static str) -> &'static str {
    name.rsplit("::").next().unwrap_or(name)
}

/// Lets actix bring these actors the messages that they [receive](Receive) or [handle](Handler).
macro_rules! take_messages {
    (receive: $($receiver:ident),*; handle: $($handler:ident),*;) => {
        $(
            impl<M: actix::Message> actix::Handler<M> for $receiver
            where
                $receiver: $crate::actors::handling::Receive<M>,
            {
                type Result = actix::MessageResult<M>;

                fn handle(&mut self, message: M, ctx: &mut Self::Context) -> Self::Result {
                    let receive = |actor: &mut Self| $crate::actors::handling::Receive::receive(actor, message, ctx);
                    actix::MessageResult($crate::actors::handling::noted::<_, M, _>(self, receive))
                }
            }
        )*
        $(
            impl<M: actix::Message> actix::Handler<M> for $handler
            where
                $handler: $crate::actors::handling::Handler<M>,
            {
                type Result = $crate::actors::reply::Later<M::Result>;

                fn handle(&mut self, message: M, ctx: &mut Self::Context) -> Self::Result {
                    let handle = |actor: &mut Self| $crate::actors::handling::Handler::handle(actor, message, ctx);
                    $crate::actors::handling::noted::<_, M, _>(self, handle)
                }
            }
        )*
    };
}

pub(super) use take_messages;
