//! Tests that reach into the house: its actors by address, panics on demand, strangers that fill the slots.

#[cfg(feature = "sim")]
mod chaos;
pub(super) mod drill;
#[cfg(feature = "sim")]
mod failure;
mod flood;
#[cfg(feature = "sim")]
mod joins;
mod life;
mod panics;
#[cfg(feature = "sim")]
mod poison;
mod slots;
mod unread;

use std::rc::Rc;
use std::sync::Arc;

use actix::Message;
use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::store::{MemoryStore, Store};

use super::assembly::{self, House, Plan};
use super::operations::join::resolver::Resolver;
use super::socket::transport::Transport;
use super::socket::udp::UdpTransport;
use super::supervision::Ended;

/// Makes the actor that gets it panic.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Panic;

macro_rules! panics {
    ($($actor:ty),* $(,)?) => {
        $(
            impl super::handling::Handler<Panic> for $actor {
                type Result = ();

                fn handle(&mut self, _: Panic, _: &mut Self::Context) {
                    panic!("injected by a test");
                }
            }
        )*
    };
}

panics!(
    super::socket::Socket,
    super::dispatcher::Dispatcher,
    super::queries::Queries,
    super::routing_table::RoutingTable,
    super::value_store::ValueStore,
    super::lookup_coordinator::LookupCoordinator,
    super::maintenance::Maintenance,
    super::keeper::Keeper,
    super::hand_off::HandOff,
    super::node_actor::NodeActor,
);

/// A node on this machine, whose actors can be reached.
fn house(name: &str, config: Config) -> (House, Ended, std::net::SocketAddr) {
    house_over(name, config, Box::new(MemoryStore::new()))
}

/// The same, over this store.
fn house_over(name: &str, config: Config, store: Box<dyn Store>) -> (House, Ended, std::net::SocketAddr) {
    let transport = Rc::new(UdpTransport::bind("127.0.0.1:0".parse().unwrap()).unwrap());
    let addr = transport.local_addr();
    let (id, codec, resolver) = (NodeId::of_key(name), Codec::Json, Resolver::system());
    let plan = Plan { id, codec, config, client: false, store, known: None, seed: None, resolver };
    let (house, ended) = assembly::assemble(plan, transport);
    (house, ended, addr)
}

/// Lets every other task have its turn, often enough for a message to walk through the whole house.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

fn key(text: &str) -> Arc<str> {
    Arc::from(text)
}
