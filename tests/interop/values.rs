//! Values set on either side and read on the other, with their type; and values that outlive their publisher.

use std::time::Duration;

use kademlia_dynamic::actors::counters::Counter;
use kademlia_dynamic::protocol::config::AppliesTo;
use kademlia_dynamic::{Codec, Config, Value};

use crate::legacy::{Legacy, LegacyNode};
use crate::messages::values;
use crate::ours::{Ours, eventually};
use crate::python::Version;
use crate::raw::{Raw, RawClient};

on_each_version_and_wire! {
    what_ours_sets_legacy_nodes_and_ours_read,
    what_legacy_nodes_set_ours_and_legacy_nodes_read,
    what_ours_overwrites_legacy_nodes_read_anew,
    a_value_of_ours_survives_its_publisher,
    what_ours_publishes_is_renewed_at_its_legacy_holders,
    a_value_of_a_legacy_node_survives_its_publisher,
    a_copy_that_a_legacy_reader_caches_at_ours_is_served,
    a_legacy_node_that_has_to_prove_itself_joins_and_reads_50_kilobytes,
}

/// A network of three legacy nodes and two of ours, in which each knows all others.
struct Mixed {
    legacy: Legacy,
    nodes: Vec<LegacyNode>,
    ours: Vec<Ours>,
    codec: Codec,
}

impl Mixed {
    async fn start(version: Version, codec: Codec) -> Option<Self> {
        let legacy = Legacy::start(version, codec).await?;
        let nodes = legacy.nodes(3, &[]).await;
        let ours = vec![Ours::start(codec, &[nodes[0].addr()]).await, Ours::start(codec, &[nodes[1].addr()]).await];
        let mixed = Self { legacy, nodes, ours, codec };
        for node in &mixed.nodes {
            eventually("a legacy node knows the four others", async || mixed.legacy.table(node).await.len() == 4).await;
        }
        for ours in &mixed.ours {
            eventually("ours finds the four others", async || ours.find_node(ours.peer.id).await.len() == 4).await;
        }
        Some(mixed)
    }

    /// A legacy node and one of ours that join now, and so hold nothing: what they read came over the wire.
    async fn late_readers(&self) -> (LegacyNode, Ours) {
        let contact = [self.nodes[1].addr()];
        let ours = Ours::start(self.codec, &contact).await;
        (self.legacy.nodes(1, &contact).await[0], ours)
    }

    async fn end(self) {
        assert_eq!(self.legacy.complaints().await, Vec::<String>::new());
        for ours in self.ours {
            ours.stop().await;
        }
    }
}

/// The values, each under a key of its own; one key is not ASCII, one is empty.
fn keys_and_values() -> Vec<(String, Value)> {
    let named = |(at, value)| {
        let key = match at {
            0 => "ключ ☕".to_owned(),
            1 => String::new(),
            _ => format!("key {at}"),
        };
        (key, value)
    };
    values().into_iter().enumerate().map(named).collect()
}

async fn what_ours_sets_legacy_nodes_and_ours_read(version: Version, codec: Codec) {
    let Some(mixed) = Mixed::start(version, codec).await else { return };
    for (key, value) in keys_and_values() {
        let outcome = mixed.ours[0].set(&key, &value).await;
        let counts = (outcome.asked, outcome.stored, outcome.refused, outcome.silent);
        assert_eq!(counts, (4, 4, 0, 0), "{value:?}");
    }
    let (late, late_ours) = mixed.late_readers().await;
    for (key, value) in keys_and_values() {
        for node in &mixed.nodes {
            assert_eq!(mixed.legacy.held(node, &key).await, Some(value.clone()));
        }
        assert_eq!(mixed.legacy.find_value(&mixed.nodes[0], &key).await.0, Some(value.clone()));
        assert_eq!(mixed.legacy.get(&late, &key).await, Some(value.clone()));
        assert_eq!(mixed.ours[1].get(&key).await, Some(value.clone()));
        assert_eq!(late_ours.get(&key).await, Some(value));
    }
    assert_eq!(mixed.legacy.get(&late, "never set").await, None);
    assert_eq!(late_ours.get("never set").await, None);
    late_ours.stop().await;
    mixed.end().await;
}

async fn what_legacy_nodes_set_ours_and_legacy_nodes_read(version: Version, codec: Codec) {
    let Some(mixed) = Mixed::start(version, codec).await else { return };
    for (key, value) in keys_and_values() {
        mixed.legacy.set(&mixed.nodes[0], &key, &value).await;
    }
    let (late, late_ours) = mixed.late_readers().await;
    for (key, value) in keys_and_values() {
        for ours in mixed.ours.iter().chain([&late_ours]) {
            assert_eq!(ours.get(&key).await, Some(value.clone()));
        }
        assert_eq!(mixed.legacy.find_value(&mixed.nodes[0], &key).await.0, Some(value.clone()));
        assert_eq!(mixed.legacy.get(&late, &key).await, Some(value));
    }
    late_ours.stop().await;
    mixed.end().await;
}

async fn what_ours_overwrites_legacy_nodes_read_anew(version: Version, codec: Codec) {
    let Some(mixed) = Mixed::start(version, codec).await else { return };
    mixed.legacy.set(&mixed.nodes[2], "k", &Value::from("theirs")).await;
    for value in [Value::from("ours"), Value::from(b"\xff ours, later"), Value::from("")] {
        let outcome = mixed.ours[1].set("k", &value).await;
        assert_eq!(outcome.stored, 4, "{outcome:?}");
        for node in &mixed.nodes {
            assert_eq!(mixed.legacy.get(node, "k").await, Some(value.clone()));
        }
        assert_eq!(mixed.ours[0].get("k").await, Some(value));
    }
    mixed.end().await;
}

