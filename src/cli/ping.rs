//! `kad ping`: who answers at an address, and how fast.

use futures_util::future::join_all;
use serde::Serialize;

use super::args::PingArgs;
use super::contact::Contact;
use super::deadline::Deadline;
use super::failure::Failure;
use super::wording::list;
use super::{client, stderr};
use crate::actors::outcome::{Error, Pong};

pub(super) async fn run(args: PingArgs) -> Result<(), Failure> {
    let PingArgs { addrs, mut network } = args;
    if !addrs.is_empty() {
        network.bootstrap = addrs;
    }
    let deadline = Deadline::begin(&network);
    let pinged = deadline
        .ask(async || {
            let node = client::start(network.wire, &network.bootstrap).await?;
            let pinged = join_all(network.bootstrap.iter().map(|contact| node.ping(contact))).await;
            if pinged.iter().all(Result::is_err) {
                let failed = network
                    .bootstrap
                    .iter()
                    .zip(&pinged)
                    .filter_map(|(contact, ended)| Some((contact, ended.as_ref().err()?)));
                return Err(client::silence(&list(failed.map(|(contact, error)| tried(contact, error))), network.wire));
            }
            Ok(pinged)
        })
        .await?;
    for (contact, pinged) in network.bootstrap.iter().zip(pinged) {
        match pinged {
            Ok(pong) if network.json => deadline.print_json(&PongJson::new(contact, &pong)).await?,
            Ok(pong) => deadline.print(report(&pong)).await?,
            Err(error) => stderr::note(format_args!("nobody answered at {}", tried(contact, &error))),
        }
    }
    Ok(())
}

fn tried(contact: &Contact, error: &Error) -> String {
    match error {
        Error::Silent { addr, .. } if addr.to_string() == contact.as_str() => contact.to_string(),
        Error::Silent { addr, .. } => format!("{contact} ({addr})"),
        Error::Resolve { reason, .. } => format!("{contact} ({reason})"),
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
        assert_eq!(tried(&contact("127.0.0.1:8"), &silent("127.0.0.1:8")), "127.0.0.1:8");
        assert_eq!(tried(&contact("localhost:8"), &silent("127.0.0.1:8")), "localhost:8 (127.0.0.1:8)");
    }
}
