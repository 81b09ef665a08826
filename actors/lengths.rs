//! Lengths of messages on this wire, in bytes, that rules depend on: that of a ping, and that of a query whose answer may be sent
//! at once. It sends nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use kademlia_dynamic::protocol::admission::MAX_AMPLIFICATION;
use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::message::{Body, Message, PROTOCOL_VERSION, QueryId, Request, Response, Sender, Token};
use kademlia_dynamic::protocol::peer::Peer;

/// The longest address of each family, by its spelling.
const LONGEST: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::BROADCAST), IpAddr::V6(Ipv6Addr::from_bits(u128::MAX))];

fn message(token: Option<Token>, ip: IpAddr, body: Body) -> Message {
    let sender = Sender::new(Some(NodeId::ZERO), SocketAddr::new(ip, u16::MAX));
    Message { id: QueryId::from_u64(u64::MAX), sender, version: Some(PROTOCOL_VERSION), token, body }
}

/// The length of a ping that shows no token, at its longest.
pub(super) fn ping_len(codec: Codec) -> usize {
    let ping = message(None, LONGEST[0], Body::Request(Request::Ping));
    codec.encode(&ping).expect("a ping fits a datagram").len()
}

/// The lengths to which queries for peers are padded where nothing proves our address: a third of the longest answer and of a
/// ping, so that an answer is within what may be sent to any address (docs/wire.md, 9.2).
#[derive(Debug, Clone, Copy)]
pub(super) struct PaddedLens {
    /// To IPv4 addresses, which are named IPv4 peers only, and to IPv6 ones.
    by_family: [usize; 2],
}

impl PaddedLens {
    /// The lengths for the answers that a node with these settings gives to global addresses.
    pub(super) fn new(codec: Codec, config: &Config) -> Self {
        Self {
            by_family: LONGEST.map(|ip| {
                let longest = Peer::new(NodeId::ZERO, SocketAddr::new(ip, u16::MAX));
                let response = Response::NoValue { peers: vec![longest; config.lookup.k] };
                let answer = message(Some(Token::from_u64(u64::MAX)), ip, Body::Response(response));
                // Where the room is less than an answer without peers, there is nothing to pad for.
                let answer =
                    codec.encode_within(&answer, config.limits.max_global_answer, Vec::new()).map_or(0, |it| it.len());
                (answer + ping_len(codec)).div_ceil(MAX_AMPLIFICATION)
            }),
        }
    }

    /// The length of a query to `to`.
    pub(super) fn of(&self, to: &SocketAddr) -> usize {
        self.by_family[usize::from(to.ip().to_canonical().is_ipv6())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_padded_query_and_a_ping_are_three_times_its_length_at_most() {
        for codec in Codec::ALL {
            let config = Config::default();
            let lens = PaddedLens::new(codec, &config);
            for to in ["192.0.2.1:4000", "[2001:db8::1]:4000"].map(|to| to.parse::<SocketAddr>().unwrap()) {
                let len = lens.of(&to);
                assert!(len < 500, "{codec} {to}: {len}");
                let ip = LONGEST[usize::from(to.is_ipv6())];
                let peers = vec![Peer::new(NodeId::ZERO, SocketAddr::new(ip, u16::MAX)); config.lookup.k];
                let answer = message(Some(Token::from_u64(u64::MAX)), ip, Body::Response(Response::NoValue { peers }));
                let answer = codec.encode_within(&answer, config.limits.max_global_answer, Vec::new()).unwrap();
                assert!(answer.len() > 600, "{codec} {to}: an answer with peers has {}", answer.len());
                assert!(MAX_AMPLIFICATION * len >= answer.len() + ping_len(codec), "{codec} {to}: {len}");
                assert!(
                    MAX_AMPLIFICATION * (len - 1) < answer.len() + ping_len(codec),
                    "{codec} {to}: no longer than that"
                );
            }
        }
    }
}
