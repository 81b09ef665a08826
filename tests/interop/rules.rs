//! Where our decoders read something else than the Python package's: the whole list, with reasons. Each rule looks at what
//! the package read and says by itself whether the difference is one of its kind; it does not ask our decoder.

use std::net::{IpAddr, SocketAddr};

use kademlia_dynamic::protocol::codec::{Codec, DecodeError, MAX_DEPTH};
use kademlia_dynamic::protocol::message::MAX_PEERS_READ;
use kademlia_dynamic::protocol::peer::check_unicast;
use serde_json::{Value as Json, json};

use crate::bencode;
use crate::differential::{Case, Difference, field, unsupported};

/// One way in which the two may differ.
pub(crate) struct Rule {
    pub(crate) what: &'static str,
    /// On which wire; `None`: on both.
    pub(crate) on: Option<Codec>,
    /// Where it is written that it is so.
    pub(crate) see: &'static str,
    pub(crate) explains: fn(&Case, &Difference) -> bool,
}

use DecodeError::{BadField, BadSender, Duplicate, Malformed, Missing, QueryId, TooDeep, UnknownType};
use Difference::{Field, TheyRefuse, WeRefuse};

const TYPES: [&str; 14] = [
    "ping",
    "pong",
    "find_node",
    "find_node_res",
    "find_value",
    "find_value_res",
    "set",
    "set_res",
    "set_cached",
    "set_cached_res",
    "check_store",
    "check_store_res",
    "get",
    "get_res",
];

