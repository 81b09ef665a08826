//! A lookup's trace as text: the nodes that it asked, as a table; which node named which, as a tree; and how it ended.

use super::wording::{columns, counts, nodes};
use crate::protocol::lookup::{Asked, CameBack, Ending, Rejected, Rejection, Trace, TurnedAway, Vote};

/// The tree is indented by no more than this many characters, so that its lines stay within 100 columns. Nodes named deeper
/// stand below their informant all the same.
const DEEPEST: usize = 45;

/// The trace of the lookup of `key`, in lines of at most 100 columns with IPv4 addresses.
pub(super) fn report(key: &str, trace: &Trace) -> String {
    let (headline, turned_away) = (headline(key, trace), turned_away(trace));
    if trace.asked.is_empty() {
        return format!("{headline}\n\nNo node was asked.\n{turned_away}");
    }
    let mut text = format!("{headline}\n\n{}{turned_away}\n", table(trace));
    text += "Which node named which\nknown before\n";
    branches(trace, None, "", &mut text);
    text
}

/// That no lookup was needed.
pub(super) fn no_lookup(key: &str) -> String {
    format!("{key:?} is stored here: no node was asked\n")
}

fn headline(key: &str, trace: &Trace) -> String {
    let tally = trace.tally();
    let came_back = |what| trace.asked.iter().any(|asked| asked.came_back == what);
    // However it ended: fewer holders than were wanted may have it.
    let found = trace.here.is_some() || came_back(CameBack::Value);
    let others = counts([
        (tally.silent, "silent"),
        (tally.wrong_id, "with another id"),
        (tally.unsent, "not sent"),
        (tally.pending, "not waited for"),
        (if found { 0 } else { trace.unheard }, "of the nearest without an answer"),
    ]);
    let others = if others.is_empty() { others } else { format!(", {others}") };
    let (without, because) = match trace.ending {
        Some(Ending::Found) => ("Found", ""),
        Some(Ending::Complete) => ("Not found", ": the nearest nodes have all answered or failed"),
        Some(Ending::NoPeers) => ("Not found", ": there was no node left to ask"),
        Some(Ending::OutOfQueries) => ("Given up", ": all its queries were used"),
        Some(Ending::DeadlinePassed) => ("Given up", ": its time was over"),
        None => ("Still running", ""),
    };
    let ended = match trace.ending {
        Some(_) if found => "Found",
        Some(_) if came_back(CameBack::Unsupported) => "Found, but not supported",
        _ => without,
    };
    let lasted = trace.lasted_us.map_or(String::new(), |us| format!(" after {}", time(us)));
    let (target, asked, answered) = (trace.target, nodes(tally.asked), tally.answered);
    format!("Lookup of {key:?}, at {target}\n{ended}{lasted}{because}\n{asked} asked, {answered} answered{others}")
}

/// `0.4 ms`, `12 ms`, `2.0 s`.
fn time(us: u64) -> String {
    match us {
        0..10_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        10_000..1_000_000 => format!("{} ms", us / 1_000),
        _ => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
    }
}

fn came_back(asked: &Asked) -> String {
    let text = match asked.came_back {
        CameBack::Pending => "not waited for".to_owned(),
        CameBack::Peers { named: 0, .. } => "no nodes".to_owned(),
        CameBack::Peers { named, taken } => format!("{}, {taken} new", nodes(named)),
        CameBack::Value => match asked.vote {
            None => "the value".to_owned(),
            Some(Vote { value, counted: true }) => format!("value {}", value.short()),
            Some(Vote { value, counted: false }) => format!("value {}, not counted", value.short()),
        },
        CameBack::Unsupported => "an unsupported value".to_owned(),
        CameBack::Silent if asked.suspect => "no answer, again".to_owned(),
        CameBack::Silent => "no answer".to_owned(),
        CameBack::WrongId { actual } => format!("is {} instead", actual.short()),
        CameBack::Unsent => "not sent".to_owned(),
    };
    // That a node was slow is obvious where it never answered.
    let slow = asked.slow && !matches!(asked.came_back, CameBack::Silent | CameBack::Pending);
    if slow { format!("{text} (slow)") } else { text }
}

fn table(trace: &Trace) -> String {
    let heading = ["  #", "HOP", "DISTANCE", "NODE", "ADDRESS", "ASKED AT", "    TOOK", "WHAT CAME BACK"];
    let mut rows = vec![heading.map(str::to_owned)];
    rows.extend(trace.asked.iter().zip(1..).map(|(asked, number)| {
        let took = asked.took().map_or("-".to_owned(), |took| time(took.as_micros() as u64));
        [
            format!("{number:>3}"),
            format!("{:>3}", asked.hop),
            format!("{:>3} bits", asked.bits),
            asked.peer.id.short(),
            asked.peer.addr.to_string(),
            format!("{:>8}", time(asked.asked_us)),
            format!("{took:>8}"),
            came_back(asked),
        ]
    }));
    columns(&rows).concat()
}

