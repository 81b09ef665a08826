//! A lookup's trace for people: whom it asked, as a table; who named whom, as a tree; and how it ended. Nothing is looked
//! up here.

use super::wording::nodes;
use crate::protocol::lookup::{Asked, CameBack, Ending, Rejected, Rejection, Trace, TurnedAway, Vote};

/// A tree is drawn no deeper than this many characters, so that its lines stay within 100 columns. What is named deeper
/// stands below its informant all the same.
const DEEPEST: usize = 45;

/// The trace of the lookup of `key`, in lines of at most 100 columns with IPv4 addresses.
pub(super) fn report(key: &str, trace: &Trace) -> String {
    format!("{}\n\n{}{}{}", headline(key, trace), table(trace), turned_away(trace), tree(trace))
}

/// That no lookup was needed.
pub(super) fn not_looked_up(key: &str) -> String {
    format!("{key:?} is held here: nobody was asked\n")
}

fn headline(key: &str, trace: &Trace) -> String {
    let tally = trace.tally();
    let mut counts = vec![format!("{} asked", nodes(tally.asked)), format!("{} answered", tally.answered)];
    for (count, what) in [
        (tally.silent, "silent"),
        (tally.wrong_id, "somebody else"),
        (tally.unsent, "not sent"),
        (tally.pending, "not waited for"),
    ] {
        if count > 0 {
            counts.push(format!("{count} {what}"));
        }
    }
    // However it ended: fewer than were wanted may have it.
    let found = trace.here.is_some() || trace.asked.iter().any(|asked| asked.came_back == CameBack::Value);
    if trace.unheard > 0 && !found {
        counts.push(format!("{} of the nearest not heard", trace.unheard));
    }
    let (without, because) = match trace.ending {
        Some(Ending::Found) => ("Found", ""),
        Some(Ending::Complete) => ("Not found", ": the nearest nodes have all answered or failed"),
        Some(Ending::NoPeers) => ("Not found", ": there was nobody left to ask"),
        Some(Ending::OutOfQueries) => ("Given up", ": all its queries were spent"),
        Some(Ending::DeadlinePassed) => ("Given up", ": its time was over"),
        None => ("Still running", ""),
    };
    let unsupported = trace.asked.iter().any(|asked| asked.came_back == CameBack::Unsupported);
    let ended = match trace.ending {
        Some(_) if found => "Found",
        Some(_) if unsupported => "Found, but not supported",
        _ => without,
    };
    let lasted = trace.lasted_us.map_or(String::new(), |us| format!(" after {}", time(us)));
    format!("Lookup of {key:?}, at {}\n{ended}{lasted}{because}\n{}", trace.target, counts.join(", "))
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
    let said = match asked.came_back {
        CameBack::Pending => "not waited for".to_owned(),
        CameBack::Peers { named: 0, .. } => "no nodes".to_owned(),
        CameBack::Peers { named, taken } => format!("{}, {taken} new", nodes(named)),
        CameBack::Value => match asked.vote {
            None => "the value".to_owned(),
            Some(Vote { value, counted: true }) => format!("value {}", value.short()),
            Some(Vote { value, counted: false }) => format!("value {}, not counted", value.short()),
        },
        CameBack::Unsupported => "an unsupported value".to_owned(),
        CameBack::Silent if asked.doubted => "no answer, again".to_owned(),
        CameBack::Silent => "no answer".to_owned(),
        CameBack::WrongId { actual } => format!("is {} instead", actual.short()),
        CameBack::Unsent => "not sent".to_owned(),
    };
    // Of one that never answered, that it was slow goes without saying.
    let slow = asked.slow && !matches!(asked.came_back, CameBack::Silent | CameBack::Pending);
    if slow { format!("{said} (slow)") } else { said }
}

fn table(trace: &Trace) -> String {
    if trace.asked.is_empty() {
        return "Nobody was asked.\n".to_owned();
    }
    let addresses: Vec<String> = trace.asked.iter().map(|asked| asked.peer.addr.to_string()).collect();
    let width = addresses.iter().map(String::len).max().unwrap_or(0).max("ADDRESS".len());
    let mut text = format!("  #  HOP  DISTANCE  NODE      {:width$}  ASKED AT      TOOK  WHAT CAME BACK\n", "ADDRESS");
    for (number, (asked, addr)) in trace.asked.iter().zip(&addresses).enumerate() {
        let took = asked.took().map_or("-".to_owned(), |took| time(took.as_micros() as u64));
        text += &format!(
            "{:>3}  {:>3}  {:>3} bits  {}  {addr:width$}  {:>8}  {took:>8}  {}\n",
            number + 1,
            asked.hop,
            asked.bits,
            asked.peer.id.short(),
            time(asked.asked_us),
            came_back(asked),
        );
    }
    text
}

