//! What strangers send while an actor stands still, as it does between two restarts: its mailbox takes what the bounds
//! permit, and the rest is counted.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::{Body, Request, Response};
use kademlia_dynamic::protocol::store::MemoryStore;

use super::super::counters::Counter;
use super::super::messages::AddressVerified;
use super::super::operations::join::resolver::Resolver;
use super::super::wiring::{self, Running, Setup};
use super::slots::{Fed, Feed, datagram};
use super::{Panic, settle};

/// A node whose datagrams a test pushes, and what it sends is gone.
fn fed(config: Config) -> (Running, Rc<Feed>) {
    let feed = Rc::new(Feed::default());
    let (id, store) = (NodeId::of_key("ours"), Box::new(MemoryStore::new()));
    let resolver = Resolver::system();
    let setup = Setup { id, codec: Codec::Json, config, client: false, store, known: None, seed: Some(1), resolver };
    (wiring::start(setup, Rc::new(Fed(feed.clone()))), feed)
}

fn addr(n: u32) -> SocketAddr {
    SocketAddr::from((std::net::Ipv4Addr::from_bits(0x2d00_0000 + n), 4_000))
}

#[actix::test]
async fn answers_to_no_query_fill_neither_the_slots_nor_the_memory_while_the_queries_stand_still() {
    tokio::time::pause();
    let (running, feed) = fed(Config::builder().max_restarts(100).build().unwrap());
    // The first restart comes at once, the second after a pause.
    for _ in 0..2 {
        running.actors.queries.do_send(Panic);
    }
    settle().await;
    let get = |counter| running.counters.get(counter);
    const FLOOD: u32 = 5_000;
    for n in 0..FLOOD {
        feed.push(addr(n), datagram(n.into(), addr(n), Body::Response(Response::Pong)));
        if n % 32 == 0 {
            settle().await;
        }
    }
    settle().await;
    let turned_away = get(Counter::ResponsesFull);
    assert_eq!((get(Counter::NoSlot), get(Counter::UnknownQuery)), (0, 0), "{:?}", running.counters);
    assert!(turned_away >= u64::from(FLOOD) - 1_100, "{turned_away} of {FLOOD} were turned away");
    feed.push(addr(FLOOD), datagram(1, addr(FLOOD), Body::Request(Request::Ping)));
    settle().await;
    assert_eq!(get(Counter::Answered), 1, "a ping is answered meanwhile");

    tokio::time::sleep(Duration::from_millis(200)).await;
    settle().await;
    assert_eq!(running.counters.restarts().get("queries"), Some(&2));
    assert_eq!(get(Counter::UnknownQuery), u64::from(FLOOD) - turned_away, "what waited was looked at");
}

#[actix::test]
async fn writes_that_have_their_proof_wait_within_a_bound_while_the_value_store_stands_still() {
    tokio::time::pause();
    let (running, feed) = fed(Config::builder().max_restarts(100).build().unwrap());
    for _ in 0..2 {
        running.actors.store.do_send(Panic);
    }
    settle().await;
    const WRITES: u32 = 600;
    for n in 0..WRITES {
        let set = Request::Set { key: n.to_string().into(), value: Arc::new("v".into()), ttl: None, age: None };
        feed.push(addr(n << 8), datagram(n.into(), addr(n << 8), Body::Request(set)));
        settle().await;
        running.actors.dispatcher.send(AddressVerified { addr: addr(n << 8), version: None }).await.unwrap();
    }
    let get = |counter| running.counters.get(counter);
    assert_eq!((get(Counter::Unverified), get(Counter::NoSlot)), (u64::from(WRITES), 0), "{:?}", running.counters);
    assert_eq!(get(Counter::UnverifiedFull), u64::from(WRITES) - 256);

    tokio::time::sleep(Duration::from_millis(200)).await;
    settle().await;
    assert_eq!(get(Counter::Answered), 256, "those that were taken are acknowledged");
}
