//! What `kad node` prints and logs when its node has started.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;

use super::args::DEFAULT_ADDR;
use super::http::HttpStarted;
use super::watchdog::reach;
use super::wording::{list, nodes};
use crate::actors::outcome::{BootstrapOutcome, ContactFailure};
use crate::protocol::codec::Codec;
use crate::protocol::id::NodeId;

/// A node that has just started.
pub(super) struct Started {
    pub(super) id: NodeId,
    pub(super) addr: SocketAddr,
    pub(super) wire: Codec,
    /// `None` where it has no contacts, or has not asked them yet.
    pub(super) joined: Option<BootstrapOutcome>,
    /// Nodes that it knew when it last ran, and asks again.
    pub(super) remembered: usize,
    pub(super) data_dir: Option<PathBuf>,
    /// How it is reached over HTTP, if it is.
    pub(super) http: Option<HttpStarted>,
}

/// A node that has just started, as JSON. Fields may be added.
#[derive(Serialize)]
pub(super) struct StartedJson<'a> {
    node_id: NodeId,
    address: SocketAddr,
    wire: Codec,
    joined: bool,
    bootstrap: Option<&'a BootstrapOutcome>,
    data_dir: Option<Cow<'a, str>>,
    /// The exact name of the folder, where it is not UTF-8, so that `data_dir` only resembles it.
    #[serde(skip_serializing_if = "Option::is_none")]
    data_dir_base64: Option<String>,
    http: Option<&'a str>,
    http_token: Option<&'a str>,
}

impl Started {
    pub(super) fn json(&self) -> StartedJson<'_> {
        let folder = self.data_dir.as_deref();
        let not_text = folder.filter(|folder| folder.to_str().is_none());
        StartedJson {
            node_id: self.id,
            address: self.addr,
            wire: self.wire,
            joined: self.joined.as_ref().is_some_and(BootstrapOutcome::joined),
            bootstrap: self.joined.as_ref(),
            data_dir: folder.map(Path::to_string_lossy),
            data_dir_base64: not_text.map(|folder| BASE64.encode(folder.as_os_str().as_encoded_bytes())),
            http: self.http.as_ref().map(|http| &*http.url),
            http_token: self.http.as_ref().map(|http| http.token.reveal()),
        }
    }

    /// Logs its id and address, and whether it has joined.
    pub(super) fn log(&self) {
        let Self { id, addr, wire, .. } = self;
        let folder = self.data_dir.as_deref().map_or("none".into(), Path::to_string_lossy);
        tracing::info!(node_id = %id, address = %addr, %wire, data_dir = %folder, version = super::version::VERSION, "started");
        if let Some(http) = &self.http {
            tracing::info!(url = http.url, "serving HTTP");
        }
        match &self.joined {
            Some(outcome) if outcome.joined() => tracing::info!(through = through(outcome), "joined"),
            Some(outcome) => {
                let contacts = outcome.to_string();
                tracing::warn!(contacts, "no contact answered: the node goes on alone, and tries again by itself");
                if let Some(wire) = outcome.failed.iter().find_map(|failed| failed.reason.wire()) {
                    tracing::warn!("a contact answers in another wire: --wire {wire}");
                }
                if let Some(listen) = self.listen_instead() {
                    tracing::warn!("--listen {listen} lets it reach them");
                }
            }
            None if self.remembered > 0 => {
                tracing::info!(known = self.remembered, "asking again the nodes that it knew")
            }
            None => tracing::info!("the first node of its network"),
        }
    }

    /// Whether there are contacts, and none has answered.
    pub(super) fn is_alone(&self) -> bool {
        self.joined.as_ref().is_some_and(|outcome| !outcome.joined())
    }

    /// The address to listen at, where its contacts cannot be reached from the present one.
    fn listen_instead(&self) -> Option<SocketAddr> {
        self.joined.as_ref()?.failed.iter().find_map(|failed| match failed.reason {
            ContactFailure::Unreachable { listen, .. } => listen,
            _ => None,
        })
    }

    /// What a terminal shows. `program` is the name to copy into commands.
    pub(super) fn banner(&self, program: &str) -> String {
        let Self { id, addr, wire, .. } = self;
        let joined = match &self.joined {
            None if self.remembered > 0 => format!("asking again {} that it knew", nodes(self.remembered)),
            None => "new: this is its first node (--bootstrap joins another)".to_owned(),
            Some(outcome) if outcome.joined() => format!("joined through {}", through(outcome)),
            Some(_) => "no contact answered yet".to_owned(),
        };
        let stored = match &self.data_dir {
            Some(folder) => format!("stored in {}", folder.display()),
            None => "in memory only (--data-dir stores them)".to_owned(),
        };
        let dashboard = self.http.as_ref().map(|http| format!("Dashboard  {}\n", http.page));
        let dashboard = dashboard.unwrap_or_default();
        let reach = reach(*addr);
        let wire_option = if *wire == Codec::default() { String::new() } else { format!(" --wire {wire}") };
        let bootstrap = format!(" --bootstrap {reach}{wire_option}");
        // A client needs no options where they are the defaults.
        let client = if reach.to_string() == DEFAULT_ADDR { &wire_option } else { &bootstrap };
        let second = SocketAddr::new(reach.ip(), 0);
        let elsewhere = if addr.ip().is_unspecified() {
            "From other machines, use the address of this machine with --bootstrap.\n"
        } else {
            ""
        };
        format!(
            "Node       {id}\n\
             Address    {addr} ({wire} wire)\n\
             Network    {joined}\n\
             Values     {stored}\n\
             {dashboard}\
             \n\
             Try from another terminal:\n  \
               {program} set greeting \"hello\"{client}\n  \
               {program} get greeting{client}\n  \
               {program} node --listen {second}{bootstrap}\n\
             {elsewhere}Ctrl-C stops the node.\n"
        )
    }
}

