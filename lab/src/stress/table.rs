//! The table of a measurement: each row beside the first, in which the node had rest.

use std::fmt;
use std::time::Duration;

use super::attack::Kind;
use super::reads::Reads;

/// What was measured, by row.
#[derive(Debug, Default)]
pub(super) struct Table([Row; Kind::ALL.len()]);

#[derive(Debug, Default)]
struct Row {
    reads: Reads,
    /// Processors that the node kept busy, by round.
    cpu: Vec<f64>,
    /// Bytes at the end of a round, and at most within one.
    memory: (u64, u64),
}

impl Table {
    /// Adds what a round measured.
    pub(super) fn add(&mut self, row: usize, reads: Reads, cpu: f64, (memory, peak): (u64, u64)) {
        let row = &mut self.0[row];
        row.reads.times.extend(reads.times);
        row.reads.failed += reads.failed;
        row.cpu.push(cpu);
        row.memory = (memory, peak.max(row.memory.1));
    }
}

/// The time that so many in a thousand stay below, in milliseconds.
fn quantile(sorted: &[Duration], permille: usize) -> f64 {
    let at = (sorted.len() * permille).div_ceil(1_000).max(1) - 1;
    sorted.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1_000.0)
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:22}{:>7}{:>8}{:>9}{:>9}{:>9}{:>9}{:>7}{:>9}{:>9}",
            "beside the reads:", "reads", "failed", "p50 ms", "p99 ms", "max ms", "p99 ×", "CPU", "MiB", "peak"
        )?;
        let mut rest = None;
        for (kind, row) in Kind::ALL.iter().zip(&self.0) {
            let mut times = row.reads.times.clone();
            times.sort_unstable();
            let [p50, p99, max] = [500, 990, 1_000].map(|permille| quantile(&times, permille));
            let ratio = p99 / *rest.get_or_insert(p99);
            let cpu = row.cpu.iter().sum::<f64>() / row.cpu.len() as f64;
            let [memory, peak] = [row.memory.0, row.memory.1].map(|bytes| bytes as f64 / f64::from(1 << 20));
            writeln!(
                f,
                "{:22}{:>7}{:>8}{p50:>9.2}{p99:>9.2}{max:>9.2}{ratio:>9.2}{cpu:>7.2}{memory:>9.1}{peak:>9.1}",
                kind.name,
                times.len(),
                row.reads.failed
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_its_quantiles_beside_those_of_the_first() {
        let mut table = Table::default();
        for round in 0..2 {
            for row in 0..Kind::ALL.len() {
                let times = (1..=100).map(|ms| Duration::from_millis(ms * (row as u64 + 1))).collect();
                table.add(row, Reads { times, failed: row }, 0.5, ((10 + round) << 20, (20 - round) << 20));
            }
        }
        let text = table.to_string();
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line[22..].split_whitespace().collect()).collect();
        assert_eq!(rows[1], ["200", "0", "50.00", "99.00", "100.00", "1.00", "0.50", "11.0", "20.0"]);
        assert_eq!(rows[3], ["200", "4", "150.00", "297.00", "300.00", "3.00", "0.50", "11.0", "20.0"]);
    }
}
