//! One siege from its beginning to its end: what the tests have in common that send a node everything they have.

use kademlia_dynamic::protocol::message::Request;
use kademlia_dynamic::sim::in_virtual_time;
use kademlia_dynamic::{Codec, Node};

use super::besieged::Besieged;

/// A datagram, and why the node drops it, where that is known.
pub(crate) type Shot = (Vec<u8>, Option<&'static str>);

/// How many datagrams a node has dropped for this reason.
pub(crate) fn dropped(node: &Node, reason: &str) -> u64 {
    node.counters().snapshot().get(&format!("kad_dropped_total{{{reason}}}")).copied().unwrap_or(0)
}

/// One node hears all `shots`, and keeps what it has become from one to the next: after each it answers, is within its bounds,
/// and has said nothing that it must not say. Then others ask it `wishes`, for whatever it may have been made to believe;
/// in answer it names more than `names` peers.
pub(crate) fn besiege(
    codec: Codec,
    seed: u64,
    shots: impl IntoIterator<Item = Shot>,
    wishes: impl IntoIterator<Item = Request>,
    names: u64,
) {
    in_virtual_time(async {
        let mut besieged = Besieged::new(codec, seed).await;
        assert_eq!(
            besieged.node().local_addr().to_string(),
            "1.0.0.1:7000",
            "its own address, as the datagrams have it"
        );
        for (datagram, reason) in shots {
            let before = reason.map(|reason| dropped(besieged.node(), reason) + 1);
            besieged.feed(&datagram).await;
            let after = reason.map(|reason| dropped(besieged.node(), reason));
            assert_eq!(after, before, "{codec}: {reason:?}: {}", datagram[..datagram.len().min(300)].escape_ascii());
        }
        let before = besieged.relayed();
        for wish in wishes {
            besieged.ask(wish).await;
        }
        let named = besieged.relayed() - before;
        assert!(named > names, "it named {named} peers");
        besieged.node().stop().await;
    });
}