/// How many, why in words, and how those are marked that the trace names.
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

/// Informants that one reason lists.
const INFORMANTS: usize = 8;
/// Peers that one reason lists.
const REJECTED: usize = 8;

fn turned_away(trace: &Trace) -> String {
    let mut text = String::new();
    for (count_of, reason, mark) in REASONS {
        let count = count_of(&trace.turned_away);
        if count == 0 {
            continue;
        }
        if text.is_empty() {
            text += "\nNamed, but not followed\n";
        }
        text += &format!("{count:>5}  {reason}");
        // Near nodes name each other and whoever asks: only the rest says something of who named it.
        if !matches!(reason, "known already" | "this node itself") {
            let by: Vec<String> = (1..)
                .zip(&trace.asked)
                .filter(|(_, asked)| count_of(&asked.turned_away) > 0)
                .map(|(number, _)| format!("#{number}"))
                .collect();
            let more = if by.len() > INFORMANTS { ", …" } else { "" };
            if !by.is_empty() {
                text += &format!(", by {}{more}", by[..by.len().min(INFORMANTS)].join(", "));
            }
        }
        text.push('\n');
        let rejected = trace.rejected.iter().filter(|rejected| Some(rejected.why) == mark);
        let listed: Vec<String> = rejected.take(REJECTED).map(one_rejected).collect();
        text.extend(listed.iter().map(String::as_str));
        if !listed.is_empty() && listed.len() < count {
            text += &format!("       and {} more\n", count - listed.len());
        }
    }
    text
}

fn one_rejected(Rejected { peer, named_by, .. }: &Rejected) -> String {
    let by = named_by.map_or("of this node's own table".to_owned(), |by| format!("named by #{}", by + 1));
    format!("       {} at {}, {by}\n", peer.id.short(), peer.addr)
}

fn tree(trace: &Trace) -> String {
    if trace.asked.is_empty() {
        return String::new();
    }
    let mut text = "\nWho named whom\nthis node's own table\n".to_owned();
    branches(trace, None, "", &mut text);
    text
}

/// The queries of peers that `informant` named. Each was sent after its informant's, so this ends.
fn branches(trace: &Trace, informant: Option<usize>, indent: &str, text: &mut String) {
    let of_informant = |(_, asked): &(usize, &Asked)| asked.named_by == informant;
    let mut named = trace.asked.iter().enumerate().filter(of_informant).peekable();
    while let Some((at, asked)) = named.next() {
        let last = named.peek().is_none();
        let branch = if last { "└─ " } else { "├─ " };
        let Asked { bits, peer, .. } = asked;
        *text += &format!("{indent}{branch}#{} {}, {bits} bits: {}\n", at + 1, peer.id.short(), came_back(asked));
        let deeper = match last {
            _ if indent.chars().count() + 3 > DEEPEST => indent.to_owned(),
            true => format!("{indent}   "),
            false => format!("{indent}│  "),
        };
        branches(trace, Some(at), &deeper, text);
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

Who named whom
this node's own table
├─ #1 40000000, 159 bits: 4 nodes, 2 new
│  ├─ #3 01000000, 153 bits: 2 nodes, 1 new
│  │  └─ #5 03000000, 154 bits: the value
│  └─ #4 20000000, 158 bits: not waited for
└─ #2 80000000, 160 bits: no answer
";
        assert_eq!(text, expected);
    }

    #[test]
    fn of_many_rejected_peers_the_first_are_listed_with_whoever_named_them() {
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
        let _ = lookup.next(now + config.lookup_deadline);
        let text = report("k", lookup.trace());
        assert!(text.contains("\nFound after 10.0 s: its time was over\n"), "{text}");
    }

    #[test]
    fn a_lookup_without_anybody_to_ask_says_so() {
        let now = Instant::now();
        let config = Config::default();
        let mut lookup = Lookup::new(NodeId::of_key("own"), NodeId::ZERO, Goal::Value, &config, false, &[], now);
        let _ = lookup.next(now);
        let text = report("k", lookup.trace());
        assert!(text.contains("nobody left to ask") && text.ends_with("Nobody was asked.\n"), "{text}");
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
        assert_eq!(lookup.tally().asked, config.lookup_queries());
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 100, "{widest}: {text}");
    }

    #[test]
    fn times_are_read_at_a_glance() {
        let said = [0, 499, 9_999, 10_000, 999_999, 1_000_000, 9_950_000].map(time);
        assert_eq!(said, ["0.0 ms", "0.4 ms", "9.9 ms", "10 ms", "999 ms", "1.0 s", "9.9 s"]);
    }
}
