//! The options of `kad-lab sim`, and how shares are written. What they mean together is the experiment's
//! business, which refuses what makes no sense.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::experiment::{
    self, CachingExperiment, Experiment, MAX_LOSS, MAX_NODES, MAX_PER_MINUTE, MAX_VALUES, MIN_NODES, SizeSeries,
};

pub(crate) const SIM_EXAMPLES: &str = "\
Examples:
  kad-lab sim                           # 200 nodes for an hour: seconds of yours
  kad-lab sim --nodes 300 --hours 12 --churn 1h --plot charts
                                        # half of the nodes leave within an hour; SVG charts
  kad-lab sim --loss 0.05               # a bad network
  kad-lab sim --legacy 0.5              # half of the nodes are the Python package's
  kad-lab sim --sizes 200,1000 --json   # hops and recall against network size

Time is virtual, and all chances come from the seed: the same options print the same JSON. Ctrl-C ends a run early, with \
the report of what ran so far (exit code 130); a second one ends it at once.";

/// The longest run, in hours.
const MAX_HOURS: f64 = (experiment::MAX_DURATION.as_secs() / 3_600) as f64;

#[derive(Debug, Args)]
pub(crate) struct SimArgs {
    /// How many nodes, 2 to 100000
    #[arg(long, value_name = "N", default_value = "200", value_parser = nodes)]
    pub(crate) nodes: usize,
    /// How long, in virtual hours; decimals are fine
    #[arg(long, value_name = "H", default_value = "1", value_parser = hours)]
    pub(crate) hours: Duration,
    /// Nodes come and go: half of them leave within this time (90s, 15m, 4h, 2d), and others join
    #[arg(long, value_name = "HALF_LIFE", value_parser = half_life)]
    pub(crate) churn: Option<Duration>,
    /// Publishers come and go as well. A value then ends with its expiry, a day after it was set, unless legacy nodes prolong it
    #[arg(long, requires = "churn")]
    pub(crate) churn_publishers: bool,
    /// The share of datagrams that get lost, 0 to 0.9
    #[arg(long, value_name = "P", default_value = "0", value_parser = loss)]
    pub(crate) loss: f64,
    /// The share of nodes that behave as the Python package does, 0 to 1; one at least is ours. They speak JSON
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    pub(crate) legacy: f64,
    /// How many values are published, 1 to 100000
    #[arg(long, value_name = "V", default_value = "20", value_parser = values)]
    pub(crate) values: usize,
    /// Reads in each virtual minute, 1 to 10000: of the values in turn, each by any node
    #[arg(long, value_name = "R", default_value = "10", value_parser = reads)]
    pub(crate) reads: usize,
    /// Reads in each virtual minute by visitors, 0 to 10000: clients that come for one read and hold nothing
    #[arg(long, value_name = "R", default_value = "0", value_parser = visits)]
    pub(crate) visits: usize,
    /// Where all chances come from
    #[arg(long, value_name = "S", default_value = "1")]
    pub(crate) seed: u64,
    /// Measure lookups in static networks of these sizes as well, 20 at most [default with --plot: some up to N]
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', value_parser = nodes)]
    pub(crate) sizes: Vec<usize>,
    /// Measure caching along the path as well: how many reads cached copies answer, and how many of those are out of date
    #[arg(long)]
    pub(crate) caching: bool,
    /// Write charts into this directory: availability, copies, hops, latency and caching, as SVG
    #[arg(long, value_name = "DIR")]
    pub(crate) plot: Option<PathBuf>,
    /// Print the report as one line of JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

impl SimArgs {
    /// The experiment that they describe.
    pub(crate) fn experiment(&self) -> Experiment {
        Experiment {
            nodes: self.nodes,
            duration: self.hours,
            half_life: self.churn,
            loss: self.loss,
            legacy: self.legacy,
            values: self.values,
            churn_publishers: self.churn_publishers,
            reads_per_minute: self.reads,
            visits_per_minute: self.visits,
            seed: self.seed,
            ..Experiment::default()
        }
    }

