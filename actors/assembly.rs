//! The only place that names all actors: it makes them, and introduces them to each other, over a UDP socket or over a
//! network in memory.

use std::rc::Rc;
use std::sync::Arc;

use actix::Addr;
use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::store::{Recollection, Store};

use super::clock::SystemEntropy;
use super::counters::Counters;
use super::dispatcher::{Dispatcher, DispatcherLinks};
use super::events::Events;
use super::hand_off::{HandOff, HandOffLinks};
use super::handling::take_messages;
use super::join_state::{Contacts, JoinState};
use super::keeper::{Keeper, KeeperLinks};
use super::lookup_coordinator::{CoordinatorLinks, LookupCoordinator};
use super::maintenance::{Identity, Maintenance, MaintenanceLinks};
use super::messages::TableEmpty;
use super::node_actor::{Description, NodeActor, NodeLinks};
use super::operations::join::JoinLinks;
use super::operations::join::resolver::Resolver;
use super::queries::{Queries, QueriesLinks};
use super::routing_table::{RoutingTable, TableLinks};
use super::socket::transport::Transport;
use super::socket::{Socket, SocketLinks};
use super::supervision::{Ended, Ender, Lifetime, Mailbox};
use super::unreadable::Unreadable;
use super::value_store::{StoreLinks, ValueStore};

take_messages!(
    Socket,
    Dispatcher,
    Queries,
    RoutingTable,
    ValueStore,
    LookupCoordinator,
    Maintenance,
    Keeper,
    HandOff,
    NodeActor,
);

/// Messages that a mailbox takes by `try_send`. Actors tell each other without that limit; what strangers can fill is
/// bounded by the slots.
const MAILBOX: usize = 1_024;

/// What a node is made of.
pub(crate) struct Plan {
    pub(crate) id: NodeId,
    pub(crate) codec: Codec,
    pub(crate) config: Config,
    /// Never inserted into anybody's table, and so never asked.
    pub(crate) client: bool,
    pub(crate) store: Box<dyn Store>,
    /// What the store knows of the node's last run; `None` where it keeps nothing of the kind.
    pub(crate) known: Option<Recollection>,
    /// `None`: the system's entropy. A seed makes a run repeatable, and its query ids guessable.
    pub(crate) seed: Option<u64>,
    /// How the names of contacts become addresses.
    pub(crate) resolver: Resolver,
}

/// The addresses of all actors of one node.
pub(crate) struct House {
    pub(crate) node: Addr<NodeActor>,
    pub(crate) ender: Ender,
    pub(crate) counters: Arc<Counters>,
    pub(crate) events: Events,
    pub(crate) joined: JoinState,
    #[cfg(test)]
    pub(crate) rooms: Rooms,
}

/// Every long-lived actor, for tests that reach into the house.
#[cfg(test)]
pub(crate) struct Rooms {
    pub(crate) socket: Addr<Socket>,
    pub(crate) dispatcher: Addr<Dispatcher>,
    pub(crate) queries: Addr<Queries>,
    pub(crate) table: Addr<RoutingTable>,
    pub(crate) store: Addr<ValueStore>,
    pub(crate) coordinator: Addr<LookupCoordinator>,
    pub(crate) maintenance: Addr<Maintenance>,
    pub(crate) keeper: Addr<Keeper>,
    pub(crate) hand_off: Addr<HandOff>,
}