/// All of them. The first that holds counts.
pub(crate) const RULES: &[Rule] = &[
    Rule {
        what: "a message is a dictionary",
        on: None,
        see: "docs/wire.md, 2.1",
        explains: |case, difference| {
            matches!(difference, WeRefuse(Malformed(_)))
                && case.theirs.as_ref().is_ok_and(|read| read.get("dict").is_none())
        },
    },
    Rule {
        what: "a lone surrogate is no letter, but in a value",
        on: Some(Codec::Json),
        see: "docs/wire.md, 5.2",
        explains: |case, difference| {
            let escaped = case.datagram.windows(3).any(|w| w[..2] == *b"\\u" && w[2].eq_ignore_ascii_case(&b'd'));
            matches!(difference, WeRefuse(Malformed(_))) && escaped
        },
    },
    Rule {
        what: "JSON has a field once, where Python takes the last",
        on: Some(Codec::Json),
        see: "docs/wire.md, 5.2",
        explains: |case, difference| {
            let doubled = |names: &[&str]| names.iter().any(|name| count(&case.datagram, &format!("\"{name}\"")) > 1);
            match difference {
                WeRefuse(Duplicate) => doubled(&[
                    "type",
                    "id",
                    "sender",
                    "target",
                    "target_id",
                    "key",
                    "value",
                    "size",
                    "peers",
                    "has_key",
                    "ttl",
                    "v",
                    "stored",
                    "token",
                ]),
                WeRefuse(BadSender) => {
                    sound_sender(case.codec, &case.theirs(&["sender"])) && doubled(&["node_id", "ip", "port"])
                }
                _ => false,
            }
        },
    },
    Rule {
        what: "bencode is read in its one canonical form",
        on: Some(Codec::Bencode),
        see: "docs/wire.md, 5.3",
        explains: |case, difference| {
            matches!(difference, WeRefuse(Malformed(_) | Duplicate)) && bencode::read(&case.datagram).is_err()
        },
    },
    Rule {
        what: "a message nests no deeper than eight levels",
        on: Some(Codec::Bencode),
        see: "docs/wire.md, 5.3",
        explains: |case, difference| {
            matches!(difference, WeRefuse(TooDeep)) && case.theirs.as_ref().is_ok_and(|read| depth(read) > MAX_DEPTH)
        },
    },
    Rule {
        what: "an unknown type is ignored later on",
        on: None,
        see: "docs/wire.md, 2.5",
        explains: |case, difference| {
            let kind = case.theirs(&["type"]);
            match difference {
                WeRefuse(UnknownType) => kind.as_str().is_some_and(|kind| !TYPES.contains(&kind)) || marked(&kind),
                WeRefuse(Missing("type")) => kind.is_null(),
                WeRefuse(BadField("type")) => !kind.is_string() && !kind.is_null(),
                _ => false,
            }
        },
    },
    Rule {
        what: "a query id is a string of at most 32 bytes",
        on: None,
        see: "docs/wire.md, 2.3",
        explains: |case, difference| {
            matches!(difference, WeRefuse(QueryId)) && case.theirs(&["id"]).as_str().is_none_or(|id| id.len() > 32)
        },
    },
    Rule {
        what: "a sender has 40 hex digits or none, a port, and an address that is text",
        on: None,
        see: "docs/wire.md, 2.4",
        explains: |case, difference| {
            matches!(difference, WeRefuse(BadSender)) && !sound_sender(case.codec, &case.theirs(&["sender"]))
        },
    },
    Rule {
        what: "a query without what it asks for says nothing",
        on: None,
        see: "docs/wire.md, 3.1",
        explains: |case, difference| matches!(difference, WeRefuse(Missing(name)) if case.theirs(&[name]).is_null()),
    },
    Rule {
        what: "a field holds what it must hold",
        on: None,
        see: "docs/wire.md, 3.1 and 5.5",
        explains: |case, difference| match difference {
            WeRefuse(BadField(name)) => !fits(case.codec, name, &case.theirs(&[name])),
            _ => false,
        },
    },
    Rule {
        what: "a value is text or bytes; any other is acknowledged as refused, or reported",
        on: None,
        see: "docs/wire.md, 3.3",
        explains: |case, difference| match difference {
            Field("value", ours, theirs) => {
                let noncanonical = theirs.get("bytes").is_some_and(|bytes| !spelled_in(&case.datagram, bytes));
                let doubled = count(&case.datagram, "__bytes_b64__") > 1;
                *ours == unsupported() && (!fits(case.codec, "value", theirs) || noncanonical || doubled)
            }
            _ => false,
        },
    },
    Rule {
        what: "an optional field of another type reads as absent",
        on: None,
        see: "docs/wire.md, 4",
        explains: |_, difference| matches!(difference, Field("size", ours, theirs) if ours.is_null() && !theirs.is_u64()),
    },
    Rule {
        what: "bytes that are not read, or are refused, need not be base64",
        on: Some(Codec::Json),
        see: "docs/wire.md, 2.5 and 3.3",
        explains: |case, difference| {
            matches!(difference, TheyRefuse(name) if name == "Error" || name == "ValueError")
                && count(&case.datagram, "__bytes_b64__") > 0
        },
    },
    Rule {
        what: "a legacy node ends where Python's recursion does",
        on: Some(Codec::Json),
        see: "docs/wire.md, 5.2",
        explains: |_, difference| matches!(difference, TheyRefuse(name) if name == "RecursionError"),
    },
    Rule {
        what: "an id in capitals is the same id",
        on: None,
        see: "docs/wire.md, 2.2",
        explains: |_, difference| match difference {
            Field("sender.node_id" | "target" | "target_id", ours, theirs) => {
                hex_id(theirs) && theirs.as_str().map(str::to_ascii_lowercase).as_deref() == ours.as_str()
            }
            _ => false,
        },
    },
    Rule {
        what: "an address is literal, and has one spelling",
        on: None,
        see: "docs/wire.md, 2.4",
        explains: |_, difference| match difference {
            Field("sender.ip", ours, theirs) => {
                let literal = theirs.as_str().and_then(|ip| ip.parse::<IpAddr>().ok());
                (theirs.is_string() || marked_text(theirs)) && json!(literal.map(|ip| ip.to_string())) == *ours
            }
            _ => false,
        },
    },
    Rule {
        what: "of the peers named, the first 32 are read, and of those the ones that can be peers",
        on: None,
        see: "docs/wire.md, 3.4",
        explains: |case, difference| match difference {
            Field("peers", ours, theirs) => {
                let named = theirs.as_array().map_or(&[][..], Vec::as_slice);
                let sound: Json = named.iter().take(MAX_PEERS_READ).filter_map(sound_peer).collect();
                (theirs.is_null() || theirs.is_array()) && sound == *ours || doubled_in_peers(case, named, ours)
            }
            _ => false,
        },
    },
    Rule {
        what: "no node believes what key's hash a cached copy claims",
        on: None,
        see: "docs/wire.md, 3.1",
        explains: |_, difference| matches!(difference, Field("target_id", ours, theirs) if ours.is_null() && !hex_id(theirs)),
    },
    Rule {
        what: "has_key is true or false, and false where it is missing",
        on: None,
        see: "docs/wire.md, 3.1 and 5.3",
        explains: |case, difference| match difference {
            Field("has_key", ours, theirs) => match case.codec {
                Codec::Bencode => theirs.as_u64().is_some_and(|flag| json!(flag == 1) == *ours) || theirs.is_null(),
                _ => theirs.is_null() && *ours == json!(false),
            },
            _ => false,
        },
    },
    Rule {
        what: "the mark of bytes means something in front of a value only",
        on: Some(Codec::Bencode),
        see: "docs/wire.md, 5.3",
        explains: |_, difference| match difference {
            Field("key" | "id", ours, theirs) => {
                theirs["bytes"].as_str().and_then(|bytes| String::from_utf8(hex::decode(bytes).ok()?).ok())
                    == ours.as_str().and_then(|text| text.strip_prefix("\0bytes\0")).map(str::to_owned)
            }
            _ => false,
        },
    },
];

