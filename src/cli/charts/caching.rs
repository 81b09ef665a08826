//! The chart of caching: what cached copies answer, and how much of that is out of date, by the age of the values.

use super::super::axis::count;
use super::plane::{Axes, BLUE, Canvas, Drawn, Key, ORANGE, line, plane, titled};
use crate::protocol::store::CacheTtl;
use crate::sim::experiment::{CachingFigures, CachingReads};

type Share = fn(&CachingReads) -> Option<f64>;

/// The two panels: how an axis is named, and what of the reads it shows.
const PANELS: [(&str, Share); 2] =
    [("cached [%]", CachingReads::hit_rate), ("cached, out of date [%]", CachingReads::staleness)];

pub(super) fn draw<'a>(area: &Canvas<'a>, figures: &[CachingFigures]) -> Drawn<'a> {
    let key = |figures: &CachingFigures| {
        let [hits, stale] = [figures.total.hit_rate(), figures.total.staleness()].map(percent);
        let name = format!("{}: {hits} % cached, {stale} % out of date", figures.cache_ttl);
        Key::line(name, if figures.cache_ttl == CacheTtl::Package { BLUE } else { ORANGE })
    };
    let keys: Vec<Key> = figures.iter().map(key).collect();
    let reads = figures.first().map_or(0, |figures| figures.total.asked);
    let under = format!("{} reads with each formula; all values are set anew at minute 0", count(reads as f64));
    let area = titled(area, "Caching along the path, by the life of cached copies", &under, &keys)?;
    let samples = || figures.iter().flat_map(|figures| &figures.by_age);
    let end = samples().map(|sample| sample.minute).max().unwrap_or(0) + 10;
    let (above, below) = area.split_vertically(214);
    for ((y, of), area) in PANELS.into_iter().zip([above, below]) {
        let most = samples().filter_map(|sample| of(&sample.reads)).fold(0.01, f64::max) * 100.0;
        let axes = Axes { x: "minutes since the values were set", y, x_labels: 13, y_labels: 6 };
        let mut chart = plane(&area, &axes, 0.0..f64::from(end), 0.0..most * 1.08)?;
        for (figures, key) in figures.iter().zip(&keys) {
            let point = |minute: u32, reads| Some((f64::from(minute) + 5.0, of(reads)? * 100.0));
            let points = figures.by_age.iter().filter_map(|sample| point(sample.minute, &sample.reads));
            line(&mut chart, key, points.collect())?;
        }
    }
    Ok(())
}

fn percent(share: Option<f64>) -> String {
    share.map_or("-".to_owned(), |share| count((share * 1e4).round() / 100.0))
}
