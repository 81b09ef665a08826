//! The table: what strangers send, by name, on every wire that can say it, and what must become of it.

mod contacts;
mod contents;

use contacts::{peers_named, senders};
use contents::{answers, keys_and_values, numbers};

use super::wild::{Wild, contact, number};
use super::*;

/// One row: a datagram as each wire spells it, and what each decoder makes of it.
pub(crate) struct Row {
    pub(crate) name: String,
    on: Vec<(Codec, Vec<u8>, Outcome)>,
}

impl Row {
    fn new(name: impl Into<String>, spell: impl Fn(Codec) -> Option<Vec<u8>>, expected: Outcome) -> Self {
        let on = Codec::ALL.into_iter().filter_map(|codec| Some((codec, spell(codec)?, expected.clone()))).collect();
        Self { name: name.into(), on }
    }

    /// On this wire something else becomes of it.
    fn but(mut self, codec: Codec, expected: Outcome) -> Self {
        self.on.iter_mut().filter(|on| on.0 == codec).for_each(|on| on.2 = expected.clone());
        self
    }

    /// On this wire only.
    fn only(mut self, codec: Codec) -> Self {
        self.on.retain(|on| on.0 == codec);
        self
    }

    /// The datagram and what becomes of it, if `codec` can spell it.
    pub(crate) fn on(&self, codec: Codec) -> Option<(&[u8], &Outcome)> {
        self.on.iter().find(|on| on.0 == codec).map(|(_, datagram, expected)| (&**datagram, expected))
    }
}

/// The whole table.
pub(crate) fn rows() -> Vec<Row> {
    [envelopes(), senders(), keys_and_values(), numbers(), peers_named(), answers(), twice(), whole_datagrams()]
        .into_iter()
        .flatten()
        .collect()
}

/// A message as it stands, field by field.
#[derive(Clone)]
struct Said(Vec<(String, Wild)>);

fn id() -> Wild {
    Wild::Id(NODE.to_owned())
}

fn ip(ip: &str) -> Wild {
    Wild::Ip(ip.to_owned())
}

/// A sound message of this kind, as far as `type`, `id` and `sender` go.
fn said(kind: &str) -> Said {
    let sender = contact(id(), ip("127.0.0.1"), number("8000"));
    let fields = [("type", kind.into()), ("id", Wild::Query(ID.to_owned())), ("sender", sender)];
    Said(fields.map(|(name, wild)| (name.to_owned(), wild)).into())
}

impl Said {
    /// With `wild` in this field, whatever stood there.
    fn with(self, name: &str, wild: impl Into<Wild>) -> Self {
        self.without(name).and(name, wild)
    }

