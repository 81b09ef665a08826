//! How an actor answers an application: later, and only as long as a caller waits for it.

use std::pin::Pin;

use actix::dev::{MessageResponse, OneshotSender};
use actix::{Actor, Message};

use super::outcome::Error;

/// An answer that is to come. If the caller goes away meanwhile, the actors that work on it see that: their side of the channel
/// is closed.
pub struct Later<R>(pub(super) Pin<Box<dyn Future<Output = R>>>);

/// An answer that may be an error.
pub type Reply<T> = Later<Result<T, Error>>;

impl<R: 'static> Later<R> {
    /// What `work` comes to.
    pub(super) fn of(work: impl Future<Output = R> + 'static) -> Self {
        Self(Box::pin(work))
    }
}

impl<T: 'static> Reply<T> {
    /// What `read` makes of it.
    pub(super) fn then<U: 'static>(self, read: impl FnOnce(T) -> Result<U, Error> + 'static) -> Reply<U> {
        Reply::of(async move { read(self.0.await?) })
    }

    /// This error.
    pub(super) fn refused(error: Error) -> Self {
        Self::of(std::future::ready(Err(error)))
    }
}

impl<A: Actor, M: Message> MessageResponse<A, M> for Later<M::Result> {
    fn handle(self, _: &mut A::Context, asker: Option<OneshotSender<M::Result>>) {
        actix_rt::spawn(async move {
            let Some(mut asker) = asker else { return drop(self.0.await) };
            tokio::select! {
                biased;
                () = asker.closed() => {}
                outcome = self.0 => drop(asker.send(outcome)),
            }
        });
    }
}
