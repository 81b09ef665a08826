//! `kad-lab growth`: how long the steps of a node take, and how much memory it has, as it knows more peers, holds more values and
//! runs more lookups.

mod lookups;
mod series;
mod store;
mod table;

use std::path::PathBuf;

use clap::Args;

use crate::failure::Failure;
use crate::folder::Folder;
use crate::{charts, output};

pub(crate) use self::series::{Part, Series};

pub(crate) const GROWTH_EXAMPLES: &str = "\
Examples:
  kad-lab growth                            # the table; some minutes
  kad-lab growth --values 100000            # at most so many values
  kad-lab growth --plot docs/img            # and a chart of each part

A step is one call of the part that is measured, without sockets, actors and codecs: the routing table, the store in memory, with \
the record in its backend. Each point is the median of five rounds, of up to 10,000 steps each. Lookups run in a simulated network \
of 200 nodes, in one process; their time is that of all nodes. Memory is what the process has more of, from /proc (Linux), \
divided by the number of peers or values.";

#[derive(Debug, Args)]
pub(crate) struct GrowthArgs {
    /// Peers of the routing table, at most. Buckets of 20 have room for 3,200
    #[arg(long, value_name = "N", default_value = "3000", value_parser = clap::value_parser!(u32).range(100..=3_000))]
    peers: u32,
    /// Values in the store, at most
    #[arg(long, value_name = "N", default_value = "1000000", value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    values: u32,
    /// Lookups at once, at most
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    lookups: u32,
    /// Write charts (SVG) into this directory, which is created if need be
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,
    /// Print the figures as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Measures, and prints the figures.
pub(crate) fn run(args: &GrowthArgs) -> Result<(), Failure> {
    // What cannot be written fails before minutes have passed.
    let folder = args.plot.as_deref().map(Folder::open).transpose()?;
    let mut all = table::measure(&sizes(100, args.peers))?;
    all.extend(store::measure(&sizes(1_000, args.values))?);
    all.push(lookups::measure(&sizes(1, args.lookups))?);
    if let Some(folder) = folder {
        folder.write(charts::growth(&all))?;
    }
    output::print(&if args.json { output::json(&all) } else { series::text(&all) })
}

/// Powers of ten from `first` on, and `last`.
fn sizes(first: u32, last: u32) -> Vec<usize> {
    let powers = std::iter::successors(Some(first as usize), |size| Some(size * 10));
    powers.take_while(|size| *size < last as usize).chain([last as usize]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_ten_and_the_last() {
        assert_eq!(sizes(100, 10_000), [100, 1_000, 10_000]);
        assert_eq!(sizes(1, 50), [1, 10, 50]);
        assert_eq!(sizes(1, 1), [1]);
    }

    #[test]
    fn each_step_is_measured_at_each_size() {
        let mut all = table::measure(&[100, 200]).unwrap();
        all.extend(store::measure(&[100, 200]).unwrap());
        all.push(lookups::measure(&[1, 2]).unwrap());
        for series in &all {
            assert_eq!(series.points.len(), 2, "{}", series.step);
            assert!(series.points.iter().all(|point| point.nanos > 0.0), "{series:?}");
        }
        let (charts, text) = (charts::growth(&all), series::text(&all));
        assert_eq!(charts.len(), Part::ALL.len());
        for series in &all {
            assert!(text.contains(series.step), "{}", series.step);
            let drawn = charts.iter().filter(|(_, svg)| svg.contains(series.step) && svg.contains(series.part.name()));
            assert!(drawn.count() >= 1, "{}", series.step);
        }
    }
}
