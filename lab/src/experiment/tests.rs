//! Experiments on small networks: whether they count what happened, count it alike, and end when they are stopped.

use std::ops::ControlFlow;
use std::time::Duration;

use kademlia_dynamic::sim::in_virtual_time;
use tokio::time::Instant;

use super::run::turns;
use super::setup::MINUTE;
use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

/// 30 nodes for a while, with a few values.
fn small() -> Experiment {
    Experiment { nodes: 30, values: 5, ..Experiment::default() }
}

fn eventful() -> Experiment {
    Experiment { half_life: Some(HOUR / 2), loss: 0.05, seed: 7, ..small() }
}

#[test]
fn a_quiet_network_loses_nothing_and_finds_everything() {
    let report = small().run().unwrap();
    assert!(report.complete && report.minutes == 60);
    assert_eq!((report.reads.asked, report.reads.found), (600, 600));
    assert_eq!(report.availability(), Some(1.0));
    assert_eq!((report.recall, report.worst_recall), (Some(1.0), Some(1.0)));
    assert_eq!(report.availability.len(), 60);
    assert!(report.availability.iter().enumerate().all(|(n, sample)| sample.minute as usize == n + 1));
    assert_eq!(report.copies.iter().map(|copies| copies.minute).collect::<Vec<_>>(), [0, 10, 20, 30, 40, 50, 60]);
    assert!(report.copies.iter().all(|copies| copies.min >= 20), "{:?}", report.copies);
    assert_eq!((report.churned.joined, report.churned.left, report.churned.alive), (0, 0, 30));
    assert_eq!(report.visits, Reads::default());
}

#[test]
fn the_values_are_read_in_turn_and_visitors_hold_none_of_them() {
    let mut taken = 0;
    let mut minute = |reads| turns(&mut taken, reads, 7).collect::<Vec<_>>();
    assert_eq!(
        [minute(3), minute(7), minute(0), minute(2)],
        [vec![0, 1, 2], vec![3, 4, 5, 6, 0, 1, 2], vec![], vec![3, 4]]
    );
    let experiment = Experiment { nodes: 10, values: 7, reads_per_minute: 7, visits_per_minute: 3, ..small() };
    let report = Experiment { duration: 21 * MINUTE, ..experiment }.run().unwrap();
    assert_eq!((report.reads.asked, report.reads.found, report.reads.held_by_reader), (147, 147, 147), "all hold all");
    assert_eq!((report.visits.asked, report.visits.found, report.visits.held_by_reader), (63, 63, 0));
    assert!(report.to_string().contains("Visits      63 of 63 found their value: 100 %"), "{report}");
}

#[test]
fn the_rate_of_datagrams_is_that_of_the_time_that_is_shown() {
    let run = |hours: u32| Experiment { duration: hours * HOUR, ..small() }.run().unwrap().traffic;
    let (two, four) = (run(2), run(4));
    let rate = (four.sent - two.sent) as f64 / (2.0 * 3_600.0 * 30.0);
    // That of the first hours is that of any others, though the network was made before them. Nothing is restored in the first one.
    for traffic in [two, four] {
        assert!((0.7..1.3).contains(&(traffic.per_node_and_second / rate)), "{traffic:?}, {rate}");
    }
}

#[test]
fn the_same_experiment_has_the_same_report_and_another_seed_another() {
    let (first, second) = (eventful().run().unwrap(), eventful().run().unwrap());
    assert_eq!(first, second);
    assert!(first.churned.left > 10 && first.traffic.lost > 100, "{:?} {:?}", first.churned, first.traffic);
    let other = Experiment { seed: 8, ..eventful() }.run().unwrap();
    assert_ne!(first.trace_hash, other.trace_hash);
}

#[test]
fn the_parts_of_a_report_add_up() {
    let report = eventful().run().unwrap();
    let Reads { asked, found, held_by_reader, not_found, unanswered, failed, .. } = report.reads;
    assert_eq!(asked, found + not_found + unanswered + failed);
    let minutes = report.availability.iter().fold((0, 0), |(reads, found), minute| {
        assert!(minute.found <= minute.reads && minute.reads <= 10);
        (reads + u64::from(minute.reads), found + u64::from(minute.found))
    });
    assert_eq!(minutes, (asked, found));
    assert_eq!(report.gets.hops.unwrap().count as u64, found - held_by_reader);
    assert_eq!(report.gets.latency_ms.unwrap().count as u64, asked - held_by_reader);
    assert_eq!(
        report.copies.iter().filter(|copies| copies.min <= copies.median && copies.median <= copies.max).count(),
        7
    );
}

