//! `kad set`: stores a value, reports on how many nodes, and with `--republish` stays to republish it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Serialize;
use serde_json::json;

use super::args::{Network, SetArgs};
use super::deadline::Deadline;
use super::failure::{Exit, Failure};
use super::signals::Signals;
use super::wording::{counts, human, kind_and_length, nodes};
use super::{blocking::off_thread, client, output, stderr, streams};
use crate::actors::events::{Event, EventKind};
use crate::actors::node::Node;
use crate::actors::outcome::{Error, SetOutcome};
use crate::protocol::codec::Codec;
use crate::protocol::config::{Config, MAX_DATAGRAM};
use crate::protocol::value::Value;

/// The longest value that nodes take unless they are configured otherwise.
const MAX_LEN: usize = Config::DEFAULT.store.max_value_len;

pub(super) async fn run(args: SetArgs) -> Result<(), Failure> {
    let SetArgs { key, value, file, bytes, republish, network } = args;
    // A key or a value that is not permitted is reported before any node is asked.
    client::check_key(&key)?;
    let deadline = Deadline::begin(&network);
    let value = match (value, file) {
        (Some(text), _) if bytes => Value::Bytes(text.into_bytes()),
        (Some(text), _) => Value::Text(text),
        (None, Some(path)) => {
            let late = format!("cannot read {}: it did not end", name(&path));
            let read = async { off_thread(move || of_file(&path, bytes)).await? };
            deadline.within(Exit::NO_INPUT, late, read).await?
        }
        (None, None) => return Err(Failure::new(Exit::USAGE, "a value is needed: VALUE or --file PATH")),
    };
    check_value(&value, network.wire)?;
    let (node, outcome) = client::with_client(&deadline, async |node| {
        let outcome = node.set(&key, value.clone()).await?;
        judge(&outcome)?;
        Ok((node.clone(), outcome))
    })
    .await?;
    // A reader of the report may send a signal at once.
    let signals = if republish { Some(Signals::listen()?) } else { None };
    let text = report(&key, &value, &outcome, republish);
    deadline.report(&StoredJson::new(&key, &value, &outcome), text).await?;
    match signals {
        Some(signals) => stay(node, &key, &network, signals).await,
        None => Ok(()),
    }
}

fn check_value(value: &Value, wire: Codec) -> Result<(), Failure> {
    let (len, max) = (value.len(), MAX_LEN);
    if len > max {
        return Err(Error::ValueTooLarge { len, max }.into());
    }
    let (encoded, max) = (wire.legacy_answer_len(value), MAX_DATAGRAM);
    if encoded > max { Err(Error::AnswerTooLarge { encoded, max }.into()) } else { Ok(()) }
}

fn is_input(path: &Path) -> bool {
    path == Path::new("-")
}

/// What `path` is called in a message.
fn name(path: &Path) -> String {
    if is_input(path) { "standard input".to_owned() } else { path.display().to_string() }
}

fn of_file(path: &Path, bytes: bool) -> Result<Value, Failure> {
    let name = name(path);
    let read = if is_input(path) {
        streams::input().and_then(read_bounded)
    } else {
        File::open(path).and_then(|file| read_bounded(streams::patient(file)))
    };
    let content = read.map_err(Failure::of(Exit::NO_INPUT, format_args!("cannot read {name}")))?;
    if content.len() > MAX_LEN {
        let text = format!("{name} has more than {MAX_LEN} bytes, the most that a value may have");
        return Err(Failure::new(Exit::USAGE, text));
    }
    if bytes {
        return Ok(Value::Bytes(content));
    }
    Ok(String::from_utf8(content).map(Value::Text).unwrap_or_else(|not_text| {
        stderr::note(format_args!("{name} is not UTF-8 text: it is stored as bytes"));
        Value::Bytes(not_text.into_bytes())
    }))
}

/// The content of `source`, or its beginning with one byte more than a value may have.
fn read_bounded(source: impl Read) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    source.take(MAX_LEN as u64 + 1).read_to_end(&mut content)?;
    Ok(content)
}

