//! `kad status`: whether a running node is ready, whether it keeps up, and what to do if not.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use indicatif::{DecimalBytes, HumanCount};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::client::{Answer, Ask, Client};
use crate::cli::args::remote::StatusArgs;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output;
use crate::cli::wording::{counts, human, list};
use crate::gateway::advice;

/// The columns of advice.
const WIDTH: usize = 96;
/// A query of a stranger shows that strangers reach the node for so long.
const REACHED_WITHIN: Duration = Duration::from_secs(3_600);

/// The answer of `/v1/node`, as far as it is shown.
#[derive(Deserialize)]
struct Node {
    id: String,
    address: String,
    wire: String,
    version: String,
    uptime: f64,
    concerns: Vec<String>,
    reached: Option<f64>,
    peers: Peers,
    store: Store,
    /// Nodes of the versions before have none.
    #[serde(default)]
    upkeep: Upkeep,
    pins: Pins,
    counters: BTreeMap<String, u64>,
    restarts: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Peers {
    known: usize,
    failing: usize,
    legacy: usize,
}

#[derive(Deserialize)]
struct Store {
    published: Amount,
    remote: Amount,
    remote_limit: Amount,
    cached: Amount,
    cached_limit: Amount,
    republications: Due,
    restores: Due,
    pass: Option<Pass>,
}

/// The renewal of all publications that are due, while it runs.
#[derive(Deserialize)]
struct Pass {
    done: u64,
    percent: u8,
    left: Option<f64>,
}

/// The comparison of copies with neighbours.
#[derive(Deserialize, Default)]
struct Upkeep {
    partners: usize,
    not_compared: usize,
    copies_queued: usize,
    round_ends_in: Option<f64>,
}

#[derive(Deserialize)]
struct Amount {
    values: u64,
    bytes: u64,
}

#[derive(Deserialize)]
struct Due {
    due: usize,
    overdue: usize,
}

#[derive(Deserialize)]
struct Pins {
    pinned: usize,
    below_min: usize,
}

pub(in crate::cli) async fn run(StatusArgs { remote }: StatusArgs) -> Result<(), Failure> {
    let client = Client::new(&remote)?;
    let node: Json = client.get("v1/node").await?;
    let reasons = match client.answer(Ask::Get, "readyz").await? {
        Answer::Done(_) => Vec::new(),
        Answer::NotReady(reasons) => reasons,
    };
    let ready = reasons.is_empty();
    let text = if remote.json {
        output::json(&json!({ "http": client.url(), "ready": ready, "reasons": reasons, "node": node })) + "\n"
    } else {
        let shown = serde_json::from_value(node).map_err(|error| client.stranger(&error.to_string()))?;
        text(&shown, &reasons)
    };
    output::print(text).await?;
    if ready { Ok(()) } else { Err(Failure::new(Exit::NOT_FOUND, format!("not ready: {}", reasons.join("; ")))) }
}

fn text(node: &Node, reasons: &[String]) -> String {
    let Node { id, address, wire, version, concerns, peers, store, pins, .. } = node;
    let ready = if reasons.is_empty() { "yes".to_owned() } else { format!("no: {}", reasons.join("; ")) };
    let keeps_up = if concerns.is_empty() { "yes: nothing is overdue" } else { "not quite:" };
    let concerns: String = concerns.iter().map(|concern| format!("           - {concern}\n")).collect();
    let known = counts([(peers.failing, "silent"), (peers.legacy, "of the Python package")]);
    let known = if known.is_empty() { known } else { format!(" ({known})") };
    let Store { published, remote, remote_limit, cached, cached_limit, republications, restores, pass } = store;
    let mut text = format!(
        "Ready      {ready}\n\
         Keeps up   {keeps_up}\n{concerns}\
         Reachable  {}\n\
         \n\
         Node       {id}\n\
         Address    {address} ({wire} wire), kad {version}, up {}\n\
         Peers      {}{known}\n\
         Published  {}\n\
         Held       {} of {}, for others\n\
         Cached     {} of {}\n\
         To do      {}; {}\n{}\
         Compared   {}\n\
         Pinned     {} ({} below their minimum of replicas)\n",
        reachable(node.reached),
        time(node.uptime),
        peers.known,
        amount(published),
        amount(remote),
        amount(remote_limit),
        amount(cached),
        amount(cached_limit),
        due(republications, "to publish again"),
        due(restores, "to restore for others"),
        pass.as_ref().map(publishing).unwrap_or_default(),
        compared(&node.upkeep),
        pins.pinned,
        pins.below_min,
    );
    if !node.restarts.is_empty() {
        let restarts = list(node.restarts.iter().map(|(actor, times)| format!("{actor} {times}")));
        let _ = writeln!(text, "Restarts   {restarts}");
    }
    text + &turned_away(&node.counters)
}

fn time(seconds: f64) -> String {
    human(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

fn amount(Amount { values, bytes }: &Amount) -> String {
    let plural = if *values == 1 { "" } else { "s" };
    format!("{} value{plural} ({})", HumanCount(*values), DecimalBytes(*bytes))
}

fn due(Due { due, overdue }: &Due, what: &str) -> String {
    format!("{due} {what} ({overdue} overdue)")
}

fn publishing(Pass { done, percent, left }: &Pass) -> String {
    let left = left.map(|left| format!(", {} left", time(left))).unwrap_or_default();
    format!("           publishing again: {} done, {percent} % of the id space{left}\n", HumanCount(*done))
}

fn compared(Upkeep { partners, not_compared, copies_queued, round_ends_in }: &Upkeep) -> String {
    let all = round_ends_in.map(|within| format!("; all once more within {}", time(within))).unwrap_or_default();
    let done = partners.saturating_sub(*not_compared);
    format!("with {done} of {partners} neighbours; {copies_queued} copies to bring{all}")
}

fn reachable(ago: Option<f64>) -> String {
    let ago = ago.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    match ago {
        Some(ago) if ago < REACHED_WITHIN => format!("yes: a stranger asked it {} ago", human(ago)),
        Some(ago) => format!("unknown: no stranger has asked it for {}", human(ago)),
        None => "unknown: no stranger from a global address has asked it yet".to_owned(),
    }
}

/// What was dropped or refused, most first, each with what it means and what to do about it.
fn turned_away(counters: &BTreeMap<String, u64>) -> String {
    let reason = |name: &str| {
        let (counter, reason) = name.strip_suffix('}')?.split_once('{')?;
        (counter.contains("dropped") || counter.contains("refused")).then(|| reason.to_owned())
    };
    let mut rows: Vec<(u64, String)> =
        counters.iter().filter_map(|(name, count)| Some((*count, reason(name)?))).filter(|row| row.0 > 0).collect();
    rows.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let mut text = String::new();
    for (count, reason) in rows {
        let _ = writeln!(text, "\n  {} {reason}", HumanCount(count));
        if let Some(advice) = advice(&reason) {
            for part in [format!("{}.", advice.meaning), format!("To do: {}.", advice.action)] {
                text += &wrapped(&part);
            }
        }
    }
    if text.is_empty() { text } else { format!("\nDropped and refused since its start:\n{text}") }
}

/// `text` in indented lines.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last().map_or(0, |line| line.chars().count());
        if last > 0 && last + 1 + word.chars().count() > WIDTH {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(if line.is_empty() { "" } else { " " });
            line.push_str(word);
        }
    }
    lines.iter().map(|line| format!("    {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(concerns: &[&str], counters: &Json) -> Node {
        let amount = |values: u64| json!({"values": values, "bytes": 1_500 * values});
        let due = json!({"due": 2, "overdue": 1});
        serde_json::from_value(json!({
            "id": "0".repeat(40), "address": "192.0.2.1:8000", "wire": "json", "version": "1.0.0", "uptime": 7_300.0,
            "concerns": concerns, "reached": 60.0, "peers": {"known": 20, "failing": 1, "legacy": 0, "replacements": 3},
            "store": {
                "published": amount(1), "held": amount(2), "cached": amount(0), "remote": amount(2),
                "remote_limit": amount(100_000), "cached_limit": amount(10_000), "republications": due, "restores": due,
                "pass": {"done": 4_000, "place": "40".repeat(20), "percent": 25, "running": 60.0, "left": 180.0},
            },
            "upkeep": {
                "partners": 19, "not_compared": 3, "exchanges_running": 1, "copies_queued": 4, "round_ends_in": 3_120.0,
            },
            "pins": {"pinned": 2, "below_min": 1}, "counters": counters, "restarts": {}, "a later field": 1,
        }))
        .unwrap()
    }

    #[test]
    fn what_an_operator_asks_first_stands_first() {
        let text = text(&node(&[], &json!({"kad_queries_sent_total": 5})), &[]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "Ready      yes");
        assert_eq!(lines[1], "Keeps up   yes: nothing is overdue");
        assert_eq!(lines[2], "Reachable  yes: a stranger asked it 1 min ago");
        for line in [
            "Address    192.0.2.1:8000 (json wire), kad 1.0.0, up 2 h",
            "Peers      20 (1 silent)",
            "Published  1 value (1.50 kB)",
            "Held       2 values (3.00 kB) of 100,000 values (150.00 MB), for others",
            "To do      2 to publish again (1 overdue); 2 to restore for others (1 overdue)",
            "           publishing again: 4,000 done, 25 % of the id space, 3 min left",
            "Compared   with 16 of 19 neighbours; 4 copies to bring; all once more within 52 min",
            "Pinned     2 (1 below their minimum of replicas)",
        ] {
            assert!(lines.contains(&line), "{line}: {text}");
        }
        assert!(!text.contains("Dropped"), "{text}");
    }

    #[test]
    fn what_is_the_matter_is_said_with_what_to_do_about_it_the_most_frequent_first() {
        let counters =
            json!({"kad_datagrams_dropped_total{too_fast}": 7, "kad_datagrams_dropped_total{queue_full}": 4_000});
        let text = text(&node(&["Late."], &counters), &["it is still joining its network".to_owned()]);
        assert!(text.starts_with(
            "Ready      no: it is still joining its network\nKeeps up   not quite:\n           - Late.\n"
        ));
        let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"));
        assert!(place("  4,000 queue_full") < place("  7 too_fast"), "{text}");
        assert!(text.contains("Some addresses send more than 50 datagrams a second."), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
}
