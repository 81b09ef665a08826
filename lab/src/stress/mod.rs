//! `kad-lab stress`: how long the reads of a node take, and how much memory it has, while others are at it who mean it no good.

mod args;
mod attack;
mod reads;
mod table;

use std::time::Duration;

use self::attack::{Attack, Kind, Target};
use self::reads::Reader;
use self::table::Table;
use crate::failure::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::output;
use crate::process::Process;

pub(crate) use self::args::{STRESS_EXAMPLES, StressArgs};

/// Measures, and prints the table.
pub(crate) fn run(args: &StressArgs) -> Result<(), Failure> {
    let interrupt = Interrupt::listen()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::System, format!("cannot start a runtime: {error}")))?;
    let table = runtime.block_on(measure(args, &interrupt))?;
    let StressArgs { slow_clients, watched, flood, seconds, rounds, .. } = args;
    output::print(&format!(
        "{slow_clients} slow HTTP clients, {watched} watched keys, {flood} datagrams a second; {rounds} rounds of {seconds} s a row\n\
         {table}"
    ))
}

async fn measure(args: &StressArgs, interrupt: &Interrupt) -> Result<Table, Failure> {
    let process = Process::gateway(&args.kad).await?;
    let http = process.http.clone();
    let http = http.ok_or_else(|| Failure::new(Exit::System, "the first line of the node names no gateway"))?;
    let reader = Reader::start(process.addr).await?;
    let target = Target { udp: process.addr, id: reader.read_from(), http };
    let mut table = Table::default();
    for _ in 0..args.rounds {
        for (row, kind) in Kind::ALL.into_iter().enumerate() {
            if let Some(signal) = interrupt.requested() {
                return Err(Failure::new(Exit::Signal(signal), "stopped before the rounds were complete"));
            }
            let attack = Attack::begin(kind, target.clone(), args.clone()).await?;
            process.forget_peak();
            let before = process.cpu()?;
            let reads = reader.read(Duration::from_secs(args.seconds)).await;
            let used = process.cpu()?.saturating_sub(before);
            table.add(row, reads, used.as_secs_f64() / args.seconds as f64, process.memory()?);
            attack.end()?;
        }
    }
    reader.end().await;
    Ok(table)
}