#[test]
fn a_report_survives_json() {
    let mut report = Experiment { duration: 2 * MINUTE, ..eventful() }.run().unwrap();
    report.sizes = SizeSeries { sizes: vec![5], lookups: 3, ..SizeSeries::default() }.run().unwrap();
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    assert_eq!(serde_json::from_str::<Experiment>("{\"half_life\":60}").unwrap().half_life, Some(MINUTE));
    assert!(serde_json::from_str::<Experiment>("{\"duration\":-1}").is_err());
}

/// Legacy nodes on lines that lose most of what they send: a read may be at it for a minute and a half.
fn slow() -> Experiment {
    Experiment { nodes: 150, legacy: 1.0, loss: 0.8, values: 5, duration: 10 * MINUTE, ..Experiment::default() }
}

#[test]
fn a_minute_lasts_a_minute_however_long_its_reads_take_and_they_count_for_the_one_in_which_they_began() {
    let run = || {
        let mut reported = Vec::new();
        let report = slow().run_watched(&mut |progress| {
            if progress.phase == Phase::Running {
                reported.push((Instant::now(), progress.reads));
            }
            ControlFlow::Continue(())
        });
        let began = reported[0].0;
        let reported: Vec<_> = reported.into_iter().map(|(at, reads)| (at - began, reads)).collect();
        (reported, report.unwrap())
    };
    let (reported, report) = run();
    let (last, minutes) = reported.split_last().unwrap();
    assert!(minutes.iter().map(|(at, _)| *at).eq((0..10).map(|minute| minute * MINUTE)), "{reported:?}");
    assert!(
        minutes.iter().zip(0u64..).skip(1).all(|((_, reads), minute)| *reads < 10 * minute),
        "some go on: {reported:?}"
    );
    assert!(last.0 > 10 * MINUTE && last.1 == 100, "the last of them are waited for: {reported:?}");
    let samples: Vec<_> = report.availability.iter().map(|sample| (sample.minute, sample.reads)).collect();
    assert_eq!(samples, (1..=10).map(|minute| (minute, 10)).collect::<Vec<_>>());
    assert_eq!((report.minutes, report.complete), (10, true));
    assert_eq!(run(), (reported, report), "whatever ends when, equal seeds come to the same");
}

