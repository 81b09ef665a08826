//! What is measured of one step at several sizes, and its table.

use std::time::{Duration, Instant};

use serde::Serialize;

/// How often each point is measured.
pub(super) const ROUNDS: usize = 5;

/// The part of a node that a step belongs to, and so what its size counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Part {
    /// Peers of the routing table.
    Peers,
    /// Values in the store.
    Values,
    /// Lookups at once.
    Lookups,
}

impl Part {
    pub(crate) const ALL: [Self; 3] = [Self::Peers, Self::Values, Self::Lookups];

    /// What the size counts.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Peers => "peers in the routing table",
            Self::Values => "values in the store",
            Self::Lookups => "lookups at once",
        }
    }
}

/// One step at several sizes.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Series {
    pub(crate) part: Part,
    pub(crate) step: &'static str,
    pub(crate) points: Vec<Point>,
    /// Bytes that each of them takes in memory, where the step adds one, at the largest size.
    pub(crate) bytes: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Point {
    pub(crate) size: usize,
    /// What one step takes, in nanoseconds.
    pub(crate) nanos: f64,
}

impl Series {
    pub(super) fn new(part: Part, step: &'static str) -> Self {
        Self { part, step, points: Vec::new(), bytes: None }
    }

    /// Measures `steps` steps at this size, several times: `prepare` is not measured.
    pub(super) fn measure<T>(
        &mut self,
        size: usize,
        steps: usize,
        mut prepare: impl FnMut() -> T,
        mut step: impl FnMut(&mut T, usize),
    ) {
        let rounds = (0..ROUNDS).map(|_| {
            let mut prepared = prepare();
            let begun = Instant::now();
            (0..steps).for_each(|number| step(&mut prepared, number));
            begun.elapsed()
        });
        self.add(size, steps, rounds.collect());
    }

    /// Adds the point of rounds that took so long.
    pub(super) fn add(&mut self, size: usize, steps: usize, mut rounds: Vec<Duration>) {
        rounds.sort_unstable();
        let median = rounds.get(rounds.len() / 2).copied().unwrap_or_default();
        self.points.push(Point { size, nanos: median.as_secs_f64() * 1e9 / steps as f64 });
    }

    /// How much more a step takes at the largest size than at the smallest, and how much more the logarithm of the size is.
    fn growth(&self) -> Option<(f64, f64)> {
        let (first, last) = (self.points.first()?, self.points.last()?);
        let log = (last.size as f64).ln() / (first.size as f64).ln();
        Some((last.nanos / first.nanos, log))
    }
}

/// The table.
pub(super) fn text(all: &[Series]) -> String {
    let mut text = String::new();
    for part in Part::ALL {
        let rows: Vec<&Series> = all.iter().filter(|series| series.part == part).collect();
        let Some(first) = rows.first() else { continue };
        let sizes: String = first.points.iter().map(|point| format!("{:>11}", point.size)).collect();
        text += &format!("{:<34}{sizes}   grows by   log by\n", part.name());
        for series in rows {
            let times: String = series.points.iter().map(|point| format!("{:>11}", time(point.nanos))).collect();
            let growth = series.growth().map_or_else(String::new, |(time, log)| {
                let log = if log.is_finite() { format!("{log:.2}") } else { "-".to_owned() };
                format!("{time:>11.2}{log:>9}")
            });
            text += &format!("  {:<32}{times}{growth}\n", series.step);
            if let Some(bytes) = series.bytes {
                text += &format!("  {:<32}{bytes:>7.0} bytes\n", format!("{}, memory each", series.step));
            }
        }
    }
    text
}

fn time(nanos: f64) -> String {
    match nanos {
        _ if nanos < 1e3 => format!("{nanos:.0} ns"),
        _ if nanos < 1e6 => format!("{:.2} µs", nanos / 1e3),
        _ => format!("{:.2} ms", nanos / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_each_size_and_by_how_much_the_last_is_more_than_the_first() {
        let mut series = Series::new(Part::Values, "insert");
        for (size, micros) in [(1_000, 10), (1_000_000, 25)] {
            series.add(size, 10, [30, 1, micros].map(Duration::from_micros).to_vec());
        }
        series.bytes = Some(512.0);
        let text = text(&[series]);
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[1], ["insert", "1.00", "µs", "2.50", "µs", "2.50", "2.00"]);
        assert_eq!(rows[2], ["insert,", "memory", "each", "512", "bytes"]);
    }
}
