//! `kad watch`: the values of keys as they are found and as they change.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::client::{Ask, Client};
use super::keys;
use super::stream::follow;
use crate::cli::args::remote::WatchArgs;
use crate::cli::failure::Failure;
use crate::cli::wording::human;

/// The most characters of a value that a line shows.
const SHOWN: usize = 200;

pub(in crate::cli) async fn run(WatchArgs { keys, remote }: WatchArgs) -> Result<(), Failure> {
    let keys = keys::all(keys).await?;
    let client = Client::new(&remote)?;
    let ask = Ask::Post(json!({ "keys": keys }).to_string());
    follow(client, ask, "v1/watch".to_owned(), remote.json, line).await
}

/// A change as a line.
fn line(change: &Json) -> String {
    let key = change["key"].as_str().unwrap_or_default();
    match change["event"].as_str() {
        Some("value") => {
            let expires_in =
                change["expires_in"].as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            let ends = expires_in.map(|left| format!("  (ends in {})", human(left))).unwrap_or_default();
            format!("{key:?}  {}{ends}", value(change))
        }
        Some("absent") => format!("{key:?}  absent"),
        Some("missed") => {
            format!("{} changes were missed: this command, or its reader, was too slow", change["changes"])
        }
        _ => crate::cli::output::json(change),
    }
}

fn value(change: &Json) -> String {
    if let Some(bytes) = change["value_base64"].as_str() {
        return format!("bytes, base64 {}", shortened(bytes));
    }
    format!("{:?}", shortened(change["value"].as_str().unwrap_or_default()))
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes in all)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_a_line_however_long_and_whatever_its_value_is() {
        let change =
            json!({"event": "value", "key": "k\n", "kind": "text", "value": "\u{1b}[2J\n", "expires_in": 7_300.0});
        assert_eq!(line(&change), "\"k\\n\"  \"\\u{1b}[2J\\n\"  (ends in 2 h)");
        assert_eq!(line(&json!({"event": "absent", "key": "k"})), "\"k\"  absent");
        let long = line(&json!({"event": "value", "key": "k", "value": "é".repeat(60_000), "expires_in": null}));
        assert!(long.ends_with("é… (120000 bytes in all)\"") && long.chars().count() < 300, "{long}");
        assert!(line(&json!({"event": "missed", "changes": 7})).starts_with("7 changes were missed"));
    }
}
