//! Answers to a query of ours that are forged, while the true one is on its way.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use kademlia_dynamic::actors::counters::Counter;
use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};
use kademlia_dynamic::protocol::message::{Body, PROTOCOL_VERSION, QueryId, Request, Response};
use kademlia_dynamic::sim::{MemoryNetwork, Reply, ScriptedPeers, in_virtual_time};
use kademlia_dynamic::{Codec, Node, NodeId, Peer, Value};
use tokio::time::sleep;

use crate::support::{known, random_id, spell, start};

const FORGED: u64 = 20_000;

#[test]
fn of_twenty_thousand_forged_answers_none_is_believed_and_each_is_counted_under_its_reason() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7);
        let peers = ScriptedPeers::new(&network, Codec::Json).with(1);
        let asked_as: Rc<Cell<Option<QueryId>>> = Rc::default();
        peers.hold(0, "key", "true");
        let tell = asked_as.clone();
        peers.on(move |asked| match asked.request {
            Request::FindValue { .. } => {
                tell.set(Some(asked.query));
                Reply::Usual.after(Duration::from_millis(1_500))
            }
            _ => Reply::Usual,
        });
        let node = start(&network, Node::builder().bootstrap([peers.addr(0)])).await;
        sleep(Duration::from_secs(5)).await;
        let reading = {
            let node = node.clone();
            actix_rt::spawn(async move { node.get("key").await })
        };
        sleep(Duration::from_millis(20)).await;
        let query = asked_as.get().expect("it asks the only peer that it knows");
        let holder = peers.peer(0);
        let before =
            [Counter::UnknownQuery, Counter::WrongSource, Counter::WrongKind].map(|of| node.counters().get(of));

        let mut entropy = SeededEntropy::new(9);
        let lie = || Response::Value { value: Arc::new("false".into()), ttl: None, age: None };
        let query = query.as_u64().expect("an id of ours");
        let send = |from: SocketAddr, claim: NodeId, id: u64, response: Response| {
            let body = Body::Response(response);
            network.send(
                from,
                node.local_addr(),
                spell(Codec::Json, from, Some(claim), id, Some(PROTOCOL_VERSION), body),
            );
        };
        for n in 0..FORGED {
            let elsewhere = SocketAddr::from(([127, 0, 1, n as u8], 1_024 + (n % 60_000) as u16));
            match n % 4 {
                // The id is guessed; it is known, but comes from elsewhere, in the holder's name or another; or is spent on
                // an answer to another question, or with another id beside it.
                0 => send(holder.addr, holder.id, entropy.next_u64(), lie()),
                1 => send(elsewhere, holder.id, query, lie()),
                2 => send(elsewhere, random_id(&mut entropy), query, lie()),
                _ => {
                    let others = [
                        Response::Pong,
                        Response::Set { stored: true, ttl: None },
                        Response::FindNode { peers: vec![Peer::new(random_id(&mut entropy), elsewhere)] },
                        Response::CheckStore { has_key: true, ttl: Some(9), age: None },
                        Response::Get { value: Some(Arc::new("false".into())) },
                    ];
                    let at = n as usize / 4 % others.len();
                    let claim = if n % 8 == 7 { random_id(&mut entropy) } else { holder.id };
                    send(holder.addr, claim, query, others[at].clone());
                }
            }
            if n % 20 == 19 {
                sleep(Duration::from_millis(1)).await;
            }
        }
        assert!(!reading.is_finished(), "they all came before the true one");
        assert_eq!(reading.await.unwrap().unwrap(), Some(Value::from("true")));
        let counted =
            [Counter::UnknownQuery, Counter::WrongSource, Counter::WrongKind].map(|of| node.counters().get(of));
        let new: Vec<u64> = counted.iter().zip(before).map(|(after, before)| after - before).collect();
        assert_eq!(new, [FORGED / 4, FORGED / 2, FORGED / 4]);
        assert_eq!(known(&node).await, [holder], "no peer is added by it");

        // The query was sent three times, and the other true answers come as well. After them it is an answer to nothing.
        sleep(Duration::from_secs(1)).await;
        assert_eq!(node.counters().get(Counter::RepeatedAnswer), 2);
        let spent = node.counters().get(Counter::UnknownQuery);
        send(holder.addr, holder.id, query, lie());
        sleep(Duration::from_millis(20)).await;
        assert_eq!(node.counters().get(Counter::UnknownQuery), spent + 1);
    });
}
