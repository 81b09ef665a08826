//! Padding of queries.

use crate::protocol::codec::Codec;
use crate::protocol::codec::padding::MAX_PADDING;
use crate::protocol::id::NodeId;
use crate::protocol::message::{Body, Message, QueryId, Request, Sender, Token};

fn query(token: Option<Token>) -> Message {
    let sender = Sender::new(Some(NodeId::of_key("own")), "192.0.2.1:4000".parse().unwrap());
    let body = Body::Request(Request::FindNode { target: NodeId::of_key("target") });
    Message { id: QueryId::from_u64(7), sender, version: Some(2), token, body }
}

#[test]
fn a_padded_query_is_as_long_as_asked_for_and_reads_as_the_one_without_padding() {
    for codec in Codec::ALL {
        for token in [None, Some(Token::from_u64(9))] {
            let message = query(token);
            let bare = codec.encode(&message).unwrap();
            for len in (0..700).chain([4_000, usize::MAX]) {
                let padded = codec.encode_padded(&message, len, b"what was before".to_vec()).unwrap();
                assert_eq!(codec.decode(&padded).unwrap(), message, "{codec} {len}");
                assert!(padded.len() >= len.min(bare.len() + MAX_PADDING), "{codec} {len}: {}", padded.len());
                assert!(padded.len() <= bare.len().max(len.min(bare.len() + MAX_PADDING) + 7), "{codec} {len}");
                assert!(len > bare.len() || padded == bare);
            }
        }
    }
}
