//! Bootstraps whose contacts are slow, dead or late, over a network in memory and with names that a test resolves.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::store::MemoryStore;
use kademlia_dynamic::sim::{MemoryNetwork, MemoryTransport, in_virtual_time};
use tokio::time::Instant;

use super::super::messages::DescribeTable;
use super::super::operations::join::resolver::Resolver;
use super::super::outcome::{BootstrapOutcome, ContactFailure, Error, GetResult};
use super::super::requests::{Bootstrap, CheckHealth, CopyOf, FindNode, FindValue, Get, Ping, Set};
use super::super::wiring::{self, Running, Setup};
use super::key;

/// A name that is being resolved for ever.
const HANGS: &str = "hangs.test:1";
/// A name that takes this long to resolve.
const LATE: (&str, Duration) = ("late.test:1", Duration::from_secs(5));

/// The names that were resolved, in their order.
type Resolved = Rc<RefCell<Vec<String>>>;

/// Resolves literal addresses, and the names of this file; `late` is what [`LATE`] stands for.
fn resolver(resolved: Resolved, late: Option<SocketAddr>) -> Resolver {
    Resolver::of(move |contact: String| {
        resolved.borrow_mut().push(contact.clone());
        async move {
            match contact.parse() {
                Ok(addr) => Ok(vec![addr]),
                Err(_) if contact == HANGS => std::future::pending().await,
                Err(_) if contact == LATE.0 => {
                    tokio::time::sleep(LATE.1).await;
                    Ok(late.into_iter().collect())
                }
                Err(_) => Err(io::Error::other("no such name")),
            }
        }
    })
}

fn node(name: &str, endpoint: MemoryTransport, client: bool, resolver: Resolver) -> Running {
    let (id, codec, config, store) =
        (NodeId::of_key(name), Codec::Json, Config::default(), Box::new(MemoryStore::new()));
    let setup = Setup { id, codec, config, client, store, known: None, seed: Some(1), resolver };
    wiring::start(setup, Rc::new(endpoint))
}

/// A node that was asked to join through `contacts`, what came of it, and how long that took.
struct Joined {
    running: Running,
    addr: SocketAddr,
    outcome: BootstrapOutcome,
    took: Duration,
    resolved: Resolved,
}

async fn join(network: &MemoryNetwork, client: bool, late: Option<SocketAddr>, contacts: &[String]) -> Joined {
    let resolved = Resolved::default();
    let endpoint = network.endpoint();
    let addr = endpoint.addr();
    let running = node("ours", endpoint, client, resolver(resolved.clone(), late));
    let begun = Instant::now();
    let outcome = running.node.send(Bootstrap { contacts: contacts.to_vec() }).await.unwrap().unwrap();
    Joined { running, addr, outcome, took: begun.elapsed(), resolved }
}

/// A node that answers, and its address.
fn living(network: &MemoryNetwork, name: &str) -> (Running, SocketAddr) {
    let endpoint = network.endpoint();
    let addr = endpoint.addr();
    (node(name, endpoint, false, Resolver::system()), addr)
}

fn ids(outcome: &BootstrapOutcome) -> Vec<NodeId> {
    outcome.answered.iter().map(|peer| peer.id).collect()
}

#[test]
fn a_name_that_hangs_and_a_dead_contact_cost_nothing_beside_one_that_answers() {
    for client in [true, false] {
        in_virtual_time(async {
            let network = MemoryNetwork::new(1);
            let (_other, addr) = living(&network, "other");
            let dead = network.endpoint();
            let contacts = [HANGS.to_owned(), dead.addr().to_string(), addr.to_string()];
            let joined = join(&network, client, None, &contacts).await;
            assert_eq!(ids(&joined.outcome), [NodeId::of_key("other")]);
            assert_eq!(joined.outcome.pending, contacts[..2]);
            assert!(joined.took < Duration::from_millis(100), "client: {client}, took {:?}", joined.took);
        });
    }
}

