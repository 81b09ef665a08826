//! Queries in flight: it sends them, and again where no answer comes, matches answers to them, and reports which peers answered
//! and which were silent. What an answer means is the business of the actor that asked.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix::Supervised;
use kademlia_dynamic::protocol::entropy::Entropy;
use kademlia_dynamic::protocol::liveness::NamedBy;
use kademlia_dynamic::protocol::message::{QueryId, Request, Response, TOKEN_VERSION, Token};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::pending::{Expired, Late, Pending, PendingCounts, Reject, Target};

use super::clock::{self, Alarmed, timed_actor};
use super::counters::Counter;
use super::deferred::Deferred;
use super::handling::Receive;
use super::messages::{
    self, AddressVerified, AllQueriesOver, Answered, CountQueries, Failed, MeasuredRoundTrips, PeerAnswered, PeerLost,
    PeerSeen, PingPaid, QueryOver, QueryUnsent, Question, ResponseReceived, SendQuery, TransmitQuery,
};
use super::shared::Shared;

/// The actor that owns the queries in flight.
pub struct Queries {
    shared: Rc<Shared>,
    pending: Pending<Waiting>,
    /// Queries that wait for the first answer of an address.
    deferred: Deferred<(Request, Waiting)>,
    entropy: Box<dyn Entropy>,
}

/// A query that has not ended.
struct Waiting {
    question: Question,
    /// Where its address is known from.
    named_by: NamedBy,
    /// What was sent: it is sent again as it is, so that it is the same datagram.
    query: Option<TransmitQuery>,
    /// Whether it was sent anew, with the token that the first answer brought.
    renewed: bool,
}

impl Waiting {
    fn new(question: Question, named_by: NamedBy) -> Self {
        Self { question, named_by, query: None, renewed: false }
    }

    /// The query, if it is to be sent once more with the token that its answer brought: the one that it showed did not count,
    /// and so the write was refused, or the value was left out of the answer.
    fn renew(&mut self, response: &Response, version: Option<u32>, given: Option<Token>) -> Option<Request> {
        let query = self.query.as_ref()?;
        let lacks_token = match response {
            Response::Set { stored, .. } => !stored,
            // It cannot say that it was refused. Twice does no harm.
            Response::SetCached => true,
            Response::NoValue { peers } => peers.is_empty(),
            Response::Renew { states } => states.is_empty(),
            Response::Reconcile { ranges } => ranges.is_empty(),
            _ => false,
        };
        let brings_another = given.is_some() && given != query.token && version >= Some(TOKEN_VERSION);
        if !lacks_token || !brings_another || self.renewed || self.question.is_obsolete() {
            return None;
        }
        self.renewed = true;
        Some(query.request.clone())
    }

    /// What to send again. Not a write for which no placement waits any longer: it has been superseded, and would undo the
    /// later one at a peer that the first send did not reach. That a peer is silent is worth knowing in any case.
    fn again(&self) -> Option<TransmitQuery> {
        let query = self.query.as_ref()?;
        (!self.question.is_obsolete() || !query.request.is_write())
            .then(|| TransmitQuery { again: true, ..query.clone() })
    }

    /// Reports that it was not sent, or that it is not known what became of it.
    fn unsent(self) {
        self.question.failed(Failed::Unsent);
    }
}

impl Queries {
    pub(crate) fn new(shared: &Rc<Shared>) -> Self {
        Self {
            shared: shared.clone(),
            pending: Pending::new(&shared.config),
            deferred: Deferred::default(),
            entropy: shared.entropy(1),
        }
    }

    fn silent(&mut self, Expired { waiter: Waiting { question, .. }, lives }: Expired<Waiting>) {
        self.shared.counters.count(Counter::Silent);
        tracing::debug!(to = %question.to, answered_others = lives, "query not answered in time");
        self.shared.handles.socket.over(QueryOver { to: question.to });
        if let Some(id) = question.id.filter(|_| !lives) {
            self.shared.handles.table.lost(PeerLost::Silent(Peer::new(id, question.to)));
        }
        question.failed(Failed::Silent);
    }

