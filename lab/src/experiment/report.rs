//! What an experiment came to: plain data, for tables, charts and machines. How it was measured is `run.rs`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::caching::CachingFigures;
use super::figures::{CdfPoint, Figures, round};
use super::setup::Experiment;

/// What an experiment came to. As JSON it has no time of this world in it, so equal experiments give equal bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The experiment.
    pub experiment: Experiment,
    /// How many virtual minutes ran.
    pub minutes: u32,
    /// Whether it ran to its end, or was stopped before.
    pub complete: bool,
    /// How all reads by nodes of the network ended.
    pub reads: Reads,
    /// How all reads by visitors ended, who hold nothing themselves.
    pub visits: Reads,
    /// The reads of each virtual minute, in order.
    pub availability: Vec<Availability>,
    /// Copies of the values, every ten virtual minutes.
    pub copies: Vec<Copies>,
    /// The lookups behind the reads by nodes of ours. Values that the reader held itself are not among them.
    pub gets: Lookups,
    /// Lookups of random ids.
    pub lookups: Lookups,
    /// The share of the true k nearest living nodes that those lookups found, on average (0..=1); `None` without any.
    pub recall: Option<f64>,
    /// The same of the worst of them.
    pub worst_recall: Option<f64>,
    /// Who came and went.
    pub churned: Churned,
    /// What became of the datagrams.
    pub traffic: Traffic,
    /// A fingerprint of all datagrams: the same in two runs that were the same.
    pub trace_hash: String,
    /// Lookups in networks of several sizes, smallest first; empty unless asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sizes: Vec<SizeFigures>,
    /// What caching along the path comes to; `None` unless asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caching: Option<CachingFigures>,
}

/// How reads ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reads {
    /// All of them but the abandoned ones.
    pub asked: u64,
    /// The value was read, as it was set.
    pub found: u64,
    /// Of the values found, those that the reader held itself.
    pub held_by_reader: u64,
    /// No peer that was queried held it.
    pub not_found: u64,
    /// No peer answered at all.
    pub unanswered: u64,
    /// The reader failed, or another value was read than the one that was set.
    pub failed: u64,
    /// The reader left while it read, which says nothing of the value. These are not among those asked.
    pub abandoned: u64,
    /// Of those asked, those by legacy nodes. They cannot tell silence from absence: each that fails counts as not found.
    pub by_legacy: u64,
    /// Of those, those that found the value.
    pub found_by_legacy: u64,
}

/// The reads of one virtual minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Availability {
    /// Which minute, from 1.
    pub minute: u32,
    /// Reads.
    pub reads: u32,
    /// Reads that found the value.
    pub found: u32,
}

/// The copies of the values at one moment, one in ten minutes, of the first 200 if there are more: cached ones do not count, except those of
/// legacy nodes, which cannot tell them from full ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copies {
    /// When, in virtual minutes from the beginning.
    pub minute: u32,
    /// Copies of the value that has the fewest.
    pub min: u32,
    /// Copies of the value in the middle.
    pub median: u32,
    /// Copies of the value that has the most.
    pub max: u32,
}

/// What lookups came to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Lookups {
    /// Steps from the own table (1) to the peer that ended the search: the value's holder, or the nearest node found.
    pub hops: Option<Figures>,
    /// Peers asked by a lookup.
    pub queries: Option<Figures>,
    /// How long a lookup took, in milliseconds of virtual time.
    pub latency_ms: Option<Figures>,
    /// The distribution of that time.
    pub latency_cdf: Vec<CdfPoint>,
}

/// Who came and went during an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Churned {
    /// Nodes that joined after the values were set.
    pub joined: u64,
    /// Nodes that left or died after that.
    pub left: u64,
    /// Nodes alive at the end.
    pub alive: u64,
}

/// What became of the datagrams of an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// Sent, from the first node's joining on.
    pub sent: u64,
    /// Arrived.
    pub delivered: u64,
    /// Lost on the way.
    pub lost: u64,
    /// Sent to a node that has left.
    pub no_such_address: u64,
    /// Sent per node and second, on average, after the values were set.
    pub per_node_and_second: f64,
}

