//! Joining in both directions: ours by legacy nodes, legacy nodes by ours, and each kind through the other.

use kademlia_dynamic::Codec;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::Peer;

use crate::legacy::{Legacy, LegacyNode};
use crate::ours::{Ours, eventually};
use crate::python::Version;

on_each_version_and_wire! {
    ours_joins_legacy_nodes,
    legacy_nodes_join_ours,
    ours_meet_through_a_legacy_node,
    legacy_nodes_meet_through_ours,
    a_host_name_is_a_contact,
    a_contact_that_is_silent_is_named_and_costs_no_time,
}

fn nearest_first(peers: impl IntoIterator<Item = Peer>, target: &NodeId) -> Vec<Peer> {
    let mut peers: Vec<Peer> = peers.into_iter().collect();
    peers.sort_by_key(|peer| peer.id.distance(target));
    peers
}

fn peers(nodes: &[LegacyNode]) -> Vec<Peer> {
    nodes.iter().map(|node| node.peer).collect()
}

async fn no_legacy_node_complains(legacy: &Legacy) {
    assert_eq!(legacy.complaints().await, Vec::<String>::new());
}

async fn ours_joins_legacy_nodes(version: Version, codec: Codec) {
    let Some(legacy) = Legacy::start(version, codec).await else { return };
    let nodes = legacy.nodes(5, &[]).await;
    let ours = Ours::start(codec, &[]).await;
    let outcome = ours.bootstrap(&[nodes[2].addr()]).await;
    assert_eq!(outcome.answered, [nodes[2].peer]);

    let target = NodeId::of_key("anywhere");
    assert_eq!(ours.find_node(target).await, nearest_first(peers(&nodes), &target));
    for node in &nodes {
        eventually("each legacy node has ours in its table", async || legacy.table(node).await.contains(&ours.peer))
            .await;
        assert_eq!(legacy.find_node(node, &ours.peer.id).await.first(), Some(&ours.peer));
        assert_eq!(ours.ping(node.addr()).await, Some(node.peer));
    }
    no_legacy_node_complains(&legacy).await;
    ours.stop().await;
}

async fn legacy_nodes_join_ours(version: Version, codec: Codec) {
    let Some(legacy) = Legacy::start(version, codec).await else { return };
    let first = Ours::start(codec, &[]).await;
    let ours = [Ours::start(codec, &[first.addr()]).await, Ours::start(codec, &[first.addr()]).await, first];
    let nodes = legacy.nodes(4, &[ours[1].addr()]).await;

    for ours in &ours {
        eventually("the last legacy node has ours in its table", async || {
            legacy.find_node(&nodes[3], &ours.peer.id).await.first() == Some(&ours.peer)
        })
        .await;
        for node in &nodes {
            eventually("ours finds each legacy node", async || {
                ours.find_node(node.peer.id).await.first() == Some(&node.peer)
            })
            .await;
        }
    }
    no_legacy_node_complains(&legacy).await;
    for ours in ours {
        ours.stop().await;
    }
}

async fn ours_meet_through_a_legacy_node(version: Version, codec: Codec) {
    let Some(legacy) = Legacy::start(version, codec).await else { return };
    let contact = legacy.nodes(1, &[]).await[0];
    let (a, b) = (Ours::start(codec, &[contact.addr()]).await, Ours::start(codec, &[contact.addr()]).await);
    for (seeker, sought) in [(&a, &b), (&b, &a)] {
        eventually("the other is found", async || seeker.find_node(sought.peer.id).await.first() == Some(&sought.peer))
            .await;
    }
    // They know each other by themselves now.
    legacy.stop(&contact).await;
    assert!(a.find_node(b.peer.id).await.contains(&b.peer));
    no_legacy_node_complains(&legacy).await;
    a.stop().await;
    b.stop().await;
}

async fn legacy_nodes_meet_through_ours(version: Version, codec: Codec) {
    let Some(legacy) = Legacy::start(version, codec).await else { return };
    let ours = Ours::start(codec, &[]).await;
    let a = legacy.nodes(1, &[ours.addr()]).await[0];
    eventually("ours has seen that the first is there", async || ours.find_node(a.peer.id).await.contains(&a.peer))
        .await;
    let b = legacy.nodes(1, &[ours.addr()]).await[0];
    assert!(legacy.table(&b).await.contains(&a.peer));
    assert!(legacy.table(&a).await.contains(&b.peer));
    no_legacy_node_complains(&legacy).await;
    ours.stop().await;
}

async fn a_host_name_is_a_contact(version: Version, codec: Codec) {
    let Some(legacy) = Legacy::start(version, codec).await else { return };
    let nodes = legacy.nodes(3, &[]).await;
    let ours = Ours::start_among(codec, &[format!("localhost:{}", nodes[0].addr().port())]).await;
    eventually("all are found", async || ours.find_node(ours.peer.id).await.len() == 3).await;
    ours.stop().await;
}

async fn a_contact_that_is_silent_is_named_and_costs_no_time(version: Version, codec: Codec) {
    let Some(legacy) = Legacy::start(version, codec).await else { return };
    let nodes = legacy.nodes(3, &[]).await;
    let gone = legacy.nodes(1, &[]).await[0];
    legacy.stop(&gone).await;
    let ours = Ours::start(codec, &[]).await;
    let outcome = ours.bootstrap(&[gone.addr(), nodes[1].addr()]).await;
    // It is waited for no longer than the other takes to answer.
    assert_eq!((outcome.answered, outcome.pending), (vec![nodes[1].peer], vec![gone.addr().to_string()]));
    assert_eq!(ours.find_node(gone.peer.id).await, nearest_first(peers(&nodes), &gone.peer.id));
    ours.stop().await;
}
