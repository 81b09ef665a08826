//! Charts of a simulation, as SVG. What they show was measured elsewhere, and where they are written is not known here.

mod axis;
mod caching;
mod growth;
mod plane;

use plotters::prelude::*;

use self::axis::{LogAxis, count, unit_of_time};
use self::plane::{Axes, BLUE, Canvas, Drawn, GREEN, Key, Line, ORANGE, PURPLE, chart, line, plane, titled};
use crate::experiment::{Availability, Copies, Experiment, Figures, Report, SizeFigures, lasting};
use crate::growth::{Part, Series};
use kademlia_dynamic::protocol::config::Config;

/// Replicas of a value.
const K: usize = Config::DEFAULT.lookup.k;
/// Points of a line over time, at most: more cannot be distinguished.
const POINTS: usize = 240;
/// Reads behind one point of the availability, at least: of ten reads one lost would look like a tenth of the time.
const READS_A_POINT: u32 = 100;

/// The charts of a report, each with the name of its file. One without anything to show is left out.
pub(crate) fn all(report: &Report) -> Vec<(&'static str, String)> {
    let mut charts = Vec::new();
    if !report.availability.is_empty() {
        charts.push(("availability.svg", chart(|area| availability(area, report))));
    }
    if !report.copies.is_empty() {
        charts.push(("copies.svg", chart(|area| copies(area, report))));
    }
    if !report.gets.latency_cdf.is_empty() || !report.lookups.latency_cdf.is_empty() {
        charts.push(("latency.svg", chart(|area| latency(area, report))));
    }
    if !report.sizes.is_empty() {
        charts.push(("hops.svg", chart(|area| sizes(area, report))));
    }
    if let Some(figures) = &report.caching {
        charts.push(("caching.svg", chart(|area| caching::draw(area, figures))));
    }
    charts
}

/// A chart for each part of a node whose growth was measured.
pub(crate) fn growth(all: &[Series]) -> Vec<(&'static str, String)> {
    let named = Part::ALL.map(|part| match part {
        Part::Peers => (part, "growth-peers.svg"),
        Part::Values => (part, "growth-values.svg"),
        Part::Lookups => (part, "growth-lookups.svg"),
    });
    let drawn = named.map(|(part, name)| {
        let series: Vec<&Series> = all.iter().filter(|series| series.part == part).collect();
        (name, chart(|area| growth::draw(area, part, &series)))
    });
    drawn.into()
}

/// What the network was, in one line under the title.
fn of(experiment: &Experiment) -> String {
    let Experiment { nodes, half_life, loss, legacy, values, seed, .. } = experiment;
    let mut parts = vec![format!("{} nodes", count(*nodes as f64)), format!("{} values", count(*values as f64))];
    if let Some(half_life) = half_life {
        parts.push(format!("sessions' half-life {}", lasting(*half_life)));
    }
    if *loss > 0.0 {
        parts.push(format!("{} % loss", count(loss * 100.0)));
    }
    if *legacy > 0.0 {
        parts.push(format!("{} % legacy", count(legacy * 100.0)));
    }
    parts.push(format!("seed {seed}"));
    parts.join(", ")
}

fn availability<'a>(area: &Canvas<'a>, report: &Report) -> Drawn<'a> {
    let minutes = report.minutes.max(1);
    let (unit, minutes_of_unit) = unit_of_time(minutes);
    let bin = bin(&report.availability);
    let points = binned(&report.availability, bin, minutes_of_unit);
    let mean = report.availability().unwrap_or(0.0) * 100.0;
    let worst = points.iter().map(|(_, share)| *share).fold(mean, f64::min);
    // A network that is well shall look well, and one per mille lost shall still be seen.
    let bottom = [99.0, 95.0, 90.0, 80.0, 50.0].into_iter().find(|bottom| worst >= bottom + 0.05 * (100.0 - bottom));
    let bottom = bottom.unwrap_or(0.0);
    let each = if bin == 1 { "reads of each minute".to_owned() } else { format!("reads of each {bin} minutes") };
    let each = Key::line(each, BLUE);
    let all = Key::dashed(format!("reads of the whole run: {} %", count((mean * 1e3).floor() / 1e3)));
    let area = titled(area, "Availability of values over time", &of(&report.experiment), &[each.clone(), all.clone()])?;
    let axes = Axes {
        x: &format!("virtual time [{unit}]"),
        y: "reads that found their value [%]",
        x_labels: 13,
        y_labels: 11,
    };
    let (end, top) = (f64::from(minutes) / minutes_of_unit, 100.0 + (100.0 - bottom) * 0.03);
    let mut chart = plane(&area, &axes, 0.0..end, bottom..top)?;
    line(&mut chart, &all, vec![(0.0, mean), (end, mean)])?;
    line(&mut chart, &each, points)
}

/// How many minutes go into one point.
fn bin(samples: &[Availability]) -> usize {
    let reads: u64 = samples.iter().map(|sample| u64::from(sample.reads)).sum();
    let a_minute = (reads / samples.len().max(1) as u64).max(1) as u32;
    let for_reads = READS_A_POINT.div_ceil(a_minute) as usize;
    // A run that is short has few points at least.
    for_reads.min(samples.len().div_ceil(6)).max(samples.len().div_ceil(POINTS)).max(1)
}

