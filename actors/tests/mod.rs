//! Tests that reach into a node: its actors by address, panics on demand, strangers that fill the slots.

#[cfg(feature = "sim")]
mod blocklist;
#[cfg(feature = "sim")]
mod chaos;
pub(super) mod drill;
mod errors;
#[cfg(feature = "sim")]
mod failure;
mod flood;
#[cfg(feature = "sim")]
mod joins;
mod life;
mod mocks;
mod panics;
mod placement;
mod slots;
mod unread;

use std::rc::{Rc, Weak};
use std::sync::Arc;

use actix::Message;
use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::store::{MemoryStore, Store};

use super::counters::Counters;
use super::join_state::JoinState;
use super::messages::Handles;
use super::operations::join::resolver::Resolver;
use super::shared::Shared;
use super::socket::transport::Transport;
use super::socket::udp::UdpTransport;
use super::subscriptions::Events;
use super::supervision::{Ended, Lifetime};
use super::unreadable::Unreadable;
use super::wiring::{self, Running, Setup};

/// Makes the actor that gets it panic.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Panic;

macro_rules! panics {
    (receive: $($receiver:ty),*; handle: $($handler:ty),*;) => {
        $(
            impl super::handling::Receive<Panic> for $receiver {
                fn receive(&mut self, _: Panic, _: &mut Self::Context) {
                    panic!("injected by a test");
                }
            }
        )*
        $(
            impl super::handling::Handler<Panic> for $handler {
                fn handle(&mut self, _: Panic, _: &mut Self::Context) -> super::reply::Later<()> {
                    panic!("injected by a test");
                }
            }
        )*
    };
}

panics! {
    receive: super::socket::Socket, super::dispatcher::Dispatcher, super::queries::Queries,
        super::routing_table::RoutingTable, super::lookups::Lookups, super::maintenance::Maintenance, super::pins::Pins,
        super::handoff::Handoff, super::value_store::ValueStore;
    handle: super::node_actor::NodeActor;
}

/// A node on this machine, whose actors can be reached.
fn started(name: &str, config: Config) -> (Running, Ended, std::net::SocketAddr) {
    started_over(name, config, Box::new(MemoryStore::new()))
}

/// The same, over this store.
fn started_over(name: &str, config: Config, store: Box<dyn Store>) -> (Running, Ended, std::net::SocketAddr) {
    let transport = Rc::new(UdpTransport::bind("127.0.0.1:0".parse().unwrap()).unwrap());
    let addr = transport.local_addr();
    let (id, codec, resolver) = (NodeId::of_key(name), Codec::Json, Resolver::system());
    let setup = Setup { id, codec, config, client: false, store, known: None, seed: None, resolver };
    let running = wiring::start(setup, transport);
    let ended = running.ended.clone();
    (running, ended, addr)
}

/// What the actors share of a node that runs as far as a test has it run, and whose actors reach each other by these handles.
pub(super) fn shared(config: Config, handles: Handles) -> Rc<Shared> {
    let counters = Arc::new(Counters::default());
    let (lifetime, _) = Lifetime::new(&config, counters.clone());
    Rc::new(Shared {
        id: NodeId::of_key("own"),
        addr: ([127, 0, 0, 1], 9).into(),
        codec: Codec::Json,
        client: false,
        config,
        seed: Some(1),
        counters,
        events: Events::default(),
        joined: JoinState::new(),
        lifetime,
        handles,
        transport: Weak::<UdpTransport>::new(),
        resolver: Resolver::system(),
        unreadable: Unreadable::default(),
        bursts: std::cell::RefCell::default(),
    })
}

/// Lets every other task have its turn, often enough for a message to go through the whole node.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

fn key(text: &str) -> Arc<str> {
    Arc::from(text)
}
