//! The figures that a network must reach, each with many seeds: `cargo bench -p kad-lab --bench figures` prints a table, and fails where a
//! target is missed. `-- --seeds 3` takes so many seeds (20 by default), the first of them `--first` (1), and further arguments take the cases whose
//! names contain one of them: `cargo bench -p kad-lab --bench figures -- --seeds 3 loss "30 %"`. All of it takes hours of processor
//! time; each processor runs one network at a time.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use kad_lab::figures::{CASES, Case, Count, Share, Target};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let (mut seeds, mut first, mut wanted) = (20, 1, Vec::new());
    while let Some(arg) = args.next() {
        let number = match arg.as_str() {
            "--seeds" => &mut seeds,
            "--first" => &mut first,
            _ => {
                wanted.push(arg);
                continue;
            }
        };
        match args.next().map(|text| text.parse()) {
            Some(Ok(parsed @ 1..)) => *number = parsed,
            _ => {
                eprintln!("{arg} takes a number, from 1");
                return ExitCode::from(2);
            }
        }
    }
    let is_wanted = |case: &&Case| wanted.is_empty() || wanted.iter().any(|part| case.name.contains(part.as_str()));
    if !CASES.iter().any(|case| is_wanted(&case)) {
        eprintln!("no case's name contains any of {wanted:?}");
        return ExitCode::from(2);
    }
    println!("| case | counted | of all seeds | worst seed | target | s a seed |");
    println!("|---|---|---|---|---|---|");
    let mut missed = 0;
    for case in CASES.iter().filter(is_wanted) {
        missed += report(case, first, seeds);
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one case with all seeds, prints its lines, and says how many of its targets were missed.
fn report(case: &Case, first: u64, seeds: u64) -> usize {
    let begin = Instant::now();
    let runs = run_all(case, first, seeds);
    let took = begin.elapsed().as_secs_f64() / seeds as f64;
    let mut missed = 0;
    for at in 0..runs.first().map_or(0, Vec::len) {
        let counts: Vec<&Count> = runs.iter().map(|run| &run[at]).collect();
        let total = sum(counts.iter().map(|count| count.share));
        let worst = counts.iter().map(|count| count.share.value()).fold(1.0, f64::min);
        let target = match counts[0].target {
            Target::Reported => 0.0,
            Target::AtLeast(target) => target,
            Target::Other(_) => sum(counts.iter().filter_map(|count| match count.target {
                Target::Other(other) => Some(other),
                Target::AtLeast(_) | Target::Reported => None,
            }))
            .value(),
        };
        let is_missed = total.value() < target;
        missed += usize::from(is_missed);
        let target = match counts[0].target {
            Target::Reported => "-".to_owned(),
            _ => format!("≥ {:.3} %{}", target * 100.0, if is_missed { " **missed**" } else { "" }),
        };
        println!(
            "| {} | {}: {} of {} | {:.3} % | {:.3} % | {target} | {took:.1} |",
            case.name,
            counts[0].what,
            total.good,
            total.all,
            total.value() * 100.0,
            worst * 100.0,
        );
    }
    missed
}

fn sum(shares: impl Iterator<Item = Share>) -> Share {
    shares.fold(Share::default(), |mut sum, share| {
        sum.add(share);
        sum
    })
}

/// What each seed counted, in the order of the seeds. Each network has a thread of its own.
fn run_all(case: &Case, first: u64, seeds: u64) -> Vec<Vec<Count>> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(vec![Vec::new(); seeds as usize]));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at as u64 >= seeds {
                        return;
                    }
                    let counts = (case.run)(first + at as u64);
                    done.lock().expect("no thread panics while holding it")[at] = counts;
                }
            });
        }
    });
    done.into_inner().expect("no thread panics while holding it")
}
