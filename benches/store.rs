//! What the store on disk does: puts a second, one after the other and many at once, and how long it takes to open after a kill.
//!
//! `cargo bench --bench store` prints both; `-- 100000 1000000` opens stores of those sizes instead of 100,000 records. A kill is
//! one: another process fills the store and is killed while it still writes. The folder is in `TMPDIR`: name one on the disk that
//! is to be measured.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use kademlia_dynamic::persist::{DiskStore, Durability, STORE_FILE};
use kademlia_dynamic::protocol::store::{Change, Class, Store, StoredRecord, Writer};

/// The argument that makes this program one that fills a store until it is killed.
const FILLER: &str = "--fill";
/// Writes in flight while a store is filled.
const IN_FLIGHT: usize = 4_096;
/// How long each rate is measured.
const TIME: Duration = Duration::from_secs(3);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [role, folder, records] = args.as_slice()
        && role == FILLER
    {
        return fill(Path::new(folder), records.parse().expect("a number"));
    }
    for durability in [Durability::Durable, Durability::Relaxed] {
        for in_flight in [1, 16, 256, IN_FLIGHT] {
            rate(durability, in_flight);
        }
    }
    let sizes: Vec<u64> = args.iter().map(|size| size.parse().expect("a number")).collect();
    for records in if sizes.is_empty() { vec![100_000] } else { sizes } {
        open_after_a_kill(records);
    }
}

fn record(number: u64) -> StoredRecord {
    let now = Instant::now();
    StoredRecord {
        key: format!("a key of usual length {number}").into(),
        value: Arc::new(format!("{number} ").repeat(14).into()),
        class: Class::Held,
        pinned: false,
        version: number,
        writer: Writer::Unknown,
        source: Some(SocketAddr::from(([192, 0, 2, 1], 8_000))),
        stored_at: now,
        published_at: now,
        dated: false,
        expires_at: now + Duration::from_secs(86_410),
        replaced: Vec::new(),
    }
}

/// Puts records from `first` on, `in_flight` at once, until `enough` says so of how many are committed. Says how many are.
fn put(store: &mut DiskStore, first: u64, in_flight: usize, enough: impl Fn(u64) -> bool) -> u64 {
    let (sender, done) = mpsc::channel();
    let (mut reported, mut committed) = (0, 0);
    while !enough(committed) {
        while reported - committed < in_flight as u64 {
            let sender = sender.clone();
            let outcome = Box::new(move |outcome: Result<(), _>| sender.send(outcome.is_ok()).unwrap_or_default());
            store.commit(vec![Change::Put(record(first + reported))], outcome);
            reported += 1;
        }
        assert!(done.recv().expect("each has its end"), "the disk fails");
        committed += 1;
    }
    (committed..reported).for_each(|_| assert!(done.recv() == Ok(true), "the disk fails"));
    reported
}

fn rate(durability: Durability, in_flight: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = DiskStore::open_with(folder.path(), durability).expect("it opens");
    let (start, before) = (Instant::now(), store.health().commits);
    let written = put(&mut store, 0, in_flight, |_| start.elapsed() >= TIME);
    let (took, health) = (start.elapsed().as_secs_f64(), store.health());
    println!(
        "{durability:?}, {in_flight:>5} at once: {:>8.0} puts/s, {:>6.0} commits/s of {:.2} ms, at most {} puts in one",
        written as f64 / took,
        (health.commits - before) as f64 / took,
        1e3 * took / (health.commits - before) as f64,
        health.largest_group,
    );
}

/// Fills a store, says so, and goes on writing.
fn fill(folder: &Path, records: u64) {
    let mut store = DiskStore::open(folder).expect("it opens");
    let written = put(&mut store, 0, IN_FLIGHT, |committed| committed >= records);
    println!("{written}");
    std::io::stdout().flush().expect("standard output is open");
    put(&mut store, 0, IN_FLIGHT, |_| false);
}

fn open_after_a_kill(records: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("its name is text");
    let program = std::env::current_exe().expect("this program is a file");
    let mut filler = Command::new(program)
        .args([FILLER, path, &records.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    BufReader::new(filler.stdout.take().expect("it is piped")).read_line(&mut line).expect("it fills the store");
    filler.kill().expect("it runs");
    filler.wait().expect("it ends");

    let start = Instant::now();
    let mut store = DiskStore::open(folder.path()).expect("it opens");
    let opened = start.elapsed();
    let found = store.load().expect("it is open").len() as u64;
    let read = start.elapsed();
    let committed: u64 = line.trim().parse().expect("a number");
    assert_eq!(found, committed, "what was acknowledged is there");
    let megabytes = std::fs::metadata(folder.path().join(STORE_FILE)).expect("it is there").len() >> 20;
    println!("{found:>8} records after a kill ({megabytes} MiB): open in {opened:.1?}, all read in {read:.1?}");
}
