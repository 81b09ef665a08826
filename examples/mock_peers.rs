//! An application tested without a network: peers that do as they are told, in virtual time, the same at every run.
//!
//! `cargo run --example mock_peers`
//!
//! Scripted peers are for what real nodes seldom do: keeping silent, lying, losing values. A script names the requests
//! that it cares for and leaves the others to what a peer usually does.

use std::time::Duration;

use kademlia_dynamic::protocol::message::Request;
use kademlia_dynamic::sim::{MemoryNetwork, Reply, ScriptedPeers, in_virtual_time};
use kademlia_dynamic::{Codec, Error, Node};
use tokio::time::Instant;

/// What is tested: it asks the network for a price, and takes the last known one if nobody answers.
async fn price(node: &Node, last_known: &str) -> Result<String, Error> {
    match node.get("price of tea").await {
        Ok(Some(price)) => Ok(price.as_text().unwrap_or(last_known).to_owned()),
        Ok(None) => Ok("not for sale".to_owned()),
        Err(Error::NobodyAnswered { asked }) => Ok(format!("{last_known} (none of {asked} peers answers)")),
        Err(other) => Err(other),
    }
}

fn main() -> Result<(), Error> {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7);
        let peers = ScriptedPeers::new(&network, Codec::Json).with(8);
        // One contact is enough: it names the others.
        let node = Node::builder().bootstrap([peers.addr(0)]).start_local_over(network.endpoint()).await?;
        println!("nobody holds it:    {}", price(&node, "3.10").await?);

        peers.hold(5, "price of tea", "3.20");
        println!("peer 5 holds it:    {}", price(&node, "3.10").await?);

        peers.on(|asked| match asked.request {
            Request::FindValue { .. } => Reply::Usual.after(Duration::from_millis(1_500)),
            _ => Reply::Usual,
        });
        let begun = Instant::now();
        println!("all are slow:       {} after {:?} of virtual time", price(&node, "3.10").await?, begun.elapsed());

        peers.on(|_| Reply::Silence);
        println!("all are silent:     {}", price(&node, "3.10").await?);
        println!("the peers heard:    {} requests", peers.heard().len());
        Ok(())
    })
}
