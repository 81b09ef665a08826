//! Anything that a datagram could say, sense or nonsense, and how each wire would spell it. Nothing of the library is used
//! for that, since it writes no nonsense.

use kademlia_dynamic::Codec;

/// Something said.
#[derive(Debug, Clone)]
pub(crate) enum Wild {
    Null,
    Truth(bool),
    /// As it is written in decimal: `1.5`, `-1`, `007`, `NaN`.
    Number(String),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Wild>),
    Dict(Vec<(String, Wild)>),
    /// A node id in hex, or text in its place.
    Id(String),
    /// A query id.
    Query(String),
    /// An address, or text in its place.
    Ip(String),
    /// So many lists in one another.
    Nested(usize),
    /// Bytes as they stand, of one wire only.
    Raw(Vec<u8>),
}

impl From<&str> for Wild {
    fn from(text: &str) -> Self {
        Wild::Text(text.to_owned())
    }
}

/// A number as it is written.
pub(crate) fn number(digits: &str) -> Wild {
    Wild::Number(digits.to_owned())
}

/// A dictionary of a peer's three parts.
pub(crate) fn contact(id: Wild, ip: Wild, port: Wild) -> Wild {
    Wild::Dict([("node_id", id), ("ip", ip), ("port", port)].map(|(name, part)| (name.to_owned(), part)).into())
}

impl Wild {
    /// How `codec` spells it. `None` if that wire has no such thing.
    pub(crate) fn spell(&self, codec: Codec) -> Option<Vec<u8>> {
        match codec {
            Codec::Json => self.json(),
            Codec::Bencode => self.bencode(),
            Codec::MessagePack => self.msgpack(),
        }
    }

