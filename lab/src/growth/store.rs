//! The store as it holds more values: the records, and the store in memory that keeps them.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kademlia_dynamic::internals::{Records, RemoteWrite, Write};
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::entropy::SeededEntropy;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::store::{MemoryStore, Store};
use kademlia_dynamic::protocol::value::Value;

use super::series::{Part, ROUNDS, Series};
use crate::failure::Failure;
use crate::process::own_memory;
use crate::simulated::internal;

/// Bytes of a value.
const VALUE_LEN: usize = 200;
/// Steps of a round, at most.
const STEPS: usize = 10_000;
/// In how much time all values come.
const COME_WITHIN: Duration = Duration::from_secs(1_800);

pub(super) fn measure(sizes: &[usize]) -> Result<Vec<Series>, Failure> {
    let mut all = ["insert", "read", "due", "expire"].map(|step| Series::new(Part::Values, step));
    all[0].bytes = sizes.last().map(|size| memory_of_each(*size)).transpose()?;
    for size in sizes {
        let steps = STEPS.min(size / 2);
        let mut rounds = [const { Vec::new() }; 4];
        for _ in 0..ROUNDS {
            let mut filled = Filled::new(*size)?;
            let mut took = Vec::new();
            (0..size - steps).try_for_each(|_| filled.insert())?;
            took.push(timed(|| (0..steps).try_for_each(|_| filled.insert()))?);
            took.push(timed(|| (0..steps).try_for_each(|number| filled.read(number * (size / steps))))?);
            took.push(timed(|| (0..steps).try_for_each(|_| filled.restore_one()))?);
            took.push(timed(|| (0..steps).try_for_each(|_| filled.expire_one()))?);
            rounds.iter_mut().zip(took).for_each(|(rounds, took)| rounds.push(took));
        }
        all.iter_mut().zip(rounds).for_each(|(series, rounds)| series.add(*size, steps, rounds));
    }
    Ok(all.into())
}

/// Bytes that a value takes beside its key and itself. It is measured first: what has been freed would hide a part of it.
fn memory_of_each(size: usize) -> Result<f64, Failure> {
    let before = own_memory()?.0;
    let mut filled = Filled::new(size)?;
    (0..size).try_for_each(|_| filled.insert())?;
    let more = own_memory()?.0.saturating_sub(before) as f64;
    Ok(more / size as f64 - (VALUE_LEN + key(0).len()) as f64)
}

fn timed(steps: impl FnOnce() -> Result<(), Failure>) -> Result<Duration, Failure> {
    let begun = Instant::now();
    steps()?;
    Ok(begun.elapsed())
}

/// Keys of a usual length whose order is not that in which they come.
fn key(number: usize) -> String {
    format!("key {:016x}", (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// A store that takes in values, one a beat, so that they end one after the other.
struct Filled {
    records: Records,
    backend: MemoryStore,
    entropy: SeededEntropy,
    start: Instant,
    beat: Duration,
    inserted: usize,
    expired: usize,
}

impl Filled {
    fn new(size: usize) -> Result<Self, Failure> {
        let config = Config::builder().max_values(size * 2).max_store_bytes(1 << 40).build().map_err(internal)?;
        let start = Instant::now();
        Ok(Self {
            records: Records::new(NodeId::of_key("the node"), &config, start),
            backend: MemoryStore::new(),
            entropy: SeededEntropy::new(1),
            start,
            beat: COME_WITHIN / size as u32,
            inserted: 0,
            expired: 0,
        })
    }

    fn time_of(&self, number: usize) -> Instant {
        self.start + self.beat * number as u32
    }

    fn insert(&mut self) -> Result<(), Failure> {
        let number = self.inserted;
        self.inserted += 1;
        let [_, _, a, b] = (number as u32).to_be_bytes();
        let write = Write::Set(RemoteWrite {
            key: key(number).into(),
            value: Arc::new(Value::from("x".repeat(VALUE_LEN))),
            ttl: None,
            age: None,
            from: SocketAddr::from(([40 + (a & 63), b, 0, 1], 4_000)),
            legacy: false,
        });
        let planned = self.records.propose(write, self.time_of(number), &mut self.entropy);
        let mut plan = planned.map_err(|refusal| internal(format!("the store refused a value: {refusal:?}")))?;
        let kept = self.backend.commit_at_once(plan.take_changes());
        kept.map_err(|_| internal("the store in memory does not commit at once"))?;
        let _ = black_box(self.records.apply(plan));
        Ok(())
    }

    fn read(&mut self, number: usize) -> Result<(), Failure> {
        let found = self.records.get(&key(number), self.time_of(self.inserted));
        black_box(found).map(drop).ok_or_else(|| internal("a value is not held"))
    }

    /// All are due a day later; the one due first is restored.
    fn restore_one(&mut self) -> Result<(), Failure> {
        let now = self.start + Config::DEFAULT.values.restore_interval * 2;
        let due = self.records.due_copies(now, 1).pop().ok_or_else(|| internal("no value is due"))?;
        self.records.restore_again(&due.key, 1.0, now, &mut self.entropy);
        Ok(())
    }

    fn expire_one(&mut self) -> Result<(), Failure> {
        let now = self.time_of(self.expired) + Config::DEFAULT.values.key_expiry;
        self.expired += 1;
        match self.records.expire(now) {
            1 => Ok(()),
            expired => Err(internal(format!("{expired} values ended instead of one"))),
        }
    }
}
