//! The charts of growth: what a step takes, by size. On these axes a line that is straight grows with the logarithm of the size.

use super::axis::LogAxis;
use super::plane::{Axes, BLUE, Canvas, Drawn, GREEN, Key, ORANGE, PURPLE, line, plane, titled};
use crate::growth::{Part, Series};

pub(super) fn draw<'a>(area: &Canvas<'a>, part: Part, series: &[&Series]) -> Drawn<'a> {
    let keys: Vec<Key> = series
        .iter()
        .zip([BLUE, ORANGE, GREEN, PURPLE])
        .map(|(series, colour)| Key::line(series.step, colour))
        .collect();
    let title = format!("Growth with {}", part.name());
    let under = "the median of five rounds; a straight line grows with the logarithm";
    let area = titled(area, &title, under, &keys)?;
    let points = || series.iter().flat_map(|series| &series.points);
    let most = points().map(|point| point.nanos).fold(0.0, f64::max).max(1.0) / 1e3;
    let sizes = points().map(|point| point.size as f64);
    let (least_size, most_size) = sizes.fold((f64::MAX, 1.0), |(least, most), size| (size.min(least), size.max(most)));
    let mut ticks: Vec<f64> = points().map(|point| point.size as f64).collect();
    ticks.sort_unstable_by(f64::total_cmp);
    ticks.dedup();
    let axes = Axes { x: part.name(), y: "time of a step [µs]", x_labels: ticks.len(), y_labels: 11 };
    let x = LogAxis::over(least_size * 0.9..most_size * 1.12).with_ticks(ticks);
    let mut chart = plane(&area, &axes, x, 0.0..most * 1.08)?;
    for (key, series) in keys.iter().zip(series) {
        line(&mut chart, key, series.points.iter().map(|point| (point.size as f64, point.nanos / 1e3)).collect())?;
    }
    Ok(())
}