    /// With `wild` in this field, beside whatever stands there.
    fn and(mut self, name: &str, wild: impl Into<Wild>) -> Self {
        self.0.push((name.to_owned(), wild.into()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.0.retain(|(other, _)| other != name);
        self
    }

    fn spell(&self, codec: Codec) -> Option<Vec<u8>> {
        let mut fields = self.0.clone();
        for (name, wild) in &mut fields {
            if name == "peers" {
                *wild = Wild::Raw(wild.spell_as_peers(codec)?);
            }
        }
        Wild::Dict(fields).spell(codec)
    }

    fn row(self, name: impl Into<String>, expected: Outcome) -> Row {
        Row::new(name, |codec| self.spell(codec), expected)
    }
}

fn text(text: impl Into<String>) -> Wild {
    Wild::Text(text.into())
}

fn one() -> Outcome {
    peers(&["192.0.2.1:1"])
}

/// An answer that names this peer, and after it a sound one.
fn naming(named: Wild) -> Said {
    said("find_node_res").with("peers", Wild::List(vec![named, contact(id(), ip("192.0.2.1"), number("1"))]))
}

fn envelopes() -> Vec<Row> {
    let ping_of = |name: &str, wild: Wild| said("ping").with(name, wild);
    let list = || Wild::List(vec!["ping".into()]);
    let dict = || Wild::Dict(vec![("ping".to_owned(), number("1"))]);
    vec![
        said("ping").row("a ping that is one", ping()),
        said("ping").without("type").row("no type", MISSING),
        ping_of("type", Wild::Null).row("a type that is null", MISSING),
        ping_of("type", number("1")).row("a type that is a number", BAD_FIELD),
        ping_of("type", Wild::Truth(true)).row("a type that is true", BAD_FIELD),
        ping_of("type", list()).row("a type that is a list", BAD_FIELD),
        ping_of("type", dict()).row("a type that is a dictionary", BAD_FIELD),
        ping_of("type", Wild::Bytes(b"ping".to_vec()))
            .row("a type that is bytes", BAD_FIELD)
            .but(Codec::Bencode, ping()),
        said("").row("an empty type", UNKNOWN_TYPE),
        said("PING").row("a type in capitals", UNKNOWN_TYPE),
        said("ping\0").row("a type with a zero behind it", UNKNOWN_TYPE),
        said("launch_missiles").row("an unknown type", UNKNOWN_TYPE),
        text_of_a_type(60_000).row("a type of 60,000 letters", UNKNOWN_TYPE),
        said("ping").without("id").row("no query id", QUERY_ID),
        ping_of("id", Wild::Null).row("a query id that is null", QUERY_ID),
        ping_of("id", number("7")).row("a query id that is a number", QUERY_ID),
        ping_of("id", number("-1")).row("a query id below zero", QUERY_ID),
        ping_of("id", list()).row("a query id that is a list", QUERY_ID),
        ping_of("id", dict()).row("a query id that is a dictionary", QUERY_ID),
        ping_of("id", Wild::Bytes(b"\xff\xfe\xfd".to_vec())).row("a query id that is no text", QUERY_ID),
        ping_of("id", text("")).row("an empty query id", ping()),
        ping_of("id", text("ключ \u{1f511} \"'\\")).row("a query id of any letters", ping()),
        ping_of("id", text("x".repeat(32))).row("a query id of 32 bytes", ping()),
        ping_of("id", text("x".repeat(33))).row("a query id of 33 bytes", QUERY_ID),
        ping_of("id", text("x".repeat(60_000))).row("a query id of 60,000 bytes", QUERY_ID),
        said("ping").and("x", Wild::Nested(3)).and("", number("-1")).row("unknown fields", ping()),
        said("ping").and("v", number("-1")).row("a version below zero", ping()),
        said("ping").and("v", number("4294967296")).row("a version of 33 bits", ping()),
        said("ping").and("v", text("1")).row("a version that is text", ping()),
    ]
}

fn text_of_a_type(len: usize) -> Said {
    said("ping").with("type", text("x".repeat(len)))
}

fn twice() -> Vec<Row> {
    let two = |kind: &str, name: &str, wild: Wild| said(kind).with(name, wild.clone()).and(name, wild);
    let mut rows = vec![
        two("ping", "type", "ping".into()).row("two types", DUPLICATE),
        two("ping", "id", Wild::Query(ID.to_owned())).row("two query ids", DUPLICATE),
        two("ping", "sender", contact(id(), ip("127.0.0.1"), number("1"))).row("two senders", DUPLICATE),
        two("find_value", "key", "k".into()).row("two keys", DUPLICATE),
        two("set", "value", "v".into()).with("key", "k").row("two values", DUPLICATE),
        two("find_node", "target", id()).row("two targets", DUPLICATE),
        two("find_node_res", "peers", Wild::List(vec![])).row("two lists of peers", DUPLICATE),
        two("ping", "v", number("1")).row("two versions", DUPLICATE),
        // In fields that are not read it does not matter, where the form does not forbid it.
        two("ping", "x", number("1")).row("an unknown field twice", ping()).but(Codec::Bencode, DUPLICATE),
    ];
    let escaped = |codec| {
        Some(
            String::from_utf8(said("ping").spell(codec)?)
                .ok()?
                .replace("{\"type", "{\"\\u0074ype\":\"ping\",\"type")
                .into(),
        )
    };
    rows.push(Row::new(
        "two types, one of them in disguise",
        |codec| (codec == Codec::Json).then(|| escaped(codec))?,
        DUPLICATE,
    ));
    rows
}

fn whole_datagrams() -> Vec<Row> {
    let whole = |codec| said("ping").spell(codec);
    let nested = || Wild::Nested(30_000);
    let of = |name: &str, bytes: &[u8]| Row::new(name, |_| Some(bytes.to_vec()), MALFORMED);
    let changed =
        |name: &str, change: fn(Vec<u8>) -> Vec<u8>| Row::new(name, |codec| whole(codec).map(change), MALFORMED);
    let padded = |codec| {
        let bare = said("ping").and("x", text("")).spell(codec)?.len();
        // The length in front of it takes a few bytes more in bencode.
        let room = 65_507 - bare - if codec == Codec::Bencode { 4 } else { 0 };
        said("ping").and("x", text("y".repeat(room))).spell(codec)
    };
    vec![
        Row::new("nothing", |_| Some(vec![]), Err("empty")),
        of("a zero", b"\0"),
        of("a space", b" "),
        of("65,507 zeros", &[0; 65_507]),
        of("65,507 bytes of 255", &[0xff; 65_507]),
        of("65,507 opening brackets", &[b'['; 65_507]),
        of("65,507 letters d", &[b'd'; 65_507]),
        of("65,507 arrays of one", &[0x91; 65_507]),
        of("a request of another world", b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"),
        of("a query of another network", b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x03org\0\0\x01\0\x01"),
        changed("the first half", |whole| whole[..whole.len() / 2].to_vec()),
        changed("the last byte cut off", |whole| whole[..whole.len() - 1].to_vec()),
        changed("the first byte cut off", |whole| whole[1..].to_vec()),
        changed("a zero behind it", |whole| [&whole[..], b"\0"].concat()),
        changed("the same again behind it", |whole| [&whole[..], &whole].concat()),
        changed("a byte order mark in front", |whole| [b"\xef\xbb\xbf", &whole[..]].concat()),
        Row::new("in a list", |codec| Wild::List(vec![Wild::Raw(whole(codec)?)]).spell(codec), MALFORMED),
        Row::new("an empty dictionary", |codec| Wild::Dict(vec![]).spell(codec), MISSING),
        Row::new("an empty list", |codec| Wild::List(vec![]).spell(codec), MALFORMED),
        Row::new("null", |codec| Wild::Null.spell(codec), MALFORMED),
        Row::new("a number", |codec| number("7").spell(codec), MALFORMED),
        Row::new("30,000 lists in one another", |codec| nested().spell(codec), MALFORMED),
        // JSON passes over what it does not know without recursion, so that depth does no harm there.
        said("ping").and("x", nested()).row("30,000 lists in an unknown field", TOO_DEEP).but(Codec::Json, ping()),
        said("ping").with("sender", nested()).row("30,000 lists for a sender", TOO_DEEP).but(Codec::Json, BAD_SENDER),
        said("set")
            .with("key", "k")
            .with("value", nested())
            .row("30,000 lists for a value", TOO_DEEP)
            .but(Codec::Json, unsupported()),
        said("find_node_res")
            .with("peers", nested())
            .row("30,000 lists for peers", TOO_DEEP)
            .but(Codec::Json, peers(&[])),
        Row::new("a ping of 65,507 bytes", padded, ping()),
        Row::new("keys out of order", |_| Some(b"d4:type4:ping2:id1:xe".to_vec()), MALFORMED).only(Codec::Bencode),
        Row::new("a key without a value", |_| Some(b"d2:ide".to_vec()), MALFORMED).only(Codec::Bencode),
        Row::new("a name that is a number", |_| Some(b"di1e1:xe".to_vec()), MALFORMED).only(Codec::Bencode),
        Row::new("single quotes", |_| Some(b"{'type':'ping'}".to_vec()), MALFORMED).only(Codec::Json),
        Row::new("a comment", |_| Some(b"{/**/}".to_vec()), MALFORMED).only(Codec::Json),
        Row::new("a comma too many", |_| Some(b"{\"type\":\"ping\",}".to_vec()), MALFORMED).only(Codec::Json),
        Row::new("a struct as an array", |_| Some(b"\x93\xa4ping\xa1x\xc0".to_vec()), MALFORMED)
            .only(Codec::MessagePack),
    ]
}
