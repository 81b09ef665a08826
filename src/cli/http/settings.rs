//! The settings of the node over HTTP: `--http` and its like.

use std::net::Ipv6Addr;
use std::path::PathBuf;

use serde::Deserialize;

use crate::cli::args::HttpArgs;
use crate::cli::contact::ListenAddr;
use crate::cli::failure::{Exit, Failure};

/// Where a node serves HTTP by default.
pub(in crate::cli) const DEFAULT_HTTP: &str = "127.0.0.1:8420";

/// What the node over HTTP is run with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct HttpSettings {
    pub(in crate::cli) listen: HttpListen,
    pub(in crate::cli) token_file: Option<PathBuf>,
    pub(in crate::cli) hosts: Vec<String>,
    pub(in crate::cli) origins: Vec<String>,
}

/// Where HTTP is served. As a setting it is an address, or `off`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub(in crate::cli) enum HttpListen {
    /// At [`DEFAULT_HTTP`] if that is free.
    #[default]
    Default,
    /// At this address.
    At(ListenAddr),
    /// Nowhere.
    Off,
}

impl TryFrom<String> for HttpListen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.try_into().map(Self::At).map_err(|error| format!("{error}; off serves no HTTP"))
    }
}

/// Texts: a list, or one text with commas or spaces between them.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a list of texts is needed, such as [\"dht.example.org\"]")]
enum TextList {
    Text(String),
    List(Vec<String>),
}

impl TextList {
    fn texts(self) -> Vec<String> {
        let texts: Vec<String> = match self {
            Self::Text(text) => text.split([',', ' ', '\t', '\n']).map(str::to_owned).collect(),
            Self::List(texts) => texts,
        };
        texts.into_iter().filter(|text| !text.is_empty()).collect()
    }
}

/// Hosts that a request may name, in the form in which it names them but for the port.
#[derive(Debug, Deserialize)]
#[serde(try_from = "TextList")]
pub(in crate::cli) struct Hosts(Vec<String>);

impl TryFrom<TextList> for Hosts {
    type Error = String;

    fn try_from(list: TextList) -> Result<Self, String> {
        Self::of(list.texts())
    }
}

impl Hosts {
    fn of(hosts: Vec<String>) -> Result<Self, String> {
        match hosts.iter().find(|host| !is_host(host)) {
            None => Ok(Self(hosts)),
            Some(host) => Err(format!(
                "{host:?} is no host as requests name it: write dht.example.org, 192.0.2.7 or [2001:db8::7], without a port"
            )),
        }
    }
}

/// Origins of pages, as browsers name them.
#[derive(Debug, Deserialize)]
#[serde(try_from = "TextList")]
pub(in crate::cli) struct Origins(Vec<String>);

impl TryFrom<TextList> for Origins {
    type Error = String;

    fn try_from(list: TextList) -> Result<Self, String> {
        Self::of(list.texts())
    }
}

impl Origins {
    fn of(origins: Vec<String>) -> Result<Self, String> {
        match origins.iter().find(|origin| !is_origin(origin)) {
            None => Ok(Self(origins)),
            Some(origin) => Err(format!(
                "{origin:?} is no origin as browsers name it: write https://app.example.org or http://localhost:3000, \
                 without a path and without the usual port of the scheme"
            )),
        }
    }
}

/// Whether `text` is a name or an address alone.
fn is_host(text: &str) -> bool {
    let in_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        // Browsers send it in its shortest form.
        Some(address) => address.parse::<Ipv6Addr>().is_ok_and(|parsed| parsed.to_string() == address),
        None => !text.is_empty() && text.chars().all(in_name),
    }
}

/// Whether `text` is a scheme, a host, and a port that is not the usual one of that scheme.
fn is_origin(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let Some((scheme, authority)) = text.split_once("://") else { return false };
    let usual = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    let (host, port) = match authority.rsplit_once(':') {
        // The colon is one of an address.
        Some((_, rest)) if rest.ends_with(']') => (authority, None),
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let may_be = |port: &str| {
        port.parse::<u16>().is_ok_and(|number| number > 0 && Some(number) != usual && number.to_string() == port)
    };
    let in_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(in_scheme)
        && is_host(host)
        && port.is_none_or(may_be)
}

impl HttpSettings {
    /// The options `args`, and where they say nothing, the settings of other sources.
    pub(in crate::cli) fn new(
        args: HttpArgs,
        listen: Option<HttpListen>,
        token_file: Option<PathBuf>,
        hosts: Option<Hosts>,
        origins: Option<Origins>,
    ) -> Result<Self, Failure> {
        let listen = match args.http {
            Some(addr) => HttpListen::At(addr),
            None if args.no_http => HttpListen::Off,
            None => listen.unwrap_or_default(),
        };
        let token_file = args.http_token_file.or(token_file);
        let wrong = |option| Failure::of(Exit::CONFIGURATION, option);
        let hosts = match args.http_host.is_empty() {
            true => hosts.map_or_else(Vec::new, |hosts| hosts.0),
            false => Hosts::of(args.http_host).map_err(wrong("--http-host"))?.0,
        };
        let origins = match args.http_origin.is_empty() {
            true => origins.map_or_else(Vec::new, |origins| origins.0),
            false => Origins::of(args.http_origin).map_err(wrong("--http-origin"))?.0,
        };
        Ok(Self { listen, token_file, hosts, origins })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_alone() {
        for host in ["dht.example.org", "DHT.example.org", "localhost", "192.0.2.7", "[2001:db8::7]", "my_host"] {
            assert!(is_host(host), "{host}");
        }
        for other in [
            "",
            "dht.example.org:443",
            "http://dht.example.org",
            "2001:db8::7",
            "[2001:db8::7]:443",
            "[dht]",
            "a/b",
            "*",
        ] {
            assert!(!is_host(other), "{other}");
        }
    }

    #[test]
    fn an_origin_is_one_as_a_browser_sends_it() {
        for origin in [
            "https://app.example.org",
            "https://APP.example.org:8443",
            "http://localhost:3000",
            "http://localhost:443",
            "http://[::1]:3000",
            "http://[::1]",
            "moz-extension://0b3d",
        ] {
            assert!(is_origin(origin), "{origin}");
        }
        for other in [
            "",
            "null",
            "*",
            "app.example.org",
            "https://app.example.org/",
            "https://app.example.org/path",
            "https://app.example.org:443",
            "http://app.example.org:80",
            "https://app.example.org:",
            "https://app.example.org:08443",
            "https://app.example.org:65536",
            "https://user@app.example.org",
            "http://::1:3000",
            "://app.example.org",
        ] {
            assert!(!is_origin(other), "{other}");
        }
    }
}
