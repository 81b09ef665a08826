//! Numbers in order: what many measurements come to in a few figures. Where they come from is not known here.

use serde::{Deserialize, Serialize};

/// What many measurements of one kind come to. Percentiles are by nearest rank: each is one of the measurements.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// How many measurements.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// The smallest.
    pub min: f64,
    /// Half of them are not above it.
    pub p50: f64,
    /// Nine tenths are not above it.
    pub p90: f64,
    /// 99 of 100 are not above it.
    pub p99: f64,
    /// The greatest.
    pub max: f64,
}

/// A point of a cumulative distribution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CdfPoint {
    /// A measurement.
    pub value: f64,
    /// The share of all measurements that are not above it (0..=1).
    pub share: f64,
}

/// Measurements of one kind, kept one by one (four bytes each).
#[derive(Debug, Clone, Default)]
pub(super) struct Measurements(Vec<f32>);

/// The steps of a distribution, but for its tail.
const STEPS: usize = 200;
/// The points of its tail, where the few that are late would else be one step.
const TAIL: [f64; 4] = [0.996, 0.998, 0.999, 1.0];

impl Measurements {
    /// Takes one. What is not a number is not taken.
    pub(super) fn push(&mut self, value: f64) {
        if value.is_finite() {
            self.0.push(value as f32);
        }
    }

    /// The figures of all that were taken; `None` if none were.
    pub(super) fn figures(&mut self) -> Option<Figures> {
        self.0.sort_by(f32::total_cmp);
        let (min, max) = (*self.0.first()?, *self.0.last()?);
        let mean = self.0.iter().map(|value| f64::from(*value)).sum::<f64>() / self.0.len() as f64;
        let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|share| tidy(self.at(share)));
        Some(Figures { count: self.0.len(), mean: round(mean), min: tidy(min), p50, p90, p99, max: tidy(max) })
    }

    /// Their cumulative distribution in at most 205 points; empty if there are none.
    pub(super) fn distribution(&mut self) -> Vec<CdfPoint> {
        self.0.sort_by(f32::total_cmp);
        if self.0.is_empty() {
            return Vec::new();
        }
        let body = (0..STEPS).map(|step| step as f64 / STEPS as f64);
        body.chain(TAIL).map(|share| CdfPoint { value: tidy(self.at(share)), share }).collect()
    }

    /// The measurement at `share` of the sorted ones, which are not empty.
    fn at(&self, share: f64) -> f32 {
        let rank = (share * self.0.len() as f64).ceil() as usize;
        self.0[rank.clamp(1, self.0.len()) - 1]
    }
}

/// A measurement as it is shown: three decimals say all that there is to say.
fn tidy(value: f32) -> f64 {
    round(f64::from(value))
}

/// `value` with three decimals.
pub(super) fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// The smallest, the middle and the greatest of `counts`; `None` if there are none. Of two in the middle it is the
/// smaller one.
pub(super) fn spread(counts: &mut [u32]) -> Option<(u32, u32, u32)> {
    counts.sort_unstable();
    Some((*counts.first()?, counts[(counts.len() - 1) / 2], *counts.last()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: impl IntoIterator<Item = f64>) -> Measurements {
        let mut measurements = Measurements::default();
        values.into_iter().for_each(|value| measurements.push(value));
        measurements
    }

    #[test]
    fn percentiles_of_one_to_a_hundred_are_their_own_rank() {
        let figures = of((1..=100).rev().map(f64::from)).figures().unwrap();
        let expected = Figures { count: 100, mean: 50.5, min: 1.0, p50: 50.0, p90: 90.0, p99: 99.0, max: 100.0 };
        assert_eq!(figures, expected);
    }

    #[test]
    fn nothing_measured_has_no_figures() {
        assert_eq!(of([]).figures(), None);
        assert_eq!(of([f64::NAN, f64::INFINITY]).figures(), None);
        assert_eq!(of([]).distribution(), []);
        assert_eq!(spread(&mut []), None);
    }

    #[test]
    fn one_measurement_is_all_its_percentiles() {
        let figures = of([0.1]).figures().unwrap();
        assert_eq!((figures.min, figures.p50, figures.p99, figures.mean), (0.1, 0.1, 0.1, 0.1));
    }

    #[test]
    fn the_middle_of_counts_is_one_of_them() {
        assert_eq!(spread(&mut [9, 1, 5]), Some((1, 5, 9)));
        assert_eq!(spread(&mut [4, 1, 3, 2]), Some((1, 2, 4)));
    }

    proptest! {
        #[test]
        fn a_distribution_only_rises_and_ends_at_the_greatest(values in prop::collection::vec(0.0..1e6f64, 1..300)) {
            let mut measurements = of(values);
            let figures = measurements.figures().unwrap();
            let points = measurements.distribution();
            prop_assert!(points.len() <= 205);
            prop_assert!(points.windows(2).all(|two| two[0].value <= two[1].value && two[0].share < two[1].share));
            prop_assert_eq!(points[points.len() - 1], CdfPoint { value: figures.max, share: 1.0 });
            prop_assert!(figures.min <= figures.p50 && figures.p50 <= figures.p99 && figures.p99 <= figures.max);
        }
    }
}
