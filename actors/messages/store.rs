//! What the value store is sent.

use std::sync::Arc;

use actix::Message;
use kademlia_dynamic::protocol::comparison::Later;
use kademlia_dynamic::protocol::entry::{Entries, Entry, Nonce};
use kademlia_dynamic::protocol::id::{Distance, NodeId};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::prefix::Prefix;
use kademlia_dynamic::protocol::ranges::{RangeAnswer, Ranges};
use kademlia_dynamic::protocol::reconcile::{Asked, Compared};
use kademlia_dynamic::protocol::store::{DueValue, KeyPage, StoreError, StoreSnapshot, StoredCopy, ToCompare};
use kademlia_dynamic::protocol::transfer::{Neighbour, Neighbours};
use kademlia_dynamic::protocol::value::Value;
use tokio::sync::oneshot;

use super::super::outcome::{Health, SetOutcome};
use super::handle::handle;
use super::{Answer, Placing, PrepareTransfer, Priority, ReplyTo, SelectValues};

handle! {
    /// Reaches the value store.
    StoreHandle = StoreInbox {
        send write(StoreValue);
        send answer(AnswerFromStore);
        send renew(RenewValues);
        send reconcile(ReconcileRanges);
        send compare_copies(CompareCopies);
        send audit(AuditKey);
        send pin(PinKey);
        send unpin(UnpinKey);
        send republish(RepublishKey);
        send publish(PublishValue);
        send release(ReleaseKey);
        send republish_due(RepublishDue);
        send expire(ExpireValues);
        send prepare_placement(PreparePlacement);
        send placement_ended(PlacementEnded);
        send select_due(SelectDue);
        send prepare_renewals(PrepareRenewals);
        send remember(RememberPeers);
        send select(SelectValues);
        send prepare_transfer(PrepareTransfer);
        send prepare_question(PrepareQuestion);
        send compare_answer(CompareAnswer);
        send describe_entries(DescribeEntries);
        send probe(ProbeStore);
        ask find_copy(FindCopy) -> Option<StoredCopy>;
        ask describe(DescribeStore) -> StoreSnapshot;
        ask list(SelectKeys) -> KeyPage;
    }
}

/// Dispatcher → value store: a peer wants this value stored. Answered once it is committed.
pub struct StoreValue {
    /// The key.
    pub key: Arc<str>,
    /// The value.
    pub value: Arc<Value>,
    /// Seconds left, in a restore and with a cached copy.
    pub ttl: Option<u32>,
    /// Seconds since its publication, in a restore by a node that knows.
    pub age: Option<u32>,
    /// Whether it is a cached copy.
    pub cached: bool,
    /// Whether its sender is a legacy node.
    pub legacy: bool,
    /// Where the answer goes.
    pub to: ReplyTo,
}

/// Dispatcher → value store: a peer renews these copies, and asks which are lacking. Answered once what it renews is committed.
pub struct RenewValues {
    /// The values.
    pub entries: Entries,
    /// Where the answer goes.
    pub to: ReplyTo,
}

/// Routing table → value store: a peer asks what is held otherwise here than there, and wants values sent.
pub struct ReconcileRanges {
    /// The peer, which has answered this node before.
    pub peer: Neighbour,
    /// The known peers.
    pub neighbours: Neighbours,
    /// What it asks about.
    pub ranges: Ranges,
    /// The places of the values that it wants.
    pub wanted: Vec<NodeId>,
    /// Where the answer goes.
    pub to: ReplyTo,
}

/// Exchange → value store: read what is held, for the next question.
pub struct PrepareQuestion {
    /// What is to be asked about, the next one last.
    pub open: Vec<Prefix>,
    /// How many packed bytes the question may have.
    pub room: usize,
    /// Where the question goes, and what it leaves of `open`.
    pub answer: oneshot::Sender<(Asked, Vec<Prefix>)>,
}

/// Exchange → value store: compare what is held with a peer's answer.
pub struct CompareAnswer {
    /// What was asked.
    pub asked: Asked,
    /// The peer's answer.
    pub answers: Vec<RangeAnswer>,
    /// Where the result goes.
    pub answer: oneshot::Sender<Compared>,
}

/// Push → value store: name the copies of these keys, as restores.
pub struct DescribeEntries {
    /// The keys.
    pub keys: Vec<Arc<str>>,
    /// The receiver of the keys that are held, with an entry for each. Dropped where there are none.
    pub answer: oneshot::Sender<(Vec<Arc<str>>, Entries)>,
}

/// Push → value store: a peer holds other values of these keys, which are later, or may be; or it wants none.
pub struct CompareCopies(pub Vec<Arc<str>>);

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
pub struct AnswerFromStore {
    /// What is asked.
    pub question: StoreQuestion,
    /// The key.
    pub key: Arc<str>,
    /// Where the answer goes.
    pub to: ReplyTo,
}

/// Node → value store: report how this key is stored here, and have the peers asked that should hold it.
pub struct AuditKey {
    /// The key.
    pub key: Arc<str>,
    /// Whether a caller waits for it, or this node's upkeep.
    pub priority: Priority,
    /// Where the outcome goes.
    pub answer: Answer<Health>,
}