/// How often `token` stands in `datagram`.
fn count(datagram: &[u8], token: &str) -> usize {
    datagram.windows(token.len()).filter(|window| *window == token.as_bytes()).count()
}

/// Whether it is bytes to them: on bencode, text behind the mark.
fn marked(read: &Json) -> bool {
    read.get("bytes").is_some()
}

/// Whether it is bytes to them that are text all the same.
fn marked_text(read: &Json) -> bool {
    let bytes = read["bytes"].as_str().and_then(|bytes| hex::decode(bytes).ok());
    bytes.is_some_and(|bytes| std::str::from_utf8(&bytes).is_ok())
}

/// Lists and dictionaries in one another.
fn depth(read: &Json) -> usize {
    match read {
        Json::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Json::Object(tagged) => match tagged.get("dict").and_then(Json::as_array) {
            Some(pairs) => 1 + pairs.iter().map(|pair| depth(&pair[1])).max().unwrap_or(0),
            None if tagged.contains_key("other") => MAX_DEPTH + 1,
            None => 0,
        },
        _ => 0,
    }
}

fn hex_id(read: &Json) -> bool {
    read.as_str().is_some_and(|id| id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn port(read: &Json) -> Option<u16> {
    read.as_u64()?.try_into().ok().filter(|port| *port > 0)
}

fn sound_sender(codec: Codec, sender: &Json) -> bool {
    let part = |name| field(sender, name).cloned().unwrap_or_default();
    let (id, ip) = (part("node_id"), part("ip"));
    (hex_id(&id) || id == "")
        && (ip.is_string() || ip.is_null() || codec == Codec::Bencode && marked_text(&ip))
        && port(&part("port")).is_some()
}

/// The peer as we would show it, if it can be one.
fn sound_peer(peer: &Json) -> Option<Json> {
    let part = |name| field(peer, name).cloned().unwrap_or_default();
    let (id, ip, port) = (part("node_id"), part("ip").as_str()?.parse::<IpAddr>().ok()?, port(&part("port"))?);
    let addr = SocketAddr::new(ip.to_canonical(), port);
    let sound = hex_id(&id) && check_unicast(&addr).is_ok();
    let shown = json!({"dict": [
        ["node_id", id.as_str()?.to_ascii_lowercase()], ["ip", addr.ip().to_string()], ["port", port]
    ]});
    sound.then_some(shown)
}

/// A peer with a part twice is dropped too, which Python's dictionary does not show: ours are some of theirs then.
fn doubled_in_peers(case: &Case, named: &[Json], ours: &Json) -> bool {
    let parts = ["node_id", "ip", "port"].map(|name| count(&case.datagram, &format!("\"{name}\"")));
    let more_than_shown = parts.into_iter().any(|found| found > named.len() + 1);
    let mut sound = named.iter().filter_map(sound_peer);
    case.codec == Codec::Json
        && more_than_shown
        && ours.as_array().is_some_and(|ours| ours.iter().all(|peer| sound.any(|sound| sound == *peer)))
}

/// Whether what they read under this name is what belongs there.
fn fits(codec: Codec, name: &str, read: &Json) -> bool {
    match name {
        "key" => read.is_string(),
        "target" => hex_id(read),
        "value" => read.is_string() || marked(read),
        "peers" => read.is_array(),
        "has_key" if codec == Codec::Bencode => read.as_u64().is_some_and(|flag| flag <= 1),
        "has_key" => read.is_boolean(),
        _ => false,
    }
}

/// Whether these bytes stand in the datagram in the base64 that is usual.
fn spelled_in(datagram: &[u8], bytes: &Json) -> bool {
    use base64::Engine as _;
    let bytes = bytes.as_str().and_then(|bytes| hex::decode(bytes).ok()).unwrap_or_default();
    let spelled = format!("\"{}\"", base64::engine::general_purpose::STANDARD.encode(bytes));
    count(datagram, &spelled) > 0
}
