//! `kad health`: which of the nodes nearest to a key hold it, as a table, and a summary in one line.

use std::time::Duration;

use serde::Serialize;

use super::args::HealthArgs;
use super::client;
use super::deadline::Deadline;
use super::failure::{Exit, Failure};
use super::near::Near;
use super::wording::{columns, counts, human};
use crate::actors::outcome::Health;
use crate::protocol::audit::Replicas;
use crate::protocol::id::NodeId;

pub(super) async fn run(HealthArgs { key, network }: HealthArgs) -> Result<(), Failure> {
    client::check_key(&key)?;
    let deadline = Deadline::begin(&network);
    let health = client::with_client(&deadline, async |client| {
        let health = client.health(&key).await?;
        answered(&health)?;
        Ok(health)
    })
    .await?;
    deadline.report(&HealthJson::new(&health), table(&health)).await?;
    let summary = summary(&health)?;
    if network.json { Ok(()) } else { deadline.print(format!("\n{summary}\n")).await }
}

/// Fails where no node answered.
fn answered(Health { nearest, beyond, .. }: &Health) -> Result<(), Failure> {
    match nearest.answered() + beyond.answered() {
        0 => Err(Failure::network_silent(nearest.len() + beyond.len())),
        _ => Ok(()),
    }
}

/// What a node answered that has a full copy, as JSON has it.
const HELD: &str = "held";
/// What one answered whose copy is about to end.
const EXPIRING: &str = "expiring";
/// What a node is called that was not asked.
const UNASKED: &str = "unasked";

/// A node that should hold the key, and what it answered, if it did.
#[derive(Serialize)]
struct Holder {
    #[serde(flatten)]
    node: Near,
    state: &'static str,
    expires_in_seconds: Option<u64>,
}

impl Holder {
    /// The nodes of `replicas`, the nearest to `target` first.
    fn all(replicas: &Replicas, target: NodeId) -> Vec<Self> {
        let Replicas { confirmed, expiring, missing, silent, unasked } = replicas;
        let holding = [(confirmed, HELD), (expiring, EXPIRING)].into_iter();
        let holding = holding.flat_map(|(of, state)| of.iter().map(move |copy| (copy.peer, state, copy.expires_in)));
        let others = [(missing, "missing"), (silent, "silent"), (unasked, UNASKED)].into_iter();
        let others = others.flat_map(|(of, state)| of.iter().map(move |peer| (*peer, state, None)));
        let mut all: Vec<_> = holding.chain(others).collect();
        all.sort_by_key(|(peer, ..)| peer.id.distance(&target));
        let holder = |(peer, state, expires_in): (_, _, Option<Duration>)| {
            let expires_in_seconds = expires_in.map(|expires_in| expires_in.as_secs());
            Self { node: Near::new(&peer, target), state, expires_in_seconds }
        };
        all.into_iter().map(holder).collect()
    }

    fn cells(&self) -> [String; 5] {
        let [id, address, distance] = self.node.cells();
        let ends = match (self.expires_in_seconds, self.state) {
            (Some(seconds), _) => human(Duration::from_secs(seconds)),
            (None, HELD | EXPIRING) => "unknown".to_owned(),
            (None, _) => String::new(),
        };
        let state = if self.state == UNASKED { "not asked" } else { self.state };
        [id, address, distance, format!("{state:9}"), ends]
    }
}

fn table(health: &Health) -> String {
    let target = NodeId::of_key(&health.key);
    let [nearest, beyond] = [&health.nearest, &health.beyond].map(|replicas| Holder::all(replicas, target));
    let mut rows = vec![["NODE", "ADDRESS", "DISTANCE", "COPY", "ENDS IN"].map(str::to_owned)];
    rows.extend(nearest.iter().chain(&beyond).map(Holder::cells));
    let mut lines = columns(&rows);
    if !beyond.is_empty() {
        let heading = "Not among the nearest, but asked where nodes of the Python package may look:\n";
        lines.insert(1 + nearest.len(), heading.to_owned());
    }
    format!("{:?}, at {target}\n\n{}", health.key, lines.concat())
}

/// `the 20 nearest nodes`, `the nearest node`.
fn the_nearest(count: usize) -> String {
    if count == 1 { "the nearest node".to_owned() } else { format!("the {count} nearest nodes") }
}

