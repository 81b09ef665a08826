//! `kad find-node`: the nodes nearest to an id or a key, as a table.

use serde::Serialize;

use super::args::FindNodeArgs;
use super::client;
use super::deadline::Deadline;
use super::failure::{Exit, Failure};
use super::near::Near;
use super::wording::{columns, nodes};
use crate::protocol::id::NodeId;
use crate::protocol::peer::Peer;

pub(super) async fn run(args: FindNodeArgs) -> Result<(), Failure> {
    let target = match (args.id, &args.key) {
        (Some(id), _) => id,
        (None, Some(key)) => {
            client::check_key(key)?;
            NodeId::of_key(key)
        }
        (None, None) => return Err(Failure::new(Exit::USAGE, "a target is needed: ID or --key KEY")),
    };
    let deadline = Deadline::begin(&args.network);
    let peers = client::with_client(&deadline, async |client| Ok(client.find_node(target).await?)).await?;
    let nearest = Nearest::new(target, &peers);
    deadline.report(&nearest, nearest.table(args.key.as_deref())).await
}

/// The nodes nearest to a target, the nearest first. As JSON, fields may be added.
#[derive(Serialize)]
struct Nearest {
    target: NodeId,
    nodes: Vec<Near>,
}

impl Nearest {
    fn new(target: NodeId, peers: &[Peer]) -> Self {
        Self { target, nodes: peers.iter().map(|peer| Near::new(peer, target)).collect() }
    }

    fn table(&self, key: Option<&str>) -> String {
        let target = self.target;
        let target = key.map_or_else(|| target.to_string(), |key| format!("{target}, the place of {key:?}"));
        let mut rows = vec![["ID", "ADDRESS", "DISTANCE"].map(str::to_owned)];
        rows.extend(self.nodes.iter().map(Near::cells));
        format!("{} nearest to {target}\n\n{}", nodes(self.nodes.len()), columns(&rows).concat())
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
        let text = Nearest::new(NodeId::ZERO, &peers()).table(None);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("2 nodes nearest to {}", "0".repeat(40)));
        assert_eq!(lines[2], format!("{:40}  {:19}  DISTANCE", "ID", "ADDRESS"));
        assert_eq!(lines[3], format!("{}1  {:19}    1 bits", "0".repeat(39), "127.0.0.1:8000"));
        assert_eq!(lines[4], format!("8{}  [2001:db8::1]:65535  160 bits", "0".repeat(39)));
        assert!(
            Nearest::new(NodeId::ZERO, &[])
                .table(Some("k"))
                .starts_with(&format!("0 nodes nearest to {}, the place of \"k\"", NodeId::ZERO))
        );
    }

    #[test]
    fn json_has_the_target_and_each_node() {
        let text = output::json(&Nearest::new(NodeId::ZERO, &peers()[..1]));
        assert_eq!(
            text,
            format!(
                r#"{{"target":"{0}0","nodes":[{{"node_id":"{0}1","address":"127.0.0.1:8000","distance_bits":1}}]}}"#,
                "0".repeat(39)
            )
        );
    }
}
