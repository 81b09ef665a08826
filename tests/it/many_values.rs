//! More values than one publisher can renew in time: what is said of it, and that none is lost. In virtual time.

use std::collections::BTreeSet;
use std::time::Duration;

use kademlia_dynamic::protocol::message::Request;
use kademlia_dynamic::sim::{MemoryNetwork, ScriptedPeers, in_virtual_time};
use kademlia_dynamic::{Codec, Config, Node};
use tokio::time::sleep;

use crate::support::Lines;

/// A node that knows two peers and has set so many values.
async fn publisher(config: Config, values: usize) -> (ScriptedPeers, Node) {
    let network = MemoryNetwork::new(7);
    let peers = ScriptedPeers::new(&network, Codec::Json).with(2);
    let builder = Node::builder().config(config).bootstrap([peers.addr(0)]).seed(1);
    let node = builder.start_local_over(network.endpoint()).await.unwrap();
    for n in 0..values {
        node.set(n.to_string(), "value").await.unwrap();
    }
    peers.forget_heard();
    (peers, node)
}

/// The keys that were placed since that was last forgotten.
fn placed(peers: &ScriptedPeers) -> BTreeSet<String> {
    let key = |request: &Request| match request {
        Request::Set { key, .. } => Some(key.to_string()),
        _ => None,
    };
    peers.heard().iter().filter_map(|asked| key(&asked.request)).collect()
}

#[test]
fn a_publisher_of_more_than_it_can_renew_says_so_and_loses_none() {
    in_virtual_time(async {
        let (lines, _logging) = Lines::of_this_thread();
        let seconds = Duration::from_secs;
        // One value in five seconds, where one in two would be needed.
        let config = Config::builder().k(2).max_lookups(1).max_waiting_lookups(2);
        let config = config.key_expiry(seconds(1_000)).republish_interval(seconds(400)).restore_interval(seconds(100));
        let (peers, node) = publisher(config.build().unwrap(), 200).await;
        sleep(seconds(400)).await;
        assert_eq!(lines.that_say("published again so late"), 0, "its time has only just come");
        sleep(seconds(3_000)).await;
        let reported = lines.that_say("published again so late");
        assert!((3..=6).contains(&reported), "{reported} times in 50 minutes");
        assert_eq!(node.snapshot().await.unwrap().store.published.values, 200);
        let (all, placed) = (200, placed(&peers).len());
        assert_eq!(placed, all, "each has its turn, if late");
    });
}