/// Fails unless at least one node holds the value now.
fn judge(outcome: &SetOutcome) -> Result<(), Failure> {
    match *outcome {
        SetOutcome { stored: 1.., .. } => Ok(()),
        SetOutcome { refused: 0, asked, .. } => Err(Failure::network_silent(asked)),
        SetOutcome { refused, silent, .. } => {
            let silence = if silent > 0 { format!(" ({} did not answer)", nodes(silent)) } else { String::new() };
            Err(Failure::new(Exit::NOT_FOUND, format!("not stored: {} refused it{silence}", nodes(refused))))
        }
    }
}

fn report(key: &str, value: &Value, outcome: &SetOutcome, republish: bool) -> String {
    let SetOutcome { asked, stored, refused, silent, expires_in, .. } = *outcome;
    let holders = if stored == asked { nodes(stored) } else { format!("{stored} of {}", nodes(asked)) };
    let others = counts([(refused, "refused it"), (silent, "did not answer")]);
    let others = if others.is_empty() { others } else { format!(" ({others})") };
    // Holders that do not say may have another setting.
    let by_default = if expires_in.is_none() { " by default" } else { "" };
    let life = human(expires_in.unwrap_or(Config::DEFAULT.values.key_expiry));
    let end = if republish {
        format!("This command republishes it until Ctrl-C; it expires {life} after the last publication{by_default}.")
    } else {
        format!("It expires in {life}{by_default} unless it is republished, which --republish stays for.")
    };
    format!("Stored {key:?} ({}) on {holders}{others}.\n{end}\n", kind_and_length(value))
}

/// A stored value as JSON. Fields may be added.
#[derive(Serialize)]
struct StoredJson<'a> {
    key: &'a str,
    kind: &'static str,
    bytes: usize,
    asked: usize,
    stored: usize,
    refused: usize,
    silent: usize,
    /// The shortest life that a holder reported; null where none did.
    expires_in_seconds: Option<u64>,
}

impl<'a> StoredJson<'a> {
    fn new(key: &'a str, value: &Value, outcome: &SetOutcome) -> Self {
        let SetOutcome { asked, stored, refused, silent, expires_in, .. } = *outcome;
        let expires_in_seconds = expires_in.map(|expires_in| expires_in.as_secs());
        Self { key, kind: value.kind(), bytes: value.len(), asked, stored, refused, silent, expires_in_seconds }
    }
}

