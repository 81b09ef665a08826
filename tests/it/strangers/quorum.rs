//! Reads that hear several holders: who is believed, and how often a key that liars surround is read falsely.

use std::time::Duration;

use kademlia_dynamic::actors::outcome::GetOutcome;
use kademlia_dynamic::actors::outcome::{CameBack, Ending, Votes};
use kademlia_dynamic::protocol::message::Request;
use kademlia_dynamic::sim::{Reply, ScriptedPeers, Sim, in_virtual_time};
use kademlia_dynamic::{Codec, Config, Error, GetOptions, GetResult, Node, Value};
use tokio::time::sleep;

use super::sybils::Sybils;
use crate::support::node_among;

fn of(quorum: usize) -> GetOptions {
    GetOptions::default().quorum(quorum).trace(true)
}

/// The value that was read, and how many agreed, voted and were wanted.
fn found(read: &GetOutcome) -> (&str, [usize; 3]) {
    match &read.result {
        GetResult::Found { value, votes: Votes { agreed, cast, wanted }, .. } => {
            (value.as_text().expect("it is text"), [*agreed, *cast, *wanted])
        }
        other => panic!("{other:?}"),
    }
}

/// Twelve peers on loopback, of which these hold these values, and a node that knows them all.
async fn among_holders(held: &[(usize, &str)]) -> (ScriptedPeers, Node) {
    let (_, peers, node) = node_among(12, Config::default()).await;
    for (peer, value) in held {
        peers.hold(*peer, "key", *value);
    }
    (peers, node)
}

#[test]
fn a_read_asks_on_until_as_many_have_answered_with_a_value_as_are_wanted_and_lists_the_votes() {
    in_virtual_time(async {
        let (_peers, node) = among_holders(&[(3, "true"), (5, "false"), (7, "true")]).await;
        let read = node.get_with("key", of(3)).await.unwrap();
        assert_eq!(found(&read), ("true", [2, 3, 3]));
        let trace = read.trace.unwrap();
        assert_eq!(trace.ending, Some(Ending::Found));
        let votes: Vec<_> = trace.asked.iter().filter_map(|asked| asked.vote.map(|vote| (asked, vote))).collect();
        assert_eq!(votes.len(), 3);
        assert!(votes.iter().all(|(asked, vote)| vote.counted && asked.came_back == CameBack::Value));
        let first = votes[0].1.value;
        assert!([1, 2].contains(&votes.iter().filter(|(_, vote)| vote.value == first).count()));

        let single = node.get_with("key", of(1)).await.unwrap();
        assert_eq!(found(&single).1, [1, 1, 1]);
        assert!(single.trace.unwrap().asked.iter().all(|asked| asked.vote.is_none()));
    });
}

#[test]
fn where_fewer_hold_a_value_than_are_wanted_it_is_the_best_of_what_there_is() {
    in_virtual_time(async {
        let (peers, node) = among_holders(&[(3, "value"), (5, "value")]).await;
        let read = node.get_with("key", of(5)).await.unwrap();
        assert_eq!(found(&read), ("value", [2, 2, 5]));
        let trace = read.trace.unwrap();
        assert_eq!((trace.ending, trace.tally().answered), (Some(Ending::Complete), 12));

        let missing = node.get_with("absent", of(3)).await.unwrap();
        assert_eq!(missing.result, GetResult::NotFound { answered: 12, unheard: 0 });
        peers.on(|_| Reply::Silence);
        let silent = node.get_with("another", of(3)).await.unwrap();
        assert_eq!(silent.result, GetResult::NoneAnswered { asked: 12 });
        for (quorum, fits) in [(0, false), (1, true), (20, true), (21, false)] {
            let refused = matches!(node.get_with("key", of(quorum)).await, Err(Error::Config(_)));
            assert_eq!(refused, !fits, "{quorum}");
        }
    });
}