#[test]
fn each_contact_is_resolved_once_and_fails_within_its_own_time() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(1);
        let dead = network.endpoint();
        // The same contact twice is one.
        let contacts = [HANGS, &dead.addr().to_string(), "nowhere.test:1", HANGS].map(str::to_owned);
        let joined = join(&network, true, None, &contacts).await;
        assert_eq!(joined.took.as_secs(), 10, "a name has 10 s");
        assert_eq!(joined.resolved.borrow()[..3], contacts[..3], "what follows is resolved by the rejoins");
        assert!(joined.outcome.pending.is_empty() && !joined.outcome.joined());
        let reasons: Vec<String> = joined.outcome.failed.iter().map(|failed| failed.reason.to_string()).collect();
        assert_eq!(reasons, ["its name did not resolve within 10s", "no answer within 2s", "no such name"]);
    });
}

#[test]
fn a_contact_that_answers_late_is_joined_through_as_well() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(1);
        let (_first, first_addr) = living(&network, "first");
        // Of a network of its own, so that the first knows nothing of it.
        let (_late, late_addr) = living(&network, "late");
        let (beyond, _) = living(&network, "beyond");
        beyond.node.send(Bootstrap { contacts: vec![late_addr.to_string()] }).await.unwrap().unwrap();
        let contacts = [first_addr.to_string(), LATE.0.to_owned()];
        let joined = join(&network, false, Some(late_addr), &contacts).await;
        assert_eq!((ids(&joined.outcome), joined.took.as_secs()), (vec![NodeId::of_key("first")], 0));
        assert_eq!(joined.outcome.pending, [LATE.0]);
        tokio::time::sleep(LATE.1 + Duration::from_secs(1)).await;
        let known = beyond.actors.table.send(DescribeTable).await.unwrap();
        assert_eq!(known.peers, 2, "the neighbourhood beyond the late one has met this node");
    });
}

#[test]
fn a_node_whose_contacts_all_failed_reaches_one_that_comes_up_later() {
    in_virtual_time(async {
        for asleep in [Duration::from_secs(15), Duration::from_secs(3_600)] {
            let network = MemoryNetwork::new(1);
            let place = network.endpoint().addr();
            let joined = join(&network, false, None, &[place.to_string()]).await;
            assert_eq!(joined.outcome.failed[0].reason, ContactFailure::Silent { within: Duration::from_secs(2) });
            tokio::time::sleep(asleep).await;
            let _other = node("other", network.endpoint_at(place).unwrap(), false, Resolver::system());
            let up = Instant::now();
            while joined.running.actors.table.send(DescribeTable).await.unwrap().peers == 0 {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            // Each time the name is resolved anew, since it may stand for another address by then.
            assert!(
                joined.resolved.borrow().len() > 1 && up.elapsed() <= Duration::from_secs(70),
                "{:?}",
                up.elapsed()
            );
        }
    });
}

#[test]
fn a_ping_resolves_once_and_says_why_there_is_no_answer() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(1);
        let joined = join(&network, true, None, &[]).await;
        for addr in ["nowhere.test:1", HANGS] {
            let error = joined.running.node.send(Ping { addr: addr.to_owned() }).await.unwrap().unwrap_err();
            assert!(error.to_string().starts_with(&format!("cannot resolve {addr:?}: ")), "{error}");
        }
        assert_eq!(joined.resolved.borrow().len(), 2);
    });
}

fn set(name: &str) -> Set {
    Set::new(key(name), "v")
}