/// The line below the table; an error where no node holds the key, or none answered.
fn summary(health: &Health) -> Result<String, Failure> {
    answered(health)?;
    let Health { key, nearest, beyond, earliest_expiry, .. } = health;
    let others = counts([
        (nearest.expiring.len(), "about to expire"),
        (nearest.missing.len(), "missing"),
        (nearest.silent.len(), "silent"),
        (nearest.unasked.len(), "not asked"),
    ]);
    let mut others = if others.is_empty() { others } else { format!(" ({others})") };
    let (held, asked) = (nearest.confirmed.len(), nearest.len());
    if !beyond.confirmed.is_empty() {
        others += &format!(", {} by {} beyond", if held == 0 { "but" } else { "and" }, beyond.confirmed.len());
    }
    if held > 0 {
        let ends = earliest_expiry.map_or_else(
            || "no node said when it expires".to_owned(),
            |ends| format!("the first copy of known expiry ends in {}", human(ends)),
        );
        let by = if asked == 1 { the_nearest(1) } else { format!("{held} of {}", the_nearest(asked)) };
        return Ok(format!("Held by {by}{others}; {ends}."));
    }
    let text = format!("{key:?} is not held by {}{others}", the_nearest(asked));
    let expiring = nearest.expiring.iter().chain(&beyond.expiring);
    match expiring.filter_map(|replica| replica.expires_in).max() {
        _ if !beyond.confirmed.is_empty() => Ok(text),
        // It is read as any other, and its holders copy it to each other until it ends, but not beyond that.
        Some(last) => {
            let last = human(last);
            Ok(format!("Held, but not for long{others}: the last copy ends in {last} unless it is published again."))
        }
        None => Err(Failure::new(Exit::NOT_FOUND, text)),
    }
}

/// A key's health as JSON. Fields may be added.
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
    nodes: Vec<Holder>,
    /// The others that were asked.
    beyond: Vec<Holder>,
}

impl<'a> HealthJson<'a> {
    fn new(Health { key, nearest, beyond, earliest_expiry, .. }: &'a Health) -> Self {
        let target = NodeId::of_key(key);
        Self {
            key,
            confirmed: nearest.confirmed.len(),
            expiring: nearest.expiring.len(),
            missing: nearest.missing.len(),
            silent: nearest.silent.len(),
            unasked: nearest.unasked.len(),
            earliest_expiry_seconds: earliest_expiry.map(|ends| ends.as_secs()),
            nodes: Holder::all(nearest, target),
            beyond: Holder::all(beyond, target),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output;
    use crate::protocol::audit::Replica;
    use crate::protocol::peer::Peer;

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
            (8_002, "held       unknown"),
            (8_003, "expiring   1 min"),
            (8_004, "missing"),
            (8_005, "silent"),
            (8_006, "held       unknown"),
        ] {
            let row = rows.iter().find(|row| row.contains(&format!(":{port} "))).unwrap();
            assert!(row.ends_with(ends), "{row}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        assert!(text.lines().rev().nth(1).unwrap().starts_with("Not among the nearest"), "{text}");
    }

    #[test]
    fn a_summary_counts_what_is_held_and_what_is_not() {
        let said = summary(&mixed()).unwrap();
        assert_eq!(
            said,
            "Held by 2 of the 5 nearest nodes (1 about to expire, 1 missing, 1 silent), and by 1 beyond; \
             the first copy of known expiry ends in 1 min."
        );
        let legacy = Replicas { confirmed: vec![replica(1, None)], ..Replicas::default() };
        let said = summary(&health(legacy, Replicas::default())).unwrap();
        assert_eq!(said, "Held by the nearest node; no node said when it expires.");
    }

    #[test]
    fn nothing_held_is_not_found_and_no_answer_says_nothing_of_the_value() {
        let missing = Replicas { missing: vec![peer(1), peer(2)], ..Replicas::default() };
        let failure = summary(&health(missing, Replicas::default())).unwrap_err();
        assert_eq!(failure.exit, Exit::NOT_FOUND);
        assert_eq!(failure.to_string(), "\"k\" is not held by the 2 nearest nodes (2 missing)");
        for silent in [Replicas::default(), Replicas { silent: vec![peer(1)], ..Replicas::default() }] {
            assert_eq!(summary(&health(silent, Replicas::default())).unwrap_err().exit, Exit::UNAVAILABLE);
        }
    }

    #[test]
    fn what_can_still_be_read_is_held_however_soon_it_ends() {
        let expiring = |replicas| Replicas { expiring: replicas, ..Replicas::default() };
        let two = expiring(vec![replica(1, Some(600)), replica(2, Some(60))]);
        let said = summary(&health(two, Replicas::default())).unwrap();
        let ends = "the last copy ends in 10 min unless it is published again.";
        assert_eq!(said, format!("Held, but not for long (2 about to expire): {ends}"));
        // Readers among nodes of the package look there as well, and so does `kad get`.
        let missing = || Replicas { missing: vec![peer(1)], ..Replicas::default() };
        let said = summary(&health(missing(), expiring(vec![replica(3, Some(600))]))).unwrap();
        assert_eq!(said, format!("Held, but not for long (1 missing): {ends}"));
        let beyond = Replicas { confirmed: vec![replica(3, None)], ..Replicas::default() };
        let said = summary(&health(missing(), beyond)).unwrap();
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
