//! Axes with ticks where a reader expects them: a logarithmic one at 1, 2 and 5, and names for moments and counts.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

/// A logarithmic axis.
#[derive(Debug, Clone)]
pub(super) struct LogAxis {
    range: Range<f64>,
    /// The ticks; empty: 1, 2 and 5 of each power of ten, as far as there is room.
    ticks: Vec<f64>,
}

impl LogAxis {
    /// An axis over `range`, which must not touch zero, and must not be empty.
    pub(super) fn over(range: Range<f64>) -> Self {
        Self { range, ticks: Vec::new() }
    }

    /// The same axis, with ticks at these places only.
    pub(super) fn with_ticks(self, ticks: Vec<f64>) -> Self {
        Self { ticks, ..self }
    }

    fn ticks(&self, steps: &[f64]) -> Vec<f64> {
        let first = self.range.start.log10().floor() as i32;
        let last = self.range.end.log10().ceil() as i32;
        let ticks = (first..=last).flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
        ticks.filter(|tick| (self.range.start * 0.999..=self.range.end * 1.001).contains(tick)).collect()
    }
}

impl Ranged for LogAxis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (low, high): (i32, i32)) -> i32 {
        let Range { start, end } = self.range;
        let share = (value.max(start) / start).ln() / (end / start).ln();
        low + (f64::from(high - low) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if !self.ticks.is_empty() {
            return self.ticks.clone();
        }
        let most = hint.max_num_points();
        [&[1.0, 2.0, 5.0][..], &[1.0, 3.0], &[1.0]]
            .map(|steps| self.ticks(steps))
            .into_iter()
            .find(|ticks| ticks.len() <= most)
            .unwrap_or_default()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for LogAxis {
    fn format_ext(&self, value: &f64) -> String {
        count(*value)
    }
}

/// A number without decimals that say nothing, in groups of three digits: `0.5`, `20`, `10,000`.
pub(super) fn count(value: f64) -> String {
    let rounded = (value * 1_000.0).round() / 1_000.0;
    let text = rounded.to_string();
    let (whole, decimals) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let (sign, digits) = whole.split_at(usize::from(whole.starts_with('-')));
    let mut grouped = String::from(sign);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    match decimals {
        Some(decimals) => format!("{grouped}.{decimals}"),
        None => grouped,
    }
}

/// The unit in which virtual time is shown: its name, and its minutes.
pub(super) fn unit_of_time(minutes: u32) -> (&'static str, f64) {
    match minutes {
        0..=120 => ("minutes", 1.0),
        121..=4_320 => ("hours", 60.0),
        _ => ("days", 1_440.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plotters::coord::ranged1d::BoldPoints;

    #[test]
    fn a_logarithmic_axis_has_its_ticks_at_1_2_and_5() {
        let axis = LogAxis::over(40.0..3_000.0);
        assert_eq!(axis.key_points(BoldPoints(10)), [50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0]);
        assert_eq!(axis.key_points(BoldPoints(4)), [100.0, 300.0, 1_000.0, 3_000.0]);
        assert_eq!(axis.key_points(BoldPoints(3)), [100.0, 1_000.0]);
        assert_eq!(axis.with_ticks(vec![70.0]).key_points(BoldPoints(9)), [70.0]);
    }

    #[test]
    fn a_logarithmic_axis_gives_each_power_of_ten_the_same_room() {
        let axis = LogAxis::over(1.0..10_000.0);
        let places = [1.0, 10.0, 100.0, 1_000.0, 10_000.0].map(|value| axis.map(&value, (0, 400)));
        assert_eq!(places, [0, 100, 200, 300, 400]);
        assert_eq!(axis.map(&0.0, (0, 400)), 0);
    }

    #[test]
    fn numbers_are_written_as_people_write_them() {
        for (value, text) in
            [(0.0, "0"), (0.5, "0.5"), (99.95, "99.95"), (1_000.0, "1,000"), (1e6, "1,000,000"), (-1_234.5, "-1,234.5")]
        {
            assert_eq!(count(value), text);
        }
        assert_eq!(count(0.1 + 0.2), "0.3");
    }
}
