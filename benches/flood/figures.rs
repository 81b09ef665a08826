//! What was measured: how long reads took, and an account of all datagrams.

use std::time::{Duration, Instant};

use kademlia_dynamic::actors::counters::{Counter, Counters};
use kademlia_dynamic::protocol::config::AppliesTo;
use kademlia_dynamic::{GetOptions, GetResult, Node, Value};

use super::crowd::{Keys, value};
use super::flooder::Sent;
use super::process;

/// How often a value held here and one held elsewhere are read.
const READ_EVERY: Duration = Duration::from_millis(10);

/// Reasons for which a datagram is dropped on its way in.
const ON_THE_WAY_IN: [Counter; 15] = [
    Counter::NoSlot,
    Counter::TooFast,
    Counter::Malformed,
    Counter::Empty,
    Counter::Duplicate,
    Counter::MissingField,
    Counter::BadField,
    Counter::TooDeep,
    Counter::UnknownType,
    Counter::BadSender,
    Counter::BadQueryId,
    Counter::BadSource,
    Counter::UnknownQuery,
    Counter::WrongSource,
    Counter::WrongKind,
];

/// What one kind of reads took: `None` for those that did not succeed.
#[derive(Default)]
pub(crate) struct Reads(Vec<Option<Duration>>);

impl Reads {
    fn quantile(&self, part: f64) -> f64 {
        let mut took: Vec<Duration> = self.0.iter().flatten().copied().collect();
        took.sort();
        let at = ((took.len() as f64 * part) as usize).min(took.len().saturating_sub(1));
        took.get(at).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
    }

    fn success(&self) -> f64 {
        100.0 * self.0.iter().flatten().count() as f64 / self.0.len() as f64
    }
}

/// Reads of values that the node holds, and of values that only others hold.
#[derive(Default)]
pub(crate) struct Samples {
    pub(crate) here: Reads,
    pub(crate) elsewhere: Reads,
}

/// Reads for `time`, whether or not the last reads have come to their end.
pub(crate) async fn read(node: &Node, keys: &Keys, time: Duration) -> Samples {
    let start = Instant::now();
    let mut ticks = tokio::time::interval(READ_EVERY);
    let mut reads = Vec::new();
    for number in 0.. {
        ticks.tick().await;
        if start.elapsed() >= time {
            break;
        }
        for (keys, elsewhere) in [(&keys.here, false), (&keys.elsewhere, true)] {
            let (node, key) = (node.clone(), keys[number % keys.len()].clone());
            let read = tokio::spawn(async move {
                let start = Instant::now();
                let outcome = node.get_with(&key, GetOptions::default()).await.map(|read| read.result);
                let took = start.elapsed();
                let Ok(GetResult::Found { value: found, holder, .. }) = outcome else { return None };
                (found == Value::from(value(&key)) && holder.is_some() == elsewhere).then_some(took)
            });
            reads.push((elsewhere, read));
        }
    }
    let mut samples = Samples::default();
    for (elsewhere, read) in reads {
        let kind = if elsewhere { &mut samples.elsewhere } else { &mut samples.here };
        kind.0.push(read.await.expect("it ends"));
    }
    samples
}

/// What became of all datagrams that went to the node since it started.
pub(crate) struct Account {
    sent: u64,
    received: u64,
    by_the_system: u64,
    answered: u64,
    no_slot: u64,
    too_fast: u64,
    other: u64,
    /// Answers to its own queries.
    answers: u64,
}

impl Account {
    pub(crate) fn of(counters: &Counters, sent: u64) -> Self {
        let get = |counter| counters.get(counter);
        let dropped: u64 = ON_THE_WAY_IN.iter().map(|counter| get(*counter)).sum();
        let (no_slot, too_fast) = (get(Counter::NoSlot), get(Counter::TooFast));
        Self {
            sent,
            received: get(Counter::Received),
            by_the_system: get(Counter::KernelDropped),
            answered: get(Counter::Answered),
            no_slot,
            too_fast,
            other: dropped - no_slot - too_fast,
            answers: get(Counter::Asked) - get(Counter::Silent),
        }
    }

    /// How many datagrams are not accounted for: before they were read, and after.
    fn missing(&self) -> [i64; 2] {
        let dealt_with = self.answered + self.answers + self.no_slot + self.too_fast + self.other;
        let missing = |all: u64, parts: u64| all as i64 - parts as i64;
        [missing(self.sent, self.received + self.by_the_system), missing(self.received, dealt_with)]
    }
}

pub(crate) struct Figures {
    pub(crate) rate: u32,
    pub(crate) rate_limit: AppliesTo,
    pub(crate) sent: Sent,
    pub(crate) samples: Samples,
    pub(crate) account: Account,
    pub(crate) restarts: u64,
    pub(crate) time: Duration,
}

impl Figures {
    pub(crate) fn print_head() {
        println!(
            "{:>7} {:>6} {:>7} | {:>22} {:>6} | {:>22} {:>6} | {:>8} {:>8} {:>8} {:>8} {:>7} {:>7} {:>9} {:>5}",
            "rate/s",
            "limit",
            "sent/s",
            "get here p50 p99 max",
            "ok %",
            "elsewhere p50 p99 max",
            "ok %",
            "handled",
            "no slot",
            "too fast",
            "other",
            "system",
            "missing",
            "all of",
            "load"
        );
    }

    pub(crate) fn print(&self) {
        let Self { account, samples, sent, .. } = self;
        let times = |reads: &Reads| [0.5, 0.99, 1.0].map(|part| format!("{:.2}", reads.quantile(part))).join(" ");
        let limit = if self.rate_limit == AppliesTo::Always { "always" } else { "exempt" };
        let [unread, lost] = account.missing();
        println!(
            "{:>7} {:>6} {:>7.0} | {:>22} {:>6.2} | {:>22} {:>6.2} | {:>8} {:>8} {:>8} {:>8} {:>7} {:>7} {:>9} {:>5}",
            self.rate,
            limit,
            sent.sent as f64 / sent.seconds.max(1e-9),
            times(&samples.here),
            samples.here.success(),
            times(&samples.elsewhere),
            samples.elsewhere.success(),
            account.answered + account.answers,
            account.no_slot,
            account.too_fast,
            account.other,
            account.by_the_system,
            format!("{unread}+{lost}"),
            account.sent,
            process::load(),
        );
    }

    /// What is not as it should be: `p99` is how many milliseconds 99 of 100 reads of a value held here may take.
    pub(crate) fn missed(&self, p99: f64) -> Vec<String> {
        let Self { samples, account, restarts, time, .. } = self;
        let mut missed = Vec::new();
        let took = samples.here.quantile(0.99);
        if took > p99 {
            missed.push(format!("reads of what is held here take {took:.2} ms at the 99th percentile, not {p99} ms"));
        }
        for (what, reads) in [("held here", &samples.here), ("held elsewhere", &samples.elsewhere)] {
            if reads.success() < 99.0 {
                missed.push(format!("{:.2} % of the reads of what is {what} succeed, not 99 %", reads.success()));
            }
        }
        if account.missing() != [0, 0] {
            missed.push(format!("datagrams not accounted for: {:?}", account.missing()));
        }
        if *restarts > 0 {
            missed.push(format!("{restarts} restarts within {time:?}"));
        }
        missed
    }
}
