//! The table of a measurement: medians over its rounds.

use std::fmt::{self, Write};

use super::rows::Row;
use super::target::{Lengths, Sample};

/// The samples of all rows and targets.
pub(super) struct Table {
    /// The name of each target. If the first is the echo, the others are compared with it.
    names: Vec<String>,
    has_echo: bool,
    lengths: Vec<Lengths>,
    /// By row, by target, by round.
    samples: Vec<Vec<Vec<Sample>>>,
}

impl Table {
    pub(super) fn new(names: Vec<String>, has_echo: bool) -> Self {
        let samples = vec![vec![Vec::new(); names.len()]; Row::ALL.len()];
        Self { names, has_echo, lengths: Vec::new(), samples }
    }

    /// The lengths of the datagrams, by row.
    pub(super) fn set_lengths(&mut self, lengths: Vec<Lengths>) {
        self.lengths = lengths;
    }

    /// Adds what a round measured.
    pub(super) fn add(&mut self, row: usize, target: usize, sample: Sample) {
        self.samples[row][target].push(sample);
    }

    /// Of each round, the CPU of the echo divided by that of this target.
    fn share_of_echo(&self, row: usize, target: usize) -> Option<f64> {
        self.beside_echo(row, target, |echo, node| Some(echo.cpu? / node.cpu.filter(|cpu| *cpu > 0.0)?))
    }

    /// Of each round, the time of this target divided by that of the echo.
    fn times_of_echo(&self, row: usize, target: usize) -> Option<f64> {
        self.beside_echo(row, target, |echo, node| Some(node.p99? / echo.p99.filter(|p99| *p99 > 0.0)?))
    }

    /// The median over the rounds of what is computed of the echo and this target.
    fn beside_echo(&self, row: usize, target: usize, of: impl Fn(&Sample, &Sample) -> Option<f64>) -> Option<f64> {
        let (echo, node) = (self.samples[row].first()?, &self.samples[row][target]);
        let all: Option<Vec<f64>> = echo.iter().zip(node).map(|(echo, node)| of(echo, node)).collect();
        median(all?).filter(|_| self.has_echo && target > 0)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.names.iter().map(String::len).max().unwrap_or(0).max(Row::Hit.name().len());
        writeln!(
            f,
            "{:width$}  {:>13}  {:>10}  {:>6}  {:>10}  {:>8}  {:>9}  {:>6}",
            "", "bytes", "requests/s", "CPU µs", "echo/node", "99 % µs", "node/echo", "lost"
        )?;
        for (row, kind) in Row::ALL.iter().enumerate() {
            let bytes = self.lengths.get(row).map(|it| format!("{} → {}", it.request, it.answer)).unwrap_or_default();
            writeln!(f, "{:width$}  {bytes:>13}", kind.name())?;
            for (target, name) in self.names.iter().enumerate() {
                let samples = &self.samples[row][target];
                let rate = median(samples.iter().map(|sample| sample.rate).collect());
                let cpu = median(samples.iter().filter_map(|sample| sample.cpu).collect());
                let share = self.share_of_echo(row, target).map(|share| format!("{:.0} %", share * 100.0));
                let p99 = median(samples.iter().filter_map(|sample| sample.p99).collect());
                let times = self.times_of_echo(row, target).map(|times| format!("{times:.1} ×"));
                let lost: usize = samples.iter().map(|sample| sample.lost).sum();
                let (rate, cpu) = (number(rate, 0), number(cpu, 2));
                let p99 = number(p99, 0);
                let [share, times] = [share, times].map(|it| it.unwrap_or_else(|| "–".to_owned()));
                let bytes = "";
                write!(f, "  {name:<0$}  {bytes:13}  {rate:>10}  {cpu:>6}  {share:>10}", width - 2)?;
                writeln!(f, "  {p99:>8}  {times:>9}  {lost:>6}")?;
            }
        }
        Ok(())
    }
}

fn number(number: Option<f64>, decimals: usize) -> String {
    let mut text = String::new();
    match number {
        Some(number) => write!(text, "{number:.decimals$}").expect("a String takes all"),
        None => text.push('–'),
    }
    text
}

/// The middle one, or the mean of the two in the middle; `None` of nothing.
fn median(mut of: Vec<f64>) -> Option<f64> {
    of.sort_by(f64::total_cmp);
    let (low, high) = (of.get(of.len().checked_sub(1)? / 2)?, of.get(of.len() / 2)?);
    Some(low.midpoint(*high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_medians_and_the_share_of_the_echo_in_each_round() {
        let mut table = Table::new(vec!["echo".to_owned(), "kad".to_owned()], true);
        for (echo, node, p99) in [(2.0, 8.0, 30.0), (3.0, 12.0, 900.0), (2.0, 20.0, 31.0)] {
            for (target, cpu) in [(0, echo), (1, node)] {
                let p99 = Some(p99 * (1 + target) as f64);
                table.add(0, target, Sample { rate: 1_000.0 * cpu, cpu: Some(cpu), lost: target, p99 });
            }
        }
        let text = table.to_string();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[2], ["echo", "2000", "2.00", "–", "31", "–", "0"]);
        assert_eq!(lines[3], ["kad", "12000", "12.00", "25", "%", "62", "2.0", "×", "3"]);
        // What was not measured has no figure.
        assert_eq!(lines[5], ["echo", "–", "–", "–", "–", "–", "0"]);
    }

    #[test]
    fn a_median_is_the_middle_of_what_there_is() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }
}
