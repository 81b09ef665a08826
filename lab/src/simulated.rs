//! What the commands that simulate one network for one figure have in common: options, and how the report is printed.

use std::fmt::Display;

use clap::Args;
use kademlia_dynamic::Codec;
use kademlia_dynamic::sim::{Sim, SimBuilder};
use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct SimulatedArgs {
    /// How messages are encoded: json, bencode or msgpack
    #[arg(long, value_name = "CODEC", default_value = "json")]
    pub(crate) codec: Codec,
    /// Where all chances come from
    #[arg(long, value_name = "S", default_value = "1")]
    pub(crate) seed: u64,
    /// Print the report as one line of JSON
    #[arg(long)]
    json: bool,
}

/// What was measured.
pub(crate) trait Report: Serialize {
    /// What its figures are of.
    fn title(&self) -> String;
    /// Each figure, with its name.
    fn rows(&self) -> Vec<(&'static str, String)>;
}

/// Runs `story` in a network of `sim`, and prints what it reports.
pub(crate) fn run<R: Report>(
    args: &SimulatedArgs,
    sim: SimBuilder,
    story: impl AsyncFnOnce(Sim) -> Result<R, Failure>,
) -> Result<(), Failure> {
    let report = Sim::run(sim.seed(args.seed).codec(args.codec), story).map_err(internal)??;
    let text = if args.json {
        output::json(&report)
    } else {
        let rows = report.rows().into_iter().map(|(what, figure)| format!("  {what:<46}{figure}\n"));
        format!("{}\n{}", report.title(), rows.collect::<String>())
    };
    output::print(&text)
}

/// What no input of the user explains.
pub(crate) fn internal(error: impl Display) -> Failure {
    Failure::new(Exit::Internal, error.to_string())
}