async fn a_value_of_ours_survives_its_publisher(version: Version, codec: Codec) {
    let Some(mut mixed) = Mixed::start(version, codec).await else { return };
    for (key, value) in keys_and_values() {
        let outcome = mixed.ours[0].set(&key, &value).await;
        assert_eq!(outcome.stored, 4, "{outcome:?}");
    }
    mixed.ours.remove(0).stop().await;
    what_was_set_is_read_by_newcomers(mixed).await;
}

/// The only test here in which time must really pass: a republication is due each second.
async fn what_ours_publishes_is_renewed_at_its_legacy_holders(version: Version, codec: Codec) {
    let Some(legacy) = Legacy::start(version, codec).await else { return };
    let nodes = legacy.nodes(3, &[]).await;
    let config = Config::builder().republish_interval(Duration::from_secs(1)).build();
    let ours = Ours::start_alone(codec, config.expect("the settings are in their ranges")).await;
    ours.bootstrap(&[nodes[0].addr()]).await;
    assert_eq!(ours.set("key", &Value::from("value")).await.stored, 3);
    for node in &nodes {
        let mut expiry = legacy.expiry(node, "key").await.expect("it has stored it");
        // Twice: the second time it is a renewal that is renewed.
        for _ in 0..2 {
            eventually("the copy lives longer", async || legacy.expiry(node, "key").await > Some(expiry)).await;
            expiry = legacy.expiry(node, "key").await.expect("it lives");
        }
        assert_eq!(legacy.held(node, "key").await, Some("value".into()));
    }
    ours.stop().await;
    assert_eq!(legacy.complaints().await, Vec::<String>::new());
}

async fn a_value_of_a_legacy_node_survives_its_publisher(version: Version, codec: Codec) {
    let Some(mixed) = Mixed::start(version, codec).await else { return };
    for (key, value) in keys_and_values() {
        mixed.legacy.set(&mixed.nodes[2], &key, &value).await;
    }
    mixed.legacy.stop(&mixed.nodes[2]).await;
    what_was_set_is_read_by_newcomers(mixed).await;
}

async fn what_was_set_is_read_by_newcomers(mixed: Mixed) {
    let (late, late_ours) = mixed.late_readers().await;
    for (key, value) in keys_and_values() {
        assert_eq!(mixed.legacy.get(&late, &key).await, Some(value.clone()));
        assert_eq!(late_ours.get(&key).await, Some(value));
    }
    late_ours.stop().await;
    mixed.end().await;
}

async fn a_copy_that_a_legacy_reader_caches_at_ours_is_served(version: Version, codec: Codec) {
    let Some(legacy) = Legacy::start(version, codec).await else { return };
    let holder = legacy.nodes(1, &[]).await[0];
    let ours = Ours::start(codec, &[holder.addr()]).await;
    eventually("the holder has ours in its table", async || legacy.table(&holder).await.contains(&ours.peer)).await;
    let by_hand = async |at, id: String| RawClient::to(at, codec, &id).await;
    let at_holder = by_hand(holder.addr(), holder.peer.id.to_string()).await;
    let at_ours = by_hand(ours.addr(), ours.peer.id.to_string()).await;
    let reader = legacy.nodes(1, &[holder.addr()]).await[0];
    assert!(legacy.table(&reader).await.contains(&ours.peer));

    for (key, value) in keys_and_values() {
        // Only the holder has it until the reader, which asks both at once, leaves a copy with the one that lacks it.
        at_holder.ask("set", [("key", key.as_str().into()), ("value", (&value).into())]).await;
        assert_eq!(legacy.get(&reader, &key).await, Some(value.clone()));
        let answer = at_ours.ask("find_value", [("key", key.as_str().into())]).await;
        assert_eq!(answer.field("value"), Some(&Raw::from(&value)), "{key}");
        assert_eq!(ours.get(&key).await, Some(value));
    }
    ours.stop().await;
}

async fn a_legacy_node_that_has_to_prove_itself_joins_and_reads_50_kilobytes(version: Version, codec: Codec) {
    let Some(legacy) = Legacy::start(version, codec).await else { return };
    // On this machine too each address has to prove itself, one is remembered to have, and no peer receives a transfer.
    let config = Config::builder().source_verification(AppliesTo::Always).max_verified_addresses(1).handoff_rate(0);
    let ours = Ours::start_alone(codec, config.build().expect("the settings are in their ranges")).await;
    let value = Value::from("x".repeat(50_000));
    assert_eq!(ours.set("large", &value).await.asked, 0, "it alone holds the value");

    let reader = legacy.nodes(1, &[ours.addr()]).await[0];
    assert!(legacy.table(&reader).await.contains(&ours.peer));
    eventually("ours has the reader in its table", async || ours.known().await == 1).await;
    // Another one proves itself, so what the reader has proved so far is forgotten.
    let other = Ours::start(codec, &[]).await;
    assert_eq!(ours.ping(other.addr()).await, Some(other.peer));

    let before = ours.count(Counter::Unverified);
    assert_eq!(legacy.held(&reader, "large").await, None);
    assert_eq!(legacy.get(&reader, "large").await, Some(value));
    assert_eq!(ours.count(Counter::Unverified), before + 1, "the answer waited for the pong");
    assert_eq!(ours.count(Counter::NotVerified), 0, "which came");
    assert_eq!(legacy.complaints().await, Vec::<String>::new());
    other.stop().await;
    ours.stop().await;
}
