//! What the store on disk does: puts a second, one after the other and many at once; what that is of what redb does by itself with
//! the same groups; and how long it takes to open after a kill.
//!
//! `cargo bench --bench store` prints all of it; `-- 100000 1000000` opens stores of those sizes instead of 100,000 records. A kill is
//! one: another process fills the store and is killed while it still writes. The folder is in `TMPDIR`: name one on the disk that
//! is to be measured.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use kademlia_dynamic::persist::{DiskStore, Durability, STORE_FILE};
use kademlia_dynamic::protocol::store::{Change, Class, Store, StoredRecord, Writer};
use redb::{Database, TableDefinition};

/// The argument that makes this program one that fills a store until it is killed.
const FILLER: &str = "--fill";
/// Writes in flight while a store is filled.
const IN_FLIGHT: usize = 4_096;
/// Keys that are overwritten beside redb, and how many at once.
const OVERWRITTEN: u64 = 50_000;
const WINDOW: usize = 1_024;
/// Bytes of a record on disk beside its key and its value, about.
const RECORD_LEN: usize = 90;
/// How often that is measured, in turn.
const ROUNDS: usize = 3;
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
    beside_redb();
    let sizes: Vec<u64> = args.iter().map(|size| size.parse().expect("a number")).collect();
    for records in if sizes.is_empty() { vec![100_000] } else { sizes } {
        open_after_a_kill(records);
    }
}

/// Prints a line. A reader that has gone, as `head` does, has all that it wanted.
fn report(line: fmt::Arguments<'_>) {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
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
            store.commit(vec![Change::Put(record(first + reported).into())], outcome);
            reported += 1;
        }
        assert!(done.recv().expect("each has its end"), "the disk fails");
        committed += 1;
    }
    (committed..reported).for_each(|_| assert!(done.recv() == Ok(true), "the disk fails"));
    reported
}

/// Overwrites keys in a durable store, and then in a table of redb: as many bytes, in as many commits.
fn beside_redb() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = DiskStore::open_with(folder.path(), Durability::Durable).expect("it opens");
    let alone = tempfile::tempdir().expect("a folder");
    let database = Database::create(alone.path().join(STORE_FILE)).expect("it is created");
    let mut overwrite = || {
        let (start, before) = (Instant::now(), store.health().commits);
        let written = put(&mut store, 0, WINDOW, |committed| committed >= OVERWRITTEN);
        (written, start.elapsed(), store.health().commits - before)
    };
    let (written, _, commits) = overwrite();
    overwrite_alone(&database, written, commits);
    for _ in 0..ROUNDS {
        let (written, took, commits) = overwrite();
        let took_alone = overwrite_alone(&database, written, commits);
        report(format_args!(
            "{written} keys overwritten, {WINDOW} at once, {commits} commits: {:.0} puts/s; redb alone {:.0} puts/s; {:.2} of it",
            written as f64 / took.as_secs_f64(),
            written as f64 / took_alone.as_secs_f64(),
            took_alone.as_secs_f64() / took.as_secs_f64(),
        ));
    }
}

/// The same keys and values, and what a record has beside them, in so many commits.
fn overwrite_alone(database: &Database, keys: u64, commits: u64) -> Duration {
    const TABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("values");
    let start = Instant::now();
    let group = keys.div_ceil(commits);
    for first in (0..keys).step_by(group as usize) {
        let transaction = database.begin_write().expect("it is open");
        {
            let mut table = transaction.open_table(TABLE).expect("it is there");
            for number in first..keys.min(first + group) {
                let bytes = format!("{number} ").repeat(14) + &"-".repeat(RECORD_LEN);
                let key = format!("a key of usual length {number}");
                table.insert(key.as_bytes(), bytes.as_bytes()).expect("the disk works");
            }
        }
        transaction.commit().expect("the disk works");
    }
    start.elapsed()
}

fn rate(durability: Durability, in_flight: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = DiskStore::open_with(folder.path(), durability).expect("it opens");
    let (start, before) = (Instant::now(), store.health().commits);
    let written = put(&mut store, 0, in_flight, |_| start.elapsed() >= TIME);
    let (took, health) = (start.elapsed().as_secs_f64(), store.health());
    report(format_args!(
        "{durability:?}, {in_flight:>5} at once: {:>8.0} puts/s, {:>6.0} commits/s of {:.2} ms, at most {} puts in one",
        written as f64 / took,
        (health.commits - before) as f64 / took,
        1e3 * took / (health.commits - before) as f64,
        health.largest_group,
    ));
}

/// Fills a store, says so, and goes on writing.
fn fill(folder: &Path, records: u64) {
    let mut store = DiskStore::open(folder).expect("it opens");
    let written = put(&mut store, 0, IN_FLIGHT, |committed| committed >= records);
    report(format_args!("{written}"));
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
    report(format_args!(
        "{found:>8} records after a kill ({megabytes} MiB): open in {opened:.1?}, all read in {read:.1?}"
    ));
}
