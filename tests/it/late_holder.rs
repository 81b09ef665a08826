//! A value is found though its only holder answers far later than the round trips measured so far let expect.

use std::time::Duration;

use kademlia_dynamic::protocol::message::Request;
use kademlia_dynamic::sim::{MemoryNetwork, Reply, ScriptedPeers, in_virtual_time};
use kademlia_dynamic::{Codec, GetOptions, GetResult, Node};

/// Round trips in milliseconds: up to now, and from now on: so long, and so much longer for each peer than for the one
/// before it.
struct Case {
    before: u64,
    after: u64,
    spread: u64,
    peers: usize,
}

const fn case(before: u64, after: u64, spread: u64, peers: usize) -> Case {
    Case { before, after, spread, peers }
}

const CASES: [Case; 15] = [
    case(20, 20, 0, 8),
    case(20, 20, 10, 8),
    case(20, 60, 0, 8),
    case(20, 60, 20, 8),
    case(20, 100, 0, 8),
    case(20, 100, 50, 8),
    case(20, 200, 0, 8),
    case(20, 200, 20, 8),
    case(50, 200, 50, 8),
    case(50, 500, 0, 8),
    case(50, 1_500, 0, 8),
    case(100, 100, 0, 8),
    case(100, 300, 0, 8),
    case(100, 300, 20, 20),
    case(100, 1_000, 0, 20),
];

/// The outcome of a read after 20 reads have measured the round trips; with an `outage`, after a read that no peer answered.
async fn read(case: &Case, outage: bool) -> GetResult {
    let Case { before, after, spread, peers: count } = *case;
    let network = MemoryNetwork::new(1);
    let peers = ScriptedPeers::new(&network, Codec::Json).with(count);
    peers.on(move |_| Reply::Usual.after(Duration::from_millis(before)));
    let node = Node::builder().bootstrap([peers.addr(0)]).start_local_over(network.endpoint()).await.unwrap();
    for number in 0..20 {
        let missing = node.get_with(format!("missing {number}"), GetOptions::default()).await.unwrap().result;
        assert_eq!(missing, GetResult::NotFound { answered: count, unheard: 0 });
    }
    peers.hold(5, "tea", "3.20");
    if outage {
        peers.on(|_| Reply::Silence);
        assert!(matches!(
            node.get_with("tea", GetOptions::default()).await.unwrap().result,
            GetResult::NoneAnswered { .. }
        ));
    }
    peers.on(move |asked| match asked.request {
        Request::FindValue { .. } => Reply::Usual.after(Duration::from_millis(after + spread * asked.peer as u64)),
        _ => Reply::Usual,
    });
    node.get_with("tea", GetOptions::default()).await.unwrap().result
}

#[test]
fn a_read_finds_what_one_holder_has_that_answers_later_than_ever_before() {
    for outage in [false, true] {
        for case in CASES {
            let Case { before, after, spread, peers } = case;
            let outcome = in_virtual_time(async move { read(&case, outage).await });
            let what = format!("{before} ms before, {after} + {spread} n ms after, {peers} peers, outage: {outage}");
            let GetResult::Found { value, .. } = outcome else { panic!("{what}: {outcome:?}") };
            assert_eq!(value, "3.20".into(), "{what}");
        }
    }
}

#[test]
fn a_read_that_ends_before_all_of_the_nearest_were_heard_says_how_many_were_not() {
    let outcome = in_virtual_time(async {
        let network = MemoryNetwork::new(1);
        let peers = ScriptedPeers::new(&network, Codec::Json).with(8);
        let builder = Node::builder().bootstrap([peers.addr(0)]);
        let config = kademlia_dynamic::Config::builder().lookup_deadline(Duration::from_millis(1_500));
        let node = builder.config(config.build().unwrap()).start_local_over(network.endpoint()).await.unwrap();
        peers.hold(5, "tea", "3.20");
        peers.on(|asked| if asked.peer == 5 { Reply::Silence } else { Reply::Usual });
        node.get_with("tea", GetOptions::default().trace(true)).await.unwrap()
    });
    assert_eq!(outcome.result, GetResult::NotFound { answered: 7, unheard: 1 });
    let trace = outcome.trace.unwrap();
    assert_eq!((trace.unheard, trace.ending), (1, Some(kademlia_dynamic::actors::outcome::Ending::DeadlinePassed)));
}
