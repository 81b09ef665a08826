//! `kad ping`: which nodes answer at some addresses, and how fast. Each address is pinged and reported by itself.

use std::net::SocketAddr;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;

use super::args::PingArgs;
use super::client;
use super::contact::Contact;
use super::deadline::Deadline;
use super::failure::Failure;
use super::wording::list;
use crate::actors::outcome::{Error, Pong};
use crate::protocol::id::NodeId;

pub(super) async fn run(PingArgs { addrs, mut network }: PingArgs) -> Result<(), Failure> {
    if !addrs.is_empty() {
        network.bootstrap = addrs;
    }
    let deadline = &Deadline::begin(&network);
    let node = &client::start(&network).await?;
    // Each is printed as soon as it is known: one that hangs delays none of the others.
    let ping = async |contact| {
        let late = || Failure::unanswered(format!("{contact} (not answered in time)"));
        let attempt = async || node.ping(contact).await.map_err(|error| Failure::unanswered(tried(contact, &error)));
        deadline.ask(late, attempt).await.map(|pong| Answer::new(contact, &pong))
    };
    let mut answers: FuturesUnordered<_> = network.bootstrap.iter().map(ping).collect();
    let mut failed = Vec::new();
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(answer) => deadline.report(&answer, answer.line()).await?,
            Err(failure) => failed.push(failure),
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(client::silence(&list(failed), network.wire)) }
}

fn tried(contact: &Contact, error: &Error) -> String {
    match error {
        Error::Silent { addr, within } if addr.to_string() != contact.to_string() => {
            format!("{contact} at {addr} (no answer within {within:?})")
        }
        Error::Silent { within, .. } | Error::TookTooLong(within) => format!("{contact} (no answer within {within:?})"),
        Error::Resolve { reason, .. } => format!("{contact} ({reason})"),
        Error::Contact(failed) => failed.to_string(),
        other => format!("{contact} ({other})"),
    }
}

/// The answer of a contact. As JSON, fields may be added.
#[derive(Serialize)]
struct Answer {
    contact: String,
    node_id: NodeId,
    address: SocketAddr,
    rtt_ms: f64,
}

impl Answer {
    fn new(contact: &Contact, Pong { peer, rtt }: &Pong) -> Self {
        let rtt_ms = (rtt.as_secs_f64() * 1e6).round() / 1e3;
        Self { contact: contact.to_string(), node_id: peer.id, address: peer.addr, rtt_ms }
    }

    fn line(&self) -> String {
        format!("{} answered from {} in {:.3} ms\n", self.node_id, self.address, self.rtt_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output;
    use crate::protocol::peer::Peer;
    use std::time::Duration;

    fn pong() -> Pong {
        Pong { peer: Peer::new(NodeId::ZERO, "127.0.0.1:8000".parse().unwrap()), rtt: Duration::from_nanos(1_234_567) }
    }

    #[test]
    fn an_answer_says_which_node_from_where_and_how_fast() {
        let id = "0".repeat(40);
        let answer = Answer::new(&"localhost:8000".parse().unwrap(), &pong());
        assert_eq!(answer.line(), format!("{id} answered from 127.0.0.1:8000 in 1.235 ms\n"));
        assert_eq!(
            output::json(&answer),
            format!(r#"{{"contact":"localhost:8000","node_id":"{id}","address":"127.0.0.1:8000","rtt_ms":1.235}}"#)
        );
    }

    #[test]
    fn silence_names_the_address_behind_a_name() {
        let silent = |addr: &str| Error::Silent { addr: addr.parse().unwrap(), within: Duration::from_secs(2) };
        let contact = |text: &str| text.parse::<Contact>().unwrap();
        assert_eq!(tried(&contact("127.0.0.1:8"), &silent("127.0.0.1:8")), "127.0.0.1:8 (no answer within 2s)");
        let behind_a_name = tried(&contact("localhost:8"), &silent("127.0.0.1:8"));
        assert_eq!(behind_a_name, "localhost:8 at 127.0.0.1:8 (no answer within 2s)");
    }
}
