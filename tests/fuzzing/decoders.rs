//! Laws of a decoder, whatever bytes come.

use kademlia_dynamic::Codec;
use kademlia_dynamic::protocol::codec::DecodeError;
use kademlia_dynamic::protocol::entry::MAX_ENTRIES;
use kademlia_dynamic::protocol::message::{Body, MAX_PEERS_READ, Message, Request, Response};
use kademlia_dynamic::protocol::peer::check_unicast;
use kademlia_dynamic::protocol::ranges::{MAX_RANGES, MAX_WANTED};

/// Reads `datagram`; what is read must be said and read again as the same, and hold nothing that cannot be.
///
/// # Panics
/// Where it does not.
pub(crate) fn check_decoder(codec: Codec, datagram: &[u8]) -> Result<Message, DecodeError> {
    let message = codec.decode(datagram)?;
    if let Body::Response(Response::FindNode { peers } | Response::NoValue { peers }) = &message.body {
        assert!(peers.len() <= MAX_PEERS_READ, "{} peers", peers.len());
        for peer in peers {
            assert_eq!(check_unicast(&peer.addr), Ok(()), "{peer}");
            assert_eq!(peer.addr.ip(), peer.addr.ip().to_canonical(), "{peer}");
        }
    }
    match &message.body {
        Body::Request(Request::Renew { entries }) => assert!((1..=MAX_ENTRIES).contains(&entries.entries.len())),
        Body::Request(Request::Reconcile { ranges, wanted }) => {
            assert!(ranges.ranges.len() <= MAX_RANGES && wanted.len() <= MAX_WANTED);
        }
        Body::Response(Response::Renew { states }) => assert!(states.len() <= MAX_ENTRIES),
        Body::Response(Response::Reconcile { ranges }) => assert!(ranges.len() <= MAX_RANGES),
        _ => {}
    }
    assert_ne!(message.sender.port, 0);
    // Where others write a thing shorter than we do, it may not fit.
    if let Ok(said) = codec.encode(&message) {
        let again = codec.decode(&said).unwrap_or_else(|error| panic!("{error}: {}", said.escape_ascii()));
        assert_eq!(again, as_it_comes_back(&message), "by way of {}", said.escape_ascii());
        assert_eq!(codec.encode(&again).as_deref(), Ok(&*said), "said twice");
    }
    Ok(message)
}

/// `message` as it is read after it was said.
fn as_it_comes_back(message: &Message) -> Message {
    let mut message = message.clone();
    if let Body::Request(Request::CheckStore { size: Some(size), .. }) = &mut message.body {
        // No wire is sent a number that bencode could not carry.
        *size = (*size).min(i64::MAX as u64);
    }
    message
}
