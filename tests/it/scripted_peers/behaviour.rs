//! Behaviour of a node among peers that break the rules.

use std::time::Duration;

use kademlia_dynamic::actors::counters::Counter;
use kademlia_dynamic::protocol::message::{Body, Request, Response};
use kademlia_dynamic::sim::{HEARD, MemoryNetwork, Reply, ScriptedPeers, in_virtual_time};
use kademlia_dynamic::{Codec, Error, GetOptions, GetResult, Node, NodeId, Peer, Value};
use tokio::time::sleep;

use super::among;
use crate::support::{by_distance, known, requests, set, start};

#[test]
fn a_peer_that_answers_under_another_id_is_dropped() {
    in_virtual_time(async {
        let (_, peers, node) = among(5).await;
        let (gone, new) = (peers.peer(2), NodeId::of_key("who sits there now"));
        peers.on(move |asked| match asked.peer {
            2 => Reply::As(new, Response::FindNode { peers: Vec::new() }),
            _ => Reply::Usual,
        });
        let found = node.find_node(gone.id).await.unwrap();
        assert!(!found.contains(&gone), "{found:?}");
        let known = known(&node).await;
        assert!(!known.contains(&gone) && known.contains(&Peer::new(new, gone.addr)), "{known:?}");
    });
}

#[test]
fn a_peer_silent_once_is_kept_and_one_silent_for_good_is_not() {
    in_virtual_time(async {
        let (_, peers, node) = among(5).await;
        let mut silences = 1;
        peers.on(move |asked| {
            if asked.peer == 2 && silences > 0 {
                silences -= 1;
                return Reply::Silence;
            }
            Reply::Usual
        });
        for _ in 0..3 {
            node.find_node(peers.id(2)).await.unwrap();
            sleep(Duration::from_secs(5)).await;
            assert!(known(&node).await.contains(&peers.peer(2)));
        }
        peers.on(|asked| if asked.peer == 2 { Reply::Silence } else { Reply::Usual });
        for _ in 0..5 {
            node.find_node(peers.id(2)).await.unwrap();
            sleep(Duration::from_secs(5)).await;
        }
        assert_eq!(known(&node).await.len(), 4);
        assert!(!known(&node).await.contains(&peers.peer(2)));
    });
}

#[test]
fn a_late_answer_is_an_answer_until_the_query_times_out() {
    in_virtual_time(async {
        let (_, peers, node) = among(1).await;
        peers.hold(0, "key", "value");
        peers.on(|_| Reply::Usual.after(Duration::from_millis(1_900)));
        assert_eq!(node.get("key").await.unwrap(), Some("value".into()));
        peers.on(|_| Reply::Usual.after(Duration::from_millis(2_100)));
        assert!(matches!(node.get("key").await, Err(Error::NoneAnswered { asked: 1 })));
    });
}

#[test]
fn a_lookup_passes_liars_that_name_nearer_peers_which_do_not_exist() {
    in_virtual_time(async {
        let (_, peers, node) = among(20).await;
        let (key, order) = (NodeId::of_key("key"), by_distance(&peers, "key"));
        // The three nearest name ten each that are nearer still. The one after them holds the value.
        let liars = order[..3].to_vec();
        peers.hold(order[3], "key", "value");
        let reported = liars.clone();
        peers.on(move |asked| {
            if !reported.contains(&asked.peer) {
                return Reply::Usual;
            }
            let fake = |n: usize| {
                let mut id = *key.as_bytes();
                id[19] ^= (asked.peer * 10 + n + 1) as u8;
                let port = (asked.peer * 10 + n + 1) as u16;
                Peer::new(NodeId::from_bytes(id), ([127, 0, 0, 9], port).into())
            };
            Response::NoValue { peers: (0..10).map(fake).collect() }.into()
        });
        assert_eq!(node.get("key").await.unwrap(), Some("value".into()));
        let known = known(&node).await;
        assert_eq!(known.len(), 20, "who was only named is in no table: {known:?}");
    });
}

#[test]
fn an_answer_that_is_no_message_is_silence() {
    in_virtual_time(async {
        let (_, peers, node) = among(2).await;
        peers.on(|_| Reply::Raw(b"{\"type\":\"find_value_res\"".to_vec()));
        assert_eq!(
            node.get_with("key", GetOptions::default()).await.unwrap().result,
            GetResult::NoneAnswered { asked: 2 }
        );
        assert!(node.counters().get(Counter::Malformed) > 0);
    });
}

#[test]
fn a_get_distinguishes_silence_from_not_found() {
    in_virtual_time(async {
        let (_, peers, node) = among(4).await;
        assert_eq!(
            node.get_with("key", GetOptions::default()).await.unwrap().result,
            GetResult::NotFound { answered: 4, unheard: 0 }
        );
        peers.on(|asked| if asked.peer == 3 { Reply::Usual } else { Reply::Silence });
        assert_eq!(
            node.get_with("key", GetOptions::default()).await.unwrap().result,
            GetResult::NotFound { answered: 1, unheard: 3 }
        );
        peers.on(|_| Reply::Silence);
        assert_eq!(
            node.get_with("key", GetOptions::default()).await.unwrap().result,
            GetResult::NoneAnswered { asked: 4 }
        );
    });
}

