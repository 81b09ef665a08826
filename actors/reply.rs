//! How an actor answers an application: later, and only as long as a caller waits for it.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix::dev::{MessageResponse, OneshotSender};
use actix::{Actor, Message};

use super::outcome::Error;

/// An answer that is to come. If the caller goes away meanwhile, the actors that work on it see that: their side of the channel
/// is closed.
pub struct Reply<T>(Pin<Box<dyn Future<Output = Result<T, Error>>>>);

impl<T: 'static> Reply<T> {
    /// What `work` comes to.
    pub(super) fn of(work: impl Future<Output = Result<T, Error>> + 'static) -> Self {
        Self(Box::pin(work))
    }

    /// This error.
    pub(super) fn refused(error: Error) -> Self {
        Self::of(std::future::ready(Err(error)))
    }
}

impl<T> Future for Reply<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<T: 'static, A: Actor, M> MessageResponse<A, M> for Reply<T>
where
    M: Message<Result = Result<T, Error>>,
{
    fn handle(self, _: &mut A::Context, asker: Option<OneshotSender<Result<T, Error>>>) {
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
