//! Actors tested behind their handles: the actor is the real one, its neighbours are types of the test.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::Addr;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::peer::Peer;
use tokio::sync::oneshot;

use super::super::lookups::Lookups;
use super::super::messages::{
    Answered, CountLookups, Failed, Handles, LaunchLookup, LookupCounts, LookupKey, Priority, QueriesInbox, SeedLookup,
    SendQuery, StartAudit, StartLookup, TableInbox,
};
use super::super::outcome::Error;
use super::super::supervision::Mailbox;
use super::{key, settle, shared};

/// In the place of the routing table: notes which lookups ask it for peers.
#[derive(Clone, Default)]
struct MockTable(Arc<Mutex<Vec<LookupKey>>>);

impl TableInbox for MockTable {
    fn seed(&self, SeedLookup(key): SeedLookup) {
        self.0.lock().unwrap().push(key);
    }
}

/// In the place of the queries in flight: notes the queries, and has each answered at once.
#[derive(Clone, Default)]
struct MockQueries(Arc<Mutex<Vec<&'static str>>>);

impl QueriesInbox for MockQueries {
    fn send(&self, query: SendQuery) {
        let SendQuery { question, request } = query;
        self.0.lock().unwrap().push(request.name());
        let response = match request {
            Request::CheckStore { .. } => Response::CheckStore { has_key: true, ttl: None, age: None },
            _ => Response::FindNode { peers: Vec::new() },
        };
        match question.id.map(|id| Peer::new(id, question.to)) {
            Some(peer) => question.answered(Answered { response, peer, version: None, rtt: Duration::ZERO }),
            None => question.failed(Failed::Silent),
        }
    }
}

/// The real lookups, of which one runs at once.
fn lookups() -> (Addr<Lookups>, MockTable, MockQueries) {
    let (table, queries) = (MockTable::default(), MockQueries::default());
    let mailbox = Mailbox::<Lookups>::new(64);
    let handles = Handles {
        lookups: Arc::new(mailbox.addr()),
        table: Arc::new(table.clone()),
        queries: Arc::new(queries.clone()),
        ..Handles::ignored()
    };
    let shared = shared(Config::builder().max_lookups(1).build().unwrap(), handles);
    let addr = mailbox.addr();
    mailbox.supervise(&shared.lifetime, "lookups", Lookups::new(&shared));
    (addr, table, queries)
}

/// What the table answers to a lookup of this key.
fn seeded(key: &str) -> LaunchLookup {
    let seeds = vec![Peer::new(NodeId::of_key("peer"), ([127, 0, 0, 1], 1).into())];
    LaunchLookup { key: LookupKey::Nodes(NodeId::of_key(key)), seeds, legacy: false }
}

#[actix::test]
async fn audits_of_one_key_are_one_and_each_caller_has_the_outcome() {
    let (lookups, table, queries) = lookups();
    let (answers, callers): (Vec<_>, Vec<_>) = (0..3).map(|_| oneshot::channel()).unzip();
    for answer in answers {
        lookups.do_send(StartAudit { key: key("k"), here: None, priority: Priority::Foreground, answer });
    }
    settle().await;
    assert_eq!(*table.0.lock().unwrap(), [LookupKey::Nodes(NodeId::of_key("k"))]);
    lookups.do_send(seeded("k"));
    for caller in callers {
        let health = caller.await.unwrap().unwrap();
        assert_eq!((&*health.key, health.confirmed()), ("k", 1));
    }
    assert_eq!(*queries.0.lock().unwrap(), ["find_node", "check_store"]);
}

#[actix::test]
async fn a_lookup_whose_caller_has_gone_while_it_waited_is_not_begun() {
    let (lookups, table, _) = lookups();
    let look_up = |name: &str| {
        let (answer, caller) = oneshot::channel();
        let target = LookupKey::Nodes(NodeId::of_key(name));
        lookups.do_send(StartLookup::foreground(target, answer));
        caller
    };
    let (first, second, third) = (look_up("first"), look_up("second"), look_up("third"));
    settle().await;
    assert_eq!(lookups.send(CountLookups).await.unwrap(), counts(1, 2));
    drop(second);
    lookups.do_send(seeded("first"));
    assert_eq!(first.await.unwrap().unwrap().trace.tally().asked, 1);
    settle().await;
    assert_eq!(*table.0.lock().unwrap(), ["first", "third"].map(|name| LookupKey::Nodes(NodeId::of_key(name))));
    drop(third);
}

fn counts(running: usize, waiting: usize) -> LookupCounts {
    LookupCounts { running, waiting, recent_peers: 0 }
}

#[actix::test]
async fn an_audit_whose_callers_have_all_gone_while_it_waited_asks_no_peer() {
    let (lookups, table, queries) = lookups();
    let audit = |name: &str| {
        let (answer, caller) = oneshot::channel();
        lookups.do_send(StartAudit { key: key(name), here: None, priority: Priority::Foreground, answer });
        caller
    };
    let first = audit("first");
    let (second, same, third) = (audit("second"), audit("second"), audit("third"));
    let (fourth, stays) = (audit("fourth"), audit("fourth"));
    settle().await;
    assert_eq!(lookups.send(CountLookups).await.unwrap(), counts(1, 3));
    drop((second, same, fourth));
    for name in ["first", "third", "fourth"] {
        lookups.do_send(seeded(name));
        settle().await;
    }
    for caller in [first, third, stays] {
        assert_eq!(caller.await.unwrap().unwrap().confirmed(), 1);
    }
    let begun = ["first", "third", "fourth"].map(|name| LookupKey::Nodes(NodeId::of_key(name)));
    assert_eq!(*table.0.lock().unwrap(), begun);
    assert_eq!(*queries.0.lock().unwrap(), ["find_node", "check_store"].repeat(3));
}

#[actix::test]
async fn a_lookup_that_is_refused_goes_on_with_the_reason() {
    let (lookups, ..) = lookups();
    let limit = Config::default().lookup.max_waiting_lookups;
    let callers: Vec<_> = (0..limit + 2)
        .map(|n| {
            let (answer, caller) = oneshot::channel();
            let target = LookupKey::Nodes(NodeId::of_key(&n.to_string()));
            lookups.do_send(StartLookup::foreground(target, answer));
            caller
        })
        .collect();
    settle().await;
    let refused = callers.into_iter().last().unwrap().await.unwrap().map_err(Error::from);
    assert!(matches!(refused, Err(Error::Busy { limit: named, .. }) if named == limit + 1), "{refused:?}");
}
