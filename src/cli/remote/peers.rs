//! `kad peers`: the routing table of a running node.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value as Json;

use super::client::Client;
use crate::cli::args::remote::PeersArgs;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::cli::wording::{columns, human};

/// The answer of the gateway.
#[derive(Deserialize)]
struct Peers<T> {
    peers: Vec<T>,
}

/// A peer, as far as a line shows it.
#[derive(Deserialize)]
struct Peer {
    node_id: String,
    ip: IpAddr,
    port: u16,
    bucket: String,
    answered_ago: f64,
    failures: u32,
    legacy: bool,
    round_trip: Option<f64>,
}

pub(in crate::cli) async fn run(PeersArgs { remote }: PeersArgs) -> Result<(), Failure> {
    let client = Client::new(&remote)?;
    if remote.json {
        let Peers::<Json> { peers } = client.get("v1/peers").await?;
        return output::print(peers.iter().map(|peer| output::json(peer) + "\n").collect::<String>()).await;
    }
    output::print(text(&client.get("v1/peers").await?)).await
}

fn text(Peers { peers }: &Peers<Peer>) -> String {
    if peers.is_empty() {
        return "The node knows no peer: it is the first of its network, or has not joined one yet.\n".to_owned();
    }
    let mut rows = vec![["NODE", "ADDRESS", "ANSWERED", "ROUND TRIP", "STATE", "BUCKET"].map(str::to_owned)];
    rows.extend(peers.iter().map(Peer::cells));
    columns(&rows).concat()
}

impl Peer {
    fn cells(&self) -> [String; 6] {
        let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let state = match (self.failures, self.legacy) {
            (0, false) => "answers".to_owned(),
            (0, true) => "legacy".to_owned(),
            (failures, _) => format!("{failures} silent"),
        };
        let round_trip = self.round_trip.map_or("unknown".to_owned(), |time| format!("{:.1} ms", time * 1_000.0));
        let addr = SocketAddr::new(self.ip, self.port).to_string();
        let answered = format!("{} ago", human(seconds(self.answered_ago)));
        [self.node_id.clone(), addr, answered, round_trip, state, self.bucket.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_peer_is_a_row_of_at_most_120_columns() {
        let peer = |ip: &str, failures: u32, round_trip: Option<f64>| {
            json!({
                "answered_ago": 61.2, "bucket": "01101*", "failures": failures, "ip": ip, "legacy": false,
                "node_id": "0".repeat(40), "port": 8000, "round_trip": round_trip,
            })
        };
        let peers = json!({"peers": [peer("192.0.2.1", 0, Some(0.0123)), peer("2001:db8::1", 2, None)]});
        let text = text(&serde_json::from_value(peers).unwrap());
        assert!(text.contains("192.0.2.1:8000      1 min ago  12.3 ms     answers   01101*"), "{text}");
        assert!(text.contains("[2001:db8::1]:8000  1 min ago  unknown     2 silent  01101*"), "{text}");
        assert!(text.lines().all(|line| line.len() <= 120), "{text}");
    }
}
