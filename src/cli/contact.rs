//! Addresses as users type them: `host:port`. Only their form is checked; names are resolved later.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::Deserialize;

use crate::protocol::peer::{AddressError, check_unicast};

/// An address as a user types it: a name or an IP address (IPv6 in brackets), and a port from `LEAST` to 65535.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Addr<const LEAST: u16>(String);

/// The address of a node to contact.
pub(super) type Contact = Addr<1>;

/// An address to listen at: port 0 stands for any free one, and the unspecified address for all of this machine.
pub(super) type ListenAddr = Addr<0>;

/// The text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum AddrError {
    #[error("an address is host:port, such as 127.0.0.1:8000 or [::1]:8000")]
    Form,
    #[error("a port is {least} to 65535, not {found:?}")]
    Port { least: u16, found: String },
    #[error(transparent)]
    Host(#[from] AddressError),
}

impl Contact {
    /// The loopback address that it names by its form alone: one of either family, or `localhost`, which stands for 127.0.0.1
    /// here. The address is the usual one of its family.
    pub(super) fn loopback(&self) -> Option<IpAddr> {
        let (host, _) = self.0.rsplit_once(':')?;
        let ip = match self.0.parse::<SocketAddr>() {
            Ok(addr) => addr.ip().to_canonical(),
            Err(_) if host.eq_ignore_ascii_case("localhost") => Ipv4Addr::LOCALHOST.into(),
            Err(_) => return None,
        };
        let usual = if ip.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        ip.is_loopback().then_some(usual)
    }
}

impl<const LEAST: u16> FromStr for Addr<LEAST> {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        let (host, port) = text.rsplit_once(':').ok_or(AddrError::Form)?;
        // Without brackets the end of an IPv6 address would be ambiguous.
        let well_formed = if host.starts_with('[') && host.ends_with(']') {
            format!("{host}:1").parse::<SocketAddr>().is_ok()
        } else {
            !host.is_empty() && !host.contains([':', '[', ']', '/', '@']) && !host.contains(char::is_whitespace)
        };
        if !well_formed {
            return Err(AddrError::Form);
        }
        let number = port.parse::<u16>().ok().filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()));
        if number.is_none_or(|number| number < LEAST) {
            return Err(AddrError::Port { least: LEAST, found: port.chars().take(32).collect() });
        }
        if let Ok(addr) = text.parse::<SocketAddr>()
            && !(LEAST == 0 && addr.ip().to_canonical().is_unspecified())
        {
            check_unicast(&SocketAddr::new(addr.ip(), 1))?;
        }
        Ok(Self(text.to_owned()))
    }
}

impl<const LEAST: u16> TryFrom<String> for Addr<LEAST> {
    type Error = AddrError;

    fn try_from(text: String) -> Result<Self, AddrError> {
        text.parse()
    }
}

impl<const LEAST: u16> fmt::Display for Addr<LEAST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Contacts: a list, or one text with commas or spaces between them.
#[derive(Debug, Deserialize)]
#[serde(try_from = "OneOrMore")]
pub(super) struct ContactList(pub(super) Vec<Contact>);

#[derive(Deserialize)]
#[serde(untagged, expecting = "a list of addresses is needed, such as [\"192.0.2.7:8000\"]")]
enum OneOrMore {
    Text(String),
    List(Vec<String>),
}

impl TryFrom<OneOrMore> for ContactList {
    type Error = String;

    fn try_from(contacts: OneOrMore) -> Result<Self, String> {
        let texts = match contacts {
            OneOrMore::Text(text) => text.split([',', ' ', '\t', '\n']).map(str::to_owned).collect(),
            OneOrMore::List(texts) => texts,
        };
        let contact = |text: &String| text.parse().map_err(|error| format!("{text:?}: {error}"));
        texts.iter().filter(|text| !text.is_empty()).map(contact).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_of_both_families_are_contacts() {
        for good in ["127.0.0.1:8000", "[::1]:1", "localhost:65535", "dht.example.org:8000"] {
            assert_eq!(good.parse::<Contact>().unwrap().to_string(), good);
        }
    }

    #[test]
    fn what_is_not_host_and_port_is_refused_with_the_form() {
        for bad in ["", "8000", "localhost", ":8000", "::1:8000", "[::1]", "[x]:1", "http://a:1", "a b:1", "@a:1"] {
            assert_eq!(bad.parse::<Contact>(), Err(AddrError::Form), "{bad:?}");
        }
    }

    #[test]
    fn a_contact_is_the_address_of_one_host() {
        let error = "0.0.0.0:8000".parse::<Contact>().unwrap_err();
        assert_eq!(error.to_string(), "0.0.0.0 is not the address of one host");
        assert!("[::]:8000".parse::<Contact>().is_err() && "0.0.0.0:8000".parse::<ListenAddr>().is_ok());
    }

    #[test]
    fn a_node_listens_at_no_address_of_many_hosts() {
        for (text, ip) in
            [("224.0.0.1:8000", "224.0.0.1"), ("255.255.255.255:0", "255.255.255.255"), ("[ff02::1]:1", "ff02::1")]
        {
            let error = text.parse::<ListenAddr>().unwrap_err();
            assert_eq!(error.to_string(), format!("{ip} is not the address of one host"));
        }
        for all in ["0.0.0.0:0", "[::]:8000", "[::ffff:0.0.0.0]:1"] {
            assert!(all.parse::<ListenAddr>().is_ok(), "{all}");
        }
    }

    #[test]
    fn a_port_out_of_range_is_refused_with_the_range() {
        for port in ["", "0", "65536", "-1", "+1", "http"] {
            let error = format!("a:{port}").parse::<Contact>().unwrap_err();
            assert_eq!(error.to_string(), format!("a port is 1 to 65535, not {port:?}"));
        }
        assert!("127.0.0.1:0".parse::<ListenAddr>().is_ok(), "port 0 is any free one where one listens");
        let error = "127.0.0.1:65536".parse::<ListenAddr>().unwrap_err();
        assert_eq!(error.to_string(), "a port is 0 to 65535, not \"65536\"");
    }
}
