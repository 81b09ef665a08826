//! An actor of an application, tested without a network: its node is among scripted peers, in virtual time, and every run
//! is the same.
//!
//! `cargo run --example mock_peers`
//!
//! Scripted peers are for what real nodes seldom do: keeping silent, lying, losing values. A script names the requests
//! that it is about and leaves the others to what a peer usually does.

use std::time::Duration;

use actix::{Actor, ActorFutureExt, Context, Handler, Message, ResponseActFuture, WrapFuture};
use kademlia_dynamic::protocol::message::Request;
use kademlia_dynamic::sim::{MemoryNetwork, Reply, ScriptedPeers, in_virtual_time};
use kademlia_dynamic::{Codec, Error, Node, Value};
use tokio::time::Instant;

/// The actor that is tested: it asks the network for a price, and takes the last one that it read if no peer answers.
struct Shop {
    node: Node,
    last_read: String,
}

/// What does tea cost?
#[derive(Message)]
#[rtype(result = "Result<String, Error>")]
struct PriceOfTea;

impl Actor for Shop {
    type Context = Context<Self>;
}

impl Handler<PriceOfTea> for Shop {
    type Result = ResponseActFuture<Self, Result<String, Error>>;

    fn handle(&mut self, _: PriceOfTea, _: &mut Self::Context) -> Self::Result {
        let node = self.node.clone();
        let read = async move { node.get("price of tea").await };
        Box::pin(read.into_actor(self).map(|read, shop, _| shop.answer(read)))
    }
}

impl Shop {
    fn answer(&mut self, read: Result<Option<Value>, Error>) -> Result<String, Error> {
        match read {
            Ok(Some(price)) => {
                self.last_read = price.to_string();
                Ok(self.last_read.clone())
            }
            Ok(None) => Ok("not for sale".to_owned()),
            Err(Error::NoneAnswered { asked }) => Ok(format!("{} (none of {asked} peers answers)", self.last_read)),
            Err(other) => Err(other),
        }
    }
}

fn main() -> Result<(), Error> {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7);
        let peers = ScriptedPeers::new(&network, Codec::default()).with(8);
        // One contact is enough: it names the others.
        let node = Node::builder().bootstrap([peers.addr(0)]).start_local_over(network.endpoint()).await?;
        let shop = Shop { node, last_read: "unknown".to_owned() }.start();
        let ask = async || shop.send(PriceOfTea).await.expect("the shop runs");

        let price = ask().await?;
        println!("no peer holds it:   {price}");
        assert_eq!(price, "not for sale");

        peers.hold(5, "price of tea", "3.20");
        let price = ask().await?;
        println!("peer 5 holds it:    {price}");
        assert_eq!(price, "3.20");

        peers.on(|asked| match asked.request {
            Request::FindValue { .. } => Reply::Usual.after(Duration::from_millis(1_500)),
            _ => Reply::Usual,
        });
        let begun = Instant::now();
        let price = ask().await?;
        println!("all are slow:       {price} after {:?} of virtual time", begun.elapsed());
        assert_eq!(price, "3.20");

        peers.on(|_| Reply::Silence);
        let price = ask().await?;
        println!("all are silent:     {price}");
        assert_eq!(price, "3.20 (none of 8 peers answers)");
        println!("the peers received: {} requests", peers.heard().len());
        Ok(())
    })
}
