//! Who may do what: the hosts and origins that requests may name, and which paths need the token. It decides, and answers nothing.

use actix_web::http::{Method, Uri};

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing: it shows nothing of the node.
    Nothing,
    /// The token where reads are protected.
    Read,
    /// The token.
    Token,
}

/// What a request for `path`, from where the gateway is mounted, needs. What is not known needs the token.
pub(super) fn need(method: &Method, path: &str) -> Need {
    let read = method == Method::GET || method == Method::HEAD;
    let mut parts = path.trim_start_matches('/').splitn(3, '/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some("healthz"), None, _) | (None | Some(""), None, _) if read => Need::Nothing,
        // The page's script and style.
        (Some("page"), Some(_), None) if read => Need::Nothing,
        (Some("openapi.json" | "readyz" | "metrics"), None, _) if read => Need::Read,
        (Some("v1"), Some("peers" | "buckets" | "node"), None) if read => Need::Read,
        (Some("v1"), Some("values" | "lookup"), Some(_)) if read => Need::Read,
        // It names its keys itself. A list of many takes a body, and so a POST.
        (Some("v1"), Some("watch"), None) if read || method == Method::POST => Need::Read,
        _ => Need::Token,
    }
}

/// Whether `host`, as a request names it, is one of `known` or of this machine's own loopback names, with any port.
pub(super) fn is_own_host(host: &str, known: &[String]) -> bool {
    let Some(name) = name_of(host) else { return false };
    matches!(&*name, "localhost" | "127.0.0.1" | "[::1]") || known.contains(&name)
}

/// `host` without its port, in lower case; `None` if it is none.
fn name_of(host: &str) -> Option<String> {
    let authority: actix_web::http::uri::Authority = host.parse().ok()?;
    // `user@host` is none.
    (!host.contains('@')).then(|| authority.host().to_ascii_lowercase())
}

/// Whether a page of `origin` may make requests to `host`: it is of this server itself.
pub(super) fn is_own_origin(origin: &str, host: &str) -> bool {
    let Ok(uri) = origin.parse::<Uri>() else { return false };
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    web && uri.authority().is_some_and(|authority| authority.as_str().eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_lists_and_whatever_is_not_known_need_the_token() {
        for (method, path, needed) in [
            (Method::GET, "/", Need::Nothing),
            (Method::GET, "", Need::Nothing),
            (Method::GET, "/healthz", Need::Nothing),
            (Method::GET, "/page/app.js", Need::Nothing),
            (Method::GET, "/v1/values/k", Need::Read),
            (Method::GET, "/v1/values/k/health", Need::Read),
            (Method::GET, "/v1/values/", Need::Read),
            (Method::HEAD, "/v1/values/k", Need::Read),
            (Method::GET, "/v1/watch", Need::Read),
            (Method::POST, "/v1/watch", Need::Read),
            (Method::GET, "/v1/node", Need::Read),
            (Method::GET, "/metrics", Need::Read),
            (Method::GET, "/v1/values", Need::Token),
            (Method::GET, "/v1/events", Need::Token),
            (Method::GET, "/v1/pins", Need::Token),
            (Method::PUT, "/v1/values/k", Need::Token),
            (Method::DELETE, "/v1/values/k", Need::Token),
            (Method::POST, "/v1/values/k", Need::Token),
            (Method::PUT, "/v1/pins/k", Need::Token),
            (Method::POST, "/v1/codes", Need::Token),
            (Method::POST, "/", Need::Token),
            (Method::GET, "/unknown", Need::Token),
            (Method::GET, "/healthz/x", Need::Token),
        ] {
            assert_eq!(need(&method, path), needed, "{method} {path}");
        }
    }

    #[test]
    fn a_host_is_known_by_its_name_whatever_the_port() {
        let known = ["dht.example.org".to_owned()];
        for own in
            ["localhost", "LOCALHOST:1", "127.0.0.1:8420", "[::1]:8420", "dht.example.org", "DHT.example.org:443"]
        {
            assert!(is_own_host(own, &known), "{own}");
        }
        for foreign in
            ["", "evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "127.0.0.2", "a b", "::1"]
        {
            assert!(!is_own_host(foreign, &known), "{foreign}");
        }
    }

    #[test]
    fn an_origin_is_ones_own_only_with_the_very_host_and_port() {
        assert!(is_own_origin("http://127.0.0.1:8420", "127.0.0.1:8420"));
        assert!(is_own_origin("https://dht.example.org", "DHT.example.org"));
        for foreign in ["null", "http://127.0.0.1:1", "http://evil.example", "file://127.0.0.1:8420", ""] {
            assert!(!is_own_origin(foreign, "127.0.0.1:8420"), "{foreign}");
        }
    }
}
