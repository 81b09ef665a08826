//! The picture of a node: which actors it has, under which names, over which mailboxes. Nothing else names all of them. Each
//! actor reaches its neighbours by handles, which its fields show.
//!
//! ```text
//! datagrams → socket → dispatcher → table, store → socket → datagrams
//!                                 ↘ queries → operations → lookups, handoff, maintenance, store
//! applications → node → store, lookups, pins, handoff, maintenance
//! ```

use std::rc::Rc;
use std::sync::Arc;

use actix::Addr;
use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::store::{Recollection, Store};

use super::counters::Counters;
use super::dispatcher::Dispatcher;
use super::handles::Handles;
use super::handling::take_messages;
use super::handoff::Handoff;
use super::join_state::{Contacts, JoinState};
use super::lookups::Lookups;
use super::maintenance::Maintenance;
use super::messages::TableEmpty;
use super::node_actor::NodeActor;
use super::operations::join::JoinContext;
use super::operations::join::resolver::Resolver;
use super::pins::Pins;
use super::queries::Queries;
use super::routing_table::RoutingTable;
use super::shared::Shared;
use super::socket::Socket;
use super::socket::transport::Transport;
use super::subscriptions::Events;
use super::supervision::{Ended, Ender, Lifetime, Mailbox};
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

/// A running node, as its handle needs it.
pub(crate) struct Running {
    pub(crate) node: Addr<NodeActor>,
    pub(crate) ender: Ender,
    pub(crate) counters: Arc<Counters>,
    pub(crate) events: Events,
    pub(crate) joined: JoinState,
    #[cfg_attr(not(test), expect(dead_code, reason = "tests reach them by address"))]
    pub(crate) actors: Actors,
}

/// The long-lived actors behind the front door.
#[cfg_attr(not(test), expect(dead_code, reason = "tests reach them by address"))]
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

/// The mailboxes, made before the actors, since these reach each other in rings.
struct Mailboxes {
    socket: Mailbox<Socket>,
    dispatcher: Mailbox<Dispatcher>,
    queries: Mailbox<Queries>,
    table: Mailbox<RoutingTable>,
    store: Mailbox<ValueStore>,
    lookups: Mailbox<Lookups>,
    maintenance: Mailbox<Maintenance>,
    pins: Mailbox<Pins>,
    handoff: Mailbox<Handoff>,
}

impl Mailboxes {
    fn new(config: &Config) -> Self {
        Self {
            socket: Mailbox::new(MAILBOX),
            dispatcher: Mailbox::new(config.limits.max_dispatches),
            queries: Mailbox::new(MAILBOX),
            table: Mailbox::new(MAILBOX),
            store: Mailbox::new(MAILBOX),
            lookups: Mailbox::new(MAILBOX),
            maintenance: Mailbox::new(MAILBOX),
            pins: Mailbox::new(MAILBOX),
            handoff: Mailbox::new(MAILBOX),
        }
    }

    fn handles(&self) -> Handles {
        Handles {
            socket: Arc::new(self.socket.addr()),
            dispatcher: Arc::new(self.dispatcher.addr()),
            queries: Arc::new(self.queries.addr()),
            table: Arc::new(self.table.addr()),
            store: Arc::new(self.store.addr()),
            lookups: Arc::new(self.lookups.addr()),
            maintenance: Arc::new(self.maintenance.addr()),
            pins: Arc::new(self.pins.addr()),
            handoff: Arc::new(self.handoff.addr()),
        }
    }
}

/// Starts a node over `transport` on the current Arbiter. [`Ended`] resolves when nothing of it lives any more.
pub(crate) fn start(setup: Setup, transport: Rc<dyn Transport>) -> (Running, Ended) {
    let Setup { id, codec, config, client, store, known, seed, resolver } = setup;
    let (counters, events, joined) = (Arc::new(Counters::default()), Events::default(), JoinState::new());
    let (lifetime, ended) = Lifetime::new(&config, counters.clone());
    let addr = transport.local_addr();
    let shared = Rc::new(Shared { id, addr, codec, client, config, seed, counters, events, joined, lifetime });
    let known = known.map(|known| known.peers);
    let once_known = known.clone().unwrap_or_default();

    let mailboxes = Mailboxes::new(&shared.config);
    let handles = mailboxes.handles();
    let unreadable = Unreadable::default();
    let join = JoinContext {
        lookups: handles.lookups.clone(),
        table: handles.table.clone(),
        resolver,
        transport: Rc::downgrade(&transport),
        unreadable: unreadable.clone(),
    };
    let life = &shared.lifetime;
    let node = NodeActor::new(&shared, join.clone(), &handles);
    let node = Mailbox::new(MAILBOX).supervise(life, "node", node);
    let actors = Actors {
        socket: mailboxes.socket.supervise(life, "socket", Socket::new(&shared, transport, &handles)),
        dispatcher: mailboxes.dispatcher.supervise(life, "dispatcher", Dispatcher::new(&shared, unreadable, &handles)),
        queries: mailboxes.queries.supervise(life, "queries", Queries::new(&shared, &handles)),
        table: mailboxes.table.supervise(life, "routing table", RoutingTable::new(&shared, known, &handles)),
        store: mailboxes.store.supervise(life, "value store", ValueStore::new(&shared, store, &handles)),
        lookups: mailboxes.lookups.supervise(life, "lookups", Lookups::new(&shared, &handles)),
        maintenance: mailboxes.maintenance.supervise(life, "maintenance", Maintenance::new(&shared, join, &handles)),
        pins: mailboxes.pins.supervise(life, "pins", Pins::new(&shared, &handles)),
        handoff: mailboxes.handoff.supervise(life, "handoff", Handoff::new(&shared, &handles)),
    };

    if !once_known.is_empty() && !client {
        // Each of them is asked, and enters the table on its own answer. By asking, this node also announces its address, which
        // may be another one than they know.
        let attempt = Some(shared.joined.attempt(Contacts::Remembered));
        handles.maintenance.table_empty(TableEmpty { once_known, attempt });
    }
    let running = Running {
        node,
        ender: shared.lifetime.ender(),
        counters: shared.counters.clone(),
        events: shared.events.clone(),
        joined: shared.joined.clone(),
        actors,
    };
    (running, ended)
}
