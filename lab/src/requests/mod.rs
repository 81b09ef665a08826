//! `kad-lab requests`: what a request costs a running node, over real sockets, beside a plain UDP echo.

mod args;
mod echo;
mod load;
mod pace;
mod peers;
mod rows;
mod table;
mod target;

use self::load::WINDOW;
use self::rows::Row;
use self::table::Table;
use self::target::Target;
use crate::failure::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::output;

pub(crate) use self::args::{REQUESTS_EXAMPLES, RequestsArgs};
pub(crate) use self::echo::run as echo;

/// Measures, and prints the table.
pub(crate) fn run(args: &RequestsArgs) -> Result<(), Failure> {
    let interrupt = Interrupt::listen()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::System, format!("cannot start a runtime: {error}")))?;
    let table = runtime.block_on(measure(args, &interrupt))?;
    let RequestsArgs { wire, requests, rounds, .. } = args;
    output::print(&format!(
        "{wire}, {WINDOW} in flight, {requests} requests a row, medians of {rounds} rounds\n{table}"
    ))
}

async fn measure(args: &RequestsArgs, interrupt: &Interrupt) -> Result<Table, Failure> {
    let has_echo = args.at.is_none();
    let mut names: Vec<String> = args.kad.iter().map(|binary| binary.display().to_string()).collect();
    names.extend(args.at.map(|addr| addr.to_string()));
    if has_echo {
        names.insert(0, "echo".to_owned());
    }
    let mut table = Table::new(names, has_echo);
    for _ in 0..args.rounds {
        let targets = start(args, &mut table).await?;
        for row in 0..Row::ALL.len() {
            for (number, target) in targets.iter().enumerate() {
                if let Some(signal) = interrupt.requested() {
                    return Err(Failure::new(Exit::Signal(signal), "stopped before the rounds were complete"));
                }
                table.add(row, number, target.measure(row, args.requests).await?);
            }
        }
    }
    Ok(table)
}

/// The targets of a round, in the order of their names. Each process is fresh.
async fn start(args: &RequestsArgs, table: &mut Table) -> Result<Vec<Target>, Failure> {
    let mut targets = Vec::new();
    for binary in &args.kad {
        targets.push(Target::node(binary, args.wire).await?);
    }
    if let Some(addr) = args.at {
        targets.push(Target::at(addr, args.wire).await?);
    }
    let lengths = targets[0].lengths().await?;
    table.set_lengths(lengths.clone());
    if args.at.is_none() {
        targets.insert(0, Target::echo(lengths).await?);
    }
    Ok(targets)
}
