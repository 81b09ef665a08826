//! A node for the time of one command: it uses a network through its contacts, and is inserted into nobody's table.

use super::args::Network;
use super::contact::{Contact, Loopback};
use super::deadline::Deadline;
use super::failure::Failure;
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
                // It may have lost its contacts meanwhile. They are asked beside the work, which does not wait for them.
                let work = work(client);
                tokio::pin!(work);
                return tokio::select! {
                    biased;
                    ended = &mut work => ended,
                    _ = client.bootstrap(&network.bootstrap) => work.await,
                };
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
        tracing::debug!(answered = ?outcome.answered, "joined as a client");
        return Ok(node);
    }
    Err(nobody_answered(&outcome, network.wire))
}

/// Starts a client that can ask `contacts`, but has not asked them yet.
pub(super) async fn start(wire: Codec, contacts: &[Contact]) -> Result<Node, Failure> {
    let builder = || Node::builder().codec(wire).client(true);
    match bind_for(contacts) {
        // Where the system has no IPv6 there is IPv4 alone.
        BOTH_FAMILIES => match builder().bind(BOTH_FAMILIES).start().await {
            Err(Error::Bind { .. }) => Ok(builder().bind("0.0.0.0:0").start().await?),
            started => Ok(started?),
        },
        bind => Ok(builder().bind(bind).start().await?),
    }
}

/// All addresses of this machine, those of IPv4 included.
const BOTH_FAMILIES: &str = "[::]:0";

/// Where to bind in order to reach `contacts`: on this machine alone if they are all on it. It is read from their form,
/// since names are resolved once, when they are asked.
fn bind_for(contacts: &[Contact]) -> &'static str {
    let all = |on: fn(&Contact) -> bool| contacts.iter().all(on);
    if all(|contact| contact.loopback() == Some(Loopback::V4)) {
        "127.0.0.1:0"
    } else if all(|contact| contact.loopback() == Some(Loopback::V6)) {
        "[::1]:0"
    } else {
        BOTH_FAMILIES
    }
}

fn nobody_answered(outcome: &BootstrapOutcome, wire: Codec) -> Failure {
    let mut failure = silence(&outcome.to_string(), wire);
    if let Some(other) = outcome.failed.iter().find_map(|failed| failed.reason.wire()) {
        failure = Failure::unanswered(format!("{failure}\nTry --wire {other}."));
    }
    failure
}

/// No contact answered of those that `tried` names: says what to do about it.
pub(super) fn silence(tried: &str, wire: Codec) -> Failure {
    let text = format!(
        "no contact answered: {tried} ({wire} wire)\n\
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
    use crate::cli::failure::Exit;
    use std::time::Duration;

    use crate::actors::outcome::{ContactFailure, FailedContact};

    fn bind(contacts: &[&str]) -> &'static str {
        bind_for(&contacts.iter().map(|contact| contact.parse().unwrap()).collect::<Vec<_>>())
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
    fn a_key_that_no_node_takes_is_refused_in_the_librarys_words() {
        assert!(check_key(&"k".repeat(1_024)).is_ok());
        let failure = check_key(&"k".repeat(1_025)).unwrap_err();
        assert_eq!((failure.exit, failure.to_string().contains("1025 bytes")), (Exit::Usage, true), "{failure}");
    }

    #[test]
    fn silence_names_who_was_asked_and_what_to_do() {
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
        let failure = nobody_answered(&BootstrapOutcome { failed, ..Default::default() }, Codec::Bencode);
        assert_eq!(failure.exit, Exit::Unavailable);
        let text = failure.to_string();
        let start =
            "no contact answered: 127.0.0.1:8000 (no answer within 2s), nowhere:1 (no such name) (bencode wire)";
        assert!(text.starts_with(start), "{text}");
        assert!(text.contains("kad node") && text.contains("--bootstrap"), "{text}");
        let other_wire = ContactFailure::OtherWire { wire: Some(Codec::MessagePack) };
        let failed = vec![failed_at("127.0.0.1:8000", &["127.0.0.1:8000"], other_wire)];
        let text = nobody_answered(&BootstrapOutcome { failed, ..Default::default() }, Codec::Json).to_string();
        assert!(text.ends_with("\nTry --wire msgpack."), "{text}");
    }
}
