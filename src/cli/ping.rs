//! `kad ping`: the nodes that answer at some addresses, and how fast. Each address is pinged and told by itself.

use std::cell::RefCell;

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

pub(super) async fn run(args: PingArgs) -> Result<(), Failure> {
    let PingArgs { addrs, mut network } = args;
    if !addrs.is_empty() {
        network.bootstrap = addrs;
    }
    let deadline = Deadline::begin(&network);
    let node = client::start(network.wire, &network.bootstrap).await?;
    let ping = |contact: Contact| {
        let (node, deadline) = (&node, &deadline);
        async move {
            let why = RefCell::new(format!("{contact} (not answered in time)"));
            let pinged = deadline.ask(async || {
                node.ping(&contact).await.map_err(|error| {
                    why.replace(tried(&contact, &error));
                    Failure::unanswered("no answer")
                })
            });
            pinged.await.map_err(|_| why.into_inner()).map(|pong| (contact.clone(), pong))
        }
    };
    // Each is told as soon as it is known: one that hangs keeps none of the others back.
    let mut pings: FuturesUnordered<_> = network.bootstrap.iter().cloned().map(ping).collect();
    let mut failed = Vec::new();
    while let Some(pinged) = pings.next().await {
        match pinged {
            Ok((contact, pong)) if network.json => deadline.print_json(&PongJson::new(&contact, &pong)).await?,
            Ok((_, pong)) => deadline.print(report(&pong)).await?,
            Err(why) => failed.push(why),
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(client::silence(&list(failed), network.wire)) }
}

fn tried(contact: &Contact, error: &Error) -> String {
    match error {
        Error::Silent { addr, within } if addr.to_string() == contact.as_str() => {
            format!("{contact} (no answer within {within:?})")
        }
        Error::Silent { addr, within } => format!("{contact} at {addr} (no answer within {within:?})"),
        Error::TookTooLong(within) => format!("{contact} (no answer within {within:?})"),
        Error::Resolve { reason, .. } => format!("{contact} ({reason})"),
        Error::Contact(failed) => failed.to_string(),
        other => format!("{contact} ({other})"),
    }
}

fn millis(pong: &Pong) -> f64 {
    (pong.rtt.as_secs_f64() * 1e6).round() / 1e3
}

fn report(pong: &Pong) -> String {
    format!("{} answered from {} in {:.3} ms\n", pong.peer.id, pong.peer.addr, millis(pong))
}

/// An answer for machines. Fields may be added.
#[derive(Serialize)]
struct PongJson<'a> {
    contact: &'a str,
    node_id: String,
    address: String,
    rtt_ms: f64,
}

impl<'a> PongJson<'a> {
    fn new(contact: &'a Contact, pong: &Pong) -> Self {
        let (node_id, address) = (pong.peer.id.to_string(), pong.peer.addr.to_string());
        Self { contact: contact.as_str(), node_id, address, rtt_ms: millis(pong) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output;
    use crate::protocol::id::NodeId;
    use crate::protocol::peer::Peer;
    use std::time::Duration;

    fn pong() -> Pong {
        Pong { peer: Peer::new(NodeId::ZERO, "127.0.0.1:8000".parse().unwrap()), rtt: Duration::from_nanos(1_234_567) }
    }

    #[test]
    fn an_answer_says_who_from_where_and_how_fast() {
        let id = "0".repeat(40);
        assert_eq!(report(&pong()), format!("{id} answered from 127.0.0.1:8000 in 1.235 ms\n"));
        assert_eq!(
            output::json(&PongJson::new(&"localhost:8000".parse().unwrap(), &pong())),
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
