//! Logs to standard error: what `-v`, `-q` and `RUST_LOG` ask for.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use super::args::Logging;

/// Starts logging for this process. `-v` and `-q` go before `RUST_LOG`, and that before the default: `usual`, a level.
pub(super) fn start(logging: &Logging, usual: &str) {
    let filter = match level(logging) {
        Some(level) => EnvFilter::new(level),
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual)),
    };
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colours);
    // An error means that this process has a subscriber already.
    let _ = logs.try_init();
}

fn level(logging: &Logging) -> Option<&'static str> {
    match (logging.quiet, logging.verbose) {
        (true, _) => Some("off"),
        (false, 0) => None,
        (false, 1) => Some("info"),
        (false, 2) => Some("debug"),
        (false, _) => Some("trace"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_v_says_more_and_q_says_nothing() {
        let level = |verbose, quiet| level(&Logging { verbose, quiet });
        assert_eq!(
            [0, 1, 2, 3, 9].map(|v| level(v, false)),
            [None, Some("info"), Some("debug"), Some("trace"), Some("trace")]
        );
        assert_eq!(level(0, true), Some("off"));
    }
}