    /// Sends a query, or says at once that it does not go.
    fn begin(&mut self, request: Request, waiting: Waiting, now: Instant) {
        let (to, asked) = (waiting.question.to, waiting.question.id);
        if self.shared.config.limits.deny.contains(&to.ip()) {
            self.shared.counters.count(Counter::QueryDenied);
            return waiting.unsent();
        }
        let id = QueryId::from_u64(self.entropy.next_u64());
        let target = Target { addr: to, expected_id: asked, named_by: waiting.named_by };
        let kind = request.name();
        // Each byte of what a request pays for counts.
        let token = self.pending.token(to, now).filter(|_| waiting.named_by != NamedBy::Request);
        // A node that must not be inserted claims the id of the asked, or none (docs/wire.md, 2.4).
        let claim = self.shared.insertable_id().or(asked);
        let padded = matches!(request, Request::FindNode { .. } | Request::FindValue { .. })
            && self.shared.config.verification.source_verification.covers(&to.ip())
            && self.pending.is_unproved(to, now);
        let query = TransmitQuery { id, to, claim, token, request, padded, again: false };
        let waiting = Waiting { query: Some(query.clone()), ..waiting };
        match self.pending.begin(id, target, kind, waiting, now) {
            Ok(()) => {
                tracing::debug!(%to, query = kind, "query sent");
                self.shared.handles.socket.query(query);
            }
            Err((waiting, why)) => {
                self.shared.counters.turned_away(Counter::QueryRefused, to, &why, now);
                waiting.unsent();
            }
        }
    }

    /// One more query goes to an address that has been sent enough: it waits while an answer may come.
    fn wait_for_others(&mut self, request: Request, waiting: Waiting, now: Instant) {
        let to = waiting.question.to;
        if !self.pending.is_awaited(to) {
            return self.not_asked_again(waiting, now);
        }
        waiting.question.late(messages::Late::Deferred);
        if let Err((_, waiting)) = self.deferred.defer(to, (request, waiting)) {
            self.not_asked_again(waiting, now);
        }
    }

    /// No answer to the others came: those that waited do not go.
    fn give_up_waiting(&mut self, to: SocketAddr, now: Instant) {
        if !self.pending.is_awaited(to) {
            for (_, waiting) in self.deferred.release(&to) {
                self.not_asked_again(waiting, now);
            }
        }
    }

    fn not_asked_again(&self, waiting: Waiting, now: Instant) {
        let why = "it was sent enough queries, and never answered";
        self.shared.counters.turned_away(Counter::NotAskedAgain, waiting.question.to, &why, now);
        waiting.unsent();
    }
}

timed_actor!(Queries);

impl Supervised for Queries {
    fn restarting(&mut self, _: &mut Self::Context) {
        // What was in flight is not known to be right any more: that is reported to the actors that wait, and no peer is blamed.
        self.pending.fail_all().into_iter().for_each(Waiting::unsent);
        self.deferred.release_all().into_iter().for_each(|(_, waiting)| waiting.unsent());
        self.shared.handles.socket.all_over(AllQueriesOver);
        self.pending = Pending::new(&self.shared.config);
    }
}

impl Alarmed for Queries {
    fn next_alarm(&self) -> Option<Instant> {
        self.pending.next_wakeup()
    }

    fn alarm(&mut self, now: Instant, _: &mut Self::Context) {
        for (waiting, late) in self.pending.late(now) {
            match late {
                Late::Slow => waiting.question.late(messages::Late::Slow),
                Late::Resend => {
                    if let Some(query) = waiting.again() {
                        self.shared.handles.socket.query(query);
                        waiting.question.late(messages::Late::Resent);
                    }
                }
            }
        }
        for expired in self.pending.expire(now) {
            let to = expired.waiter.question.to;
            self.silent(expired);
            self.give_up_waiting(to, now);
        }
    }
}

impl Receive<SendQuery> for Queries {
    fn receive(&mut self, SendQuery { question, request }: SendQuery, _: &mut Self::Context) {
        // An address that the application itself wants to reach is no victim of others.
        let own_wish = question.id.is_none() && question.has_asker();
        let named_by = if own_wish { NamedBy::Application } else { NamedBy::Others };
        let (to, waiting) = (question.to, Waiting::new(question, named_by));
        let now = clock::now();
        if self.pending.was_silent(to, now) {
            waiting.question.late(messages::Late::Suspect);
        }
        if named_by == NamedBy::Others && !self.pending.may_ask(to, now) {
            return self.wait_for_others(request, waiting, now);
        }
        self.begin(request, waiting, now);
    }
}

