//! What a lookup comes to, and where that goes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kademlia_dynamic::protocol::lookup::{Trace, Votes};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::value::Value;
use tokio::sync::oneshot;

use super::super::outcome::{Error, FoundValue, GetOutcome, GetResult};
use super::Answer;

/// What a lookup came to.
#[derive(Debug)]
pub struct LookupResult {
    /// The k nearest that answered, nearest first.
    pub closest: Vec<Peer>,
    /// Those of them that are no legacy nodes.
    pub of_ours: Vec<Peer>,
    /// The nearest of the own table when it began: k at least, where it has as many.
    pub own_table: Vec<Peer>,
    /// Whether legacy peers were in the table.
    pub legacy: bool,
    /// The value, if it was looked for and found.
    pub value: Option<Found>,
    /// A peer that gave a value which this node cannot represent, if one did.
    pub unsupported: Option<Peer>,
    /// How many peers were asked.
    pub asked: usize,
    /// How many answered.
    pub answered: usize,
    /// Of how many ids nearer than the k-th that answered no answer came.
    pub unheard: usize,
    /// What it did, step by step.
    pub trace: Arc<Trace>,
}

/// A value that a lookup found.
#[derive(Debug, Clone)]
pub struct Found {
    /// The value.
    pub value: Arc<Value>,
    /// Seconds until the copy that was read expires, where its holder says so.
    pub ttl: Option<u32>,
    /// The peer that had it; `None`: this node itself.
    pub holder: Option<Peer>,
    /// How sure it is.
    pub votes: Votes,
}

impl LookupResult {
    /// The error where peers were asked and none answered.
    ///
    /// # Errors
    /// [`Error::NobodyAnswered`].
    pub fn heard(&self) -> Result<(), Error> {
        let silent = self.asked > 0 && self.answered == 0;
        if silent { Err(Error::NobodyAnswered { asked: self.asked }) } else { Ok(()) }
    }

    /// The answer to an application that wants the value of a key.
    ///
    /// # Errors
    /// None: that no peer answered is an outcome here.
    pub fn traced_get(&self) -> Result<GetOutcome, Error> {
        let outcome = match (&self.value, self.unsupported) {
            (Some(found), _) => GetResult::Found {
                value: Value::clone(&found.value),
                holder: found.holder,
                expires_in: found.ttl.map(|seconds| Duration::from_secs(seconds.into())),
                votes: found.votes,
            },
            (None, Some(holder)) => GetResult::Unsupported { holder },
            (None, None) if self.heard().is_err() => GetResult::NobodyAnswered { asked: self.asked },
            (None, None) => GetResult::NotFound { answered: self.answered, unheard: self.unheard },
        };
        Ok(GetOutcome { result: outcome, trace: Some(self.trace.clone()) })
    }

    /// The answer to an application that wants the value of a key, or the peers nearest to it.
    ///
    /// # Errors
    /// [`Error::UnsupportedValue`], [`Error::NobodyAnswered`].
    pub fn found_value(&self) -> Result<FoundValue, Error> {
        match (&self.value, self.unsupported) {
            (Some(found), _) => Ok(FoundValue::Value(Value::clone(&found.value))),
            (None, Some(holder)) => Err(Error::UnsupportedValue { holder }),
            (None, None) => self.nearest().map(FoundValue::Peers),
        }
    }

    /// The answer to an application that wants the peers nearest to an id.
    ///
    /// # Errors
    /// [`Error::NobodyAnswered`].
    pub fn nearest(&self) -> Result<Vec<Peer>, Error> {
        self.heard().map(|()| self.closest.clone())
    }
}

/// A result that several requests share, or why there is none.
pub type LookupOutcome = Result<Arc<LookupResult>, NoLookup>;

/// Why a lookup has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoLookup {
    /// It was not begun, since so many run and wait already.
    Refused {
        /// How many may.
        limit: usize,
    },
    /// It broke, or got lost.
    Broken,
}

impl From<NoLookup> for Error {
    fn from(why: NoLookup) -> Self {
        match why {
            NoLookup::Refused { limit } => Self::Busy { what: "lookups that run or wait", limit },
            NoLookup::Broken => Self::Interrupted,
        }
    }
}

/// How a request goes on when its lookup has ended.
pub struct LookupReply(Box<dyn Continuation>);

trait Continuation: Send {
    fn is_wanted(&self) -> bool;
    fn resume(self: Box<Self>, outcome: LookupOutcome);
}

impl LookupReply {
    /// Answers a caller with what `read` makes of the result. The lookup is wanted as long as the caller waits.
    pub fn to<T: Send + 'static>(
        answer: Answer<T>,
        read: impl FnOnce(&LookupResult) -> Result<T, Error> + Send + 'static,
    ) -> Self {
        Self(Box::new(ToCaller(answer, |outcome: LookupOutcome| {
            outcome.map_err(Error::from).and_then(|result| read(&result))
        })))
    }

    /// Reports the result there. The lookup is wanted as long as the receiver waits.
    pub fn report(receiver: oneshot::Sender<LookupOutcome>) -> Self {
        Self(Box::new(ToCaller(receiver, |outcome| outcome)))
    }

    /// Calls `then`. The lookup is wanted in any case.
    pub fn then(then: impl FnOnce(LookupOutcome) + Send + 'static) -> Self {
        Self(Box::new(Then(then)))
    }

    /// Whether the result is still waited for.
    pub fn is_wanted(&self) -> bool {
        self.0.is_wanted()
    }

    /// Goes on with `outcome`.
    pub fn resume(self, outcome: LookupOutcome) {
        self.0.resume(outcome);
    }
}

impl fmt::Debug for LookupReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LookupReply").field("wanted", &self.is_wanted()).finish()
    }
}

struct ToCaller<T, F>(oneshot::Sender<T>, F);

impl<T: Send, F: FnOnce(LookupOutcome) -> T + Send> Continuation for ToCaller<T, F> {
    fn is_wanted(&self) -> bool {
        !self.0.is_closed()
    }

    fn resume(self: Box<Self>, outcome: LookupOutcome) {
        let Self(receiver, read) = *self;
        // The caller may have gone.
        let _ = receiver.send(read(outcome));
    }
}

struct Then<F>(F);

impl<F: FnOnce(LookupOutcome) + Send> Continuation for Then<F> {
    fn is_wanted(&self) -> bool {
        true
    }

    fn resume(self: Box<Self>, outcome: LookupOutcome) {
        (self.0)(outcome);
    }
}
