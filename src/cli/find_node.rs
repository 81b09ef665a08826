//! `kad find-node`: the nodes nearest to an id or to a key's place, as a table.

use serde::Serialize;

use super::args::FindNodeArgs;
use super::client;
use super::deadline::Deadline;
use super::failure::{Exit, Failure};
use super::wording::nodes;
use crate::actors::outcome::Error;
use crate::protocol::id::NodeId;
use crate::protocol::peer::Peer;

pub(super) async fn run(args: FindNodeArgs) -> Result<(), Failure> {
    let target = match (args.id, &args.key) {
        (Some(id), _) => id,
        (None, Some(key)) => {
            client::check_key(key)?;
            NodeId::of_key(key)
        }
        (None, None) => return Err(Failure::new(Exit::Usage, "a target is needed: ID or --key KEY")),
    };
    let deadline = Deadline::begin(&args.network);
    let peers = client::with_client(&deadline, &args.network, async |client| {
        client.find_node(target).await.map_err(|error| match error {
            Error::NobodyAnswered { asked } => client::network_silent(asked),
            other => other.into(),
        })
    })
    .await?;
    if args.network.json {
        return deadline.print_json(&NearestJson::new(target, &peers)).await;
    }
    deadline.print(table(target, args.key.as_deref(), &peers)).await
}

fn bits(target: NodeId, peer: &Peer) -> u32 {
    target.distance(&peer.id).bits()
}

fn table(target: NodeId, key: Option<&str>, peers: &[Peer]) -> String {
    let what = key.map_or_else(|| target.to_string(), |key| format!("{target}, the place of {key:?}"));
    let mut text = format!("{} nearest to {what}\n\n", nodes(peers.len()));
    let addresses: Vec<String> = peers.iter().map(|peer| peer.addr.to_string()).collect();
    let width = addresses.iter().map(String::len).max().unwrap_or(0).max("ADDRESS".len());
    text += &format!("{:40}  {:width$}  DISTANCE\n", "ID", "ADDRESS");
    for (peer, addr) in peers.iter().zip(&addresses) {
        text += &format!("{}  {addr:width$}  {:>3} bits\n", peer.id, bits(target, peer));
    }
    text
}

/// The nearest nodes for machines. Fields may be added.
#[derive(Serialize)]
struct NearestJson {
    target: NodeId,
    nodes: Vec<NearJson>,
}

#[derive(Serialize)]
struct NearJson {
    node_id: NodeId,
    address: String,
    distance_bits: u32,
}

impl NearestJson {
    fn new(target: NodeId, peers: &[Peer]) -> Self {
        let near = |peer: &Peer| NearJson {
            node_id: peer.id,
            address: peer.addr.to_string(),
            distance_bits: bits(target, peer),
        };
        Self { target, nodes: peers.iter().map(near).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output;

    fn peers() -> [Peer; 2] {
        let far = NodeId::ZERO.with_bit(0, true);
        [(NodeId::ZERO.with_bit(159, true), "127.0.0.1:8000"), (far, "[2001:db8::1]:65535")]
            .map(|(id, addr)| Peer::new(id, addr.parse().unwrap()))
    }

    #[test]
    fn a_table_lines_up_and_shows_distances_in_bits() {
        let text = table(NodeId::ZERO, None, &peers());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("2 nodes nearest to {}", "0".repeat(40)));
        assert_eq!(lines[2], format!("{:40}  {:19}  DISTANCE", "ID", "ADDRESS"));
        assert_eq!(lines[3], format!("{}1  {:19}    1 bits", "0".repeat(39), "127.0.0.1:8000"));
        assert_eq!(lines[4], format!("8{}  [2001:db8::1]:65535  160 bits", "0".repeat(39)));
        assert!(
            table(NodeId::ZERO, Some("k"), &[])
                .starts_with(&format!("0 nodes nearest to {}, the place of \"k\"", NodeId::ZERO))
        );
    }

    #[test]
    fn json_has_the_target_and_each_node() {
        let text = output::json(&NearestJson::new(NodeId::ZERO, &peers()[..1]));
        assert_eq!(
            text,
            format!(
                r#"{{"target":"{0}0","nodes":[{{"node_id":"{0}1","address":"127.0.0.1:8000","distance_bits":1}}]}}"#,
                "0".repeat(39)
            )
        );
    }
}