/// The share found in percent, by the middle of its minutes. Minutes without reads have no point.
fn binned(samples: &[Availability], bin: usize, minutes_of_unit: f64) -> Vec<(f64, f64)> {
    let point = |samples: &[Availability]| {
        let [reads, found] = [|sample: &Availability| sample.reads, |sample: &Availability| sample.found]
            .map(|of| samples.iter().map(of).map(f64::from).sum::<f64>());
        let (first, last) = (samples.first()?.minute, samples.last()?.minute);
        let middle = (f64::from(first) - 1.0 + f64::from(last)) / 2.0;
        (reads > 0.0).then(|| (middle / minutes_of_unit, found / reads * 100.0))
    };
    samples.chunks(bin).filter_map(point).collect()
}

fn copies<'a>(area: &Canvas<'a>, report: &Report) -> Drawn<'a> {
    let minutes = report.copies.last().map_or(1, |copies| copies.minute).max(1);
    let (unit, minutes_of_unit) = unit_of_time(minutes);
    let most = report.copies.iter().map(|copies| copies.max).max().unwrap_or(0).max(K as u32);
    let lines: [Line<Copies, u32>; 3] = [
        (Key::line("the value with the most copies", GREEN), |copies| copies.max),
        (Key::line("median", BLUE), |copies| copies.median),
        (Key::line("the value with the fewest", ORANGE), |copies| copies.min),
    ];
    let k = Key::dashed(format!("k = {K}"));
    let keys: Vec<Key> = lines.iter().map(|(key, _)| key.clone()).chain([k.clone()]).collect();
    let area = titled(area, "Copies of a value over time", &of(&report.experiment), &keys)?;
    let axes =
        Axes { x: &format!("virtual time [{unit}]"), y: "nodes that hold a full copy", x_labels: 13, y_labels: 11 };
    let end = f64::from(minutes) / minutes_of_unit;
    let mut chart = plane(&area, &axes, 0.0..end, 0.0..f64::from(most) * 1.08)?;
    for (key, of) in &lines {
        let point = |copies: &Copies| (f64::from(copies.minute) / minutes_of_unit, f64::from(of(copies)));
        line(&mut chart, key, report.copies.iter().map(point).collect())?;
    }
    line(&mut chart, &k, vec![(0.0, K as f64), (end, K as f64)])
}

fn latency<'a>(area: &Canvas<'a>, report: &Report) -> Drawn<'a> {
    let kinds = [("get", &report.gets, BLUE), ("lookup of an id that no node has", &report.lookups, ORANGE)];
    let mut lines = Vec::new();
    for (name, lookups, colour) in kinds {
        if let Some(figures) = lookups.latency_ms {
            let [p50, p99] = [figures.p50, figures.p99].map(|millis| count(millis.round()));
            lines.push((Key::line(format!("{name}: p50 {p50} ms, p99 {p99} ms"), colour), &lookups.latency_cdf));
        }
    }
    let keys: Vec<Key> = lines.iter().map(|(key, _)| key.clone()).collect();
    let area = titled(area, "Latency of lookups", &of(&report.experiment), &keys)?;
    let axes = Axes {
        x: "virtual time until the answer [ms]",
        y: "lookups that took at most that [%]",
        x_labels: 12,
        y_labels: 11,
    };
    let points = lines.iter().flat_map(|(_, points)| *points).map(|point| point.value);
    let (least, most) = points.fold((f64::MAX, 1.0f64), |(least, most), value| (least.min(value), most.max(value)));
    let least = (least.max(1.0) * 0.9).min(most / 2.0);
    let mut chart = plane(&area, &axes, LogAxis::over(least..most * 1.1), 0.0..103.0)?;
    for (key, points) in lines {
        let points = points.iter().map(|point| (point.value.max(least), point.share * 100.0));
        line(&mut chart, &key, points.collect())?;
    }
    Ok(())
}

