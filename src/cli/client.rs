//! A node that runs for one command: it uses a network through its contacts, and enters no routing table.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::args::Network;
use super::contact::Contact;
use super::deadline::Deadline;
use super::failure::Failure;
use crate::actors::node::Node;
use crate::actors::outcome::{BootstrapOutcome, Error};
use crate::protocol::codec::Codec;
use crate::protocol::config::Config;

/// Refuses a key that no node accepts, with the library's own error.
pub(super) fn check_key(key: &str) -> Result<(), Failure> {
    let (len, max) = (key.len(), Config::DEFAULT.store.max_key_len);
    if len > max { Err(Error::KeyTooLong { len, max }.into()) } else { Ok(()) }
}

/// Does `work` with a client of the network, as [`Deadline::ask`] does. The client stays the same once it has joined: it then
/// knows which peers have answered, and how long answers take.
pub(super) async fn with_client<T>(
    deadline: &Deadline<'_>,
    work: impl AsyncFn(&Node) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let network = deadline.network;
    let mut joined: Option<Node> = None;
    let attempt = async || {
        let Some(client) = &joined else { return work(joined.insert(join(network).await?)).await };
        // It may have lost its contacts meanwhile. They are asked beside the work, which does not wait for them.
        let work = work(client);
        tokio::pin!(work);
        tokio::select! {
            biased;
            ended = &mut work => ended,
            _ = client.bootstrap(&network.bootstrap) => work.await,
        }
    };
    deadline.ask(|| deadline.too_slow(), attempt).await
}

/// Joins the network as a client.
async fn join(network: &Network) -> Result<Node, Failure> {
    let node = start(network).await?;
    let outcome = node.bootstrap(&network.bootstrap).await?;
    if outcome.joined() {
        tracing::debug!(answered = ?outcome.answered, "joined as a client");
        return Ok(node);
    }
    Err(no_contact(&outcome, network.wire))
}

/// Starts a client that can ask the contacts of `network`, but has not asked them yet.
pub(super) async fn start(network: &Network) -> Result<Node, Failure> {
    let start = async |addr: SocketAddr| Node::builder().codec(network.wire).client(true).bind(addr).start().await;
    match start(bind_for(&network.bootstrap)).await {
        // Where the system has no IPv6, IPv4 alone has to do.
        Err(Error::Bind { addr, .. }) if addr.ip() == Ipv6Addr::UNSPECIFIED => Ok(start(([0; 4], 0).into()).await?),
        started => Ok(started?),
    }
}

/// Where to bind in order to reach `contacts`: on this machine alone if they are all on it, at all addresses otherwise, those
/// of IPv4 included. Only their form is looked at: names are resolved once, when they are asked.
pub(super) fn bind_for(contacts: &[Contact]) -> SocketAddr {
    let mut loopbacks = contacts.iter().map(Contact::loopback);
    let first = loopbacks.next().flatten().filter(|first| loopbacks.all(|other| other == Some(*first)));
    SocketAddr::new(first.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)), 0)
}

fn no_contact(outcome: &BootstrapOutcome, wire: Codec) -> Failure {
    let failure = silence(&outcome.to_string(), wire);
    match outcome.failed.iter().find_map(|failed| failed.reason.wire()) {
        Some(other) => Failure::unanswered(format!("{failure}\nTry --wire {other}.")),
        None => failure,
    }
}

/// No contact answered of those that `tried` names: says what to do about it.
pub(super) fn silence(tried: &str, wire: Codec) -> Failure {
    Failure::unanswered(format!(
        "no contact answered: {tried} ({wire} wire)\n\
         Is a node running there, and on this wire? `kad node` starts one; \
         --bootstrap HOST:PORT asks another, --wire speaks another."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::failure::Exit;
    use std::time::Duration;

    use crate::actors::outcome::{ContactFailure, FailedContact};

    fn bind(contacts: &[&str]) -> String {
        bind_for(&contacts.iter().map(|contact| contact.parse().unwrap()).collect::<Vec<_>>()).to_string()
    }

    #[test]
    fn a_client_of_this_machine_alone_is_not_open_to_others() {
        assert_eq!(bind(&["127.0.0.1:1", "127.0.0.2:1"]), "127.0.0.1:0");
        assert_eq!(bind(&["localhost:1", "[::ffff:127.0.0.1]:1"]), "127.0.0.1:0");
        assert_eq!(bind(&["127.0.0.1:1", "192.0.2.1:1"]), "[::]:0");
        assert_eq!(bind(&["[::1]:1"]), "[::1]:0");
    }

    #[test]
    fn contacts_of_both_families_and_names_are_asked_over_both() {
        for contacts in [&["[::1]:1", "127.0.0.1:1"][..], &["dht.example.org:1"], &["[2001:db8::1]:1", "[::1]:1"]] {
            assert_eq!(bind(contacts), "[::]:0", "{contacts:?}");
        }
    }

    #[test]
    fn a_key_that_no_node_takes_is_refused_with_the_librarys_error() {
        assert!(check_key(&"k".repeat(1_024)).is_ok());
        let failure = check_key(&"k".repeat(1_025)).unwrap_err();
        assert_eq!((failure.exit, failure.to_string().contains("1025 bytes")), (Exit::USAGE, true), "{failure}");
    }

    #[test]
    fn silence_names_the_contacts_and_what_to_do() {
        let failed_at = |contact: &str, addresses: &[&str], reason| FailedContact {
            contact: contact.to_owned(),
            addresses: addresses.iter().map(|addr| addr.parse().unwrap()).collect(),
            reason,
        };
        let silent = ContactFailure::Silent { within: Duration::from_secs(2) };
        let failed = vec![
            failed_at("127.0.0.1:8000", &["127.0.0.1:8000"], silent),
            failed_at("nowhere:1", &[], ContactFailure::Unresolved { reason: "no such name".into() }),
        ];
        let failure = no_contact(&BootstrapOutcome { failed, ..Default::default() }, Codec::Bencode);
        assert_eq!(failure.exit, Exit::UNAVAILABLE);
        let text = failure.to_string();
        let start =
            "no contact answered: 127.0.0.1:8000 (no answer within 2s), nowhere:1 (no such name) (bencode wire)";
        assert!(text.starts_with(start), "{text}");
        assert!(text.contains("kad node") && text.contains("--bootstrap"), "{text}");
        let other_wire = ContactFailure::OtherWire { wire: Some(Codec::MessagePack) };
        let failed = vec![failed_at("127.0.0.1:8000", &["127.0.0.1:8000"], other_wire)];
        let text = no_contact(&BootstrapOutcome { failed, ..Default::default() }, Codec::Json).to_string();
        assert!(text.ends_with("\nTry --wire msgpack."), "{text}");
    }
}