    /// The networks in which lookups are measured; none unless they are asked for, or drawn.
    pub(crate) fn size_series(&self) -> Option<SizeSeries> {
        let mut sizes = match (&self.sizes[..], &self.plot) {
            ([], None) => return None,
            ([], Some(_)) => sizes_up_to(self.nodes),
            (given, _) => given.to_vec(),
        };
        sizes.sort_unstable();
        sizes.dedup();
        Some(SizeSeries { sizes, loss: self.loss, seed: self.seed, ..SizeSeries::default() })
    }

    /// The network in which caching along the path is measured, if it is asked for.
    pub(crate) fn caching_experiment(&self) -> Option<CachingExperiment> {
        self.caching.then(|| CachingExperiment { seed: self.seed, ..CachingExperiment::default() })
    }
}

/// Sizes that are evenly spaced on a logarithmic axis, at most six, the last of which is `nodes`.
fn sizes_up_to(nodes: usize) -> Vec<usize> {
    let steps = (1..).flat_map(|power| [1, 2, 5].map(|step| step * 10usize.pow(power)));
    let mut sizes: Vec<usize> = steps.take_while(|size| *size < nodes).collect();
    sizes.push(nodes);
    sizes.split_off(sizes.len().saturating_sub(6))
}

fn nodes(text: &str) -> Result<usize, String> {
    whole(text, MIN_NODES, MAX_NODES)
}

fn values(text: &str) -> Result<usize, String> {
    whole(text, 1, MAX_VALUES)
}

fn reads(text: &str) -> Result<usize, String> {
    whole(text, 1, MAX_PER_MINUTE)
}

fn visits(text: &str) -> Result<usize, String> {
    whole(text, 0, MAX_PER_MINUTE)
}

fn whole(text: &str, min: usize, max: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(format!("a whole number from {min} to {max} is needed")),
    }
}

fn hours(text: &str) -> Result<Duration, String> {
    let min = experiment::MIN_DURATION.as_secs_f64() / 3_600.0;
    match text.parse::<f64>() {
        // A minute is a sixtieth of an hour, which has no decimals that end.
        Ok(hours) if (min - 0.001..=MAX_HOURS).contains(&hours) => {
            Ok(Duration::from_secs(((hours * 60.0).round() * 60.0) as u64))
        }
        _ => Err(format!("hours are a number from {min:.4} (one minute) to {MAX_HOURS}")),
    }
}

fn loss(text: &str) -> Result<f64, String> {
    number(text, MAX_LOSS).ok_or_else(|| format!("a loss is a share from 0 to {MAX_LOSS}: 0.05 is 5 %"))
}

fn share(text: &str) -> Result<f64, String> {
    number(text, 1.0).ok_or_else(|| "a share is a number from 0 to 1: 0.5 is half".to_owned())
}

fn number(text: &str, max: f64) -> Option<f64> {
    text.parse().ok().filter(|share| (0.0..=max).contains(share))
}

fn half_life(text: &str) -> Result<Duration, String> {
    let (min, max) = (experiment::MIN_HALF_LIFE, experiment::MAX_DURATION);
    match span(text) {
        Some(half_life) if (min..=max).contains(&half_life) => Ok(half_life),
        Some(_) => Err(format!("a half-life is {} seconds to {} days", min.as_secs(), max.as_secs() / 86_400)),
        None => Err("a duration is a number and its unit: 90s, 15m, 4h or 2d".to_owned()),
    }
}

