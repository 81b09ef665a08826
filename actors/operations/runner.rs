//! The actor that runs one operation: it sends the queries, holds the timer, and reports an end also where the operation
//! breaks. It decides nothing.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{self, Poll, ready};
use std::time::Instant;

use actix::fut::ActorFuture;
use actix::{Actor, ActorContext, AsyncContext, Context, Handler};

use super::super::clock::{self, Alarm, Alarmed};
use super::super::messages::{Asker, QueryEvent, QueryResult, Question, SendQuery};
use super::super::shared::Shared;
use super::operation::{End, Operation, Resume, Step, Target};

/// A running operation.
pub(crate) struct Runner<O: Operation> {
    /// `None` once it has finished.
    operation: Option<O>,
    shared: Rc<Shared>,
    /// This actor, as the asker of its queries.
    asker: Option<Asker>,
    wake: Option<Instant>,
}

impl<O: Operation> Runner<O> {
    /// Runs `operation` until it finishes or the node stops.
    pub(crate) fn run(operation: O, shared: &Rc<Shared>) {
        let runner = Self { operation: Some(operation), shared: shared.clone(), asker: None, wake: None };
        shared.lifetime.run(O::NAME, runner);
    }

    /// Changes the operation, unless it has finished, and carries out what it wants done then.
    fn update(&mut self, change: impl FnOnce(&mut O, Instant), ctx: &mut Context<Self>) {
        if let Some(operation) = &mut self.operation {
            change(operation, clock::now());
            self.go_on(ctx);
        }
    }

    fn go_on(&mut self, ctx: &mut Context<Self>) {
        self.wake = None;
        while let Some(operation) = &mut self.operation {
            match operation.step(clock::now()) {
                Step::Query(to, request) => {
                    let question = Question::new(to.addr(), to.id(), self.asker.clone());
                    self.shared.handles.queries.send(SendQuery { question, request });
                }
                Step::Await(future) => {
                    ctx.spawn(Awaited(future));
                }
                Step::Wait { until } => {
                    self.wake = until;
                    return;
                }
                Step::Finished => {
                    self.finish(End::Complete);
                    return ctx.stop();
                }
            }
        }
    }

    fn finish(&mut self, end: End) {
        if let Some(operation) = self.operation.take() {
            operation.finish(end);
        }
    }
}

/// What an operation awaits.
struct Awaited<O: Operation>(Pin<Box<dyn Future<Output = Resume<O>>>>);

impl<O: Operation> ActorFuture<Runner<O>> for Awaited<O> {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        runner: &mut Runner<O>,
        ctx: &mut Context<Runner<O>>,
        task: &mut task::Context<'_>,
    ) -> Poll<()> {
        let resume = ready!(self.0.as_mut().poll(task));
        runner.update(resume, ctx);
        // The alarm may have been polled before this, and does not know yet of the time that was set now.
        task.waker().wake_by_ref();
        Poll::Ready(())
    }
}

impl<O: Operation> Drop for Runner<O> {
    fn drop(&mut self) {
        self.finish(End::Broken);
    }
}

impl<O: Operation> Actor for Runner<O> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        Alarm::spawn::<Self>(ctx);
        self.asker = Some(Asker::new(ctx.address().recipient()));
        self.go_on(ctx);
    }
}

impl<O: Operation> Alarmed for Runner<O> {
    fn next_alarm(&self) -> Option<Instant> {
        self.wake
    }

    fn alarm(&mut self, _: Instant, ctx: &mut Self::Context) {
        self.go_on(ctx);
    }
}

impl<O: Operation> Handler<QueryEvent> for Runner<O> {
    type Result = ();

