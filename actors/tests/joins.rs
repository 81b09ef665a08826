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

use super::super::assembly::{self, House, Plan};
use super::super::join::resolver::Resolver;
use super::super::messages::DescribeTable;
use super::super::outcome::{BootstrapOutcome, ContactFailure};
use super::super::requests::{Bootstrap, Ping};
use super::super::supervision::Ended;

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

fn node(name: &str, endpoint: MemoryTransport, client: bool, resolver: Resolver) -> (House, Ended) {
    let (id, codec, config, store) =
        (NodeId::of_key(name), Codec::Json, Config::default(), Box::new(MemoryStore::new()));
    let plan = Plan { id, codec, config, client, store, known: None, seed: Some(1), resolver };
    assembly::assemble(plan, Rc::new(endpoint))
}

/// A node that was asked to join through `contacts`, what came of it, and how long that took.
struct Joined {
    house: House,
    _ended: Ended,
    outcome: BootstrapOutcome,
    took: Duration,
    resolved: Resolved,
}

async fn join(network: &MemoryNetwork, client: bool, late: Option<SocketAddr>, contacts: &[String]) -> Joined {
    let resolved = Resolved::default();
    let (house, _ended) = node("ours", network.endpoint(), client, resolver(resolved.clone(), late));
    let begun = Instant::now();
    let outcome = house.node.send(Bootstrap { contacts: contacts.to_vec() }).await.unwrap().unwrap();
    Joined { house, _ended, outcome, took: begun.elapsed(), resolved }
}

/// A node that answers, and its address.
fn living(network: &MemoryNetwork, name: &str) -> (House, Ended, SocketAddr) {
    let endpoint = network.endpoint();
    let addr = endpoint.addr();
    let (house, ended) = node(name, endpoint, false, Resolver::system());
    (house, ended, addr)
}

fn ids(outcome: &BootstrapOutcome) -> Vec<NodeId> {
    outcome.answered.iter().map(|peer| peer.id).collect()
}

#[test]
fn a_name_that_hangs_and_a_dead_contact_cost_nothing_beside_one_that_answers() {
    for client in [true, false] {
        in_virtual_time(async {
            let network = MemoryNetwork::new(1);
            let (_other, _ended, addr) = living(&network, "other");
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
        assert_eq!(joined.resolved.borrow()[..3], contacts[..3]);
        assert!(joined.outcome.pending.is_empty() && !joined.outcome.joined());
        let reasons: Vec<String> = joined.outcome.failed.iter().map(|failed| failed.reason.to_string()).collect();
        assert_eq!(reasons, ["its name did not resolve within 10s", "no answer within 2s", "no such name"]);
    });
}

#[test]
fn a_contact_that_answers_late_is_joined_through_as_well() {
    in_virtual_time(async {
        let network = MemoryNetwork::new(1);
        let (_first, _first_ended, first_addr) = living(&network, "first");
        // Of a network of its own, so that the first knows nothing of it.
        let (_late, _late_ended, late_addr) = living(&network, "late");
        let (beyond, _beyond_ended, _) = living(&network, "beyond");
        beyond.node.send(Bootstrap { contacts: vec![late_addr.to_string()] }).await.unwrap().unwrap();
        let contacts = [first_addr.to_string(), LATE.0.to_owned()];
        let joined = join(&network, false, Some(late_addr), &contacts).await;
        assert_eq!((ids(&joined.outcome), joined.took.as_secs()), (vec![NodeId::of_key("first")], 0));
        assert_eq!(joined.outcome.pending, [LATE.0]);
        tokio::time::sleep(LATE.1 + Duration::from_secs(1)).await;
        let known = beyond.rooms.table.send(DescribeTable).await.unwrap();
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
            while joined.house.rooms.table.send(DescribeTable).await.unwrap().peers == 0 {
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
            let error = joined.house.node.send(Ping { addr: addr.to_owned() }).await.unwrap().unwrap_err();
            assert!(error.to_string().starts_with(&format!("cannot resolve {addr:?}: ")), "{error}");
        }
        assert_eq!(joined.resolved.borrow().len(), 2);
    });
}
