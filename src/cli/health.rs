//! `kad health`: which of the nodes nearest to a key hold it, as a table, and a verdict in one line.

use std::time::Duration;

use serde::Serialize;

use super::args::HealthArgs;
use super::client;
use super::deadline::Deadline;
use super::failure::{Exit, Failure};
use super::wording::{human, nodes};
use crate::actors::outcome::{Error, Health};
use crate::protocol::audit::Replicas;
use crate::protocol::id::NodeId;
use crate::protocol::peer::Peer;

pub(super) async fn run(args: HealthArgs) -> Result<(), Failure> {
    let HealthArgs { key, network } = args;
    client::check_key(&key)?;
    let deadline = Deadline::begin(&network);
    let health = client::with_client(&deadline, &network, async |client| {
        let health = client.health(&key).await.map_err(|error| match error {
            Error::NobodyAnswered { asked } => client::network_silent(asked),
            other => other.into(),
        })?;
        let parts = [&health.nearest, &health.beyond];
        if parts.iter().all(|part| part.answered() == 0) {
            return Err(client::network_silent(parts.iter().map(|part| part.len()).sum()));
        }
        Ok(health)
    })
    .await?;
    let verdict = verdict(&health);
    if network.json {
        deadline.print_json(&HealthJson::new(&health)).await?;
        return verdict.map(drop);
    }
    deadline.print(table(&health)).await?;
    deadline.print(format!("\n{}\n", verdict?)).await
}

/// What a node said, or did not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Held,
    Expiring,
    Missing,
    Silent,
    Unasked,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Expiring => "expiring",
            Self::Missing => "missing",
            Self::Silent => "silent",
            Self::Unasked => "not asked",
        }
    }
}

/// What each node of `replicas` said, nearest to `target` first.
fn states(replicas: &Replicas, target: NodeId) -> Vec<(Peer, State, Option<Duration>)> {
    let Replicas { confirmed, expiring, missing, silent, unasked } = replicas;
    let held = [(confirmed, State::Held), (expiring, State::Expiring)].into_iter();
    let held = held.flat_map(|(of, state)| of.iter().map(move |replica| (replica.peer, state, replica.expires_in)));
    let without = [(missing, State::Missing), (silent, State::Silent), (unasked, State::Unasked)].into_iter();
    let without = without.flat_map(|(of, state)| of.iter().map(move |peer| (*peer, state, None)));
    let mut all: Vec<_> = held.chain(without).collect();
    all.sort_by_key(|(peer, ..)| peer.id.distance(&target));
    all
}

fn table(health: &Health) -> String {
    let target = NodeId::of_key(&health.key);
    let parts = [&health.nearest, &health.beyond].map(|replicas| states(replicas, target));
    let width = parts.iter().flatten().map(|(peer, ..)| peer.addr.to_string().len()).max().unwrap_or(0).max(7);
    let mut text = format!("{:?}, at {target}\n\n", health.key);
    text += &format!("{:40}  {:width$}  DISTANCE  COPY       ENDS IN\n", "NODE", "ADDRESS");
    for (at, part) in parts.iter().enumerate() {
        if at > 0 && !part.is_empty() {
            text += "Not among the nearest, but asked where nodes of the Python package may look:\n";
        }
        for (peer, state, expires_in) in part {
            let bits = peer.id.distance(&target).bits();
            let ends = match (expires_in, state) {
                (Some(expires_in), _) => human(*expires_in),
                (None, State::Held | State::Expiring) => "not told".to_owned(),
                (None, _) => String::new(),
            };
            let line = format!("{}  {:width$}  {bits:>3} bits  {:9}  {ends}", peer.id, peer.addr, state.name());
            text += line.trim_end();
            text.push('\n');
        }
    }
    text
}

/// `the 20 nearest nodes`, `the nearest node`.
fn the_nearest(count: usize) -> String {
    if count == 1 { "the nearest node".to_owned() } else { format!("the {count} nearest nodes") }
}

