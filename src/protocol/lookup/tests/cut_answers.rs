//! Answers that name fewer than k peers, since they must fit one frame, still lead to the k nearest.

use super::simulation::{Network, Reply, random_id, run};
use super::*;
use crate::protocol::codec::Codec;
use crate::protocol::config::Config;
use crate::protocol::entropy::{Entropy, SeededEntropy};
use crate::protocol::message::{Body, Message, QueryId, Response, Sender};

/// The peers that `informant` names in one frame of `codec`, asked under a query id of its own.
fn cut(peers: Vec<Peer>, informant: &Peer, query: u64, codec: Codec) -> Vec<Peer> {
    let sender = Sender::new(Some(informant.id), informant.addr);
    let body = Body::Response(Response::FindNode { peers });
    let answer = Message { id: QueryId::from_u64(query), sender, version: Some(1), token: None, body };
    let datagram = codec.encode_within(&answer, Config::DEFAULT.limits.max_global_answer, Vec::new()).unwrap();
    match codec.decode(&datagram).unwrap().body {
        Body::Response(Response::FindNode { peers }) => peers,
        other => panic!("{other:?}"),
    }
}

#[test]
fn answers_cut_to_one_frame_still_lead_to_the_true_k_nearest() {
    let mut entropy = SeededEntropy::new(5);
    let config = Config::default();
    for codec in [Codec::Json, Codec::Bencode] {
        let (mut found, mut sought) = (0, 0);
        for _ in 0..40 {
            let target = random_id(&mut entropy);
            let network = Network::random(1_000, config.lookup.k, 0.0, &target, &mut entropy);
            let (own, start) = (network.peers[0], Instant::now());
            let seeds = network.answer(&own.id, &target, false);
            let mut lookup = Lookup::new(own.id, target, Goal::Nodes, &config, false, &seeds, start);
            let mut query_ids = entropy.clone();
            run(&mut lookup, &config, start, &mut entropy, |peer| {
                let whole = network.answer(&peer.id, &target, false);
                let named = cut(whole.clone(), peer, query_ids.next_u64(), codec);
                assert!(named.len() < whole.len(), "nothing was cut");
                Reply::Peers(named)
            });
            let truth = network.living(&target).into_iter().filter(|peer| peer.id != own.id).take(config.lookup.k);
            let closest = lookup.closest();
            sought += config.lookup.k;
            found += truth.filter(|peer| closest.contains(peer)).count();
        }
        // Naming the nearest ten only, it is 84 %.
        assert!(found * 1_000 >= sought * 999, "{codec}: {found} of {sought}");
    }
}
