//! The macro behind all handles: how an actor is reached without being named.

/// Defines a handle: a trait with one method a message, implemented by the [`Addr`](actix::Addr) of any actor that handles
/// them, and the shared pointer to it that other actors hold. Its clone is cheap; a clone of an `Addr` is not.
///
/// `send` expects no answer, `offer` sends only if the mailbox has room, `ask` waits for an answer. What is sent or asked
/// becomes a message by that. A test implements what it is about in a type of its own; the other methods then ignore their
/// message.
macro_rules! handle {
    (
        $(#[$doc:meta])*
        $handle:ident = $inbox:ident {
            $(send $send:ident($sent:ty);)*
            $(offer $offer:ident($offered:ty);)*
            $(ask $ask:ident($asked:ty) -> $answer:ty;)*
        }
    ) => {
        $(impl actix::Message for $sent {
            type Result = ();
        })*
        $(impl actix::Message for $asked {
            type Result = $answer;
        })*

        $(#[$doc])*
        pub type $handle = std::sync::Arc<dyn $inbox>;

        /// The messages of the handle of this name.
        pub trait $inbox: Send + Sync {
            $(
                #[doc = concat!("Sends [`", stringify!($sent), "`].")]
                fn $send(&self, _: $sent) {}
            )*
            $(
                #[doc = concat!("Sends [`", stringify!($offered), "`], and returns `true`, unless the mailbox is full.")]
                fn $offer(&self, _: $offered) -> bool {
                    true
                }
            )*
            $(
                #[doc = concat!("Sends [`", stringify!($asked), "`], and waits for the answer.")]
                fn $ask(&self, _: $asked) -> $crate::actors::messages::Asked<$asked> {
                    Box::pin(std::future::ready(Err(actix::MailboxError::Closed)))
                }
            )*
        }

        impl<A> $inbox for actix::Addr<A>
        where
            A: actix::Actor<Context = actix::Context<A>>
                $(+ actix::Handler<$sent>)* $(+ actix::Handler<$offered>)* $(+ actix::Handler<$asked>)*,
        {
            $(fn $send(&self, message: $sent) {
                self.do_send(message);
            })*
            $(fn $offer(&self, message: $offered) -> bool {
                !matches!(self.try_send(message), Err(actix::prelude::SendError::Full(_)))
            })*
            $(fn $ask(&self, message: $asked) -> $crate::actors::messages::Asked<$asked> {
                Box::pin(self.send(message))
            })*
        }
    };
}

pub(super) use handle;
