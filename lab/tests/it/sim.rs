//! `kad-lab sim`.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;

const SMALL_SIM: [&str; 9] = ["sim", "--nodes", "20", "--hours", "1", "--values", "5", "--seed", "1"];

fn kad_lab(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kad-lab"));
    command.args(args).env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_simulation_prints_the_same_bytes_twice() {
    let run = || {
        let output = kad_lab(&[&SMALL_SIM[..], &["--json"]].concat()).output().unwrap();
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        // No progress where there is no terminal.
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
fn a_simulation_prints_a_table_draws_charts_and_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let charts = dir.path().join("some/charts");
    let output = kad_lab(&[&SMALL_SIM[..], &["--plot", charts.to_str().unwrap()]].concat()).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let table = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(table.contains("600 of 600 found their value: 100 %") && table.contains("hops p50"), "{table}");
    let names = ["availability.svg", "copies.svg", "latency.svg", "hops.svg"];
    for name in names {
        let svg = fs::read_to_string(charts.join(name)).unwrap();
        assert!(svg.starts_with("<svg"), "{name}: {svg}");
    }
    let wrote = names.map(|name| format!("wrote {}\n", charts.join(name).display())).concat();
    assert_eq!(stderr(&output), wrote);
    assert_eq!(fs::read_dir(charts).unwrap().count(), 4, "nothing else is left there");
}

#[test]
fn a_simulation_with_impossible_options_says_what_is_possible() {
    let output = kad_lab(&["sim", "--loss", "2"]).output().unwrap();
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("from 0 to 0.9"), "{}", stderr(&output));
}

#[test]
fn charts_that_cannot_be_written_are_a_failure_before_the_simulation_begins() {
    // Such a run would take hours.
    let fails = |folder: &str| {
        let output = kad_lab(&["sim", "--nodes", "100000", "--hours", "8784", "--plot", folder]).output().unwrap();
        assert_eq!((code(&output), output.stdout.len()), (73, 0));
        stderr(&output)
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    let said = fails(file.path().to_str().unwrap());
    assert!(said.contains("cannot create the directory"), "{said}");
    if cfg!(target_os = "linux") {
        // A folder in which no user can make a file, root included.
        let said = fails("/proc/self");
        assert!(said.contains("cannot write charts into /proc/self"), "{said}");
    }
}

#[cfg(unix)]
#[test]
fn a_simulation_that_is_interrupted_reports_what_ran_so_far() {
    let args = ["sim", "--nodes", "20", "--hours", "8784", "--reads", "1", "--json", "-v"];
    let mut sim = kad_lab(&args).spawn().unwrap();
    // It logs when its minutes begin to pass.
    let mut errors = BufReader::new(sim.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("the network has formed") {
        line.clear();
        assert_ne!(errors.read_line(&mut line).unwrap(), 0, "it ended by itself");
    }
    // No further line is read here, so nothing may fill the pipe.
    let rest = std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
    let kill = Command::new("kill").args(["-INT", &sim.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let mut report = String::new();
    sim.stdout.take().unwrap().read_to_string(&mut report).unwrap();
    let report: Json = serde_json::from_str(&report).unwrap();
    assert_eq!(report["complete"], false);
    assert_eq!(sim.wait().unwrap().code(), Some(130));
    rest.join().unwrap().unwrap();
}