/// The one line for a person; as an error where no node holds the key, or none answered.
fn verdict(health: &Health) -> Result<String, Failure> {
    let Health { nearest, beyond, earliest_expiry, .. } = health;
    if nearest.answered() + beyond.answered() == 0 {
        return Err(client::network_silent(nearest.len() + beyond.len()));
    }
    let mut apart = Vec::new();
    for (count, what) in [
        (nearest.expiring.len(), "about to expire"),
        (nearest.missing.len(), "missing"),
        (nearest.silent.len(), "silent"),
        (nearest.unasked.len(), "not asked"),
    ] {
        if count > 0 {
            apart.push(format!("{count} {what}"));
        }
    }
    let mut text = if apart.is_empty() { String::new() } else { format!(" ({})", apart.join(", ")) };
    if !beyond.confirmed.is_empty() {
        let but = if nearest.confirmed.is_empty() { "but" } else { "and" };
        text += &format!(", {but} by {} beyond", beyond.confirmed.len());
    }
    let (held, asked) = (nearest.confirmed.len(), nearest.len());
    if held == 0 {
        let expiring = nearest.expiring.iter().chain(&beyond.expiring);
        return match expiring.clone().filter_map(|replica| replica.expires_in).max() {
            // It is read as any other, and holders bring it to each other until its end, but not beyond that.
            Some(last) if beyond.confirmed.is_empty() => {
                let holders = expiring.count();
                let hold = if holders == 1 { "holds" } else { "hold" };
                let what = format!("what {} {hold} ends in {}", nodes(holders), human(last));
                Ok(format!("Held, but not for long{text}: {what} unless it is published again."))
            }
            _ => {
                let text = format!("{:?} is not held by {}{text}", health.key, the_nearest(asked));
                if beyond.confirmed.is_empty() { Err(Failure::new(Exit::NotFound, text)) } else { Ok(text) }
            }
        };
    }
    let ends = earliest_expiry.map_or_else(
        || "when it expires was not told".to_owned(),
        |ends| format!("the first copy that says so ends in {}", human(ends)),
    );
    let by = if asked == 1 { the_nearest(1) } else { format!("{held} of {}", the_nearest(asked)) };
    Ok(format!("Held by {by}{text}; {ends}."))
}

/// A key's health for machines. Fields may be added.
#[derive(Serialize)]
struct HealthJson<'a> {
    key: &'a str,
    confirmed: usize,
    expiring: usize,
    missing: usize,
    silent: usize,
    unasked: usize,
    earliest_expiry_seconds: Option<u64>,
    /// The nearest.
    nodes: Vec<NodeJson>,
    /// Those that were asked besides them.
    beyond: Vec<NodeJson>,
}

#[derive(Serialize)]
struct NodeJson {
    node_id: NodeId,
    address: String,
    distance_bits: u32,
    state: State,
    expires_in_seconds: Option<u64>,
}

