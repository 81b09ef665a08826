//! The ground under all actors: what they say to each other. Commands are imperatives, events participles. A message
//! carries what the next room needs, so nobody asks back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Message, Recipient};
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::lookup::Trace;
use kademlia_dynamic::protocol::message::{QueryId, Request, Response};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::routing::TableSnapshot;
use kademlia_dynamic::protocol::store::{StoreError, StoreSnapshot};
use kademlia_dynamic::protocol::value::Value;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::outcome::{BootstrapOutcome, Error, FoundValue, GetOutcome, SetOutcome};

/// One of the dispatch slots (64 by default): it is given back when this is dropped, that is when the datagram has been
/// answered, turned away, or handed to a room that waits.
pub type Permit = OwnedSemaphorePermit;

/// Where an answer goes to an application that waits for it.
pub type Answer<T> = oneshot::Sender<Result<T, Error>>;

// ---- Socket ----

/// Queries → socket: send this query. The socket lets answers from that address past the slots until the query is over.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TransmitQuery {
    /// The query's id.
    pub id: QueryId,
    /// Where it goes.
    pub to: SocketAddr,
    /// Under which id we ask: our own, or that of the asked peer where we must not be inserted.
    pub claim: Option<NodeId>,
    /// The query.
    pub request: Request,
}

/// Queries → socket: a query to this address is over, so one answer less is expected from it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct QueryOver {
    /// The address that was asked.
    pub to: SocketAddr,
}

/// The owner of an answer → socket: send it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TransmitAnswer {
    /// To whom, and what may be spent on it.
    pub to: ReplyTo,
    /// The answer.
    pub response: Response,
}

/// Dispatcher → socket: send this encoded answer, which waited for its address to prove itself.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TransmitHeld {
    /// Where it goes.
    pub to: SocketAddr,
    /// The datagram.
    pub payload: Vec<u8>,
}

/// Where the answer to a stranger's query goes. It walks with the request from room to room.
#[derive(Debug)]
pub struct ReplyTo {
    /// The address that the query came from.
    pub addr: SocketAddr,
    /// The query's id, to be repeated.
    pub id: QueryId,
    /// How many bytes may go to it at once; a larger answer waits until the address has proved itself.
    pub limit: usize,
    /// Its dispatch slot.
    pub permit: Option<Permit>,
}

// ---- Dispatcher ----

/// A datagram on its way in.
#[derive(Debug)]
pub struct Incoming {
    /// Where it came from.
    pub from: SocketAddr,
    /// What it carries.
    pub payload: Vec<u8>,
    /// Its dispatch slot. `None` in the lane of answers to our own queries.
    pub permit: Option<Permit>,
}

/// Socket → dispatcher: strangers' datagrams came in, each with its slot.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct DatagramsReceived(pub Vec<Incoming>);

/// Socket → dispatcher: datagrams came in from addresses that we asked something. They hold no slots.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AnswersReceived(pub Vec<Incoming>);

/// Socket → dispatcher: this answer is larger than an unverified address may be sent. Hold it until it has proved itself.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct HoldAnswer {
    /// Where it goes.
    pub to: SocketAddr,
    /// The datagram.
    pub payload: Vec<u8>,
}

/// Queries → dispatcher: this address echoed a query id of ours, so it is what it says.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AddressVerified(pub SocketAddr);

// ---- Queries ----

/// Whoever wants to know something of a peer → queries. Ends in exactly one [`QueryEvent`] that is not `Slow`.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SendQuery {
    /// Where it goes.
    pub to: SocketAddr,
    /// Who should answer; `None` where only the address is known.
    pub id: Option<NodeId>,
    /// The query.
    pub request: Request,
    /// Who wants to know. `None`: the answer only serves the routing table.
    pub asker: Option<Recipient<QueryEvent>>,
}

/// Queries → who asked: what became of a query.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct QueryEvent {
    /// Where the query went.
    pub to: SocketAddr,
    /// Who should have answered.
    pub id: Option<NodeId>,
    /// What became of it.
    pub result: QueryResult,
}

/// What became of a query.
#[derive(Debug)]
pub enum QueryResult {
    /// The peer answered.
    Answered {
        /// Its answer.
        response: Response,
        /// Who it is, by its own word.
        peer: Peer,
        /// Its protocol version; `None` from a legacy node.
        version: Option<u32>,
        /// How long it took.
        rtt: Duration,
    },
    /// It takes longer than this peer usually needs. The end is still to come.
    Slow,
    /// No answer came in time.
    Silent,
    /// Somebody else answers there.
    WrongId {
        /// The id it gave, if any.
        actual: Option<NodeId>,
    },
    /// It was not sent: too many queries are in flight.
    Unsent,
}

