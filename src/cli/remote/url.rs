//! The address of a node over HTTP.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ureq::http::Uri;

/// Where a gateway is: a host, a port, and the path that it is mounted at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct NodeUrl {
    /// In lower case, in brackets where it is an IPv6 address.
    host: String,
    port: u16,
    /// It begins and ends with `/`.
    path: String,
}

/// The text is no address of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::cli) enum UrlError {
    #[error("a node's address is http://HOST:PORT, such as http://127.0.0.1:8420")]
    Form,
    #[error(
        "this command speaks no TLS: forward a port with `ssh -L 8420:127.0.0.1:8420 HOST` and use \
         --node http://127.0.0.1:8420, or use curl"
    )]
    Tls,
}

impl NodeUrl {
    /// That of `path`, which begins without `/`.
    pub(super) fn join(&self, path: &str) -> String {
        format!("{self}{path}")
    }

    /// Whether both are served by one server.
    pub(super) fn is_same_server(&self, other: &Self) -> bool {
        (&self.host, self.port) == (&other.host, other.port)
    }

    /// Whether what is sent there stays on this machine.
    pub(super) fn is_loopback(&self) -> bool {
        let ip = self.host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        self.host == "localhost" || ip.is_ok_and(|ip| ip.to_canonical().is_loopback())
    }
}

impl FromStr for NodeUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = whole.parse().map_err(|_| UrlError::Form)?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(UrlError::Tls),
            _ => return Err(UrlError::Form),
        }
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or(UrlError::Form)?;
        // A port that is no number reads as none.
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => 80,
            _ => authority.port_u16().ok_or(UrlError::Form)?,
        };
        if authority.host().is_empty() || uri.query().is_some() {
            return Err(UrlError::Form);
        }
        let path = format!("{}/", uri.path().trim_end_matches('/'));
        Ok(Self { host: authority.host().to_ascii_lowercase(), port, path })
    }
}

impl fmt::Display for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}{}", self.host, self.port, self.path)
    }
}

/// `text` as one segment of a path, or as a value of a query.
pub(super) fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encoded = text.bytes().map(|byte| if plain(byte) { char::from(byte).into() } else { format!("%{byte:02X}") });
    encoded.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_a_node_prints_it_and_as_people_type_it() {
        for (text, read) in [
            ("http://127.0.0.1:8420/", "http://127.0.0.1:8420/"),
            ("http://LOCALHOST:8420", "http://localhost:8420/"),
            ("127.0.0.1:8420", "http://127.0.0.1:8420/"),
            ("http://[::1]:8420", "http://[::1]:8420/"),
            ("http://app.example.org/dht", "http://app.example.org:80/dht/"),
        ] {
            assert_eq!(text.parse::<NodeUrl>().unwrap().to_string(), read);
        }
        for bad in
            ["", "http://", "ftp://a:1", "http://user@a:1", "http://a:1/?q", "http://a:b", "a b", "http://a:99999"]
        {
            assert_eq!(bad.parse::<NodeUrl>(), Err(UrlError::Form), "{bad}");
        }
        let error = "https://dht.example.org".parse::<NodeUrl>().unwrap_err().to_string();
        assert!(error.contains("ssh -L") && error.contains("curl"), "{error}");
    }

    #[test]
    fn another_port_or_host_is_another_server_and_another_path_is_not() {
        let url = |text: &str| text.parse::<NodeUrl>().unwrap();
        let one = url("http://127.0.0.1:8420/");
        assert!(one.is_same_server(&url("127.0.0.1:8420/dht")));
        for other in ["127.0.0.1:8421", "localhost:8420", "127.0.0.1.example.org:8420", "[::1]:8420"] {
            assert!(!one.is_same_server(&url(other)), "{other}");
        }
        assert!(one.is_loopback() && url("[::1]:1").is_loopback() && !url("127.0.0.1.example.org").is_loopback());
    }

    #[test]
    fn a_key_is_one_segment_of_a_path() {
        assert_eq!(encode("a-._~Z9"), "a-._~Z9");
        assert_eq!(encode("a/b %\n\u{e9}?#+"), "a%2Fb%20%25%0A%C3%A9%3F%23%2B");
    }
}