/// How many, the reason as text, and how the trace marks those that it names.
type Reason = (fn(&TurnedAway) -> usize, &'static str, Option<Rejection>);

/// Most frequent first in an honest network; the first two are normal there.
const REASONS: [Reason; 6] = [
    (|away| away.known, "known already", None),
    (|away| away.own_id, "this node itself", None),
    (|away| away.address_in_use, "at an address that has another id", Some(Rejection::AddressInUse)),
    (|away| away.subnet_full, "of a subnet that had its share", Some(Rejection::SubnetFull)),
    (|away| away.bad_address, "at an address that its informant cannot vouch for", Some(Rejection::BadAddress)),
    (|away| away.unread, "beyond what is read of one answer", None),
];
/// How many of them are normal: near nodes name each other, and the node that asks.
const NORMAL: usize = 2;

/// Informants that one reason lists.
const INFORMANTS: usize = 8;
/// Peers that one reason lists.
const REJECTED: usize = 8;

fn turned_away(trace: &Trace) -> String {
    let mut text = String::new();
    for (at, (count_of, reason, mark)) in REASONS.into_iter().enumerate() {
        let count = count_of(&trace.turned_away);
        if count == 0 {
            continue;
        }
        let informants = trace.asked.iter().zip(1..).filter(|(asked, _)| count_of(&asked.turned_away) > 0);
        let mut by: Vec<String> = informants.map(|(_, number)| format!("#{number}")).collect();
        if by.len() > INFORMANTS {
            by.truncate(INFORMANTS);
            by.push("…".to_owned());
        }
        let by = if at < NORMAL || by.is_empty() { String::new() } else { format!(", by {}", by.join(", ")) };
        text += &format!("{count:>5}  {reason}{by}\n");
        let rejected = trace.rejected.iter().filter(|rejected| Some(rejected.why) == mark);
        let listed: Vec<String> = rejected.take(REJECTED).map(one_rejected).collect();
        text += &listed.concat();
        if !listed.is_empty() && listed.len() < count {
            text += &format!("       and {} more\n", count - listed.len());
        }
    }
    if text.is_empty() { text } else { format!("\nNamed, but not followed\n{text}") }
}

fn one_rejected(Rejected { peer, named_by, .. }: &Rejected) -> String {
    let by = named_by.map_or("known before".to_owned(), |by| format!("named by #{}", by + 1));
    format!("       {} at {}, {by}\n", peer.id.short(), peer.addr)
}

/// The queries of peers that `informant` named. Each was sent after its informant's, so this ends.
fn branches(trace: &Trace, informant: Option<usize>, indent: &str, text: &mut String) {
    let of_informant = |(_, asked): &(usize, &Asked)| asked.named_by == informant;
    let mut named = trace.asked.iter().enumerate().filter(of_informant).peekable();
    while let Some((at, asked)) = named.next() {
        let (branch, below) = if named.peek().is_some() { ("├─ ", "│  ") } else { ("└─ ", "   ") };
        let Asked { bits, peer, .. } = asked;
        *text += &format!("{indent}{branch}#{} {}, {bits} bits: {}\n", at + 1, peer.id.short(), came_back(asked));
        let below = if indent.chars().count() + 3 > DEEPEST { "" } else { below };
        branches(trace, Some(at), &format!("{indent}{below}"), text);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::protocol::config::Config;
    use crate::protocol::id::NodeId;
    use crate::protocol::lookup::{Failure, Goal, Lookup, Next};
    use crate::protocol::peer::Peer;
    use crate::protocol::store::ValueDigest;
    use crate::protocol::value::Value;

    fn peer(number: u8) -> Peer {
        let mut id = [0; 20];
        id[0] = number;
        Peer::new(NodeId::from_bytes(id), ([127, 0, 0, 1], 9_000 + u16::from(number)).into())
    }

    /// A lookup that begins with peers 0x40 and 0x80: the second is dead, the first names four, one of which has the value.
    fn lookup() -> Trace {
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let config = Config::default();
        let (first, dead) = (peer(0x40), peer(0x80));
        let mut lookup =
            Lookup::new(NodeId::of_key("own"), NodeId::ZERO, Goal::Value, &config, false, &[first, dead], now);
        let ask = |lookup: &mut Lookup, now| while let Next::Query(_) = lookup.next(now) {};
        ask(&mut lookup, now);
        lookup.handle_slow(&dead);
        let unvouched = Peer::new(peer(2).id, "0.0.0.0:1".parse().unwrap());
        lookup.handle_peers(&first, &[peer(1), unvouched, dead, peer(0x20)], at(60));
        ask(&mut lookup, at(60));
        lookup.handle_peers(&peer(1), &[peer(3), first], at(75));
        lookup.handle_failure(&dead, Failure::Silent, at(2_000));
        ask(&mut lookup, at(2_000));
        lookup.handle_value(&peer(3), at(2_004));
        lookup.trace().clone()
    }

    #[test]
    fn a_trace_reads_as_a_table_and_a_tree() {
        let text = report("greeting", &lookup());
        let expected = "\
Lookup of \"greeting\", at 0000000000000000000000000000000000000000
Found after 2.0 s
5 nodes asked, 3 answered, 1 silent, 1 not waited for

  #  HOP  DISTANCE  NODE      ADDRESS         ASKED AT      TOOK  WHAT CAME BACK
  1    1  159 bits  40000000  127.0.0.1:9064    0.0 ms     60 ms  4 nodes, 2 new
  2    1  160 bits  80000000  127.0.0.1:9128    0.0 ms     2.0 s  no answer
  3    2  153 bits  01000000  127.0.0.1:9001     60 ms     15 ms  2 nodes, 1 new
  4    2  158 bits  20000000  127.0.0.1:9032     60 ms         -  not waited for
  5    3  154 bits  03000000  127.0.0.1:9003     2.0 s    4.0 ms  the value

Named, but not followed
    2  known already
    1  at an address that its informant cannot vouch for, by #1
       02000000 at 0.0.0.0:1, named by #1

Which node named which
known before
├─ #1 40000000, 159 bits: 4 nodes, 2 new
│  ├─ #3 01000000, 153 bits: 2 nodes, 1 new
│  │  └─ #5 03000000, 154 bits: the value
│  └─ #4 20000000, 158 bits: not waited for
└─ #2 80000000, 160 bits: no answer
";
        assert_eq!(text, expected);
    }

    #[test]
    fn of_many_rejected_peers_the_first_are_listed_with_their_informants() {
        let now = Instant::now();
        let config = Config::default();
        let first = peer(0xff);
        let mut lookup = Lookup::new(NodeId::of_key("own"), NodeId::ZERO, Goal::Value, &config, false, &[first], now);
        let _ = lookup.next(now);
        let bad = |n| Peer::new(peer(n).id, ([0, 0, 0, 0], u16::from(n)).into());
        lookup.handle_peers(&first, &(1..=30).map(bad).collect::<Vec<_>>(), now);
        let text = report("k", lookup.trace());
        assert!(text.contains("   30  at an address that its informant cannot vouch for, by #1\n"), "{text}");
        assert!(text.contains("       08000000 at 0.0.0.0:8, named by #1\n       and 22 more\n"), "{text}");
    }

    #[test]
    fn what_was_found_before_a_lookup_gave_up_was_found() {
        let now = Instant::now();
        let config = Config::default();
        let mut lookup =
            Lookup::new(NodeId::of_key("own"), NodeId::ZERO, Goal::Value, &config, false, &[peer(1), peer(2)], now);
        while let Next::Query(_) = lookup.next(now) {}
        let vote = Vote { value: ValueDigest::of(&Value::from("value")), counted: true };
        lookup.handle_vote(&peer(1), vote, now);
        let _ = lookup.next(now + config.lookup.lookup_deadline);
        let text = report("k", lookup.trace());
        assert!(text.contains("\nFound after 10.0 s: its time was over\n"), "{text}");
    }

    #[test]
    fn a_lookup_without_a_node_to_ask_says_so() {
        let now = Instant::now();
        let config = Config::default();
        let mut lookup = Lookup::new(NodeId::of_key("own"), NodeId::ZERO, Goal::Value, &config, false, &[], now);
        let _ = lookup.next(now);
        let text = report("k", lookup.trace());
        assert!(text.contains("no node left to ask") && text.ends_with("No node was asked.\n"), "{text}");
    }

    #[test]
    fn a_chain_of_ever_nearer_liars_stays_within_100_columns() {
        let now = Instant::now();
        let config = Config::default();
        let mut lookup =
            Lookup::new(NodeId::of_key("own"), NodeId::ZERO, Goal::Value, &config, false, &[peer(255)], now);
        while let Next::Query(asked) = lookup.next(now) {
            let nearer = asked.id.as_bytes()[0] - 1;
            lookup.handle_peers(&asked, &[peer(nearer)], now);
        }
        let text = report("k", lookup.trace());
        assert_eq!(lookup.trace().tally().asked, config.lookup_queries());
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 100, "{widest}: {text}");
    }

    #[test]
    fn times_are_read_at_a_glance() {
        let said = [0, 499, 9_999, 10_000, 999_999, 1_000_000, 9_950_000].map(time);
        assert_eq!(said, ["0.0 ms", "0.4 ms", "9.9 ms", "10 ms", "999 ms", "1.0 s", "9.9 s"]);
    }
}