/// Dispatcher → queries: an answer came in.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ResponseReceived {
    /// Where it came from.
    pub from: SocketAddr,
    /// The query's id.
    pub id: QueryId,
    /// Who says it.
    pub sender: Option<NodeId>,
    /// Its protocol version.
    pub version: Option<u32>,
    /// The answer.
    pub response: Response,
}

/// Node → queries: how many are in flight?
#[derive(Debug, Message)]
#[rtype(result = "usize")]
pub struct CountQueries;

// ---- Routing table ----

/// Dispatcher → routing table: this peer asked us something. Queries → routing table: it answered in the place of another.
/// That alone inserts nobody.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PeerSeen {
    /// Who, by its own word.
    pub peer: Peer,
    /// Its protocol version.
    pub version: Option<u32>,
}

/// Queries → routing table: this peer answered a query of ours, from the address that was asked.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PeerAnswered {
    /// Who.
    pub peer: Peer,
    /// Its protocol version.
    pub version: Option<u32>,
}

/// Queries → routing table: this peer did not answer in time.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PeerSilent(pub Peer);

/// Queries → routing table: somebody else answers at this peer's address.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PeerReplaced(pub Peer);

/// Dispatcher, value store → routing table: answer with the peers nearest to `target`.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AnswerNearest {
    /// The id looked for.
    pub target: NodeId,
    /// Whether this answers a `find_value` that found nothing, or a `find_node`.
    pub value_missing: bool,
    /// Where the answer goes.
    pub to: ReplyTo,
}

/// Coordinator → routing table: give this lookup the peers to start from, and hand it back as [`LaunchLookup`].
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SeedLookup(pub LookupKey);

/// Maintenance → routing table: let the buckets that were not looked into for too long be refreshed, or all of them.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct RefreshBuckets {
    /// All, as after a join, or only the stale ones.
    pub all: bool,
}

/// Maintenance → routing table: say [`TableEmpty`] if nobody is known who answers.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CheckTable;

/// Coordinator → routing table: a lookup passed through the bucket of this id.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LookupDone(pub NodeId);

/// Node → routing table: what does it look like?
#[derive(Debug, Message)]
#[rtype(result = "TableSnapshot")]
pub struct DescribeTable;

// ---- Value store ----

/// Dispatcher → value store: a peer wants this value held. Answered on [`Committed`].
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StoreValue {
    /// The key.
    pub key: Arc<str>,
    /// The value.
    pub value: Arc<Value>,
    /// Seconds left, in a restore and with a cached copy.
    pub ttl: Option<u32>,
    /// Whether it is a cached copy.
    pub cached: bool,
    /// Whether its sender is a legacy node.
    pub legacy: bool,
    /// Where the answer goes.
    pub to: ReplyTo,
}

/// What a peer asks the value store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreQuestion {
    /// `find_value`
    FindValue,
    /// `get`
    Get,
    /// `check_store`
    CheckStore,
}

/// Dispatcher → value store: answer a peer's question about this key.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AnswerFromStore {
    /// What is asked.
    pub question: StoreQuestion,
    /// The key.
    pub key: Arc<str>,
    /// Where the answer goes.
    pub to: ReplyTo,
}

/// Node → value store: read this key, here or in the network.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ReadValue {
    /// The key.
    pub key: Arc<str>,
    /// Where the outcome goes.
    pub answer: Answer<GetOutcome>,
}

/// Node → value store: publish this value under this key, here and in the network.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PublishValue {
    /// The key.
    pub key: Arc<str>,
    /// The value.
    pub value: Arc<Value>,
    /// Where the outcome goes.
    pub answer: Answer<SetOutcome>,
}

/// Node → value store: no longer republish this key. Says whether it was published.
#[derive(Debug, Message)]
#[rtype(result = "bool")]
pub struct ReleaseKey(pub Arc<str>);

/// The store's backend → value store: a group of writes is committed, or failed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Committed {
    /// Which group.
    pub group: u64,
    /// Whether it is safe.
    pub result: Result<(), StoreError>,
}

/// Maintenance → value store: republish and restore what is due.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct RepublishDue;

/// Maintenance → value store: forget what has expired.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ExpireValues;

/// Coordinator → value store: the places for this value are found; say what goes there, as [`LaunchPublish`].
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PlacesFound {
    /// What is to be placed.
    pub placing: Placing,
    /// The peers nearest to the key that answered, nearest first, and what the lookup's queries say of the network.
    pub found: Arc<LookupResult>,
}

/// Publish → value store: a placement is over.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PublishDone {
    /// The key.
    pub key: Arc<str>,
    /// Which publication.
    pub version: u64,
    /// Whether any peer holds it now.
    pub stored: bool,
}