    fn handle(&mut self, event: QueryEvent, ctx: &mut Self::Context) {
        let Some(from) = O::Target::of(event.to, event.id) else { return };
        let change = |operation: &mut O, now| match event.result {
            QueryResult::Answered(answer) => operation.answer(from, answer, now),
            QueryResult::Late(how) => operation.late(from, how),
            QueryResult::Failed(why) => operation.failure(from, why, now),
        };
        self.update(change, ctx);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::net::SocketAddr;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;
    use std::sync::Arc;
    use std::time::Duration;

    use kademlia_dynamic::protocol::config::Config;
    use kademlia_dynamic::protocol::id::NodeId;
    use kademlia_dynamic::protocol::message::{Request, Response};
    use kademlia_dynamic::protocol::peer::Peer;
    use tokio::sync::oneshot;

    use super::super::super::messages::{Answered, Failed, Handles, Late, QueriesInbox};
    use super::super::super::supervision::{Ender, StopReason};
    use super::super::super::tests::shared;
    use super::*;

    /// The calls of an operation, in their order.
    type Log = Rc<RefCell<Vec<String>>>;

    /// Does the steps that a test gives it, and notes what becomes of them.
    struct Scripted {
        steps: Vec<Step<Self>>,
        log: Log,
    }

    impl Scripted {
        fn note(&self, what: impl Into<String>) {
            self.log.borrow_mut().push(what.into());
        }
    }

    impl Operation for Scripted {
        const NAME: &'static str = "scripted operation";
        type Target = Peer;

        fn step(&mut self, _: Instant) -> Step<Self> {
            if self.steps.is_empty() {
                panic!("injected by a test");
            }
            self.steps.remove(0)
        }

        fn answer(&mut self, from: Peer, answer: Answered, _: Instant) {
            self.note(format!("{} answered {}", from.addr.port(), answer.response.name()));
        }

        fn late(&mut self, from: Peer, how: Late) {
            self.note(format!("{} is late: {how:?}", from.addr.port()));
        }

        fn failure(&mut self, from: Peer, why: Failed, _: Instant) {
            self.note(format!("{} failed: {why:?}", from.addr.port()));
        }

        fn finish(self, end: End) {
            self.note(format!("{end:?}"));
        }
    }

    /// In the place of the queries in flight: the peer at port 1 answers, that at port 2 is late and then silent, and a query to port 3
    /// makes it panic.
    struct MockQueries;

    impl QueriesInbox for MockQueries {
        fn send(&self, query: SendQuery) {
            let question = query.question;
            let (peer, version, rtt) = (peer(question.to.port()), None, Duration::ZERO);
            match question.to.port() {
                1 => question.answered(Answered { response: Response::Pong, peer, version, rtt }),
                2 => {
                    question.late(Late::Slow);
                    question.failed(Failed::Silent);
                }
                _ => drop(catch_unwind(AssertUnwindSafe(move || {
                    let _lost = question;
                    panic!("injected by a test");
                }))),
            }
        }
    }

    fn peer(port: u16) -> Peer {
        Peer::new(NodeId::of_key("peer"), SocketAddr::from(([127, 0, 0, 1], port)))
    }

    fn run(steps: Vec<Step<Scripted>>) -> (Log, Ender) {
        let handles = Handles { queries: Arc::new(MockQueries), ..Handles::ignored() };
        let (log, shared) = (Log::default(), shared(Config::default(), handles));
        Runner::run(Scripted { steps, log: log.clone() }, &shared);
        (log, shared.lifetime.ender())
    }

    async fn settle() {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    /// Until the next event.
    const PAUSE: Step<Scripted> = Step::Wait { until: None };

    #[actix::test]
    async fn an_operation_hears_of_each_query_what_became_of_it_and_finishes_once() {
        let query = |port| Step::Query(peer(port), Request::Ping);
        let (log, ender) = run(vec![query(1), query(2), query(3), PAUSE, PAUSE, PAUSE, PAUSE, Step::Finished]);
        settle().await;
        drop(ender);
        let expected = ["1 answered pong", "2 is late: Slow", "2 failed: Silent", "3 failed: Unsent", "Complete"];
        assert_eq!(*log.borrow(), expected);
    }

    #[actix::test]
    async fn an_operation_that_panics_and_one_whose_node_stops_report_a_broken_end() {
        let (log, _ender) = run(vec![Step::Wait { until: Some(clock::now()) }]);
        settle().await;
        assert_eq!(*log.borrow(), ["Broken"], "it panicked at its second step");
        let (log, ender) = run(vec![PAUSE]);
        settle().await;
        assert!(log.borrow().is_empty());
        ender.end(StopReason::Asked);
        settle().await;
        assert_eq!(*log.borrow(), ["Broken"]);
    }

    #[actix::test]
    async fn an_operation_goes_on_with_what_it_awaits_and_when_its_time_has_come() {
        tokio::time::pause();
        let (sender, receiver) = oneshot::channel();
        let await_it = Step::after(receiver, |scripted: &mut Scripted, sent: Result<&str, _>, _| {
            scripted.note(sent.unwrap());
        });
        let until = Some(clock::now() + Duration::from_secs(5));
        let (log, _ender) = run(vec![await_it, PAUSE, Step::Wait { until }, Step::Finished]);
        settle().await;
        sender.send("awaited").unwrap();
        settle().await;
        assert_eq!(*log.borrow(), ["awaited"]);
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(*log.borrow(), ["awaited", "Complete"]);
    }
}