/// Makes a node on `transport` and runs it on the current Arbiter. [`Ended`] resolves when nothing of it lives any more.
pub(crate) fn assemble(plan: Plan, transport: Rc<dyn Transport>) -> (House, Ended) {
    let Plan { id, codec, config, client, store: backend, known, seed, resolver } = plan;
    let counters = Arc::new(Counters::default());
    let events = Events::new();
    let (joined, unreadable) = (JoinState::new(), Unreadable::default());
    let (lifetime, ender, ended) = Lifetime::new(&config, counters.clone());
    let addr = transport.local_addr();
    let entropy = |room: u64| -> Box<dyn Entropy> {
        match seed {
            Some(seed) => Box::new(SeededEntropy::new(SeededEntropy::new(seed ^ room).next_u64())),
            None => Box::new(SystemEntropy::default()),
        }
    };

    // All mailboxes first, since the actors know each other in circles.
    let socket = Mailbox::<Socket>::new(MAILBOX);
    let dispatcher = Mailbox::<Dispatcher>::new(config.max_dispatches);
    let queries = Mailbox::<Queries>::new(MAILBOX);
    let table = Mailbox::<RoutingTable>::new(MAILBOX);
    let store = Mailbox::<ValueStore>::new(MAILBOX);
    let coordinator = Mailbox::<LookupCoordinator>::new(MAILBOX);
    let maintenance = Mailbox::<Maintenance>::new(MAILBOX);
    let keeper = Mailbox::<Keeper>::new(MAILBOX);
    let hand_off = Mailbox::<HandOff>::new(MAILBOX);
    let node = Mailbox::<NodeActor>::new(MAILBOX);

    let join = JoinLinks {
        lookup: coordinator.addr().recipient(),
        refresh: table.addr().recipient(),
        resolver,
        transport: Rc::downgrade(&transport),
        unreadable: unreadable.clone(),
    };
    let the_socket = Socket::new(
        transport,
        codec,
        (!client).then_some(id),
        &config,
        counters.clone(),
        SocketLinks {
            received: dispatcher.addr().recipient(),
            answers: dispatcher.addr().recipient(),
            hold: dispatcher.addr().recipient(),
            unsent: queries.addr().recipient(),
        },
    );
    let the_dispatcher = Dispatcher::new(
        codec,
        id,
        config.clone(),
        entropy(6),
        counters.clone(),
        DispatcherLinks {
            unreadable,
            answer: socket.addr().recipient(),
            held: socket.addr().recipient(),
            response: queries.addr().recipient(),
            ping: queries.addr().recipient(),
            seen: table.addr().recipient(),
            nearest: table.addr().recipient(),
            from_store: store.addr().recipient(),
            store: store.addr().recipient(),
        },
    );
    let the_queries = Queries::new(
        (!client).then_some(id),
        config.clone(),
        entropy(1),
        counters.clone(),
        QueriesLinks {
            transmit: socket.addr().recipient(),
            over: socket.addr().recipient(),
            verified: dispatcher.addr().recipient(),
            answered: table.addr().recipient(),
            seen: table.addr().recipient(),
            silent: table.addr().recipient(),
            replaced: table.addr().recipient(),
        },
    );
    let lasting = known.is_some();
    let once_known = known.map(|known| known.peers).unwrap_or_default();
    let the_table = RoutingTable::new(
        id,
        config.clone(),
        once_known.clone(),
        entropy(2),
        events.clone(),
        TableLinks {
            joined: joined.clone(),
            answer: socket.addr().recipient(),
            ping: queries.addr().recipient(),
            newcomer: queries.addr().recipient(),
            launch: coordinator.addr().recipient(),
            lookup: coordinator.addr().recipient(),
            empty: maintenance.addr().recipient(),
            entered: hand_off.addr().recipient(),
            select: store.addr().recipient(),
            remember: lasting.then(|| store.addr().recipient()),
        },
    );
    let the_store = ValueStore::new(
        id,
        config.clone(),
        codec,
        backend,
        entropy(3),
        (counters.clone(), events.clone()),
        StoreLinks {
            answer: socket.addr().recipient(),
            nearest: table.addr().recipient(),
            lookup: coordinator.addr().recipient(),
            compare: coordinator.addr().recipient(),
            publish: coordinator.addr().recipient(),
            watch: keeper.addr().recipient(),
            unwatch: keeper.addr().recipient(),
            ended: keeper.addr().recipient(),
            end: coordinator.addr().recipient(),
            selected: hand_off.addr().recipient(),
        },
    );
    let the_coordinator = LookupCoordinator::new(
        Peer::new(id, addr),
        config.clone(),
        lifetime.clone(),
        counters.clone(),
        events.clone(),
        CoordinatorLinks {
            seed: table.addr().recipient(),
            done: table.addr().recipient(),
            query: queries.addr().recipient(),
            places: store.addr().recipient(),
            compared: store.addr().recipient(),
            published: store.addr().recipient(),
        },
    );
    let the_maintenance = Maintenance::new(
        Identity { own: id, client },
        config.clone(),
        entropy(4),
        lifetime.clone(),
        events.clone(),
        MaintenanceLinks {
            refresh: table.addr().recipient(),
            check: table.addr().recipient(),
            republish: store.addr().recipient(),
            expire: store.addr().recipient(),
            query: queries.addr().recipient(),
            join: join.clone(),
            joined: joined.clone(),
        },
    );
    let the_keeper = Keeper::new(
        config.clone(),
        entropy(5),
        lifetime.clone(),
        events.clone(),
        KeeperLinks {
            audit: store.addr().recipient(),
            republish: store.addr().recipient(),
            unkeep: store.addr().recipient(),
        },
    );
    let the_hand_off = HandOff::new(
        config.clone(),
        client,
        lifetime.clone(),
        counters.clone(),
        HandOffLinks {
            query: queries.addr().recipient(),
            find: table.addr().recipient(),
            give: store.addr().recipient(),
        },
    );
    let the_node = NodeActor::new(
        Description { id, addr, codec },
        config,
        (lifetime.clone(), ender.clone()),
        counters.clone(),
        events.clone(),
        NodeLinks {
            read: store.addr().recipient(),
            audit: store.addr().recipient(),
            publish: store.addr().recipient(),
            release: store.addr().recipient(),
            keep: store.addr().recipient(),
            unkeep: store.addr().recipient(),
            kept: keeper.addr().recipient(),
            copy: store.addr().recipient(),
            probe: store.addr().recipient(),
            lookup: coordinator.addr().recipient(),
            join: maintenance.addr().recipient(),
            table: table.addr().recipient(),
            store: store.addr().recipient(),
            admitted: dispatcher.addr().recipient(),
            queries: queries.addr().recipient(),
            losses: socket.addr().recipient(),
            lookups: coordinator.addr().recipient(),
            leave: hand_off.addr().recipient(),
            query: queries.addr().recipient(),
            ping: join,
            joined: joined.clone(),
        },
    );

    let socket = socket.supervise(&lifetime, "socket", the_socket);
    let dispatcher = dispatcher.supervise(&lifetime, "dispatcher", the_dispatcher);
    let queries = queries.supervise(&lifetime, "queries", the_queries);
    let table = table.supervise(&lifetime, "routing table", the_table);
    let store = store.supervise(&lifetime, "value store", the_store);
    let coordinator = coordinator.supervise(&lifetime, "lookup coordinator", the_coordinator);
    let maintenance = maintenance.supervise(&lifetime, "maintenance", the_maintenance);
    let keeper = keeper.supervise(&lifetime, "keeper", the_keeper);
    let hand_off = hand_off.supervise(&lifetime, "hand-off", the_hand_off);
    let node = node.supervise(&lifetime, "node", the_node);

    if !once_known.is_empty() && !client {
        // Each of them is asked, and enters the table on its own answer. By asking, this node also announces its address, which
        // may be another one than they know.
        let attempt = Some(joined.attempt(Contacts::Remembered));
        maintenance.do_send(TableEmpty { once_known, attempt });
    }

    #[cfg(test)]
    let rooms = Rooms { socket, dispatcher, queries, table, store, coordinator, maintenance, keeper, hand_off };
    #[cfg(not(test))]
    drop((socket, dispatcher, queries, table, store, coordinator, maintenance, keeper, hand_off));
    let house = House {
        node,
        ender,
        counters,
        events,
        joined,
        #[cfg(test)]
        rooms,
    };
    (house, ended)
}
