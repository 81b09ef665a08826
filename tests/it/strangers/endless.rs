//! Lookups that peers would like never to end: by fakes that are dead, that live and name ever nearer ones, or that are slow. And
//! those that they would like to end too early: by addresses that are not asked any more.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use kademlia_dynamic::actors::outcome::Ending;
use kademlia_dynamic::protocol::entropy::SeededEntropy;
use kademlia_dynamic::protocol::id::NODE_ID_BITS;
use kademlia_dynamic::protocol::message::{Request, Response};
use kademlia_dynamic::protocol::peer::AddressScope;
use kademlia_dynamic::protocol::prefix::Prefix;
use kademlia_dynamic::sim::{MemoryNetwork, Reply, ScriptedPeers, in_virtual_time};
use kademlia_dynamic::{Codec, Config, GetOptions, GetResult, Node, NodeId, Peer};
use tokio::time::Instant;

use crate::support::start;

/// Fakes at as many addresses as a lookup can ask, and the id under which each was named last.
struct Masks {
    ids: Vec<NodeId>,
    next: usize,
    entropy: SeededEntropy,
}

/// The behaviour of the fakes, each of which names nearer ones.
#[derive(Debug, Clone, Copy)]
enum Fakes {
    /// All but the first never answer.
    Dead,
    Live,
    /// They answer just before it is too late.
    Slow,
}

fn liars(network: &MemoryNetwork, fakes: Fakes) -> ScriptedPeers {
    let peers = ScriptedPeers::new(network, Codec::Json).with(400);
    let all = peers.all();
    let masks = Masks { ids: all.iter().map(|peer| peer.id).collect(), next: 0, entropy: SeededEntropy::new(5) };
    let masks = Rc::new(RefCell::new(masks));
    peers.on(move |asked| {
        let Masks { ids, next, entropy } = &mut *masks.borrow_mut();
        if matches!(fakes, Fakes::Dead) && asked.peer > 0 {
            return Reply::Silence;
        }
        let own = if asked.peer == 0 { all[0].id } else { ids[asked.peer] };
        let mut nearer = |own: NodeId, target: &NodeId, count: usize| -> Vec<Peer> {
            let near = Prefix::of(target, (own.common_prefix(target) + 1).min(NODE_ID_BITS - 20));
            let mut name = || {
                *next = *next % (all.len() - 1) + 1;
                ids[*next] = near.random_id(entropy);
                Peer::new(ids[*next], all[*next].addr)
            };
            (0..count).map(|_| name()).collect()
        };
        let count = if matches!(fakes, Fakes::Dead) { 20 } else { 3 };
        let named = match &asked.request {
            Request::FindNode { target } => Some(nearer(own, target, count)),
            Request::FindValue { key } => Some(nearer(own, &NodeId::of_key(key), count)),
            _ => None,
        };
        let reply = match (&asked.request, named) {
            (Request::FindNode { .. }, Some(peers)) => Reply::As(own, Response::FindNode { peers }),
            (Request::FindValue { .. }, Some(peers)) => Reply::As(own, Response::NoValue { peers }),
            _ => Reply::As(own, Response::Pong),
        };
        if matches!(fakes, Fakes::Slow) && asked.peer > 0 { reply.after(Duration::from_millis(1_900)) } else { reply }
    });
    peers
}

#[test]
fn a_lookup_ends_within_60_queries_and_10_seconds_whatever_its_peers_are() {
    for fakes in [Fakes::Dead, Fakes::Live, Fakes::Slow] {
        for quorum in [1, 3] {
            in_virtual_time(async {
                let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
                let liars = liars(&network, fakes);
                let node = start(&network, Node::builder().bootstrap([liars.addr(0)])).await;
                let mut most = 0;
                for n in 0..5 {
                    let began = Instant::now();
                    let read =
                        node.get_with(n.to_string(), GetOptions::default().quorum(quorum).trace(true)).await.unwrap();
                    let (took, trace) = (began.elapsed(), read.trace.unwrap());
                    assert!(trace.asked.len() <= 60, "{fakes:?}: {} queries", trace.asked.len());
                    assert!(took <= Duration::from_secs(10) + Duration::from_millis(5), "{fakes:?}: {took:?}");
                    assert!(!matches!(read.result, GetResult::Found { .. }));
                    if let Fakes::Live = fakes {
                        assert!(trace.asked.len() >= 40, "{} queries, {:?}", trace.asked.len(), trace.ending);
                    }
                    most = most.max(trace.asked.len());
                    assert_ne!(trace.ending, Some(Ending::Found));
                }
                println!("{fakes:?}, quorum {quorum}: at most {most} queries");
                // Neither does the placing of a value, which looks up first.
                let began = Instant::now();
                let _ = node.set("key", "value").await.unwrap();
                assert!(began.elapsed() <= Duration::from_secs(20), "{fakes:?}: {:?}", began.elapsed());
            });
        }
    }
}

#[test]
fn addresses_that_are_not_asked_any_more_cost_a_lookup_none_of_its_queries() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(7).with_scope(AddressScope::Global);
        let peers = ScriptedPeers::new(&network, Codec::Json).with(16);
        let (all, mut entropy, mut port) = (peers.all(), SeededEntropy::new(5), 1_024);
        // Every other peer names, besides two of the others, three ports of each of ten hosts, where nothing listens, under ids nearer than all.
        peers.on(move |asked| {
            let Request::FindValue { key } = &asked.request else { return Reply::Usual };
            if asked.peer % 2 == 0 {
                return Response::NoValue { peers: all.clone() }.into();
            }
            let near = Prefix::of(&NodeId::of_key(key), 60);
            let mut named = all[..2].to_vec();
            for host in (0..10).cycle().take(30) {
                port += 1;
                named.push(Peer::new(near.random_id(&mut entropy), SocketAddr::from(([45, 7, host, 1], port))));
            }
            Response::NoValue { peers: named }.into()
        });
        let config = Config::builder().max_unanswered(2).build().unwrap();
        let node = start(&network, Node::builder().config(config).bootstrap([peers.addr(0)])).await;
        let mut not_sent = Vec::new();
        for n in 0..8 {
            let trace = node.get_with(n.to_string(), GetOptions::default().trace(true)).await.unwrap().trace.unwrap();
            let tally = trace.tally();
            assert!(tally.asked - tally.unsent <= 60, "{tally:?}");
            // The first few send what each host is sent in a minute; the others lose nothing by it.
            if n >= 3 {
                assert_eq!((trace.ending, tally.answered), (Some(Ending::Complete), 16), "{tally:?}");
                not_sent.push(tally.unsent);
            }
        }
        assert!(not_sent.iter().all(|unsent| *unsent > 60), "{not_sent:?}");
    });
}
