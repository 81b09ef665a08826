//! Placements: how many messages a `set` takes, and which answers count.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::lookup::{Goal, Lookup};
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::store::{Class, StoredCopy, ToCompare};
use kademlia_dynamic::protocol::value::Value;
use tokio::sync::oneshot;

use super::super::messages::{
    Answered, Failed, Handles, Late, LookupResult, PlacementEnded, Placing, PreparePlacement, Prepared, StoreInbox,
};
use super::super::operations::operation::{End, Operation, Step};
use super::super::operations::place::Place;
use super::{key, shared};

/// Messages that go through the node with each query and each answer, as many as there are.
#[cfg(feature = "sim")]
const OF_DATAGRAMS: [&str; 7] = [
    "SendQuery",
    "TransmitQuery",
    "QueryOver",
    "DatagramsReceived",
    "ResponseReceived",
    "AddressVerified",
    "PeerAnswered",
];

#[cfg(feature = "sim")]
#[test]
fn a_set_takes_at_most_nine_messages_beside_those_of_its_datagrams() {
    use super::super::node::Node;
    use super::drill;
    use kademlia_dynamic::protocol::codec::Codec;
    use kademlia_dynamic::sim::{MemoryNetwork, ScriptedPeers, in_virtual_time};

    in_virtual_time(async {
        let network = MemoryNetwork::new(1);
        let peers = ScriptedPeers::new(&network, Codec::Json).with(5);
        let node = Node::builder().bootstrap([peers.addr(0)]).start_local_over(network.endpoint()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(30)).await;
        // The second takes the place of the first.
        for value in ["first", "second"] {
            drill::forget();
            assert_eq!(node.set("key", value).await.unwrap().stored, 5);
            super::settle().await;
            let mut reached = drill::reached_so_far();
            reached.retain(|(_, message), _| *message != drill::TIMER && !OF_DATAGRAMS.contains(message));
            let messages: u64 = reached.values().sum();
            assert!(reached.contains_key(&("ValueStore", "PlacementEnded")), "it is not over: {reached:?}");
            assert!(messages <= 9, "{messages} messages: {reached:?}");
        }
    });
}

/// In the place of the value store: has the copy compared, then sent. It notes what it was asked, and what was reported.
#[derive(Default)]
struct MockStore {
    asked: Mutex<Vec<bool>>,
    ended: Mutex<Vec<bool>>,
}

impl StoreInbox for MockStore {
    fn prepare_placement(&self, asked: PreparePlacement) {
        self.asked.lock().unwrap().push(asked.compare);
        let (value, age) = (Arc::new(Value::from("v")), Duration::from_secs(60));
        let prepared = if asked.compare {
            Prepared::Compare(ToCompare { value, age, lapsed: false })
        } else {
            let (_, superseded) = oneshot::channel();
            let (class, ttl_left) = (Class::Held, Duration::from_secs(3_600));
            let expires_at = Instant::now() + ttl_left;
            Prepared::Send(StoredCopy { value, class, ttl_left, expires_at, age: Some(age) }, superseded)
        };
        asked.answer.send(prepared).unwrap();
    }

    fn placement_ended(&self, ended: PlacementEnded) {
        self.ended.lock().unwrap().push(ended.stored);
    }
}

/// Peers, the nearest to the key "k" first.
fn nearest(count: u16) -> Vec<Peer> {
    let mut peers: Vec<Peer> =
        (1..=count).map(|port| Peer::new(NodeId::of_key(&port.to_string()), ([127, 0, 0, 1], port).into())).collect();
    peers.sort_by_key(|peer| peer.id.distance(&NodeId::of_key("k")));
    peers
}

/// A restore of "k", whose places are found: those peers.
fn restore(store: &Arc<MockStore>, peers: &[Peer]) -> Place {
    let shared = shared(Config::default(), Handles { store: store.clone(), ..Handles::ignored() });
    let (now, target) = (Instant::now(), NodeId::of_key("k"));
    let trace = Lookup::new(shared.id, target, Goal::Nodes, &shared.config, false, &[], now).into_trace();
    let found = LookupResult {
        closest: peers.to_vec(),
        of_ours: peers.to_vec(),
        reconciling: Vec::new(),
        own_table: peers.to_vec(),
        legacy: false,
        value: None,
        unsupported: None,
        trace: Arc::new(trace),
    };
    let ((commit, committed), (places, found_places)) = (oneshot::channel(), oneshot::channel());
    commit.send(Placing { key: key("k"), version: 1, answer: None }).unwrap();
    places.send(Ok(Arc::new(found))).unwrap();
    Place::new(&shared, key("k"), committed, found_places)
}

/// Carries out what `place` wants done, and returns the queries that it sends; `None` once it is over.
async fn queries(place: &mut Place) -> Option<Vec<(Peer, &'static str)>> {
    let mut sent = Vec::new();
    loop {
        match place.step(Instant::now()) {
            Step::Query(to, request) => sent.push((to, request.name())),
            Step::Await(future) => (future.await)(place, Instant::now()),
            Step::Wait { .. } => return Some(sent),
            Step::Finished => return None,
        }
    }
}

fn answer(place: &mut Place, peer: Peer, response: Response) {
    let answered = Answered { response, peer, version: Some(2), rtt: Duration::ZERO };
    place.answer(peer, answered, Instant::now());
}

const LACKS_IT: Response = Response::CheckStore { has_key: false, ttl: None, age: None };

#[actix::test]
async fn what_comes_late_of_a_comparison_is_no_answer_to_the_restore_behind_it() {
    let (check, set) = (Request::CheckStore { key: key("k"), size: None }.name(), "set");
    for late in [Err(Failed::Silent), Ok(LACKS_IT)] {
        let (store, peers) = (Arc::new(MockStore::default()), nearest(4));
        let mut place = restore(&store, &peers);
        let compared = queries(&mut place).await.unwrap();
        assert_eq!(compared, [(peers[0], check), (peers[1], check), (peers[2], check)]);
        place.late(peers[0], Late::Slow);
        assert_eq!(queries(&mut place).await.unwrap(), [(peers[3], check)]);
        peers[1..].iter().for_each(|peer| answer(&mut place, *peer, LACKS_IT));

        let checked = queries(&mut place).await.unwrap();
        assert_eq!(checked, [(peers[0], check), (peers[1], check), (peers[2], check)]);
        match late {
            Err(why) => place.failure(peers[0], why, Instant::now()),
            Ok(response) => answer(&mut place, peers[0], response),
        }
        assert_eq!(queries(&mut place).await, Some(Vec::new()), "it is still waited for");
        answer(&mut place, peers[0], LACKS_IT);
        assert_eq!(queries(&mut place).await.unwrap(), [(peers[0], set)]);

        for peer in &peers[1..] {
            answer(&mut place, *peer, Response::CheckStore { has_key: true, ttl: None, age: None });
            queries(&mut place).await;
        }
        answer(&mut place, peers[0], Response::Set { stored: true, ttl: None });
        assert_eq!(queries(&mut place).await, None);
        place.finish(End::Complete);
        assert_eq!(*store.asked.lock().unwrap(), [true, false], "the store is asked twice");
        assert_eq!(*store.ended.lock().unwrap(), [true]);
    }
}
