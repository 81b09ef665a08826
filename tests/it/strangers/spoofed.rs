//! Requests in a victim's name, on a network of global addresses: how many bytes they bring it, and what waits for its pong.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kademlia_dynamic::actors::counters::Counter;
use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};
use kademlia_dynamic::protocol::message::{Body, PROTOCOL_VERSION, Request, Response};
use kademlia_dynamic::sim::{MemoryTransport, in_virtual_time};
use kademlia_dynamic::{Codec, Config, NodeId, Value};
use tokio::time::sleep;

use super::holder;
use crate::support::{cached_for, drain, legacy, random_id, set, spell};

/// Any request there is.
fn any_request(entropy: &mut SeededEntropy) -> Request {
    let name = Arc::from(["large", "small", "absent"][entropy.below(3) as usize]);
    let value = Arc::new(Value::from("v".repeat(entropy.below(300) as usize)));
    match entropy.below(9) {
        0 => Request::Ping,
        1 => Request::FindNode { target: random_id(entropy) },
        2 | 3 => Request::FindValue { key: "large".into() },
        4 => Request::FindValue { key: name },
        5 => Request::Get { key: name },
        6 => Request::CheckStore { key: name, size: None },
        7 => set(&format!("k{}", entropy.below(50)), Value::clone(&value)),
        _ => Request::SetCached { key: "cached".into(), value, target: None, ttl: Some(60) },
    }
}

#[test]
fn whatever_is_asked_in_their_names_victims_get_at_most_three_times_the_bytes_our_pings_included() {
    for codec in Codec::ALL {
        in_virtual_time(async {
            let (network, _peers, node, _) = holder(codec, Config::default()).await;
            let victims: Vec<MemoryTransport> = (0..40).map(|_| network.endpoint()).collect();
            let mut entropy = SeededEntropy::new(4);
            let mut bytes: HashMap<SocketAddr, (usize, usize)> = HashMap::new();
            for n in 0..4_000u64 {
                let victim = victims[entropy.below(40) as usize].addr();
                // No id, always the same, or ever another.
                let claim = match entropy.below(3) {
                    0 => None,
                    1 => Some(NodeId::of_key(&victim.to_string())),
                    _ => Some(random_id(&mut entropy)),
                };
                // A legacy node, or one of ours.
                let version = [None, Some(PROTOCOL_VERSION)][entropy.below(2) as usize];
                let request = spell(codec, victim, claim, n, version, Body::Request(any_request(&mut entropy)));
                bytes.entry(victim).or_default().0 += request.len();
                network.send(victim, node.local_addr(), request);
                sleep(Duration::from_millis(entropy.below(20))).await;
                if n % 10 == 9 {
                    for victim in &victims {
                        let (sent, got) = bytes.entry(victim.addr()).or_default();
                        *got += std::iter::from_fn(|| victim.try_receive()).map(|it| it.payload.len()).sum::<usize>();
                        assert!(*got <= 3 * *sent, "{codec:?}: {got} bytes for {sent} after {n} requests");
                    }
                }
            }
            let (sent, got) = bytes.values().fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
            println!("{codec:?}: {got} bytes to the victims for {sent}, {:.2} times", got as f64 / sent as f64);
            assert!(got > sent / 10, "what is small is answered: {got} for {sent}");
            let store = node.snapshot().await.unwrap().store;
            assert_eq!((store.held.values, store.cached.values), (0, 0), "and nothing was written in their names");
        });
    }
}

#[test]
fn at_most_256_writes_wait_four_an_address_and_none_longer_than_a_second() {
    in_virtual_time(async {
        let (network, _peers, node, _) = holder(Codec::Json, Config::default()).await;
        let counted = |counter| node.counters().get(counter);
        let writers: Vec<MemoryTransport> = (0..100).map(|_| network.endpoint()).collect();
        let mut sent = 0;
        // A hundred addresses want to write six values each, all within 120 ms.
        for round in 0..6 {
            for writer in &writers {
                let key = sent.to_string();
                let write = if round % 2 == 0 { set(&key, "v") } else { cached_for(&key, "v", Some(600)) };
                network.send(writer.addr(), node.local_addr(), legacy(writer.addr(), None, sent, Body::Request(write)));
                sent += 1;
                if sent % 5 == 0 {
                    sleep(Duration::from_millis(1)).await;
                }
            }
        }
        sleep(Duration::from_millis(20)).await;
        // 100 and 100 and 56; all others find no room.
        assert_eq!(counted(Counter::UnverifiedFull), sent - Config::DEFAULT.verification.max_unverified as u64);
        let store = async || node.snapshot().await.unwrap().store;
        assert_eq!((store().await.held.values, store().await.cached.values), (0, 0));

        // Those who prove themselves have their writes taken: the first ten of them.
        let mut proved = 0;
        for writer in &writers[..10] {
            let pings = drain(writer);
            assert_eq!(pings.len(), 1, "one ping for all that waits: {pings:?}");
            assert_eq!(pings[0].body, Body::Request(Request::Ping));
            let pong = pings[0].id.as_u64().expect("an id of ours");
            writer.send(node.local_addr(), legacy(writer.addr(), None, pong, Body::Response(Response::Pong)));
            proved += 1;
        }
        sleep(Duration::from_millis(20)).await;
        let taken = store().await;
        assert_eq!(taken.held.values + taken.cached.values, 3 * proved, "what waited of theirs");
        assert_eq!(counted(Counter::NotVerified), 0);
        sleep(Config::DEFAULT.verification.verification_time).await;
        let given_up =
            Config::DEFAULT.verification.max_unverified as u64 - (taken.held.values + taken.cached.values) as u64;
        assert_eq!(counted(Counter::NotVerified), given_up);

        // One address alone has four places.
        let (one, before) = (network.endpoint(), counted(Counter::UnverifiedFull));
        for n in 0..20 {
            let write = Body::Request(set(&format!("one {n}"), "v"));
            network.send(one.addr(), node.local_addr(), legacy(one.addr(), None, n, write));
            sleep(Duration::from_millis(1)).await;
        }
        sleep(Duration::from_millis(20)).await;
        assert_eq!(
            counted(Counter::UnverifiedFull) - before,
            20 - Config::DEFAULT.verification.max_unverified_per_address as u64
        );
    });
}