/// The text of what must be [`Error::NotJoined`].
fn not_joined<T: std::fmt::Debug>(outcome: Result<T, Error>) -> String {
    match outcome {
        Err(error @ Error::NotJoined { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_node_that_reached_none_of_its_contacts_refuses_what_needs_them_and_changes_nothing() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(1);
        let dead = network.endpoint();
        let Joined { running, addr, .. } = join(&network, false, None, &[dead.addr().to_string()]).await;
        let node = &running.node;
        let text = format!("not joined: no contact has answered: {} (no answer within 2s)", dead.addr());
        assert_eq!(not_joined(node.send(set("k")).await.unwrap()), text);
        assert_eq!(not_joined(node.send(Get::new(key("k"))).await.unwrap()), text);
        not_joined(node.send(FindValue { key: key("k") }).await.unwrap());
        not_joined(node.send(FindNode { target: NodeId::ZERO }).await.unwrap());
        not_joined(node.send(CheckHealth { key: key("k") }).await.unwrap());
        assert_eq!(node.send(CopyOf { key: key("k") }).await.unwrap().unwrap(), None);

        // A peer that comes by itself is a network as well.
        let (other, _) = living(&network, "other");
        other.node.send(Bootstrap { contacts: vec![addr.to_string()] }).await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(node.send(set("k")).await.unwrap().unwrap().stored, 1);
    });
}

#[test]
fn what_a_node_holds_is_read_although_it_reached_none_of_its_contacts() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(1);
        let (dead, (running, _)) = (network.endpoint(), living(&network, "ours"));
        running.node.send(set("held")).await.unwrap().unwrap();
        let contacts = vec![dead.addr().to_string()];
        let trying = actix_rt::spawn(running.node.send(Bootstrap { contacts }));
        for _ in 0..2 {
            let read = running.node.send(Get::new(key("held"))).await.unwrap().unwrap();
            assert!(matches!(read.result, GetResult::Found { holder: None, .. }), "{read:?}");
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        not_joined(running.node.send(Get::new(key("absent"))).await.unwrap());
        assert!(!trying.await.unwrap().unwrap().unwrap().joined());
    });
}

#[test]
fn a_request_during_a_bootstrap_waits_for_its_first_answer() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(1);
        let (_other, addr) = living(&network, "other");
        let resolver = resolver(Resolved::default(), Some(addr));
        let running = node("ours", network.endpoint(), false, resolver);
        let begun = Instant::now();
        let _trying = actix_rt::spawn(running.node.send(Bootstrap { contacts: vec![LATE.0.to_owned()] }));
        tokio::task::yield_now().await;
        let read = running.node.send(Get::new(key("absent"))).await.unwrap().unwrap();
        assert_eq!(
            (read.result, begun.elapsed().as_secs()),
            (GetResult::NotFound { answered: 1, unheard: 0 }, LATE.1.as_secs())
        );
    });
}

#[test]
fn a_node_that_is_its_own_only_contact_is_the_first_of_its_network() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(1);
        let (running, addr) = living(&network, "ours");
        let outcome = running.node.send(Bootstrap { contacts: vec![addr.to_string()] }).await.unwrap().unwrap();
        assert_eq!(outcome.failed[0].reason, ContactFailure::Itself);
        assert_eq!(running.node.send(set("k")).await.unwrap().unwrap().asked, 0);
    });
}

#[test]
fn a_contact_with_this_nodes_id_at_another_address_is_a_copy_of_it() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(1);
        let (running, _) = living(&network, "ours");
        let (_copy, addr) = living(&network, "ours");
        let outcome = running.node.send(Bootstrap { contacts: vec![addr.to_string()] }).await.unwrap().unwrap();
        assert!(!outcome.joined() && matches!(outcome.failed[0].reason, ContactFailure::Copied { .. }), "{outcome}");
        assert!(outcome.to_string().contains("--node-id"), "{outcome}");
    });
}

#[test]
fn a_contact_that_answers_in_another_wire_is_known_by_the_first_byte() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(1);
        for (bytes, reported) in [
            (&b"d2:id16:"[..], "it answers in another wire: bencode"),
            (&[0x85, 0xa4], "it answers in another wire: msgpack"),
            (b"HTTP/1.1 400", "what it answers is no message of any known wire"),
        ] {
            let foreign = network.endpoint();
            let addr = foreign.addr();
            actix_rt::spawn(async move {
                loop {
                    let asked = foreign.receive().await;
                    foreign.send(asked.addr, bytes.to_vec());
                }
            });
            let Joined { running, outcome, .. } = join(&network, false, None, &[addr.to_string()]).await;
            assert_eq!(outcome.to_string(), format!("{addr} ({reported})"));
            assert!(not_joined(running.node.send(set("k")).await.unwrap()).ends_with(&format!("{addr} ({reported})")));
            let error = running.node.send(Ping { addr: addr.to_string() }).await.unwrap().unwrap_err();
            assert_eq!(error.to_string(), format!("{addr} ({reported})"));
        }
    });
}