fn sizes<'a>(area: &Canvas<'a>, report: &Report) -> Drawn<'a> {
    let sizes = &report.sizes;
    let hops: Vec<(f64, Figures)> =
        sizes.iter().filter_map(|size| Some((size.nodes as f64, size.lookups.hops?))).collect();
    let lines: [Line<Figures, f64>; 3] = [
        (Key::line("99th percentile", ORANGE), |hops| hops.p99),
        (Key::line("median", GREEN), |hops| hops.p50),
        (Key::line("mean", BLUE), |hops| hops.mean),
    ];
    let expected = Key::dashed(format!("log base k = {K}"));
    let worst = Key::line("worst lookup's recall", PURPLE);
    let more = [expected.clone(), worst.clone()];
    let keys: Vec<Key> = lines.iter().map(|(key, _)| key.clone()).chain(more).collect();
    let lookups = hops.first().map_or(0, |(_, figures)| figures.count);
    let under = format!(
        "static networks, {} % loss, {} lookups of random ids in each, seed {}",
        count(report.experiment.loss * 100.0),
        count(lookups as f64),
        report.experiment.seed
    );
    let area = titled(area, "Hops and recall against network size", &under, &keys)?;
    let (above, below) = area.split_vertically(276);
    let [first, last] = [sizes.first(), sizes.last()].map(|size| size.map_or(1.0, |size| size.nodes as f64));
    let ticks: Vec<f64> = sizes.iter().map(|size| size.nodes as f64).collect();
    let axis = || LogAxis::over(first * 0.9..last * 1.12).with_ticks(ticks.clone());

    let top = hops.iter().map(|(_, hops)| hops.p99).fold(1.0, f64::max) + 1.0;
    let axes = Axes { x: "", y: "hops", x_labels: ticks.len(), y_labels: top as usize + 1 };
    let mut chart = plane(&above, &axes, axis(), 0.0..top)?;
    let log = |nodes: f64| (nodes, nodes.ln() / (K as f64).ln());
    line(&mut chart, &expected, vec![log(first), log(last)])?;
    for (key, of) in &lines {
        let points: Vec<_> = hops.iter().map(|(nodes, hops)| (*nodes, of(hops))).collect();
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 4, key.colour.filled())))?;
        line(&mut chart, key, points)?;
    }

    let least = sizes.iter().map(|size| size.worst_recall).fold(1.0, f64::min);
    let bottom = if least >= 0.9 { 90.0 } else { (least * 10.0).floor() * 10.0 };
    let axes = Axes { x: "nodes in the network", y: "recall [%]", x_labels: ticks.len(), y_labels: 6 };
    let mut chart = plane(&below, &axes, axis(), bottom..100.0 + (100.0 - bottom) * 0.1)?;
    let lines: [Line<SizeFigures, f64>; 2] =
        [(worst, |size| size.worst_recall), (Key::line("mean", BLUE), |size| size.recall)];
    for (key, of) in &lines {
        let points: Vec<_> = sizes.iter().map(|size| (size.nodes as f64, of(size) * 100.0)).collect();
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 4, key.colour.filled())))?;
        line(&mut chart, key, points)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::{CachingExperiment, SizeSeries};
    use std::time::Duration;

    fn report() -> Report {
        let duration = Duration::from_secs(1_200);
        let experiment = Experiment { nodes: 30, values: 5, loss: 0.02, duration, ..Experiment::default() };
        let mut report = experiment.run().unwrap();
        report.sizes = SizeSeries { sizes: vec![5, 10], lookups: 5, ..SizeSeries::default() }.run().unwrap();
        let rewritten_every = Duration::from_secs(1_200);
        let caching =
            CachingExperiment { nodes: 30, values: 5, rewritten_every, rewrites: 1, ..CachingExperiment::default() };
        report.caching = caching.run().unwrap();
        report
    }

    #[test]
    fn each_chart_has_a_title_named_axes_with_units_and_a_legend() {
        let report = report();
        let charts = all(&report);
        let expected: [(&str, &[&str]); 5] = [
            ("availability.svg", &["Availability of values over time", "virtual time [minutes]", "[%]", "whole run: "]),
            ("copies.svg", &["Copies of a value over time", "virtual time [minutes]", "full copy", "median", "k = 20"]),
            ("latency.svg", &["Latency of lookups", "[ms]", "[%]", "p99"]),
            ("hops.svg", &["Hops and recall", "nodes in the network", "recall [%]", "mean", "log base k"]),
            ("caching.svg", &["Caching", "minutes since the values were set", "cached [%]", "cached, out of date [%]"]),
        ];
        assert_eq!(charts.len(), expected.len());
        for ((name, svg), (expected_name, parts)) in charts.iter().zip(expected) {
            assert_eq!(*name, expected_name);
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{name}");
            for part in parts {
                assert!(svg.contains(part), "{name} lacks {part}");
            }
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{name}");
        }
        assert_eq!(all(&report), charts);
    }

    #[test]
    fn what_was_not_measured_is_not_drawn() {
        let mut report = report();
        report.availability.clear();
        report.copies.clear();
        report.sizes.clear();
        report.caching = None;
        report.gets = Default::default();
        report.lookups = Default::default();
        assert_eq!(all(&report), []);
    }

    #[test]
    fn a_line_over_time_has_enough_reads_behind_each_point_and_not_too_many_points() {
        let minutes = |count: u32, reads| (1..=count).map(move |minute| Availability { minute, reads, found: reads });
        assert_eq!(bin(&minutes(1_440, 10).collect::<Vec<_>>()), 10);
        assert_eq!(bin(&minutes(60, 100).collect::<Vec<_>>()), 1);
        assert_eq!(bin(&minutes(43_200, 10).collect::<Vec<_>>()), 180);
        assert_eq!(bin(&minutes(6, 1).collect::<Vec<_>>()), 1);
        assert_eq!(bin(&[]), 1);
        let half = [Availability { minute: 1, reads: 10, found: 10 }, Availability { minute: 2, reads: 30, found: 10 }];
        assert_eq!(binned(&half, 2, 1.0), [(1.0, 50.0)]);
        assert_eq!(binned(&[Availability { minute: 1, reads: 0, found: 0 }], 1, 1.0), []);
    }
}
