//! The log, on standard error, as `-v`, `-q`, `--log-format` and `RUST_LOG` set it.

use std::ffi::OsStr;
use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use super::args::{LogFormat, Logging};
use super::stderr;

/// What a node logs by default. The HTTP server's libraries log how they begin, and what clients send them that is no HTTP: so a
/// stranger would fill the log.
pub(super) const NODE: &str = "info,actix_server=warn,actix_http=off";

/// Starts the log of this process. `-v` and `-q` take precedence over `RUST_LOG`, and that over `usual`, a level.
pub(super) fn start(logging: &Logging, format: LogFormat, usual: &str) {
    let wanted = std::env::var_os("RUST_LOG").filter(|_| level(logging).is_none());
    let (filter, wrong) = match wanted.as_deref().map(filter_of) {
        Some(Ok(Some(filter))) => (filter, None),
        Some(Err(why)) => (EnvFilter::new(usual), wanted.zip(Some(why))),
        Some(Ok(None)) | None => (EnvFilter::new(level(logging).unwrap_or(usual)), None),
    };
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr::lines).log_internal_errors(false);
    // An error means that this process has a log already.
    let _ = match format {
        LogFormat::Text => logs.with_ansi(colours).finish().try_init(),
        LogFormat::Json => {
            stderr::write_json();
            logs.json().flatten_event(true).with_ansi(false).finish().try_init()
        }
    };
    if let Some((text, error)) = wrong {
        tracing::warn!(RUST_LOG = ?text, %error, "RUST_LOG is not used");
    }
}

/// What `wanted` selects; `None` if it says nothing.
fn filter_of(wanted: &OsStr) -> Result<Option<EnvFilter>, String> {
    let text = wanted.to_str().ok_or("it is no UTF-8 text")?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    EnvFilter::try_new(text).map(Some).map_err(|error| error.to_string())
}

fn level(logging: &Logging) -> Option<&'static str> {
    match (logging.quiet, logging.verbose) {
        (true, _) => Some("off"),
        (false, 0) => None,
        (false, 1) => Some("info,actix_server=warn,actix_http=off,kademlia_dynamic=debug"),
        (false, 2) => Some("info,actix_server=warn,actix_http=off,kademlia_dynamic=trace"),
        (false, _) => Some("trace"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_v_says_more_and_q_says_nothing() {
        let level = |verbose, quiet| level(&Logging { verbose, quiet });
        let ours = [format!("{NODE},kademlia_dynamic=debug"), format!("{NODE},kademlia_dynamic=trace")];
        let levels = [&*ours[0], &*ours[1], "trace", "trace"].map(Some);
        assert_eq!([1, 2, 3, 9].map(|v| level(v, false)), levels);
        assert_eq!([level(0, false), level(0, true)], [None, Some("off")]);
        assert!(levels.into_iter().flatten().chain([NODE]).all(|level| EnvFilter::try_new(level).is_ok()));
    }
}
