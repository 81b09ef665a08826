//! Operations: the short-lived jobs that query peers. Each is a state machine that says what to do next ([`operation`]); one
//! [`runner`] carries all of them out.

pub(crate) mod audit;
pub(crate) mod join;
pub(crate) mod lookup;
pub(crate) mod operation;
pub(crate) mod place;
pub(crate) mod push;
pub(crate) mod reconcile;
pub(crate) mod republish;
pub(crate) mod runner;
mod sending;
pub(crate) mod transfer;
