//! Every long-lived actor is made to panic at every message that it handles, and at its timer, in turn and at random, while
//! the node is used. Which cases there are is read from the source: one that nothing here leads to is a failure.

mod cases;
mod stage;

use std::time::Duration;

use kademlia_dynamic::Codec;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::store::MemoryStore;
use kademlia_dynamic::sim::{MemoryNetwork, Reply, ScriptedPeers, in_virtual_time};

use super::super::node::Node;
use super::super::supervision::StopReason;
use super::drill;
use stage::{Stage, WINDOW};

/// Cases that come up only while a node takes its leave.
const OF_THE_END: [(&str, &str); 3] = [("NodeActor", "Stop"), ("Handoff", "Leave"), ("Handoff", "QueryEvent")];

/// Has each of these cases panic once, in the midst of work.
fn drill_all(cases: &[(String, String)], seed: u64) {
    in_virtual_time(async {
        let stage = Stage::new(seed).await;
        for (actor, message) in cases {
            drill::aim_at(actor, message);
            let pinged = stage.ping_after_the_panic();
            for _ in 0..6 {
                stage.work().await;
                if drill::is_over() {
                    break;
                }
            }
            assert!(drill::is_over(), "nothing here has the {actor} come to {message}");
            let took = pinged.await.expect("the ping ends").expect("it is answered");
            assert!(took <= Duration::from_millis(100), "{took:?} for a pong after the {actor} panicked at {message}");
            stage.assert_sound().await;
            tokio::time::sleep(WINDOW * 2).await;
        }
        // None was forgotten, and the node is as before.
        stage.work().await;
        stage.assert_sound().await;
    });
}

/// The cases that come up in the course of work, dealt out to as many tests as the machine may run at once.
fn share(number: usize, of: usize) -> Vec<(String, String)> {
    let is_of_the_end = |(actor, message): &(String, String)| OF_THE_END.contains(&(actor, message));
    let all = cases::all().into_iter().filter(|case| !is_of_the_end(case));
    all.enumerate().filter(|(n, _)| n % of == number).map(|(_, case)| case).collect()
}

#[test]
fn an_actor_that_panics_at_any_message_harms_nothing_else_first_quarter() {
    drill_all(&share(0, 4), 1);
}

#[test]
fn an_actor_that_panics_at_any_message_harms_nothing_else_second_quarter() {
    drill_all(&share(1, 4), 2);
}

#[test]
fn an_actor_that_panics_at_any_message_harms_nothing_else_third_quarter() {
    drill_all(&share(2, 4), 3);
}

#[test]
fn an_actor_that_panics_at_any_message_harms_nothing_else_fourth_quarter() {
    drill_all(&share(3, 4), 4);
}

#[test]
fn actors_that_panic_at_random_harm_nothing_else() {
    for seed in 1..=3 {
        in_virtual_time(async {
            let stage = Stage::new(seed).await;
            drill::aim_at_random(150, seed);
            for _ in 0..4 {
                stage.work().await;
            }
            drill::cease();
            // Past the pause before a restart, if there is one.
            tokio::time::sleep(WINDOW * 2).await;
            let took = stage.ping_after_the_panic().await.expect("the ping ends").expect("it is answered");
            assert!(took <= Duration::from_millis(100), "{took:?} for a pong");
            stage.assert_sound().await;
            assert!(drill::struck().values().sum::<u64>() >= 10, "{:?}", drill::struck());
        });
        drill::forget();
    }
}

