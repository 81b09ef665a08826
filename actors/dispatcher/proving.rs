//! What may take effect or be sent only once its address has proved itself: writes, and answers longer than their requests. Without
//! the proof a write is refused or waits, and an answer is cut short or waits.

use std::time::Instant;

use kademlia_dynamic::protocol::admission::{Standing, WriteAdmission};
use kademlia_dynamic::protocol::message::{Response, TOKEN_VERSION};

use super::super::clock;
use super::super::counters::Counter;
use super::super::handling::Receive;
use super::super::messages::{
    AddressVerified, AwaitVerification, PingPaid, ReplyTo, StoreValue, TransmitAnswer, TransmitEncoded,
};
use super::actor::{Awaiting, Dispatcher};

/// What a datagram that wants something stored counts in addition.
const WRITE_COST: u32 = 3;

/// Why an answer is not sent, or cut short.
const OVER_BUDGET: &str = "the budget of its host, or that of all, is used up";

impl Dispatcher {
    /// Acknowledges a write whose value is of a kind that no node of ours represents. It costs its source as any write does.
    pub(super) fn refuse_unsupported(&mut self, cached: bool, to: ReplyTo, standing: Standing, now: Instant) {
        if self.admit(to.addr, standing, WRITE_COST, now) {
            let why = "its value is neither text nor bytes";
            self.turn_away(Counter::ValueUnsupported, to.addr, &why, now);
            self.refuse(cached, to);
        }
    }

    /// Whether a request of a kind that only nodes with tokens send may go on. Without a valid token it is answered with `refusal`,
    /// which brings one: its sender is to ask again.
    pub(super) fn admit_proved(
        &mut self,
        to: ReplyTo,
        standing: Standing,
        cost: u32,
        refusal: Response,
        now: Instant,
    ) -> Option<ReplyTo> {
        if !standing.is_proved() {
            self.shared.counters.count(Counter::NoToken);
            self.shared.handles.socket.answer(TransmitAnswer { to, response: refusal });
            return None;
        }
        (cost == 0 || self.admit(to.addr, standing, cost, now)).then_some(to)
    }

    pub(super) fn write(&mut self, write: StoreValue, standing: Standing, now: Instant) {
        // One that lacks a token costs its source no more than any request: it is to come again.
        if standing.lacks_token(write.to.version) || self.admit(write.to.addr, standing, WRITE_COST, now) {
            self.judge_write(write, standing, now);
        }
    }

    fn judge_write(&mut self, mut write: StoreValue, standing: Standing, now: Instant) {
        let from = write.to.addr;
        match self.admission.admit_write(from, standing, write.to.version, now) {
            WriteAdmission::Take => self.shared.handles.store.write(write),
            WriteAdmission::NoToken => {
                // A node of ours repeats it with the token that this answer brings: nothing to warn of.
                self.shared.counters.count(Counter::NoToken);
                self.refuse(write.cached, write.to);
            }
            WriteAdmission::TooFast => {
                let why = "its host writes too fast for one that can show no token";
                self.turn_away(Counter::LegacyWrite, from, &why, now);
                self.refuse(write.cached, write.to);
            }
            WriteAdmission::AwaitVerification => {
                // A write that waits gives its slot back: spoofed ones must not block the node.
                write.to.permit = None;
                let credit = write.to.limit;
                self.hold(Awaiting::Write(write), credit, now);
            }
        }
    }

    /// A refused write is acknowledged: a legacy node drops a peer after one silent query.
    fn refuse(&self, cached: bool, to: ReplyTo) {
        let response = if cached { Response::SetCached } else { Response::Set { stored: false, ttl: None } };
        self.shared.handles.socket.answer(TransmitAnswer { to, response });
    }

    /// An answer that the budget of its address does not bear: as much of it as is answered in any case.
    fn shorten(&self, AwaitVerification { to, response, .. }: AwaitVerification, now: Instant) {
        self.turn_away(Counter::OverBudget, to.addr, &OVER_BUDGET, now);
        let response = match response {
            Response::FindNode { .. } | Response::NoValue { .. } => response,
            // A node that knows tokens takes an answer with nothing in it, but a token, for what it is, and asks again.
            Response::Value { .. } if to.version >= Some(TOKEN_VERSION) => Response::NoValue { peers: Vec::new() },
            _ => return,
        };
        self.shared.handles.socket.answer(TransmitAnswer { to: ReplyTo { cut: true, ..to }, response });
    }

    /// Holds what waits for the pong to a ping that `credit` bytes pay for.
    fn hold(&mut self, held: Awaiting, credit: usize, now: Instant) {
        let addr = held.addr();
        match self.admission.await_verification(addr, held, credit, now) {
            Ok(held) => {
                self.shared.counters.count(Counter::Unverified);
                if held.ping {
                    self.shared.handles.queries.ping(PingPaid { to: addr, id: None });
                }
            }
            Err((_, refused)) => {
                self.turn_away(Counter::UnverifiedFull, addr, &refused, now);
            }
        }
    }

    /// `limit` is what its request still bears; the rest is on the budget.
    fn release(&mut self, held: Awaiting, limit: usize, now: Instant) {
        match held {
            Awaiting::Answer(answer) => {
                let beyond = answer.payload.len().saturating_sub(limit);
                if beyond == 0 || self.admission.spend(answer.to, beyond, now) {
                    self.shared.handles.socket.encoded(answer);
                } else {
                    self.turn_away(Counter::OverBudget, answer.to, &OVER_BUDGET, now);
                }
            }
            Awaiting::Write(mut write) => {
                // Its slot is long given back, and a value store that stands still must not collect all that is released.
                let Ok(permit) = self.released.clone().try_acquire_owned() else {
                    let why = "as many writes as may wait for a proof have theirs, and are not dealt with yet";
                    self.turn_away(Counter::UnverifiedFull, write.to.addr, &why, now);
                    return;
                };
                write.to.permit = Some(permit);
                write.to.limit = limit;
                let standing = self.admission.standing(write.to.addr, None, now);
                self.judge_write(write, standing, now);
            }
        }
    }
}

impl Receive<AwaitVerification> for Dispatcher {
    fn receive(&mut self, held: AwaitVerification, _: &mut Self::Context) {
        let now = clock::now();
        let ReplyTo { addr: to, local, limit, .. } = held.to;
        if self.admission.standing(to, None, now) == Standing::Unknown {
            let name = held.response.name();
            self.hold(Awaiting::Answer(TransmitEncoded { to, local, payload: held.payload, name }), limit, now);
        } else if self.admission.spend(to, held.payload.len().saturating_sub(limit), now) {
            let name = held.response.name();
            self.shared.handles.socket.encoded(TransmitEncoded { to, local, payload: held.payload, name });
        } else {
            self.shorten(held, now);
        }
    }
}

impl Receive<AddressVerified> for Dispatcher {
    fn receive(&mut self, verified: AddressVerified, _: &mut Self::Context) {
        let now = clock::now();
        let limit = self.admission.released_limit(verified.addr);
        for held in self.admission.verified(verified.addr, verified.version, now) {
            self.release(held, limit, now);
        }
    }
}