/// Node → value store: what do you hold?
#[derive(Debug, Message)]
#[rtype(result = "StoreSnapshot")]
pub struct DescribeStore;

// ---- Lookup coordinator ----

/// What is looked up. Equal ones are one lookup.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LookupKey {
    /// The nodes nearest to an id.
    Nodes(NodeId),
    /// The value of a key.
    Value(Arc<str>),
}

impl LookupKey {
    /// The id that is approached.
    pub fn target(&self) -> NodeId {
        match self {
            LookupKey::Nodes(id) => *id,
            LookupKey::Value(key) => NodeId::of_key(key),
        }
    }
}

/// Why something is looked up, and so what happens with the result.
#[derive(Debug)]
pub enum Purpose {
    /// An application wants the value.
    Get(Answer<GetOutcome>),
    /// An application wants the value or the nearest peers.
    FindValue(Answer<FoundValue>),
    /// An application wants the nearest peers.
    FindNode(Answer<Vec<Peer>>),
    /// A value wants a place.
    Place(Placing),
    /// A bucket wants to be refreshed.
    Refresh,
}

/// A value that wants a place.
#[derive(Debug)]
pub struct Placing {
    /// The key.
    pub key: Arc<str>,
    /// Which publication of it; after the lookup it is placed only if it is still the current one.
    pub version: u64,
    /// Whether its publisher publishes it, or a holder restores it.
    pub restore: bool,
    /// Where the outcome goes, if somebody waits.
    pub answer: Option<Answer<SetOutcome>>,
}

/// Node, value store, maintenance, routing table → coordinator: look this up.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StartLookup {
    /// What.
    pub key: LookupKey,
    /// Why.
    pub purpose: Purpose,
}

/// Routing table → coordinator: the peers that a lookup starts from.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LaunchLookup {
    /// Which lookup.
    pub key: LookupKey,
    /// The nearest peers known, nearest first.
    pub seeds: Vec<Peer>,
    /// Whether legacy peers are in the table.
    pub legacy: bool,
}

/// What a lookup came to.
#[derive(Debug)]
pub struct LookupResult {
    /// The k nearest that answered, nearest first.
    pub closest: Vec<Peer>,
    /// The k nearest of the own table when it began.
    pub own_table: Vec<Peer>,
    /// Whether legacy peers were in the table.
    pub legacy: bool,
    /// The value, if it was looked for and found.
    pub value: Option<Found>,
    /// How many peers were asked.
    pub asked: usize,
    /// How many answered.
    pub answered: usize,
    /// What it did, step by step.
    pub trace: Trace,
}

/// A value that a lookup found.
#[derive(Debug, Clone)]
pub struct Found {
    /// The value.
    pub value: Arc<Value>,
    /// Seconds until the copy that was read expires, where its holder says so.
    pub ttl: Option<u32>,
    /// Who had it.
    pub holder: Peer,
}

/// Lookup → coordinator: it is over. `None`: it broke, and whoever waits gets an error.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LookupFinished {
    /// Which lookup.
    pub key: LookupKey,
    /// What it came to.
    pub result: Option<LookupResult>,
}

/// Value store → coordinator: bring this value to these peers.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LaunchPublish {
    /// The key.
    pub key: Arc<str>,
    /// The value.
    pub value: Arc<Value>,
    /// Which publication.
    pub version: u64,
    /// A restore's seconds left; `None` for a publication.
    pub ttl: Option<u32>,
    /// When the value expires here.
    pub expires_at: Instant,
    /// Who shall have it, nearest first.
    pub targets: Vec<Peer>,
    /// Where the outcome goes, if somebody waits.
    pub answer: Option<Answer<SetOutcome>>,
}

/// Publish → coordinator: it is over.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PublishFinished {
    /// The key.
    pub key: Arc<str>,
    /// Which publication.
    pub version: u64,
}

/// Coordinator → publish: a newer value of the same key is on its way, so end with what you have.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Supersede;

/// Node → coordinator: how many lookups run, and how many wait?
#[derive(Debug, Message)]
#[rtype(result = "(usize, usize)")]
pub struct CountLookups;

// ---- Maintenance ----

/// Node → maintenance: join the network through these contacts, and remember them for when the table is empty.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct JoinNetwork {
    /// `host:port` each, an IP address or a name.
    pub contacts: Vec<String>,
    /// Where the outcome goes.
    pub answer: Option<Answer<BootstrapOutcome>>,
}

/// Routing table → maintenance: nobody is known who answers. These were, lately.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TableEmpty {
    /// Peers that were in the table, most recently answered first.
    pub once_known: Vec<Peer>,
}