#[test]
fn who_stops_an_experiment_still_gets_the_reads_that_had_begun() {
    let report = slow().run_watched(&mut |progress| {
        let enough = progress.phase == Phase::Running && progress.done == 2;
        if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let report = report.unwrap();
    assert_eq!((report.complete, report.minutes, report.reads.asked), (false, 2, 20));
    assert!(report.availability.iter().all(|sample| sample.reads == 10), "{:?}", report.availability);
}

#[test]
fn who_stops_an_experiment_gets_the_report_of_what_ran_so_far() {
    let mut last = None;
    let report = small().run_watched(&mut |progress| {
        last = Some(*progress);
        let enough = progress.phase == Phase::Running && progress.done == 7;
        if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let report = report.unwrap();
    assert_eq!((report.complete, report.minutes, report.availability.len()), (false, 7, 7));
    assert_eq!(last, Some(Progress { phase: Phase::Running, done: 7, of: 60, reads: 70, found: 70 }));
    assert!(report.to_string().contains("7 min of 1 h, then stopped"), "{report}");

    let mut joined = Vec::new();
    small()
        .run_watched(&mut |progress| {
            if progress.phase == Phase::Forming {
                joined.push(progress.done);
                return ControlFlow::Continue(());
            }
            ControlFlow::Break(())
        })
        .unwrap();
    assert!(
        joined.len() > 5 && joined.is_sorted() && joined.first() == Some(&0) && joined.last() > Some(&20),
        "{joined:?}"
    );

    let report = small().run_watched(&mut |_| ControlFlow::Break(())).unwrap();
    assert_eq!((report.complete, report.minutes, report.reads.asked, report.recall), (false, 0, 0, None));
}

#[test]
fn values_whose_publishers_come_and_go_are_still_read_by_others() {
    let report = Experiment { churn_publishers: true, loss: 0.0, ..eventful() }.run().unwrap();
    assert_eq!(report.availability(), Some(1.0), "{report}");
}

#[test]
fn values_of_ours_are_read_by_legacy_nodes_even_where_all_but_one_are_legacy() {
    for legacy in [0.5, 1.0] {
        let report = Experiment { legacy, ..small() }.run().unwrap();
        let Reads { by_legacy, found_by_legacy, asked, .. } = report.reads;
        assert!(by_legacy > asked / 3, "{:?}", report.reads);
        assert!(found_by_legacy as f64 > 0.95 * by_legacy as f64, "{:?}", report.reads);
        assert!(report.to_string().contains("of those by legacy nodes"), "{report}");
    }
}

#[test]
fn what_is_out_of_its_range_is_named() {
    let refused = |experiment: Experiment| experiment.run().unwrap_err().to_string();
    assert_eq!(refused(Experiment { nodes: 1, ..small() }), "the number of nodes must be 2 to 100000, not 1");
    assert_eq!(refused(Experiment { loss: 1.0, ..small() }), "the share of datagrams lost must be 0 to 0.9, not 1");
    assert!(refused(Experiment { loss: f64::NAN, ..small() }).contains("NaN"));
    assert!(refused(Experiment { values: 0, ..small() }).contains("values"));
    assert!(refused(Experiment { reads_per_minute: 0, ..small() }).contains("reads"));
    assert!(refused(Experiment { lookups_per_minute: MAX_PER_MINUTE + 1, ..small() }).contains("lookups"));
    assert!(refused(Experiment { duration: Duration::ZERO, ..small() }).contains("60s"));
    assert!(refused(Experiment { half_life: Some(Duration::from_secs(59)), ..small() }).contains("half-life"));
    assert!(SizeSeries { sizes: vec![1], ..SizeSeries::default() }.run().is_err());
    assert!(SizeSeries { lookups: 0, ..SizeSeries::default() }.run().is_err());
}

#[test]
fn lookups_in_static_networks_find_all_of_the_true_nearest() {
    let series = SizeSeries { sizes: vec![10, 60], lookups: 40, ..SizeSeries::default() };
    let figures = series.run().unwrap();
    for (size, nodes) in figures.iter().zip([10, 60]) {
        assert_eq!((size.nodes, size.recall, size.worst_recall), (nodes, 1.0, 1.0));
        assert_eq!(size.lookups.hops.unwrap().count, 40);
    }
    // In a network of ten each node knows all others.
    assert_eq!(figures[0].lookups.hops.unwrap().max, 1.0);
    assert!(figures[1].lookups.latency_ms.unwrap().p50 >= figures[0].lookups.latency_ms.unwrap().p50);
}

#[test]
fn who_stops_a_series_gets_the_sizes_that_are_done() {
    let series = SizeSeries { sizes: vec![5, 10, 20], lookups: 5, ..SizeSeries::default() };
    let mut reported = 0;
    let figures = series.run_watched(&mut |progress| {
        assert!(progress.phase == Phase::Sizes && progress.of == 35);
        // Five have joined the first network: in the middle of the second.
        reported += u32::from(progress.done > 5);
        if reported > 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(figures.unwrap().iter().map(|size| size.nodes).collect::<Vec<_>>(), [5]);
}

#[test]
fn a_table_tells_what_a_report_says() {
    let report = Experiment { duration: 10 * MINUTE, ..small() }.run().unwrap();
    let table = report.to_string();
    for expected in ["30 nodes", "no node leaves", "10 min", "100 of 100 found their value: 100 %", "Recall      100 %"]
    {
        assert!(table.contains(expected), "{expected}: {table}");
    }
    assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
}

#[test]
fn reads_of_cached_copies_are_counted_and_those_that_are_out_of_date_among_them() {
    let experiment =
        CachingExperiment { nodes: 60, values: 5, reads_per_minute: 20, rewrites: 1, ..Default::default() };
    let figures = CachingExperiment { rewritten_every: 2 * HOUR, ..experiment }.run().unwrap();
    let CachingFigures { total, by_age } = figures.expect("it was not stopped");
    assert_eq!((total.asked, total.found), (20 * 120, 20 * 120));
    assert_eq!(by_age.iter().map(|sample| sample.reads.asked).sum::<u64>(), total.asked);
    assert!(total.stale_hits <= total.stale.min(total.hits), "{total:?}");
    assert!(total.hits > 0 && total.stale_hits > 0, "{total:?}");
}

#[test]
fn no_experiment_begins_within_a_runtime() {
    let all: [(&str, fn()); 3] = [
        ("Experiment", || drop(Experiment::default().run())),
        ("SizeSeries", || drop(SizeSeries::default().run())),
        ("CachingExperiment", || drop(CachingExperiment::default().run())),
    ];
    in_virtual_time(async {
        for (name, begin) in all {
            let panic = std::panic::catch_unwind(begin).expect_err(name);
            let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            assert!(text.contains("plain #[test]") && text.contains("SimBuilder::build"), "{name}: {text}");
        }
    });
}
