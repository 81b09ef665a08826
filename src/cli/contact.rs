//! Addresses as a person types them: `host:port`. They are checked for their form only; names are resolved later.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

use crate::protocol::peer::{AddressError, check_unicast};

/// An address to ask somebody at: a name or an IP address (IPv6 in brackets), and a port of 1..=65535.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contact(String);

/// An address to listen at: as a [`Contact`], but port 0 stands for any free one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListenAddr(String);

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

/// The family of a loopback address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loopback {
    V4,
    V6,
}

impl Contact {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is on this machine by its form alone: a loopback address, or the name `localhost`, which stands for
    /// 127.0.0.1 here.
    pub(super) fn loopback(&self) -> Option<Loopback> {
        if let Ok(addr) = self.0.parse::<SocketAddr>() {
            let ip = addr.ip().to_canonical();
            let family = if ip.is_ipv4() { Loopback::V4 } else { Loopback::V6 };
            return ip.is_loopback().then_some(family);
        }
        let (host, _) = self.0.rsplit_once(':')?;
        host.eq_ignore_ascii_case("localhost").then_some(Loopback::V4)
    }
}

impl FromStr for Contact {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        check(text, 1)?;
        if let Ok(addr) = text.parse() {
            check_unicast(&addr)?;
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for ListenAddr {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        check(text, 0)?;
        // Unlike a contact it may be all addresses of this machine.
        if let Ok(addr) = text.parse::<SocketAddr>()
            && !addr.ip().to_canonical().is_unspecified()
        {
            check_unicast(&SocketAddr::new(addr.ip(), 1))?;
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ListenAddr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check(text: &str, least: u16) -> Result<(), AddrError> {
    let (host, port) = text.rsplit_once(':').ok_or(AddrError::Form)?;
    // Without brackets it would be anyone's guess where an IPv6 address ends.
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let form = if bracketed {
        format!("{host}:1").parse::<SocketAddr>().is_ok()
    } else {
        !host.is_empty() && !host.contains([':', '[', ']', '/', '@']) && !host.contains(char::is_whitespace)
    };
    if !form {
        return Err(AddrError::Form);
    }
    match port.parse::<u16>() {
        Ok(number) if number >= least && port.bytes().all(|byte| byte.is_ascii_digit()) => Ok(()),
        _ => Err(AddrError::Port { least, found: port.chars().take(32).collect() }),
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
    fn what_is_not_host_and_port_is_told_what_is() {
        for bad in ["", "8000", "localhost", ":8000", "::1:8000", "[::1]", "[x]:1", "http://a:1", "a b:1", "@a:1"] {
            assert_eq!(bad.parse::<Contact>(), Err(AddrError::Form), "{bad:?}");
        }
    }

    #[test]
    fn nobody_is_asked_at_an_address_that_is_not_one_hosts() {
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
    fn a_port_out_of_range_is_told_the_range() {
        for port in ["", "0", "65536", "-1", "+1", "http"] {
            let error = format!("a:{port}").parse::<Contact>().unwrap_err();
            assert_eq!(error.to_string(), format!("a port is 1 to 65535, not {port:?}"));
        }
        assert!("127.0.0.1:0".parse::<ListenAddr>().is_ok(), "port 0 is any free one where one listens");
        let error = "127.0.0.1:65536".parse::<ListenAddr>().unwrap_err();
        assert_eq!(error.to_string(), "a port is 0 to 65535, not \"65536\"");
    }
}
