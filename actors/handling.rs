//! The door through which messages come to the long-lived actors: the same for all of them, so that what each is working on
//! is known when it panics, and tests can see to it that it does. It handles nothing itself.

use std::any::type_name;
use std::cell::Cell;

use actix::dev::MessageResponse;
use actix::{Actor, Message};

/// How a long-lived actor handles a message: [`actix::Handler`], which it then has as well.
pub trait Handler<M: Message>: Actor {
    /// What it answers.
    type Result: MessageResponse<Self, M>;

    /// Handles `message`.
    fn handle(&mut self, message: M, ctx: &mut Self::Context) -> Self::Result;
}

thread_local! {
    /// The message that an actor of this thread is working on.
    static MESSAGE: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Handles `message` as `actor` does.
pub(super) fn handle<A, M>(actor: &mut A, message: M, ctx: &mut A::Context) -> <A as Handler<M>>::Result
where
    A: Handler<M>,
    M: Message,
{
    MESSAGE.set(Some(type_name::<M>()));
    #[cfg(test)]
    super::tests::drill::reached(type_name::<A>(), type_name::<M>());
    let result = actor.handle(message, ctx);
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

/// Lets actix bring these actors the messages that they [handle](Handler).
macro_rules! take_messages {
    ($($actor:ty),* $(,)?) => {
        $(
            impl<M: actix::Message> actix::Handler<M> for $actor
            where
                $actor: $crate::actors::handling::Handler<M>,
            {
                type Result = <$actor as $crate::actors::handling::Handler<M>>::Result;

                fn handle(&mut self, message: M, ctx: &mut Self::Context) -> Self::Result {
                    $crate::actors::handling::handle(self, message, ctx)
                }
            }
        )*
    };
}

pub(super) use take_messages;
