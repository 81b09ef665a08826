//! `kad values`: the keys that a running node publishes or holds for others.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value as Json;

use super::client::Client;
use super::url::encode;
use crate::actors::requests::MAX_PAGE;
use crate::cli::args::remote::ValuesArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Reader};
use crate::cli::wording::human;

/// A page of the gateway.
#[derive(Deserialize)]
struct Page {
    values: Vec<Json>,
    next: Option<String>,
}

/// A key, as far as a line shows it.
#[derive(Deserialize)]
struct Held {
    key: String,
    class: String,
    pinned: bool,
    bytes: usize,
    expires_in: f64,
}

pub(in crate::cli) async fn run(ValuesArgs { prefix, remote }: ValuesArgs) -> Result<(), Failure> {
    let client = Client::new(&remote)?;
    let mut after: Option<String> = None;
    loop {
        let mut path = format!("v1/values?limit={MAX_PAGE}&prefix={}", encode(&prefix));
        if let Some(after) = &after {
            path += &format!("&after={}", encode(after));
        }
        let Page { values, next } = client.get(path).await?;
        let mut text = String::new();
        if !remote.json && after.is_none() {
            text += if values.is_empty() { "No key.\n" } else { "CLASS      BYTES  ENDS IN  PINNED  KEY\n" };
        }
        for value in values {
            text += &if remote.json { output::json(&value) + "\n" } else { line(value) };
        }
        if output::stream(text).await? == Reader::Gone || next.is_none() {
            return Ok(());
        }
        after = next;
    }
}

/// The key stands last, since it may be long.
fn line(value: Json) -> String {
    match serde_json::from_value(value.clone()) {
        Ok(Held { key, class, pinned, bytes, expires_in }) => {
            let ends = human(Duration::try_from_secs_f64(expires_in).unwrap_or_default());
            let pinned = if pinned { "yes" } else { "" };
            format!("{class:9}  {bytes:5}  {ends:7}  {pinned:6}  {key:?}\n")
        }
        Err(_) => output::json(&value) + "\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_key_is_one_line_whatever_it_contains() {
        let value =
            json!({"key": "a\n\u{1b}]0;", "class": "published", "pinned": true, "bytes": 12, "expires_in": 7_300.0});
        assert_eq!(line(value), "published     12  2 h      yes     \"a\\n\\u{1b}]0;\"\n");
    }
}
