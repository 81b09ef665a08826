//! The harness itself, tried on legacy nodes among themselves: what fails here is not our node's fault.

use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::value::Value;
use serde_json::json;

use crate::legacy::Legacy;
use crate::python::Version;
use crate::raw::RawClient;

on_each_version_and_wire! { five_nodes_share_their_values }

async fn five_nodes_share_their_values(version: Version, codec: Codec) {
    let Some(legacy) = Legacy::start(version, codec).await else { return };
    let nodes = legacy.nodes(5, &[]).await;
    for value in [Value::from("чай ☕"), Value::from(""), Value::from(b"\0\xff bytes"), Value::from("x".repeat(8_192))]
    {
        let key = format!("{value:?}");
        legacy.set(&nodes[1], &key, &value).await;
        assert_eq!(legacy.get(&nodes[4], &key).await, Some(value.clone()));
        assert_eq!(legacy.held(&nodes[3], &key).await, Some(value.clone()));
        assert_eq!(legacy.find_value(&nodes[2], &key).await.0, Some(value));
    }
    assert_eq!(legacy.get(&nodes[0], "never set").await, None);

    let target = NodeId::of_key("x");
    let found = legacy.find_node(&nodes[0], &target).await;
    assert_eq!(found.len(), 4);
    assert!(found.is_sorted_by_key(|peer| peer.id.distance(&target)));
    assert_eq!(legacy.table(&nodes[0]).await.len(), 4);

    let stranger = legacy.nodes(1, &[nodes[4].addr()]).await[0];
    assert!(legacy.table(&stranger).await.iter().any(|peer| *peer == nodes[0].peer));
    legacy.stop(&nodes[4]).await;
    assert_eq!(legacy.get(&stranger, "Text(\"\")").await, Some(Value::from("")));

    let hermit = legacy.nodes(1, &[]).await[0];
    assert_eq!(legacy.table(&hermit).await, []);
    legacy.bootstrap(&hermit, &[nodes[0].addr()]).await;
    assert!(legacy.table(&hermit).await.contains(&nodes[2].peer));
    assert_eq!(legacy.complaints().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_legacy_node_complains_of_what_it_cannot_handle() {
    let Some(legacy) = Legacy::start(Version::V1_1_1, Codec::Json).await else { return };
    let peer = legacy.nodes(1, &[]).await[0].peer;
    RawClient::to(peer.addr, Codec::Json, &peer.id.to_string()).await.ask_in_vain(b"{\"type\": \"ping\"}").await;
    assert_eq!(legacy.complaints().await.len(), 1);
}

#[tokio::test]
async fn a_wrong_command_is_an_error_and_not_the_end() {
    let Some(legacy) = Legacy::start(Version::V1_1_1, Codec::Json).await else { return };
    for (command, why) in [
        (json!({"do": "dance"}), "unknown command"),
        (json!({"do": "get", "node": 7, "key": "x"}), "IndexError"),
        (json!({"do": "get", "node": 0}), "TypeError"),
    ] {
        let error = legacy.call(command).await.unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    let settings = json!({"k": 4, "alpha": 2, "key_expiry_seconds": 60});
    assert_eq!(legacy.nodes_with(2, &[], settings).await.len(), 2);
}

#[tokio::test]
async fn settings_are_an_error_in_1_0_0_which_has_none() {
    let Some(legacy) = Legacy::start(Version::V1_0_0, Codec::Json).await else { return };
    let command = json!({"do": "start", "n": 1, "serialization": "json", "bootstrap": [], "settings": {"k": 4}});
    assert!(legacy.call(command).await.unwrap_err().contains("TypeError"));
}

#[tokio::test]
async fn a_child_that_ends_is_an_error_for_who_waits() {
    let Some(legacy) = Legacy::start(Version::V1_1_1, Codec::Json).await else { return };
    legacy.nodes(1, &[]).await;
    legacy.quit().await;
    let error = legacy.call(json!({"do": "table", "node": 0})).await.unwrap_err();
    assert!(error.contains("gone") || error.contains("cannot be reached"), "{error}");
}