/// Stays until a signal comes, while the node republishes the value, and prints each republication.
async fn stay(node: Node, key: &str, network: &Network, mut signals: Signals) -> Result<(), Failure> {
    let mut events = node.events_of([EventKind::Republished, EventKind::Superseded]);
    let republish = async {
        loop {
            match events.next().await {
                Some(Event::Republished { key: republished, stored }) if republished == key => {
                    let line = if network.json {
                        output::json(&json!({ "republished": key, "stored": stored })) + "\n"
                    } else {
                        format!("Republished on {}.\n", nodes(stored))
                    };
                    output::print(line).await?;
                }
                Some(Event::Superseded { key: superseded, by }) if superseded == key => {
                    let text = format!("{by} has set another value for {key:?}: it is no longer republished from here");
                    return Err(Failure::new(Exit::NOT_FOUND, text));
                }
                Some(_) => {}
                None => return Err(node.stopped().await.into()),
            }
        }
    };
    tokio::select! {
        biased;
        _ = signals.next() => signals.stop(&node).await,
        ended = republish => ended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn outcome(asked: usize, stored: usize, refused: usize) -> SetOutcome {
        let expires_in = Some(Duration::from_secs(86_409));
        SetOutcome { asked, stored, refused, silent: asked - stored - refused, expires_in, ..SetOutcome::default() }
    }

    #[test]
    fn the_report_says_how_many_hold_it_and_until_when() {
        let value = Value::from("hello");
        let text = report("greeting", &value, &outcome(1, 1, 0), false);
        assert_eq!(
            text,
            "Stored \"greeting\" (text, 5 bytes) on 1 node.\n\
             It expires in 24 h unless it is republished, which --republish stays for.\n"
        );
        let text = report("k", &value, &outcome(20, 17, 1), true);
        assert!(text.contains("on 17 of 20 nodes (1 refused it, 2 did not answer)."), "{text}");
        assert!(text.contains("24 h after the last publication."), "{text}");
    }

    #[test]
    fn a_life_that_no_holder_reported_is_said_to_be_the_default() {
        let unreported = SetOutcome { expires_in: None, ..outcome(1, 1, 0) };
        let text = |outcome, republish| report("k", &"v".into(), &outcome, republish);
        assert!(text(unreported.clone(), false).contains("It expires in 24 h by default unless"));
        assert!(text(unreported.clone(), true).contains("24 h after the last publication by default."));
        let short = SetOutcome { expires_in: Some(Duration::from_secs(120)), ..outcome(1, 1, 0) };
        assert!(text(short, false).contains("It expires in 2 min unless"));
        let json = output::json(&StoredJson::new("k", &"v".into(), &unreported));
        assert!(json.ends_with(r#""expires_in_seconds":null}"#), "{json}");
    }

    #[test]
    fn one_node_that_holds_it_is_enough_and_none_is_a_failure() {
        assert!(judge(&outcome(20, 1, 0)).is_ok());
        assert_eq!(judge(&outcome(3, 0, 0)).unwrap_err().exit, Exit::UNAVAILABLE);
        assert_eq!(judge(&outcome(0, 0, 0)).unwrap_err().exit, Exit::UNAVAILABLE);
        let refused = judge(&outcome(3, 0, 2)).unwrap_err();
        assert_eq!(refused.exit, Exit::NOT_FOUND);
        assert_eq!(refused.to_string(), "not stored: 2 nodes refused it (1 node did not answer)");
    }

    #[test]
    fn json_has_the_counts_and_the_expiry_in_seconds() {
        let value = Value::from(b"\0");
        assert_eq!(
            output::json(&StoredJson::new("k", &value, &outcome(2, 1, 0))),
            r#"{"key":"k","kind":"bytes","bytes":1,"asked":2,"stored":1,"refused":0,"silent":1,"expires_in_seconds":86409}"#
        );
    }

    #[test]
    fn a_file_is_text_if_it_can_be_and_is_read_no_further_than_a_value_goes() {
        let dir = tempfile::tempdir().unwrap();
        let write = |content: &[u8]| {
            let path = dir.path().join("value");
            std::fs::write(&path, content).unwrap();
            path
        };
        assert_eq!(of_file(&write("hé\n".as_bytes()), false).unwrap(), Value::from("hé\n"));
        assert_eq!(of_file(&write(b"hi"), true).unwrap(), Value::from(b"hi"));
        assert_eq!(of_file(&write(b"\xff\0"), false).unwrap(), Value::from(b"\xff\0"));
        assert_eq!(of_file(&write(b""), false).unwrap(), Value::from(""));
        assert_eq!(of_file(&write(&[b'x'; 60_000]), false).unwrap().len(), 60_000);
        let failure = of_file(&write(&[b'x'; 60_001]), false).unwrap_err();
        assert_eq!(failure.exit, Exit::USAGE);
        assert!(failure.to_string().contains("more than 60000 bytes"), "{failure}");
        assert_eq!(of_file(&dir.path().join("absent"), false).unwrap_err().exit, Exit::NO_INPUT);
        assert_eq!(read_bounded(io::repeat(0)).unwrap().len(), 60_001);
    }

    #[test]
    fn what_no_node_could_serve_is_refused_in_the_librarys_words() {
        let wide = Value::from("ü".repeat(20_000));
        assert_eq!(check_value(&wide, Codec::Json).unwrap_err().exit, Exit::USAGE);
        assert!(check_value(&wide, Codec::Bencode).is_ok());
    }
}