impl Receive<PingPaid> for Queries {
    fn receive(&mut self, PingPaid { to, id }: PingPaid, _: &mut Self::Context) {
        self.begin(Request::Ping, Waiting::new(Question::new(to, id, None), NamedBy::Request), clock::now());
    }
}

impl Receive<QueryUnsent> for Queries {
    fn receive(&mut self, unsent: QueryUnsent, _: &mut Self::Context) {
        if let Some(waiting) = self.pending.cancel(&unsent.id) {
            let to = waiting.question.to;
            self.shared.handles.socket.over(QueryOver { to });
            waiting.unsent();
            self.give_up_waiting(to, clock::now());
        }
    }
}

impl Receive<ResponseReceived> for Queries {
    fn receive(&mut self, received: ResponseReceived, _: &mut Self::Context) {
        let ResponseReceived { from, id, sender, version, token, response, origin } = received;
        let now = clock::now();
        let answered = match self.pending.answer(from, &id, response.answers(), sender, now) {
            Ok(answered) => answered,
            Err(Reject::Repeated) => return self.shared.counters.count(Counter::RepeatedAnswer),
            Err(reject) => {
                let counter = match reject {
                    Reject::UnknownQuery | Reject::Repeated => Counter::UnknownQuery,
                    Reject::WrongSource => Counter::WrongSource,
                    Reject::WrongKind => Counter::WrongKind,
                };
                self.shared.counters.turned_away(counter, from, &reject, now);
                return;
            }
        };
        let mut waiting = answered.waiter;
        let Question { to, id: asked, .. } = waiting.question;
        tracing::debug!(%from, answer = response.name(), rtt = ?answered.rtt, "query answered");
        if from == to {
            self.pending.given(from, token, now);
        }
        self.shared.handles.socket.over(QueryOver { to });
        for (request, deferred) in self.deferred.release(&to) {
            if !deferred.question.is_obsolete() {
                self.begin(request, deferred, now);
            }
        }
        // An answer from elsewhere, where that is permitted, proves nothing of where it says that it comes from.
        if from == to && self.shared.config.verification.source_verification.covers(&from.ip()) {
            self.shared.handles.dispatcher.verified(AddressVerified { addr: from, version });
        }
        let peer = sender.map(|sender| Peer::new(sender, to));
        match (peer, asked) {
            (_, Some(expected)) if answered.wrong_id => {
                self.shared.handles.table.lost(PeerLost::Replaced(Peer::new(expected, to)));
                // It has to prove itself under that id, as any newcomer.
                if let Some(peer) = peer {
                    self.shared.handles.table.seen(PeerSeen { peer, origin: origin.of_news() });
                }
            }
            (Some(peer), _) => {
                self.shared.handles.table.answered(PeerAnswered { peer, version, origin: origin.of_news() })
            }
            (None, _) => {}
        }
        if !answered.wrong_id
            && let Some(request) = waiting.renew(&response, version, token.filter(|_| from == to))
        {
            return self.begin(request, waiting, now);
        }
        match peer {
            Some(peer) if !answered.wrong_id => {
                waiting.question.answered(Answered { response, peer, version, rtt: answered.rtt });
            }
            Some(Peer { id: actual, .. }) => waiting.question.failed(Failed::WrongId { actual }),
            None => waiting.question.failed(Failed::NoId),
        }
    }
}

impl Receive<MeasuredRoundTrips> for Queries {
    fn receive(&mut self, asked: MeasuredRoundTrips, _: &mut Self::Context) -> Vec<Option<Duration>> {
        asked.0.into_iter().map(|addr| self.pending.round_trip(addr)).collect()
    }
}

impl Receive<CountQueries> for Queries {
    fn receive(&mut self, _: CountQueries, _: &mut Self::Context) -> (PendingCounts, usize) {
        (self.pending.counts(), self.deferred.len())
    }
}