/// Lookups of random ids in a static network of one size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SizeFigures {
    /// Its nodes.
    pub nodes: usize,
    /// Peers per bucket.
    pub k: usize,
    /// The lookups.
    pub lookups: Lookups,
    /// The share of the true k nearest that they found, on average (0..=1).
    pub recall: f64,
    /// The same of the worst lookup.
    pub worst_recall: f64,
}

impl Report {
    /// The share of reads that found the value; `None` before the first.
    pub fn availability(&self) -> Option<f64> {
        self.reads.share()
    }
}

impl Reads {
    /// The share that found the value; `None` before the first.
    pub fn share(&self) -> Option<f64> {
        (self.asked > 0).then(|| self.found as f64 / self.asked as f64)
    }
}

/// A share in percent, never rounded up to 100: "all" means all.
fn percent(share: Option<f64>) -> String {
    match share {
        None => "-".to_owned(),
        // What is added makes up for a product just below a whole number: 0.29 is 29 %.
        Some(share) => format!("{} %", (share * 1e5 + 1e-6).floor() / 1e3),
    }
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| str::from_utf8(group).unwrap_or("")).collect();
    groups.join(",")
}

/// `90 s`, `15 min`, `4 h`, `30 days`: the greatest unit that needs no fraction.
pub(crate) fn lasting(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        _ if duration.subsec_nanos() > 0 => format!("{} s", duration.as_secs_f64()),
        172_800.. if seconds.is_multiple_of(86_400) => format!("{} days", seconds / 86_400),
        1.. if seconds.is_multiple_of(3_600) => format!("{} h", seconds / 3_600),
        1.. if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}

/// A table for a person, some 80 columns wide.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { experiment, reads, churned, traffic, .. } = self;
        let sessions = match experiment.half_life {
            Some(half_life) => format!("sessions' half-life {}", lasting(half_life)),
            None => "no node leaves".to_owned(),
        };
        writeln!(
            f,
            "Network     {} nodes; {sessions}; {} % loss; {}seed {}",
            thousands(experiment.nodes as u64),
            round(experiment.loss * 100.0),
            match experiment.legacy {
                0.0 => String::new(),
                legacy => format!("{} % legacy; ", round(legacy * 100.0)),
            },
            experiment.seed
        )?;
        let ran = lasting(Duration::from_secs(u64::from(self.minutes) * 60));
        let all = lasting(experiment.duration);
        let ran = if self.complete { ran } else { format!("{ran} of {all}, then stopped") };
        writeln!(
            f,
            "Time        {ran}; {} nodes joined, {} left, {} are there",
            thousands(churned.joined),
            thousands(churned.left),
            thousands(churned.alive)
        )?;
        writeln!(
            f,
            "Traffic     {} datagrams since the first node joined; now {} a second and node",
            thousands(traffic.sent),
            traffic.per_node_and_second
        )?;
        writeln!(f, "Trace       {}\n", self.trace_hash)?;
        writeln!(
            f,
            "Reads       {} of {} found their value: {}",
            thousands(reads.found),
            thousands(reads.asked),
            percent(reads.share())
        )?;
        writeln!(
            f,
            "            {} not found, {} unanswered, {} failed; {} were held by the reader",
            reads.not_found, reads.unanswered, reads.failed, reads.held_by_reader
        )?;
        if reads.by_legacy > 0 {
            let share = reads.found_by_legacy as f64 / reads.by_legacy as f64;
            let [found, all] = [reads.found_by_legacy, reads.by_legacy].map(thousands);
            writeln!(f, "            of those by legacy nodes {found} of {all}: {}", percent(Some(share)))?;
        }
        if self.visits.asked > 0 {
            let [found, all] = [self.visits.found, self.visits.asked].map(thousands);
            writeln!(f, "Visits      {found} of {all} found their value: {}", percent(self.visits.share()))?;
        }
        if let (Some(last), Some(fewest)) = (self.copies.last(), self.copies.iter().map(|at| at.min).min()) {
            writeln!(
                f,
                "Copies      {} / {} / {} of a value at the end (min / median / max); fewest counted: {fewest}",
                last.min, last.median, last.max
            )?;
        }
        let [recall, worst] = [self.recall, self.worst_recall].map(percent);
        writeln!(f, "Recall      {recall} of the true k nearest; of the worst lookup {worst}\n")?;
        writeln!(f, "{:<20}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}", "", "count", "mean", "p50", "p90", "p99", "max")?;
        for (name, lookups) in [("get", &self.gets), ("lookup", &self.lookups)] {
            row(f, &format!("{name}: hops"), lookups.hops)?;
            row(f, &format!("{name}: queries"), lookups.queries)?;
            row(f, &format!("{name}: ms"), lookups.latency_ms)?;
        }
        self.write_sizes(f)?;
        if let Some(CachingFigures { total, .. }) = &self.caching {
            let found = total.found as f64 / total.asked.max(1) as f64;
            let shares = [Some(found), total.hit_rate(), total.staleness(), total.overall_staleness()];
            let [found, hits, stale, all] = shares.map(percent);
            writeln!(
                f,
                "\nCaching     {} reads, {found} found; {hits} from a cached copy, {stale} cached and stale, {all} stale in all",
                thousands(total.asked)
            )?;
        }
        Ok(())
    }
}