#[test]
fn a_copy_that_is_held_here_is_one_vote_and_wins_where_as_many_say_otherwise() {
    in_virtual_time(async {
        let (peers, node) = among_holders(&[]).await;
        assert_eq!(node.set("key", "ours").await.unwrap().stored, 12);
        peers.hold(2, "key", "theirs");
        let read = node.get_with("key", of(3)).await.unwrap();
        assert_eq!(found(&read), ("ours", if found(&read).1[0] == 3 { [3, 3, 3] } else { [2, 3, 3] }));
        (0..12).for_each(|n| peers.hold(n, "key", "theirs"));
        let read = node.get_with("key", of(3)).await.unwrap();
        assert_eq!(found(&read), ("theirs", [2, 3, 3]));
        assert!(read.trace.unwrap().here.is_some());
        let read = node.get_with("key", of(2)).await.unwrap();
        assert_eq!(found(&read), ("ours", [1, 2, 2]));
        let GetResult::Found { holder, expires_in, .. } = read.result else { unreachable!() };
        assert!(holder.is_none() && expires_in.is_some());
        peers.on(|_| Reply::Silence);
        let read = node.get_with("key", of(3)).await.unwrap();
        assert_eq!(found(&read), ("ours", [1, 1, 3]), "it holds it, even if no peer answers");
    });
}

#[test]
fn what_most_gave_is_what_is_left_as_a_copy_with_a_peer_that_had_none() {
    in_virtual_time(async {
        let (peers, node) = among_holders(&[(3, "true"), (5, "false"), (7, "true"), (8, "true")]).await;
        peers.forget_heard();
        let read = node.get_with("key", of(4)).await.unwrap();
        assert_eq!(found(&read), ("true", [3, 4, 4]));
        sleep(Duration::from_secs(1)).await;
        let cached: Vec<_> = peers
            .heard()
            .into_iter()
            .filter_map(|asked| match asked.request {
                Request::SetCached { value, .. } => Some(value),
                _ => None,
            })
            .collect();
        assert_eq!(cached.len(), 1);
        assert_eq!(*cached[0], Value::from("true"));
    });
}

/// Reads of two keys, each surrounded by 20 sybils of one /24 which were there when most others came: the first key is read
/// at quorum 1, the second at quorum 3. How many reads of each there were, and how many brought the lie.
fn poisoned_reads(seed: u64) -> [(usize, usize); 2] {
    let cases = [("heard once", 1, 7), ("heard thrice", 3, 8)];
    Sim::run(Sim::builder().nodes(20).seed(seed).codec(Codec::MessagePack), async |sim| {
        let nodes = || -> Vec<Node> { sim.places().iter().filter_map(|place| sim.node(*place)).collect() };
        let gangs = cases.map(|(key, _, net)| Sybils::start(sim.network(), 20, net, key, "false"));
        let introduce = || {
            let addrs: Vec<_> = nodes().iter().map(Node::local_addr).collect();
            gangs.iter().for_each(|gang| gang.introduce(&addrs));
        };
        introduce();
        sim.run_for(Duration::from_secs(60)).await;
        futures_util::future::try_join_all((0..50).map(|_| sim.join())).await.expect("the node runs");
        introduce();
        sim.run_for(Duration::from_secs(60)).await;

        let mut counts = [(0, 0); 2];
        for ((key, quorum, _), (reads, wrong)) in cases.into_iter().zip(&mut counts) {
            assert!(sim.set(sim.random_node(), key, "true").await.expect("the node runs").stored >= 20);
            for node in nodes() {
                if node.copy_of(key).await.expect("the node runs").is_some() {
                    continue;
                }
                let read = node.get_with(key, of(quorum)).await.expect("the node runs");
                let (value, [agreed, cast, wanted]) = found(&read);
                assert!(cast == wanted && (quorum == 1 || agreed >= 2), "{value}: {agreed} of {cast} of {wanted}");
                *reads += 1;
                *wrong += usize::from(value == "false");
            }
        }
        counts
    })
    .expect("the network can be built")
}

#[test]
fn twenty_sybils_of_one_network_round_a_key_deceive_no_read_that_hears_three() {
    let mut sum = [(0, 0); 2];
    for counts in (1..=5).map(poisoned_reads) {
        for (sum, (reads, wrong)) in sum.iter_mut().zip(counts) {
            *sum = (sum.0 + reads, sum.1 + wrong);
        }
    }
    let [(single_reads, single_wrong), (reads, wrong)] = sum;
    println!("wrong reads: {single_wrong} of {single_reads} at quorum 1, {wrong} of {reads} at quorum 3");
    assert!(reads >= 200, "{reads}");
    assert!(100 * wrong <= reads, "{wrong} of {reads} at quorum 3");
    assert!(5 * single_wrong > single_reads, "the same lie deceives who hears one: {single_wrong} of {single_reads}");
}
