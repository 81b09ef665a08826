//! The picture of a node: which actors it has, under which names, over which mailboxes. Nothing else names all of them. Each
//! actor reaches its neighbours by handles.
//!
//! ```text
//! datagrams → socket → dispatcher → table, store → socket → datagrams
//!                                 ↘ queries → operations → lookups, handoff, maintenance, store
//! applications → node → store, lookups, pins, handoff, maintenance
//! ```

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use actix::{Actor, Addr, Context};
use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::store::{Recollection, Store};

use super::counters::Counters;
use super::dispatcher::Dispatcher;
use super::handling::take_messages;
use super::handoff::Handoff;
use super::join_state::{Contacts, JoinState};
use super::lookups::Lookups;
use super::maintenance::Maintenance;
use super::messages::{Handles, TableEmpty};
use super::node_actor::NodeActor;
use super::operations::join::resolver::Resolver;
use super::pins::Pins;
use super::queries::Queries;
use super::routing_table::RoutingTable;
use super::shared::Shared;
use super::socket::Socket;
use super::socket::transport::Transport;
use super::subscriptions::Events;
use super::supervision::{Ended, Ender, Lifetime, Mailbox, StopReason};
use super::unreadable::Unreadable;
use super::value_store::ValueStore;

take_messages! {
    receive: Socket, Dispatcher, Queries, RoutingTable, ValueStore, Lookups, Maintenance, Pins, Handoff;
    handle: NodeActor;
}

/// Messages that a mailbox takes when they are offered. Between actors nothing is offered but what strangers send, which
/// the slots bound.
const MAILBOX: usize = 1_024;

/// What a node is made of.
pub(crate) struct Setup {
    pub(crate) id: NodeId,
    pub(crate) codec: Codec,
    pub(crate) config: Config,
    /// Never inserted into any table, and so never asked.
    pub(crate) client: bool,
    pub(crate) store: Box<dyn Store>,
    /// What the store knows of the node's last run; `None` where it keeps nothing of the kind.
    pub(crate) known: Option<Recollection>,
    /// `None`: the system's entropy. A seed makes a run repeatable, and its query ids guessable.
    pub(crate) seed: Option<u64>,
    /// How the names of contacts become addresses.
    pub(crate) resolver: Resolver,
}

/// A running node, as its handle needs it. It ends when this is dropped.
pub(crate) struct Running {
    pub(crate) node: Addr<NodeActor>,
    pub(crate) id: NodeId,
    pub(crate) addr: SocketAddr,
    pub(crate) codec: Codec,
    pub(crate) ender: Ender,
    pub(crate) ended: Ended,
    pub(crate) counters: Arc<Counters>,
    pub(crate) events: Events,
    pub(crate) joined: JoinState,
    #[cfg(test)]
    pub(crate) actors: Actors,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ender.end(StopReason::Asked);
    }
}

fn mailbox<A: Actor<Context = Context<A>>>() -> Mailbox<A> {
    Mailbox::new(MAILBOX)
}

/// Starts a node over `transport` on the current Arbiter.
pub(crate) fn start(setup: Setup, transport: Rc<dyn Transport>) -> Running {
    let Setup { id, codec, config, client, store: backend, known, seed, resolver } = setup;
    let counters = Arc::new(Counters::default());
    let (lifetime, ended) = Lifetime::new(&config, counters.clone());
    // The mailboxes come before the actors, since these reach each other in rings.
    let (node, socket, dispatcher) = (mailbox(), mailbox(), Mailbox::new(config.limits.max_dispatches));
    let (queries, table, store) = (mailbox(), mailbox(), mailbox());
    let (lookups, maintenance, pins, handoff) = (mailbox(), mailbox(), mailbox(), mailbox());
    let handles = Handles {
        socket: Arc::new(socket.addr()),
        dispatcher: Arc::new(dispatcher.addr()),
        queries: Arc::new(queries.addr()),
        table: Arc::new(table.addr()),
        store: Arc::new(store.addr()),
        lookups: Arc::new(lookups.addr()),
        maintenance: Arc::new(maintenance.addr()),
        pins: Arc::new(pins.addr()),
        handoff: Arc::new(handoff.addr()),
    };
    let shared = Rc::new(Shared {
        id,
        addr: transport.local_addr(),
        codec,
        client,
        config,
        seed,
        counters,
        events: lifetime.events().clone(),
        joined: JoinState::new(),
        lifetime,
        handles,
        transport: Rc::downgrade(&transport),
        resolver,
        unreadable: Unreadable::default(),
        bursts: std::cell::RefCell::default(),
    });
    let running = Running {
        node: node.addr(),
        id,
        addr: shared.addr,
        codec,
        ender: shared.lifetime.ender(),
        ended,
        counters: shared.counters.clone(),
        events: shared.events.clone(),
        joined: shared.joined.clone(),
        #[cfg(test)]
        actors: Actors {
            socket: socket.addr(),
            dispatcher: dispatcher.addr(),
            queries: queries.addr(),
            table: table.addr(),
            store: store.addr(),
            lookups: lookups.addr(),
            maintenance: maintenance.addr(),
            pins: pins.addr(),
            handoff: handoff.addr(),
        },
    };

    let known = known.map(|known| known.peers);
    let once_known = known.clone().unwrap_or_default();
    let life = &shared.lifetime;
    node.supervise(life, "node", NodeActor::new(&shared));
    socket.supervise(life, "socket", Socket::new(&shared, transport));
    dispatcher.supervise(life, "dispatcher", Dispatcher::new(&shared));
    queries.supervise(life, "queries", Queries::new(&shared));
    table.supervise(life, "routing table", RoutingTable::new(&shared, known));
    store.supervise(life, "value store", ValueStore::new(&shared, backend));
    lookups.supervise(life, "lookups", Lookups::new(&shared));
    maintenance.supervise(life, "maintenance", Maintenance::new(&shared));
    pins.supervise(life, "pins", Pins::new(&shared));
    handoff.supervise(life, "handoff", Handoff::new(&shared));

    if !once_known.is_empty() && !client {
        // Each of them is asked, and enters the table on its own answer. By asking, this node also announces its address, which
        // may be another one than they know.
        let attempt = Some(shared.joined.attempt(Contacts::Remembered));
        shared.handles.maintenance.table_empty(TableEmpty { once_known, attempt });
    }
    running
}

/// The long-lived actors behind the front door.
#[cfg(test)]
pub(crate) struct Actors {
    pub(crate) socket: Addr<Socket>,
    pub(crate) dispatcher: Addr<Dispatcher>,
    pub(crate) queries: Addr<Queries>,
    pub(crate) table: Addr<RoutingTable>,
    pub(crate) store: Addr<ValueStore>,
    pub(crate) lookups: Addr<Lookups>,
    pub(crate) maintenance: Addr<Maintenance>,
    pub(crate) pins: Addr<Pins>,
    pub(crate) handoff: Addr<Handoff>,
}