impl Report {
    /// A line a network size, if there are any.
    fn write_sizes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.sizes.is_empty() {
            writeln!(f)?;
            let [mean, p50, p99] = ["hops mean", "hops p50", "hops p99"];
            let [queries, latency] = ["queries p50", "ms p50"];
            writeln!(
                f,
                "{:<9}{mean:>10}{p50:>10}{p99:>10}{queries:>12}{latency:>10}{:>10}{:>10}",
                "nodes", "recall", "worst"
            )?;
        }
        for size in &self.sizes {
            let [hops, queries, latency] = [size.lookups.hops, size.lookups.queries, size.lookups.latency_ms];
            let of = |figures: Option<Figures>, which: fn(&Figures) -> f64| {
                figures.map_or("-".to_owned(), |figures| number(which(&figures)))
            };
            writeln!(
                f,
                "{:<9}{:>10}{:>10}{:>10}{:>12}{:>10}{:>10}{:>10}",
                thousands(size.nodes as u64),
                hops.map_or("-".to_owned(), |hops| format!("{:.2}", hops.mean)),
                of(hops, |hops| hops.p50),
                of(hops, |hops| hops.p99),
                of(queries, |queries| queries.p50),
                of(latency, |latency| latency.p50),
                percent(Some(size.recall)),
                percent(Some(size.worst_recall))
            )?;
        }
        Ok(())
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, figures: Option<Figures>) -> fmt::Result {
    let Some(Figures { count, mean, p50, p90, p99, max, .. }) = figures else {
        return writeln!(f, "{name:<20}{:>9}", 0);
    };
    let [mean, p50, p90, p99, max] = [mean, p50, p90, p99, max].map(number);
    writeln!(f, "{name:<20}{:>9}{mean:>9}{p50:>9}{p90:>9}{p99:>9}{max:>9}", thousands(count as u64))
}

/// A figure with as many decimals as say something: none from 100 on, and none of a whole number.
fn number(value: f64) -> String {
    if value >= 100.0 || value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_rounded_up_to_all() {
        assert_eq!(percent(Some(1.0)), "100 %");
        assert_eq!(percent(Some(0.999_999_9)), "99.999 %");
        assert_eq!(percent(Some(0.5)), "50 %");
        assert_eq!(percent(Some(0.29)), "29 %");
        assert_eq!(percent(Some(0.0)), "0 %");
        assert_eq!(percent(None), "-");
    }

    #[test]
    fn durations_are_shown_in_the_greatest_unit_that_needs_no_fraction() {
        let reported =
            [0, 90, 900, 5_400, 14_400, 86_400, 2_592_000].map(|seconds| lasting(Duration::from_secs(seconds)));
        assert_eq!(reported, ["0 s", "90 s", "15 min", "90 min", "4 h", "24 h", "30 days"]);
        assert_eq!(lasting(Duration::from_millis(1_500)), "1.5 s");
    }

    #[test]
    fn counts_and_figures_are_written_as_people_write_them() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([2.0, 2.25, 99.96, 1_234.5].map(number), ["2", "2.2", "100.0", "1234"]);
    }
}