fn through(outcome: &BootstrapOutcome) -> String {
    list(outcome.answered.iter().map(|peer| peer.addr))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::outcome::FailedContact;
    use crate::cli::output;
    use crate::gateway::Token;
    use crate::protocol::peer::Peer;
    use std::time::Duration;

    fn started(addr: &str, wire: Codec, joined: Option<BootstrapOutcome>) -> Started {
        Started {
            id: NodeId::ZERO,
            addr: addr.parse().unwrap(),
            wire,
            joined,
            remembered: 0,
            data_dir: None,
            http: None,
        }
    }

    fn outcome(answered: &[&str], silent: &[&str]) -> BootstrapOutcome {
        let silence = ContactFailure::Silent { within: Duration::from_secs(2) };
        BootstrapOutcome {
            answered: answered.iter().map(|addr| Peer::new(NodeId::ZERO, addr.parse().unwrap())).collect(),
            failed: silent.iter().map(|addr| failed(addr, silence.clone())).collect(),
            pending: Vec::new(),
        }
    }

    fn failed(contact: &str, reason: ContactFailure) -> FailedContact {
        let addresses = contact.parse().into_iter().collect();
        FailedContact { contact: contact.to_owned(), addresses, reason }
    }

    #[test]
    fn with_the_defaults_the_commands_to_copy_need_no_options() {
        let text = started(DEFAULT_ADDR, Codec::Json, None).banner("kad");
        assert!(
            text.starts_with(&format!("Node       {}\nAddress    127.0.0.1:8000 (json wire)\n", NodeId::ZERO)),
            "{text}"
        );
        assert!(text.contains("\n  kad set greeting \"hello\"\n  kad get greeting\n"), "{text}");
        assert!(text.contains("\n  kad node --listen 127.0.0.1:0 --bootstrap 127.0.0.1:8000\n"), "{text}");
    }

    #[test]
    fn without_the_defaults_the_commands_to_copy_carry_what_they_need() {
        let text = started("[::1]:9000", Codec::Bencode, None).banner("./kad");
        assert!(text.contains("\n  ./kad get greeting --bootstrap [::1]:9000 --wire bencode\n"), "{text}");
        assert!(text.contains("\n  ./kad node --listen [::1]:0 --bootstrap [::1]:9000 --wire bencode\n"), "{text}");
    }

    #[test]
    fn an_unspecified_address_is_reached_over_loopback_from_here() {
        let text = started("0.0.0.0:8000", Codec::Json, None).banner("kad");
        assert!(text.contains("Address    0.0.0.0:8000"), "{text}");
        assert!(text.contains("\n  kad get greeting\n") && text.contains("--bootstrap 127.0.0.1:8000\n"), "{text}");
        assert!(text.contains("From other machines"), "{text}");
        let text = started("[::]:1", Codec::Json, None).banner("kad");
        assert!(text.contains("\n  kad get greeting --bootstrap [::1]:1\n"), "{text}");
    }

    #[test]
    fn the_banner_says_through_which_nodes_it_joined() {
        let text =
            started(DEFAULT_ADDR, Codec::Json, Some(outcome(&["127.0.0.1:7000"], &["127.0.0.1:1"]))).banner("kad");
        assert!(text.contains("Network    joined through 127.0.0.1:7000\n"), "{text}");
    }

    #[test]
    fn a_node_without_an_answer_names_the_contacts_it_tried_and_what_helps() {
        let mut silent = outcome(&[], &["127.0.0.1:1"]);
        silent.failed.push(failed("nowhere:2", ContactFailure::Unresolved { reason: "no such name".into() }));
        let mut alone = started(DEFAULT_ADDR, Codec::Json, Some(silent.clone()));
        assert!(alone.is_alone() && alone.banner("kad").contains("no contact answered yet"));
        assert_eq!(alone.listen_instead(), None);
        let (bound, listen) = (alone.addr, "0.0.0.0:8000".parse().ok());
        let reason = ContactFailure::Unreachable { bound, reason: "too far".into(), listen };
        silent.failed.push(failed("192.0.2.1:8000", reason));
        alone.joined = Some(silent);
        assert_eq!(alone.listen_instead(), listen);
        let joined = Some(outcome(&["127.0.0.1:7000"], &[]));
        assert!([None, joined].into_iter().all(|joined| !started(DEFAULT_ADDR, Codec::Json, joined).is_alone()));
    }

    #[test]
    fn the_banner_says_where_values_are_stored() {
        let mut started = started(DEFAULT_ADDR, Codec::Json, None);
        assert!(started.banner("kad").contains("\nValues     in memory only"));
        started.data_dir = Some("/data/kad".into());
        started.remembered = 2;
        assert!(started.banner("kad").contains("\nNetwork    asking again 2 nodes that it knew\n"));
        assert!(started.banner("kad").contains("\nValues     stored in /data/kad\n"));
    }

    #[test]
    fn json_is_one_line_with_the_address() {
        let text = output::json(&started(DEFAULT_ADDR, Codec::MessagePack, None).json());
        let id = NodeId::ZERO;
        assert_eq!(
            text,
            format!(
                r#"{{"node_id":"{id}","address":"127.0.0.1:8000","wire":"msgpack","joined":false,"bootstrap":null,"data_dir":null,"http":null,"http_token":null}}"#
            )
        );
    }

    #[test]
    fn the_address_over_http_is_in_the_json_with_its_token_and_in_the_banner_with_a_code() {
        let mut started = started(DEFAULT_ADDR, Codec::Json, None);
        let token = Token::read("0123456789abcdef").unwrap();
        let (url, page) = ("http://127.0.0.1:8420/".to_owned(), "http://127.0.0.1:8420/?code=c0de".to_owned());
        started.http = Some(HttpStarted { url, page, token });
        let json = serde_json::to_value(started.json()).unwrap();
        assert_eq!(
            (&json["http"], &json["http_token"]),
            (&"http://127.0.0.1:8420/".into(), &"0123456789abcdef".into())
        );
        let text = started.banner("kad");
        assert!(text.contains("\nDashboard  http://127.0.0.1:8420/?code=c0de\n\n"), "{text}");
        assert!(!text.contains("0123456789abcdef"), "{text}");
    }
}
