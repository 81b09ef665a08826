//! The chart of caching: what cached copies answer, and how much of that is out of date, by the age of the values.

use super::axis::count;
use super::plane::{Axes, BLUE, Canvas, Drawn, Key, line, plane, titled};
use crate::experiment::{CachingFigures, CachingReads};

type Share = fn(&CachingReads) -> Option<f64>;

/// The two panels: how an axis is named, and what of the reads it shows.
const PANELS: [(&str, Share); 2] =
    [("cached [%]", CachingReads::hit_rate), ("cached, out of date [%]", CachingReads::staleness)];

pub(super) fn draw<'a>(area: &Canvas<'a>, figures: &CachingFigures) -> Drawn<'a> {
    let [hits, stale] = [figures.total.hit_rate(), figures.total.staleness()].map(percent);
    let key = Key::line(format!("{hits} % cached, {stale} % cached and out of date"), BLUE);
    let under = format!("{} reads; all values are set anew at minute 0", count(figures.total.asked as f64));
    let area = titled(area, "Caching along the path", &under, std::slice::from_ref(&key))?;
    let samples = &figures.by_age;
    let end = samples.iter().map(|sample| sample.minute).max().unwrap_or(0) + 10;
    let (above, below) = area.split_vertically(214);
    for ((y, of), area) in PANELS.into_iter().zip([above, below]) {
        let most = samples.iter().filter_map(|sample| of(&sample.reads)).fold(0.01, f64::max) * 100.0;
        let axes = Axes { x: "minutes since the values were set", y, x_labels: 13, y_labels: 6 };
        let mut chart = plane(&area, &axes, 0.0..f64::from(end), 0.0..most * 1.08)?;
        let point = |minute: u32, reads| Some((f64::from(minute) + 5.0, of(reads)? * 100.0));
        let points = samples.iter().filter_map(|sample| point(sample.minute, &sample.reads));
        line(&mut chart, &key, points.collect())?;
    }
    Ok(())
}

fn percent(share: Option<f64>) -> String {
    share.map_or("-".to_owned(), |share| count((share * 1e4).round() / 100.0))
}
