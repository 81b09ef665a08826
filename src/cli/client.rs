//! A node for the time of one command: it uses a network through its contacts, and is inserted into nobody's table.

use std::net::SocketAddr;

use futures_util::future::join_all;

use super::args::Network;
use super::contact::Contact;
use super::deadline::Deadline;
use super::failure::{Exit, Failure};
use super::wording::list;
use crate::actors::node::Node;
use crate::actors::outcome::{BootstrapOutcome, Error};
use crate::protocol::codec::Codec;
use crate::protocol::config::DEFAULT_MAX_KEY_LEN;

/// Refuses a key that no node takes, in the library's words.
pub(super) fn check_key(key: &str) -> Result<(), Failure> {
    let (len, max) = (key.len(), DEFAULT_MAX_KEY_LEN);
    if len > max { Err(Error::KeyTooLong { len, max }.into()) } else { Ok(()) }
}

/// Does `work` with a client of the network, as [`Deadline::ask`] does. The client stays the same once it has joined: it then
/// knows who has answered, and how long answers take.
pub(super) async fn with_client<T>(
    deadline: &Deadline<'_>,
    network: &Network,
    work: impl AsyncFn(&Node) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut joined: Option<Node> = None;
    deadline
        .ask(async || {
            if let Some(client) = &joined {
                // It may have lost its contacts meanwhile.
                let (_, ended) = tokio::join!(client.bootstrap(&network.bootstrap), work(client));
                return ended;
            }
            work(joined.insert(join(network).await?)).await
        })
        .await
}

/// Joins the network as a client.
async fn join(network: &Network) -> Result<Node, Failure> {
    let node = start(network.wire, &network.bootstrap).await?;
    let outcome = node.bootstrap(&network.bootstrap).await?;
    if outcome.joined() {
        tracing::info!(answered = ?outcome.answered, silent = ?outcome.silent, "joined as a client");
        return Ok(node);
    }
    Err(nobody_answered(&outcome, network.wire))
}

/// Starts a client that can ask `contacts`, but has not asked them yet.
pub(super) async fn start(wire: Codec, contacts: &[Contact]) -> Result<Node, Failure> {
    let resolved = join_all(contacts.iter().map(|contact| tokio::net::lookup_host(contact.as_str()))).await;
    let (mut addresses, mut reasons) = (Vec::new(), Vec::new());
    for (contact, found) in contacts.iter().zip(resolved) {
        match found {
            Ok(found) => addresses.extend(found),
            Err(error) => reasons.push(format!("{contact}: {error}")),
        }
    }
    let bind = bind_for(&addresses).ok_or_else(|| unresolved(&reasons))?;
    Ok(Node::builder().bind(bind).codec(wire).client(true).start().await?)
}

/// Where to bind in order to reach `addresses`: this machine alone if they are all on it. A socket speaks one family, and
/// IPv4 goes first, as most nodes speak that.
fn bind_for(addresses: &[SocketAddr]) -> Option<&'static str> {
    let ipv4 = addresses.iter().any(SocketAddr::is_ipv4);
    let mut asked = addresses.iter().filter(|addr| addr.is_ipv4() == ipv4).peekable();
    asked.peek()?;
    let local = asked.all(|addr| addr.ip().is_loopback());
    Some(match (ipv4, local) {
        (true, true) => "127.0.0.1:0",
        (true, false) => "0.0.0.0:0",
        (false, true) => "[::1]:0",
        (false, false) => "[::]:0",
    })
}

fn unresolved(reasons: &[String]) -> Failure {
    Failure::new(Exit::Unavailable, format!("there is nobody to ask: {}", list(reasons)))
}

fn nobody_answered(outcome: &BootstrapOutcome, wire: Codec) -> Failure {
    let unresolved = outcome.unresolved.iter().map(|failed| format!("{} ({})", failed.contact, failed.reason));
    let tried = outcome.silent.iter().map(SocketAddr::to_string).chain(unresolved);
    silence(&list(tried), wire)
}

/// Nobody answered at `tried`: says what to do about it.
pub(super) fn silence(tried: &str, wire: Codec) -> Failure {
    let text = format!(
        "nobody answered at {tried} ({wire} wire)\n\
         Is a node running there, and on this wire? `kad node` starts one; \
         --bootstrap HOST:PORT asks another, --wire speaks another."
    );
    Failure::unanswered(text)
}

/// The contacts answered, and then none of the nodes that they named.
pub(super) fn network_silent(asked: usize) -> Failure {
    let text = format!(
        "nobody answered: {asked} asked, after a contact had answered\n\
         The network may be busy or cut off. Try again, or through another --bootstrap HOST:PORT."
    );
    Failure::unanswered(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::outcome::Unresolved;

    fn bind(addresses: &[&str]) -> Option<&'static str> {
        bind_for(&addresses.iter().map(|addr| addr.parse().unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn a_client_of_this_machine_alone_is_not_open_to_others() {
        assert_eq!(bind(&["127.0.0.1:1", "127.0.0.2:1"]), Some("127.0.0.1:0"));
        assert_eq!(bind(&["127.0.0.1:1", "192.0.2.1:1"]), Some("0.0.0.0:0"));
        assert_eq!(bind(&["[::1]:1"]), Some("[::1]:0"));
        assert_eq!(bind(&["[2001:db8::1]:1", "[::1]:1"]), Some("[::]:0"));
    }

    #[test]
    fn a_name_with_addresses_of_both_families_is_asked_over_ipv4() {
        assert_eq!(bind(&["[::1]:1", "127.0.0.1:1"]), Some("127.0.0.1:0"));
        assert_eq!(bind(&["[2001:db8::1]:1", "127.0.0.1:1"]), Some("127.0.0.1:0"));
        assert_eq!(bind(&[]), None);
    }

    #[test]
    fn a_key_that_no_node_takes_is_refused_in_the_librarys_words() {
        assert!(check_key(&"k".repeat(1_024)).is_ok());
        let failure = check_key(&"k".repeat(1_025)).unwrap_err();
        assert_eq!((failure.exit, failure.to_string().contains("1025 bytes")), (Exit::Usage, true), "{failure}");
    }

    #[test]
    fn silence_names_who_was_asked_and_what_to_do() {
        let unresolved = vec![Unresolved { contact: "nowhere:1".into(), reason: "no such name".into() }];
        let silent = vec!["127.0.0.1:8000".parse().unwrap()];
        let outcome = BootstrapOutcome { answered: Vec::new(), silent, unresolved };
        let failure = nobody_answered(&outcome, Codec::Bencode);
        assert_eq!(failure.exit, Exit::Unavailable);
        let text = failure.to_string();
        assert!(
            text.starts_with("nobody answered at 127.0.0.1:8000, nowhere:1 (no such name) (bencode wire)"),
            "{text}"
        );
        assert!(text.contains("kad node") && text.contains("--bootstrap"), "{text}");
    }
}