#[test]
fn what_is_done_again_and_again_goes_on_after_a_round_that_failed() {
    // Refresh, republication and restore, expiry, rejoin, audits and repairs of pinned keys, handoff, and all timers.
    let periodic = [
        ("RoutingTable", "RefreshBuckets"),
        ("ValueStore", "RepublishDue"),
        ("ValueStore", "PreparePlacement"),
        ("ValueStore", "ExpireValues"),
        ("RoutingTable", "CheckTable"),
        ("ValueStore", "AuditKey"),
        ("Pins", "AuditEnded"),
        ("ValueStore", "RepublishKey"),
        ("Pins", "RepairEnded"),
        ("RoutingTable", "FindNeighbours"),
        ("ValueStore", "SelectValues"),
        ("Handoff", "ValuesSelected"),
        ("Maintenance", cases::TIMER),
        ("Pins", cases::TIMER),
        ("Handoff", cases::TIMER),
        ("Queries", cases::TIMER),
    ];
    in_virtual_time(async {
        let stage = Stage::new(5).await;
        for (actor, message) in periodic {
            drill::aim_at(actor, message);
            for _ in 0..6 {
                stage.work().await;
                if drill::is_over() {
                    break;
                }
            }
            assert!(drill::is_over(), "nothing here has the {actor} come to {message}");
            let before = drill::times(actor, message);
            for _ in 0..6 {
                stage.work().await;
                if drill::times(actor, message) > before {
                    break;
                }
            }
            assert!(drill::times(actor, message) > before, "no further {message} of the {actor}");
        }
        stage.assert_sound().await;
    });
}

#[test]
fn a_node_whose_table_lost_all_peers_joins_again_although_a_try_failed() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7);
        let peers = ScriptedPeers::new(&network, Codec::Json).with(3);
        let node = Node::builder().bootstrap([peers.addr(0)]).start_local_over(network.endpoint()).await.unwrap();
        peers.on(|_| Reply::Silence);
        drill::aim_at("Maintenance", "TableEmpty");
        // A peer is asked now and then, so that silence is noticed.
        for _ in 0..40 {
            let _ = node.find_node(peers.id(0)).await;
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        assert!(drill::is_over() && drill::times("Maintenance", "TableEmpty") > 1);
        peers.on(|_| Reply::Usual);
        tokio::time::sleep(Duration::from_secs(1_300)).await;
        assert_eq!(node.find_node(peers.id(0)).await.unwrap().len(), 3);
    });
}

#[test]
fn a_query_that_a_panic_takes_with_it_ends_at_once() {
    for (message, of_the_peer) in
        [("SendQuery", Reply::Usual), ("ResponseReceived", Reply::Usual), (cases::TIMER, Reply::Silence)]
    {
        in_virtual_time(async {
            let network = MemoryNetwork::new(7);
            let peers = ScriptedPeers::new(&network, Codec::Json).with(1);
            let node = Node::builder().bootstrap([peers.addr(0)]).start_local_over(network.endpoint()).await.unwrap();
            let patience = Config::default().lookup.query_timeout;
            peers.on(move |_| of_the_peer.clone());
            drill::aim_at("Queries", message);
            let asked = tokio::time::Instant::now();
            // By itself its lookup would wait for it until a deadline, and others for ever.
            let _ = node.find_node(peers.id(0)).await;
            assert!(drill::is_over() && asked.elapsed() <= patience, "{:?} after {message}", asked.elapsed());
        });
    }
}

#[test]
fn a_stop_comes_to_its_end_whatever_panics_in_its_course() {
    for (actor, message) in OF_THE_END {
        in_virtual_time(async {
            let network = MemoryNetwork::new(7);
            let peers = ScriptedPeers::new(&network, Codec::Json).with(3);
            let builder = Node::builder().bootstrap([peers.addr(0)]).store(MemoryStore::new());
            let node = builder.start_local_over(network.endpoint()).await.unwrap();
            let _ = node.set("k", "v").await.unwrap();
            peers.on(|_| Reply::Silence);
            let under_way = actix_rt::spawn({
                let node = node.clone();
                async move { node.get("absent").await }
            });
            tokio::time::sleep(Duration::from_millis(10)).await;
            drill::aim_at(actor, message);
            let asked = tokio::time::Instant::now();
            node.stop().await;
            assert!(drill::is_over(), "nothing here has the {actor} come to {message}");
            assert!(asked.elapsed() <= Duration::from_millis(2_260), "{:?} after {message}", asked.elapsed());
            assert_eq!(node.stopped().await, StopReason::Asked);
            assert!(under_way.await.unwrap().is_err());
        });
    }
}