/// Node → value store: pin this key, which must be published here, against other writers; then have its replicas looked after,
/// as [`WatchKey`](super::WatchKey).
pub struct PinKey {
    /// The key.
    pub key: Arc<str>,
    /// The least number of replicas that it should have.
    pub min_replicas: usize,
    /// Where the outcome goes.
    pub answer: Answer<()>,
}

/// Node → value store: other writers may supersede this key again; then end the pin, as
/// [`UnwatchKey`](super::UnwatchKey). Pins → value store: the same, of a key that cannot be looked after.
pub struct UnpinKey {
    /// The key.
    pub key: Arc<str>,
    /// Where it goes whether the key was pinned, unless the request comes from the pins.
    pub answer: Option<Answer<bool>>,
}

/// Pins → value store: publish this key's value again now, before its interval has passed.
pub struct RepublishKey {
    /// The key.
    pub key: Arc<str>,
    /// Where the outcome goes.
    pub answer: Answer<SetOutcome>,
}

/// Lookups → value store: publish this value under this key, whose places are being looked up.
pub struct PublishValue {
    /// The key.
    pub key: Arc<str>,
    /// The value.
    pub value: Arc<Value>,
    /// Where the outcome goes. It goes with the placing, once the value is committed.
    pub answer: Answer<SetOutcome>,
    /// The placement, which goes on once the value is committed. It is dropped if that comes to nothing.
    pub placing: oneshot::Sender<Placing>,
}

/// Node → value store: no longer republish this key.
pub struct ReleaseKey {
    /// The key.
    pub key: Arc<str>,
    /// Where it goes whether the key was published.
    pub answer: Answer<bool>,
}

/// The store's backend → value store: a commit has ended. Only where the backend does not say so at once.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Committed {
    /// Which commit.
    pub group: u64,
    /// Whether it is safe.
    pub result: Result<(), StoreError>,
}

/// Maintenance → value store: republish and restore what is due.
pub struct RepublishDue;

/// Maintenance → value store: forget what has expired.
pub struct ExpireValues;

/// Routing table → value store: these peers are known now. Only where the store keeps them beyond the process.
pub struct RememberPeers(
    /// Peers that have answered, the latest first.
    pub Vec<Peer>,
);

/// Node → value store: which copy of this key do you hold?
pub struct FindCopy(pub Arc<str>);

/// Node → value store: pass through the backend and back, after all that it was given before.
pub struct ProbeStore {
    /// Where the answer goes.
    pub answer: Answer<()>,
}

/// Node → value store: what do you hold?
pub struct DescribeStore;

/// Node → value store: the keys that you hold, from behind `after`.
pub struct SelectKeys {
    /// What they begin with.
    pub prefix: String,
    /// The key that they follow.
    pub after: Option<String>,
    /// The most of them.
    pub limit: usize,
}

/// Placement → value store: is this value still to be placed? It is asked once before the first query of a placement, and a second
/// time after a comparison.
pub struct PreparePlacement {
    /// The key.
    pub key: Arc<str>,
    /// Which version of its value.
    pub version: u64,
    /// Whether the value is compared with those of other holders before it is sent, where it may give way to one of them.
    pub compare: bool,
    /// Whether a publication whose time has run out begins anew.
    pub resume: bool,
    /// A later value of the key, which another holder has. It is taken in first.
    pub later: Option<Later>,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Prepared>,
}

/// Republication → value store: which publications are due, from this distance from the node on?
pub struct SelectDue {
    /// Where it goes on; `None`: at the nearest.
    pub from: Option<Distance>,
    /// Where the answer goes.
    pub answer: oneshot::Sender<DueSelected>,
}

/// Publications that are due.
#[derive(Debug, Default)]
pub struct DueSelected {
    /// In the order of their distances from this node.
    pub values: Vec<DueValue>,
    /// Where it goes on; `None`: these are the last.
    pub next: Option<Distance>,
}

/// Republication → value store: the entries of these publications, which are sent at once.
pub struct PrepareRenewals {
    /// The key and the version of each; `None` where that has ended.
    pub values: Vec<Option<(Arc<str>, u64)>>,
    /// Where they go, each with the nonce that keys them: `None` for a value that is not current any more.
    pub answer: oneshot::Sender<(Nonce, Vec<Option<Entry>>)>,
}

/// How a placement goes on.
#[derive(Debug)]
pub enum Prepared {
    /// It ends: the value is not the current one any more, or its time has run out.
    Obsolete,
    /// This copy is compared first.
    Compare(ToCompare),
    /// This copy is sent, until the receiver reports that a later placement of the key takes over, or the publication has ended.
    Send(StoredCopy, oneshot::Receiver<()>),
}

/// Placement → value store: it is over.
pub struct PlacementEnded {
    /// The key.
    pub key: Arc<str>,
    /// Which version of its value.
    pub version: u64,
    /// Whether peers hold it now: more than were not even queried.
    pub stored: bool,
    /// Whether more peers have refused it than were not reached.
    pub refused: bool,
}
