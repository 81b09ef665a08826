//! A list of address prefixes, as a setting is written.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Prefixes in one list. A longer list is refused.
pub const MAX_DENIED: usize = 10_000;

/// All addresses that begin with the same bits. It is written `192.0.2.0/24` or `2001:db8::/32`; an address alone is a prefix
/// of all of its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpPrefix {
    first: IpAddr,
    len: u8,
}

/// The text is no prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParsePrefixError {
    /// It has another form.
    #[error("{0:?} is no prefix: write 192.0.2.0/24, 2001:db8::/32 or an address")]
    Form(String),
    /// The address has bits that are not zero beyond the length.
    #[error("{found:?} has bits beyond its length: {meant} is meant, or a longer prefix")]
    Bits {
        /// The text.
        found: String,
        /// The prefix of that length.
        meant: IpPrefix,
    },
}

/// The bits of `ip`, and how many it has.
fn bits(ip: &IpAddr) -> (u128, u8) {
    match ip {
        IpAddr::V4(v4) => (v4.to_bits().into(), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

impl IpPrefix {
    /// The prefix of `len` bits of `ip`, which has as many at least.
    fn of(ip: IpAddr, len: u8) -> Self {
        let (value, width) = bits(&ip);
        let beyond = u32::from(width - len);
        let kept = value.checked_shr(beyond).and_then(|head| head.checked_shl(beyond)).unwrap_or(0);
        let first = match ip {
            IpAddr::V4(_) => Ipv4Addr::from_bits(kept as u32).into(),
            IpAddr::V6(_) => Ipv6Addr::from_bits(kept).into(),
        };
        Self { first, len }
    }

    /// Whether `ip` begins with it. An IPv4-mapped address is the IPv4 address that it is.
    pub fn contains(&self, ip: &IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_ipv4() == self.first.is_ipv4() && Self::of(ip, self.len) == *self
    }
}

impl fmt::Display for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.len)
    }
}

impl FromStr for IpPrefix {
    type Err = ParsePrefixError;

    fn from_str(text: &str) -> Result<Self, ParsePrefixError> {
        let form = || ParsePrefixError::Form(text.to_owned());
        let (ip, len) = text.split_once('/').map_or((text, None), |(ip, len)| (ip, Some(len)));
        let ip: IpAddr = ip.parse().map_err(|_| form())?;
        let width = bits(&ip).1;
        let digits =
            |len: &str| len.bytes().all(|byte| byte.is_ascii_digit()).then(|| len.parse::<u8>().ok()).flatten();
        let len = len.map_or(Some(width), digits).filter(|len| *len <= width).ok_or_else(form)?;
        let meant = Self::of(ip, len);
        if meant.first != ip {
            return Err(ParsePrefixError::Bits { found: text.to_owned(), meant });
        }
        // Datagrams come from IPv4 addresses in their own form.
        let ipv4 = ip.to_canonical();
        Ok(if ipv4 != ip && len >= 96 { Self { first: ipv4, len: len - 96 } } else { meant })
    }
}

/// A list of prefixes: with serde a list of texts, or one text with commas or spaces between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DenyList(
    /// In order, without those that lie in others. `None`: there are none.
    Option<Arc<[IpPrefix]>>,
);

impl DenyList {
    /// No prefix.
    pub const EMPTY: Self = Self(None);

    /// Whether one of its prefixes contains `ip`.
    pub fn contains(&self, ip: &IpAddr) -> bool {
        let Some(prefixes) = &self.0 else { return false };
        let ip = ip.to_canonical();
        // Only the last one that begins at or before it can contain it, as none lies in another.
        let behind = prefixes.partition_point(|prefix| prefix.first <= ip);
        behind > 0 && prefixes[behind - 1].contains(&ip)
    }

    /// Its prefixes.
    pub fn iter(&self) -> impl Iterator<Item = &IpPrefix> {
        self.0.iter().flat_map(|prefixes| prefixes.iter())
    }
}

impl FromIterator<IpPrefix> for DenyList {
    fn from_iter<I: IntoIterator<Item = IpPrefix>>(prefixes: I) -> Self {
        let mut all: Vec<IpPrefix> = prefixes.into_iter().collect();
        // Of those that begin alike the widest is first.
        all.sort_unstable();
        let mut outer: Option<IpPrefix> = None;
        all.retain(|prefix| {
            let keep = outer.is_none_or(|outer| !outer.contains(&prefix.first));
            outer = if keep { Some(*prefix) } else { outer };
            keep
        });
        Self((!all.is_empty()).then(|| all.into()))
    }
}

impl Serialize for DenyList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(ToString::to_string))
    }
}

impl<'de> Deserialize<'de> for DenyList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Texts)
    }
}

struct Texts;

