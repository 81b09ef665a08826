//! `kad sim`.

use std::fs;
use std::io::{BufRead, BufReader};

use serde_json::Value as Json;

use super::process::{Running, code, kad, stderr};

const SMALL_SIM: [&str; 9] = ["sim", "--nodes", "20", "--hours", "1", "--values", "5", "--seed", "1"];

#[test]
fn a_simulation_prints_the_same_bytes_twice() {
    let run = || {
        let output = kad(&[&SMALL_SIM[..], &["--json"]].concat()).output().unwrap();
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        // No progress where nobody looks.
        assert_eq!(stderr(&output), "");
        output.stdout
    };
    let (first, second) = (run(), run());
    assert_eq!(first, second);
    let report: Json = serde_json::from_slice(&first).unwrap();
    assert_eq!(first.iter().filter(|byte| **byte == b'\n').count(), 1);
    assert_eq!((&report["complete"], &report["minutes"]), (&Json::from(true), &Json::from(60)));
    assert_eq!((&report["reads"]["asked"], &report["reads"]["found"]), (&Json::from(600), &Json::from(600)));
    assert_eq!(report["experiment"]["nodes"], 20);
}

#[test]
fn a_simulation_prints_a_table_and_draws_charts() {
    let dir = tempfile::tempdir().unwrap();
    let charts = dir.path().join("some/charts");
    let output = kad(&[&SMALL_SIM[..], &["--plot", charts.to_str().unwrap()]].concat()).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("600 of 600 found their value: 100 %") && table.contains("hops p50"), "{table}");
    for name in ["availability.svg", "copies.svg", "latency.svg", "hops.svg"] {
        let svg = fs::read_to_string(charts.join(name)).unwrap();
        assert!(svg.starts_with("<svg"), "{name}: {svg}");
    }
    assert_eq!(fs::read_dir(charts).unwrap().count(), 4);
}

#[test]
fn a_simulation_with_impossible_options_says_what_is_possible() {
    let output = kad(&["sim", "--loss", "2"]).output().unwrap();
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("from 0 to 0.9"), "{}", stderr(&output));
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = kad(&["sim", "--plot", file.path().to_str().unwrap()]).output().unwrap();
    assert_eq!(code(&output), 73);
    assert!(stderr(&output).contains("cannot create the directory"), "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn a_simulation_that_is_interrupted_reports_what_ran_so_far() {
    let mut sim = Running::start(&["sim", "--nodes", "20", "--hours", "8784", "--reads", "1", "--json", "-v"]);
    // It says so once its minutes pass.
    let mut errors = BufReader::new(sim.child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("the network has formed") {
        line.clear();
        assert_ne!(errors.read_line(&mut line).unwrap(), 0, "it ended by itself");
    }
    // Nobody reads on, so nothing may fill the pipe.
    let rest = std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
    sim.signal("-INT");
    let report: Json = serde_json::from_str(&sim.line()).unwrap();
    assert_eq!(report["complete"], false);
    assert_eq!(sim.child.wait().unwrap().code(), Some(130));
    rest.join().unwrap().unwrap();
}