    fn json(&self) -> Option<Vec<u8>> {
        let each = |items: &[Wild]| items.iter().map(Wild::json).collect::<Option<Vec<_>>>();
        Some(match self {
            Wild::Null => b"null".to_vec(),
            Wild::Truth(truth) => truth.to_string().into(),
            Wild::Number(digits) => digits.clone().into(),
            Wild::Text(text) | Wild::Id(text) | Wild::Query(text) | Wild::Ip(text) => serde_json::to_vec(text).ok()?,
            Wild::Bytes(bytes) => {
                use base64::Engine as _;
                let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
                format!(r#"{{"__bytes_b64__":"{encoded}"}}"#).into()
            }
            Wild::List(items) => [b"[", &each(items)?.join(&b","[..])[..], b"]"].concat(),
            Wild::Dict(fields) => {
                let field =
                    |(name, wild): &(String, Wild)| Some([format!("{name:?}:").into_bytes(), wild.json()?].concat());
                let fields: Vec<_> = fields.iter().map(field).collect::<Option<_>>()?;
                [b"{", &fields.join(&b","[..])[..], b"}"].concat()
            }
            Wild::Nested(depth) => ["[".repeat(*depth), "]".repeat(*depth)].concat().into(),
            Wild::Raw(bytes) => bytes.clone(),
        })
    }

    fn bencode(&self) -> Option<Vec<u8>> {
        let string = |bytes: &[u8]| [bytes.len().to_string().as_bytes(), b":", bytes].concat();
        Some(match self {
            Wild::Null => return None,
            Wild::Truth(truth) => format!("i{}e", u8::from(*truth)).into(),
            Wild::Number(digits) => format!("i{digits}e").into(),
            Wild::Text(text) | Wild::Id(text) | Wild::Query(text) | Wild::Ip(text) => string(text.as_bytes()),
            Wild::Bytes(bytes) => string(bytes),
            Wild::List(items) => {
                let items: Vec<_> = items.iter().map(Wild::bencode).collect::<Option<_>>()?;
                [b"l", &items.concat()[..], b"e"].concat()
            }
            Wild::Dict(fields) => {
                let mut fields = fields.clone();
                fields.sort_by(|one, other| one.0.cmp(&other.0));
                let field = |(name, wild): &(String, Wild)| Some([string(name.as_bytes()), wild.bencode()?].concat());
                let fields: Vec<_> = fields.iter().map(field).collect::<Option<_>>()?;
                [b"d", &fields.concat()[..], b"e"].concat()
            }
            Wild::Nested(depth) => ["l".repeat(*depth), "e".repeat(*depth)].concat().into(),
            Wild::Raw(bytes) => bytes.clone(),
        })
    }

    fn msgpack(&self) -> Option<Vec<u8>> {
        let text = |text: &str| [&[0xdb][..], &(text.len() as u32).to_be_bytes(), text.as_bytes()].concat();
        let bin = |bytes: &[u8]| [&[0xc6][..], &(bytes.len() as u32).to_be_bytes(), bytes].concat();
        Some(match self {
            Wild::Null => vec![0xc0],
            Wild::Truth(truth) => vec![0xc2 + u8::from(*truth)],
            Wild::Number(digits) => match (digits.parse::<u64>(), digits.parse::<i64>(), digits.parse::<f64>()) {
                // No leading zeros: a number has one spelling of each width.
                (Ok(number), ..) if number.to_string() == *digits => [&[0xcf][..], &number.to_be_bytes()].concat(),
                (_, Ok(number), _) if number.to_string() == *digits => [&[0xd3][..], &number.to_be_bytes()].concat(),
                (Err(_), Err(_), Ok(number)) if !digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                    [&[0xcb][..], &number.to_be_bytes()].concat()
                }
                _ => return None,
            },
            Wild::Text(content) => text(content),
            Wild::Bytes(bytes) => bin(bytes),
            Wild::List(items) => {
                let items: Vec<_> = items.iter().map(Wild::msgpack).collect::<Option<_>>()?;
                [&[0xdd][..], &(items.len() as u32).to_be_bytes(), &items.concat()].concat()
            }
            Wild::Dict(fields) => {
                let field = |(name, wild): &(String, Wild)| Some([text(name), wild.msgpack()?].concat());
                let spelled: Vec<_> = fields.iter().map(field).collect::<Option<_>>()?;
                [&[0xdf][..], &(spelled.len() as u32).to_be_bytes(), &spelled.concat()].concat()
            }
            // Raw bytes here: what is no hex has no counterpart, but its length may be wrong all the same.
            Wild::Id(hex) => bin(&hex::decode(hex).ok()?),
            Wild::Query(id) => match hex::decode(id) {
                Ok(bytes) if bytes.len() == 8 => bin(&bytes),
                _ => text(id),
            },
            Wild::Ip(ip) => match ip.parse().ok()? {
                std::net::IpAddr::V4(v4) => bin(&v4.octets()),
                std::net::IpAddr::V6(v6) => bin(&v6.octets()),
            },
            Wild::Nested(depth) => [vec![0x91; depth.saturating_sub(1)], vec![0x90]].concat(),
            Wild::Raw(bytes) => bytes.clone(),
        })
    }

    /// How `codec` spells it as `peers`: records on the compact wire, if it is a list of what can be records.
    pub(crate) fn spell_as_peers(&self, codec: Codec) -> Option<Vec<u8>> {
        let Wild::List(entries) = self else { return self.spell(codec) };
        if codec != Codec::MessagePack {
            return self.spell(codec);
        }
        let mut records = Vec::new();
        for entry in entries {
            let Wild::Dict(parts) = entry else { return None };
            let [(_, Wild::Id(id)), (_, Wild::Ip(ip)), (_, Wild::Number(port))] = &parts[..] else { return None };
            let std::net::IpAddr::V4(ip) = ip.parse().ok()? else { return None };
            records.extend(<[u8; 20]>::try_from(hex::decode(id).ok()?).ok()?);
            records.extend(ip.octets());
            records.extend(port.parse::<u16>().ok()?.to_be_bytes());
        }
        Wild::Bytes(records).spell(codec)
    }
}
