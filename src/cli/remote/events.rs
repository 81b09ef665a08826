//! `kad events`: what happens in a running node, as it happens.

use serde_json::Value as Json;

use super::client::{Ask, Client};
use super::stream::follow;
use super::url::encode;
use crate::cli::args::remote::EventsArgs;
use crate::cli::failure::Failure;

pub(in crate::cli) async fn run(EventsArgs { kinds, remote }: EventsArgs) -> Result<(), Failure> {
    let client = Client::new(&remote)?;
    let path = match kinds.is_empty() {
        true => "v1/events".to_owned(),
        false => format!("v1/events?kinds={}", encode(&kinds.join(","))),
    };
    follow(client, Ask::Get, path, remote.json, line).await
}

/// An event as a line: its kind, and its fields as `name=value`.
fn line(event: &Json) -> String {
    let kind = event["event"].as_str().unwrap_or("unknown");
    let fields = event.as_object().into_iter().flatten().filter(|(name, _)| *name != "event");
    let fields = fields.map(|(name, value)| format!("  {name}={}", shown(value)));
    format!("{kind:13}{}", fields.collect::<String>()).trim_end().to_owned()
}

fn shown(value: &Json) -> String {
    let plain = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && !"\"'=\\".contains(c));
    match value {
        Json::String(text) if plain(text) => text.clone(),
        Json::String(text) => format!("{text:?}"),
        Json::Array(_) | Json::Object(_) => crate::cli::output::json(value),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_a_line_whose_texts_cannot_be_taken_for_other_fields() {
        assert_eq!(line(&json!({"event": "network_lost"})), "network_lost");
        let event = json!({"event": "republished", "key": "a b=\u{1b}\n\u{202e}", "stored": 3});
        assert_eq!(line(&event), r#"republished    key="a b=\u{1b}\n\u{202e}"  stored=3"#);
        let event = json!({"event": "joined", "answered": [], "failed": ["\u{9b}"]});
        assert_eq!(line(&event), r#"joined         answered=[]  failed=["\u009b"]"#);
    }
}