impl Texts {
    fn parsed<'a, E: de::Error>(texts: impl Iterator<Item = &'a str>) -> Result<DenyList, E> {
        let mut prefixes = Vec::new();
        for text in texts.filter(|text| !text.is_empty()) {
            if prefixes.len() == MAX_DENIED {
                return Err(E::custom(format!("there are more than {MAX_DENIED} prefixes")));
            }
            prefixes.push(text.parse().map_err(E::custom)?);
        }
        Ok(prefixes.into_iter().collect())
    }
}

impl<'de> Visitor<'de> for Texts {
    type Value = DenyList;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of prefixes such as [\"192.0.2.0/24\"]")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<DenyList, E> {
        Self::parsed(text.split([',', ' ', '\t', '\n']))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<DenyList, A::Error> {
        let mut texts: Vec<String> = Vec::new();
        while texts.len() <= MAX_DENIED {
            let next = list.next_element();
            match next.map_err(|_| de::Error::invalid_type(Unexpected::Other("list of something else"), &self))? {
                Some(text) => texts.push(text),
                None => break,
            }
        }
        Self::parsed(texts.iter().map(|text| text.trim()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(texts: &[&str]) -> DenyList {
        serde_json::from_value(serde_json::json!(texts)).unwrap()
    }

    #[test]
    fn a_prefix_is_an_address_and_a_length_and_nothing_else() {
        for text in ["192.0.2.0/24", "0.0.0.0/0", "192.0.2.7/32", "2001:db8::/32", "::/0", "::1/128"] {
            assert_eq!(text.parse::<IpPrefix>().unwrap().to_string(), text);
        }
        assert_eq!("192.0.2.7".parse::<IpPrefix>().unwrap().to_string(), "192.0.2.7/32");
        assert_eq!("::ffff:192.0.2.0/120".parse::<IpPrefix>().unwrap().to_string(), "192.0.2.0/24");
        for text in ["", "192.0.2", "192.0.2.0/", "192.0.2.0/33", "192.0.2.0/+8", "::/129", "a/8", "192.0.2.0/24/8"] {
            assert_eq!(text.parse::<IpPrefix>(), Err(ParsePrefixError::Form(text.to_owned())));
        }
        let error = "192.0.2.7/24".parse::<IpPrefix>().unwrap_err().to_string();
        assert_eq!(error, "\"192.0.2.7/24\" has bits beyond its length: 192.0.2.0/24 is meant, or a longer prefix");
    }

    #[test]
    fn a_list_contains_what_one_of_its_prefixes_does() {
        let list = list(&["192.0.2.0/24", "10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32", "198.51.100.7"]);
        for (ip, denied) in [
            ("192.0.2.0", true),
            ("192.0.2.255", true),
            ("192.0.3.0", false),
            ("192.0.1.255", false),
            ("10.200.0.1", true),
            ("198.51.100.7", true),
            ("198.51.100.8", false),
            ("2001:db8:1::1", true),
            ("2001:db9::", false),
            ("::ffff:192.0.2.7", true),
            ("::c000:207", false),
        ] {
            assert_eq!(list.contains(&ip.parse().unwrap()), denied, "{ip}");
        }
        assert_eq!(list.iter().count(), 4, "one lies in another");
        assert!(!DenyList::EMPTY.contains(&"192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn a_list_is_read_from_a_list_or_one_text_and_written_as_a_list() {
        let of_text: DenyList = serde_json::from_str("\"10.0.0.0/8, 192.0.2.0/24 \"").unwrap();
        assert_eq!(of_text, list(&["192.0.2.0/24", "10.0.0.0/8"]));
        assert_eq!(serde_json::to_string(&of_text).unwrap(), r#"["10.0.0.0/8","192.0.2.0/24"]"#);
        assert_eq!(serde_json::from_str::<DenyList>("[]").unwrap(), DenyList::EMPTY);
        for (wrong, why) in
            [("7", "a list of prefixes"), ("[7]", "a list of prefixes"), ("[\"x\"]", "\"x\" is no prefix")]
        {
            let error = serde_json::from_str::<DenyList>(wrong).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        let many: Vec<String> = (0..=MAX_DENIED).map(|n| format!("10.{}.{}.0", n / 256, n % 256)).collect();
        assert!(serde_json::from_value::<DenyList>(serde_json::json!(many[1..])).is_ok());
        assert!(serde_json::from_value::<DenyList>(serde_json::json!(many)).is_err());
    }

    proptest! {
        #[test]
        fn a_list_denies_what_any_of_its_prefixes_contains(
            prefixes in proptest::collection::vec((any::<u8>(), 0u8..=8), 0..8), last in any::<u8>(),
        ) {
            let prefixes = prefixes.into_iter().map(|(last, len)| IpPrefix::of([192, 0, 2, last].into(), 24 + len));
            let (prefixes, ip): (Vec<IpPrefix>, IpAddr) = (prefixes.collect(), [192, 0, 2, last].into());
            let expected = prefixes.iter().any(|prefix| prefix.contains(&ip));
            prop_assert_eq!(prefixes.into_iter().collect::<DenyList>().contains(&ip), expected);
        }
    }
}