impl<'a> HealthJson<'a> {
    fn new(health: &'a Health) -> Self {
        let target = NodeId::of_key(&health.key);
        let told = |replicas: &Replicas| {
            let node = |(peer, state, expires_in): (Peer, State, Option<Duration>)| NodeJson {
                node_id: peer.id,
                address: peer.addr.to_string(),
                distance_bits: peer.id.distance(&target).bits(),
                state,
                expires_in_seconds: expires_in.map(|expires_in| expires_in.as_secs()),
            };
            states(replicas, target).into_iter().map(node).collect()
        };
        Self {
            key: &health.key,
            confirmed: health.nearest.confirmed.len(),
            expiring: health.nearest.expiring.len(),
            missing: health.nearest.missing.len(),
            silent: health.nearest.silent.len(),
            unasked: health.nearest.unasked.len(),
            earliest_expiry_seconds: health.earliest_expiry.map(|ends| ends.as_secs()),
            nodes: told(&health.nearest),
            beyond: told(&health.beyond),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output;
    use crate::protocol::audit::Replica;

    fn peer(number: u16) -> Peer {
        Peer::new(NodeId::of_key(&number.to_string()), ([127, 0, 0, 1], number).into())
    }

    fn replica(number: u16, seconds: Option<u64>) -> Replica {
        Replica { peer: peer(number), expires_in: seconds.map(Duration::from_secs) }
    }

    fn health(nearest: Replicas, beyond: Replicas) -> Health {
        let earliest_expiry = nearest.earliest_expiry();
        Health { key: "k".into(), nearest, beyond, earliest_expiry, here: None }
    }

    fn mixed() -> Health {
        let nearest = Replicas {
            confirmed: vec![replica(8_001, Some(7_300)), replica(8_002, None)],
            expiring: vec![replica(8_003, Some(60))],
            missing: vec![peer(8_004)],
            silent: vec![peer(8_005)],
            unasked: Vec::new(),
        };
        health(nearest, Replicas { confirmed: vec![replica(8_006, None)], ..Replicas::default() })
    }

    #[test]
    fn a_table_has_each_node_once_nearest_first_and_within_100_columns() {
        let text = table(&mixed());
        let target = NodeId::of_key("k");
        assert!(text.starts_with(&format!("\"k\", at {target}\n\nNODE ")), "{text}");
        let rows: Vec<&str> = text.lines().filter(|line| line.contains(" bits  ")).collect();
        assert_eq!(rows.len(), 6, "{text}");
        let distances: Vec<_> =
            rows[..5].iter().map(|row| row[..40].parse::<NodeId>().unwrap().distance(&target)).collect();
        assert!(distances.is_sorted(), "{text}");
        for (port, ends) in [
            (8_001, "held       2 h"),
            (8_002, "held       not told"),
            (8_003, "expiring   1 min"),
            (8_004, "missing"),
            (8_005, "silent"),
            (8_006, "held       not told"),
        ] {
            let row = rows.iter().find(|row| row.contains(&format!(":{port} "))).unwrap();
            assert!(row.ends_with(ends), "{row}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        assert!(text.lines().rev().nth(1).unwrap().starts_with("Not among the nearest"), "{text}");
    }

    #[test]
    fn a_verdict_counts_what_is_held_and_what_is_not() {
        let said = verdict(&mixed()).unwrap();
        assert_eq!(
            said,
            "Held by 2 of the 5 nearest nodes (1 about to expire, 1 missing, 1 silent), and by 1 beyond; \
             the first copy that says so ends in 1 min."
        );
        let legacy = Replicas { confirmed: vec![replica(1, None)], ..Replicas::default() };
        let said = verdict(&health(legacy, Replicas::default())).unwrap();
        assert_eq!(said, "Held by the nearest node; when it expires was not told.");
    }

    #[test]
    fn nothing_held_is_not_found_and_nobody_answering_says_nothing_of_the_value() {
        let missing = Replicas { missing: vec![peer(1), peer(2)], ..Replicas::default() };
        let failure = verdict(&health(missing, Replicas::default())).unwrap_err();
        assert_eq!(failure.exit, Exit::NotFound);
        assert_eq!(failure.to_string(), "\"k\" is not held by the 2 nearest nodes (2 missing)");
        for silent in [Replicas::default(), Replicas { silent: vec![peer(1)], ..Replicas::default() }] {
            assert_eq!(verdict(&health(silent, Replicas::default())).unwrap_err().exit, Exit::Unavailable);
        }
    }

    #[test]
    fn what_can_still_be_read_is_held_however_soon_it_ends() {
        let expiring = |replicas| Replicas { expiring: replicas, ..Replicas::default() };
        let two = expiring(vec![replica(1, Some(600)), replica(2, Some(60))]);
        let said = verdict(&health(two, Replicas::default())).unwrap();
        let ends = "ends in 10 min unless it is published again.";
        assert_eq!(said, format!("Held, but not for long (2 about to expire): what 2 nodes hold {ends}"));
        // Readers among nodes of the package look there as well, and so does `kad get`.
        let missing = || Replicas { missing: vec![peer(1)], ..Replicas::default() };
        let said = verdict(&health(missing(), expiring(vec![replica(3, Some(600))]))).unwrap();
        assert_eq!(said, format!("Held, but not for long (1 missing): what 1 node holds {ends}"));
        let beyond = Replicas { confirmed: vec![replica(3, None)], ..Replicas::default() };
        let said = verdict(&health(missing(), beyond)).unwrap();
        assert_eq!(said, "\"k\" is not held by the nearest node (1 missing), but by 1 beyond");
    }

    #[test]
    fn json_has_the_counts_and_each_node() {
        let missing = Replicas { missing: vec![peer(1)], ..Replicas::default() };
        let text = output::json(&HealthJson::new(&health(missing, Replicas::default())));
        let bits = peer(1).id.distance(&NodeId::of_key("k")).bits();
        let expected = format!(
            "{{\"key\":\"k\",\"confirmed\":0,\"expiring\":0,\"missing\":1,\"silent\":0,\"unasked\":0,\
             \"earliest_expiry_seconds\":null,\"nodes\":[{{\"node_id\":\"{}\",\"address\":\"127.0.0.1:1\",\
             \"distance_bits\":{bits},\"state\":\"missing\",\"expires_in_seconds\":null}}],\"beyond\":[]}}",
            peer(1).id
        );
        assert_eq!(text, expected);
    }
}