#[test]
fn a_value_found_is_cached_at_the_nearest_peer_that_had_none_after_the_answer() {
    in_virtual_time(async {
        let (_, peers, node) = among(12).await;
        let key = NodeId::of_key("key");
        let distance = |n: &usize| peers.id(*n).distance(&key);
        let farthest = (0..12).max_by_key(distance).unwrap();
        peers.hold(farthest, "key", "value");
        let outcome = node.get_with("key", GetOptions::default()).await.unwrap().result;
        assert!(matches!(outcome, GetResult::Found { holder: Some(holder), .. } if holder == peers.peer(farthest)));
        assert_eq!(requests(&peers, "set_cached").len(), 0, "the answer does not wait for it");

        sleep(Duration::from_secs(5)).await;
        let asked = requests(&peers, "find_value").into_iter().map(|asked| asked.peer).filter(|n| *n != farthest);
        let cached: Vec<usize> = requests(&peers, "set_cached").iter().map(|asked| asked.peer).collect();
        assert_eq!(cached, [asked.min_by_key(distance).unwrap()]);
        assert_eq!(peers.held(cached[0], "key"), Some("value".into()));
    });
}

#[test]
fn a_set_asks_no_peer_whether_it_holds_the_key_and_names_no_ttl() {
    in_virtual_time(async {
        let (_, peers, node) = among(6).await;
        peers.hold(2, "key", "an older value");
        let outcome = node.set("key", "value").await.unwrap();
        assert_eq!((outcome.asked, outcome.stored), (6, 6));
        let sets = requests(&peers, "set");
        assert_eq!((requests(&peers, "check_store").len(), sets.len()), (0, 6));
        assert!(sets.iter().all(|asked| matches!(asked.request, Request::Set { ttl: None, .. })));
        assert!((0..6).all(|n| peers.held(n, "key") == Some("value".into())));
    });
}

#[test]
fn a_client_never_claims_its_own_id() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7);
        let peers = ScriptedPeers::new(&network, Codec::Json).with(8);
        let client = start(&network, Node::builder().client(true).bootstrap([peers.addr(0)])).await;
        assert_eq!(client.set("key", "value").await.unwrap().stored, 8);
        assert_eq!(client.get("other").await.unwrap(), None);
        sleep(Duration::from_secs(3 * 3_600)).await;
        let heard = peers.heard();
        assert!(heard.len() > 20);
        for asked in heard {
            assert!(asked.sender.is_none_or(|claimed| claimed == peers.id(asked.peer)), "{asked:?}");
        }
    });
}

#[test]
fn an_unsolicited_pong_inserts_no_peer() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7);
        let peers = ScriptedPeers::new(&network, Codec::Json).with(3);
        let node = start(&network, Node::builder()).await;
        for n in 0..3 {
            peers.tell(n, Some(peers.id(n)), node.local_addr(), Body::Response(Response::Pong));
        }
        sleep(Duration::from_secs(5)).await;
        assert_eq!(known(&node).await, []);
        assert_eq!(node.counters().get(Counter::UnknownQuery), 3);
        assert_eq!(peers.heard().len(), 0);
    });
}

#[test]
fn a_peer_that_asks_is_inserted_once_it_has_answered_a_ping_itself() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7);
        let peers = ScriptedPeers::new(&network, Codec::Json).with(2);
        let node = start(&network, Node::builder()).await;
        peers.on(|asked| if asked.peer == 0 { Reply::Silence } else { Reply::Usual });
        for n in 0..2 {
            assert_eq!(peers.ask(n, node.local_addr(), Request::Ping).await, Ok(Response::Pong));
        }
        sleep(Duration::from_secs(5)).await;
        assert_eq!(known(&node).await, [peers.peer(1)]);
        // Under an id that is no sender's to have, or none, it is served and not inserted.
        let body = Body::Request(Request::Ping);
        peers.forget_heard();
        peers.tell(0, None, node.local_addr(), body.clone());
        peers.tell(0, Some(node.id()), node.local_addr(), body);
        sleep(Duration::from_secs(5)).await;
        assert_eq!(peers.heard().len(), 0);
    });
}

#[test]
fn what_a_node_holds_a_scripted_peer_can_ask_for() {
    in_virtual_time(async {
        let (_, peers, node) = among(2).await;
        let set = set("key", "value");
        assert!(matches!(peers.ask(0, node.local_addr(), set).await, Ok(Response::Set { stored: true, ttl: Some(_) })));
        let answer = peers.ask(1, node.local_addr(), Request::FindValue { key: "key".into() }).await.unwrap();
        assert_eq!(answer, Response::Value { value: Value::from("value").into(), ttl: Some(86_409), age: Some(1) });
        assert_eq!(node.get("key").await.unwrap(), Some("value".into()));
        node.stop().await;
        assert!(peers.ask(0, node.local_addr(), Request::Ping).await.is_err());
    });
}

#[test]
fn scripted_peers_record_the_latest_requests_only() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7);
        let peers = ScriptedPeers::new(&network, Codec::Json).with(2);
        for n in 0..HEARD + 10 {
            let target = NodeId::of_key(&n.to_string());
            peers.tell(0, None, peers.addr(1), Body::Request(Request::FindNode { target }));
        }
        sleep(Duration::from_secs(1)).await;
        let heard = peers.heard();
        assert_eq!(heard.len(), HEARD);
        assert_eq!(heard[0].request, Request::FindNode { target: NodeId::of_key("10") });
    });
}

#[test]
#[should_panic(expected = "the script says so")]
fn a_panic_in_a_script_reaches_the_test() {
    in_virtual_time(async {
        let (_, peers, node) = among(1).await;
        peers.on(|_| panic!("the script says so"));
        let _ = node.get("key").await;
        drop(node);
    });
}