/// `90s`, `15m`, `4h`, `1.5h`, `2d`; `None` where it is not written like that.
fn span(text: &str) -> Option<Duration> {
    let unit = text.trim_start_matches(|char: char| char.is_ascii_digit() || char == '.');
    let seconds = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    let count: f64 = text.strip_suffix(unit)?.parse().ok()?;
    Duration::try_from_secs_f64(count * seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Cli, Command};
    use crate::experiment::MAX_SIZES;
    use clap::{CommandFactory, Parser};

    fn parse(args: &[&str]) -> Result<SimArgs, String> {
        match Cli::try_parse_from([&["kad-lab", "sim"], args].concat()) {
            Ok(Cli { command: Command::Sim(sim), .. }) => Ok(sim),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn what_is_out_of_its_range_is_refused_with_the_range() {
        for (option, bad, says) in [
            ("--nodes", "1", "from 2 to 100000"),
            ("--nodes", "many", "from 2 to 100000"),
            ("--hours", "0", "one minute"),
            ("--hours", "1e9", "8784"),
            ("--churn", "30s", "60 seconds to 366 days"),
            ("--churn", "4", "90s, 15m, 4h or 2d"),
            ("--loss", "0.95", "from 0 to 0.9"),
            ("--loss", "5%", "0.05 is 5 %"),
            ("--legacy", "2", "from 0 to 1"),
            ("--values", "0", "from 1 to 100000"),
            ("--reads", "10001", "from 1 to 10000"),
            ("--visits", "-1", "from 0 to 10000"),
            ("--seed", "-1", "invalid"),
            ("--sizes", "200,1", "from 2 to 100000"),
        ] {
            let error = parse(&[&format!("{option}={bad}")]).unwrap_err();
            assert!(error.contains(says) && error.contains(option), "{option} {bad}: {error}");
        }
        assert!(parse(&["--churn-publishers"]).unwrap_err().contains("--churn"));
    }

    #[test]
    fn whatever_the_options_permit_the_experiment_permits() {
        for args in [
            &[][..],
            &["--nodes", "2", "--hours", "0.0167", "--values", "1", "--reads", "1"],
            &[
                "--nodes",
                "100000",
                "--hours",
                "8784",
                "--churn",
                "366d",
                "--churn-publishers",
                "--loss",
                "0.9",
                "--legacy",
                "1",
            ],
            &["--churn", "1m", "--values", "100000", "--reads", "10000"],
        ] {
            let experiment = parse(args).unwrap().experiment();
            assert!(experiment.validate().is_ok(), "{args:?}");
        }
        assert_eq!(parse(&[]).unwrap().experiment(), Experiment::default());
        assert_eq!(parse(&["--hours", "0.5"]).unwrap().hours, Duration::from_secs(1_800));
        let churn = ["90s", "1.5h", "2d"].map(|text| parse(&["--churn", text]).unwrap().churn.unwrap().as_secs());
        assert_eq!(churn, [90, 5_400, 172_800]);
    }

    #[test]
    fn what_the_help_says_of_limits_is_what_they_are() {
        let help = Cli::command().find_subcommand_mut("sim").unwrap().render_help().to_string();
        // Where its lines end is no matter.
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for limits in [
            format!("{MIN_NODES} to {MAX_NODES}"),
            format!("0 to {MAX_LOSS}"),
            format!("1 to {MAX_VALUES}"),
            format!("1 to {MAX_PER_MINUTE}"),
            format!("0 to {MAX_PER_MINUTE}"),
            format!("{MAX_SIZES} at most"),
        ] {
            assert!(help.contains(&limits), "{limits}: {help}");
        }
    }

    #[test]
    fn sizes_are_those_given_or_some_up_to_the_networks_own() {
        let sizes = |args: &[&str]| parse(args).unwrap().size_series().map(|series| series.sizes);
        assert_eq!(sizes(&[]), None);
        assert_eq!(sizes(&["--sizes", "1000,200,200"]), Some(vec![200, 1_000]));
        assert_eq!(sizes(&["--nodes", "300", "--plot", "d"]), Some(vec![10, 20, 50, 100, 200, 300]));
        assert_eq!(sizes(&["--nodes", "10000", "--plot", "d"]), Some(vec![200, 500, 1_000, 2_000, 5_000, 10_000]));
        assert_eq!(sizes(&["--nodes", "7", "--plot", "d"]), Some(vec![7]));
        assert_eq!(sizes(&["--nodes", "7", "--plot", "d", "--sizes", "50"]), Some(vec![50]));
        // None of them is left out in silence.
        let many = (2..=22).map(|size| size.to_string()).collect::<Vec<_>>().join(",");
        let series = parse(&["--sizes", &many]).unwrap().size_series().unwrap();
        assert_eq!(series.validate().unwrap_err().to_string(), "the number of sizes must be 0 to 20, not 21");
    }
}
