//! `kad set`: stores a value, says on how many nodes, and with `--keep` stays to republish it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Serialize;

use super::args::{Network, SetArgs};
use super::deadline::Deadline;
use super::failure::{Exit, Failure};
use super::signals::Signals;
use super::wording::{human, kind_and_length, nodes};
use super::{client, output, stderr, streams};
use crate::actors::events::Event;
use crate::actors::node::Node;
use crate::actors::outcome::{Error, SetOutcome};
use crate::protocol::codec::Codec;
use crate::protocol::config::{DEFAULT_KEY_EXPIRY, DEFAULT_MAX_VALUE_LEN, MAX_DATAGRAM};
use crate::protocol::value::Value;

pub(super) async fn run(args: SetArgs) -> Result<(), Failure> {
    let SetArgs { key, value, file, bytes, keep, network } = args;
    // Whatever is wrong with key or value is told before anybody is asked.
    client::check_key(&key)?;
    let deadline = Deadline::begin(&network);
    let value = match (value, file) {
        (Some(text), _) => of_argument(text, bytes),
        (None, Some(path)) => deadline.read(&name(&path), move || of_file(&path, bytes)).await?,
        (None, None) => return Err(Failure::new(Exit::Usage, "a value is needed: VALUE or --file PATH")),
    };
    check_value(&value, network.wire)?;
    let (node, outcome) = client::with_client(&deadline, &network, async |node| {
        let outcome = node.set(&key, value.clone()).await?;
        judge(&outcome)?;
        Ok((node.clone(), outcome))
    })
    .await?;
    // Whoever reads that it is stored may stop it at once.
    let signals = if keep { Some(Signals::listen()?) } else { None };
    if network.json {
        deadline.print_json(&StoredJson::new(&key, &value, &outcome)).await?;
    } else {
        deadline.print(report(&key, &value, &outcome, keep)).await?;
    }
    match signals {
        Some(signals) => stay(node, &key, &network, signals).await,
        None => Ok(()),
    }
}

fn check_value(value: &Value, wire: Codec) -> Result<(), Failure> {
    let (len, max) = (value.len(), DEFAULT_MAX_VALUE_LEN);
    if len > max {
        return Err(Error::ValueTooLarge { len, max }.into());
    }
    let (encoded, max) = (wire.legacy_answer_len(value), MAX_DATAGRAM);
    if encoded > max { Err(Error::AnswerTooLarge { encoded, max }.into()) } else { Ok(()) }
}

fn of_argument(text: String, bytes: bool) -> Value {
    if bytes { Value::Bytes(text.into_bytes()) } else { Value::Text(text) }
}

fn is_input(path: &Path) -> bool {
    path == Path::new("-")
}

/// What `path` is called.
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
    let content = read.map_err(|error| Failure::new(Exit::NoInput, format!("cannot read {name}: {error}")))?;
    if content.len() > DEFAULT_MAX_VALUE_LEN {
        let text = format!("{name} has more than {DEFAULT_MAX_VALUE_LEN} bytes, the most that a value may have");
        return Err(Failure::new(Exit::Usage, text));
    }
    if bytes {
        return Ok(Value::Bytes(content));
    }
    Ok(String::from_utf8(content).map_or_else(
        |not_text| {
            stderr::note(format_args!("{name} is not UTF-8 text: it is stored as bytes"));
            Value::Bytes(not_text.into_bytes())
        },
        Value::Text,
    ))
}

/// The content of `source`, or just more of it than a value may have.
fn read_bounded(source: impl Read) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    source.take(DEFAULT_MAX_VALUE_LEN as u64 + 1).read_to_end(&mut content)?;
    Ok(content)
}

/// Whether the value is in the network now: at least one node must hold it.
fn judge(outcome: &SetOutcome) -> Result<(), Failure> {
    match *outcome {
        SetOutcome { stored: 1.., .. } => Ok(()),
        SetOutcome { refused: 0, asked, .. } => Err(client::network_silent(asked)),
        SetOutcome { refused, silent, .. } => {
            let silence = if silent > 0 { format!(" ({} did not answer)", nodes(silent)) } else { String::new() };
            Err(Failure::new(Exit::NotFound, format!("not stored: {} refused it{silence}", nodes(refused))))
        }
    }
}

fn report(key: &str, value: &Value, outcome: &SetOutcome, keep: bool) -> String {
    let SetOutcome { asked, stored, refused, silent, expires_in, .. } = *outcome;
    let where_to = if stored == asked { nodes(stored) } else { format!("{stored} of {}", nodes(asked)) };
    let others = match (refused, silent) {
        (0, 0) => String::new(),
        (0, silent) => format!(" ({silent} did not answer)"),
        (refused, 0) => format!(" ({refused} refused it)"),
        (refused, silent) => format!(" ({refused} refused it, {silent} did not answer)"),
    };
    let (life, by_default) = match expires_in {
        Some(told) => (human(told), ""),
        // Holders that do not tell may have another setting.
        None => (human(DEFAULT_KEY_EXPIRY), " by default"),
    };
    let end = if keep {
        format!(
            "Republishing it for as long as this runs; it expires {life} after the last time{by_default}. Ctrl-C stops."
        )
    } else {
        format!("It expires in {life}{by_default} unless it is republished; --keep stays and does that.")
    };
    format!("Stored {key:?} ({}) on {where_to}{others}.\n{end}\n", kind_and_length(value))
}

/// A stored value for machines. Fields may be added.
#[derive(Serialize)]
struct StoredJson<'a> {
    key: &'a str,
    kind: &'static str,
    bytes: usize,
    asked: usize,
    stored: usize,
    refused: usize,
    silent: usize,
    /// The shortest life that a holder told; null where none did.
    expires_in_seconds: Option<u64>,
}

impl<'a> StoredJson<'a> {
    fn new(key: &'a str, value: &Value, outcome: &SetOutcome) -> Self {
        let SetOutcome { asked, stored, refused, silent, expires_in, .. } = *outcome;
        let expires_in_seconds = expires_in.map(|expires_in| expires_in.as_secs());
        Self { key, kind: value.kind(), bytes: value.len(), asked, stored, refused, silent, expires_in_seconds }
    }
}

/// A republication for machines.
#[derive(Serialize)]
struct RepublishedJson<'a> {
    republished: &'a str,
    stored: usize,
}

/// Stays until a signal comes, so that the node republishes the value, and says when it does.
async fn stay(node: Node, key: &str, network: &Network, mut signals: Signals) -> Result<(), Failure> {
    let mut events = node.events();
    let republish = async {
        loop {
            tell(events.next().await, &node, key, network).await?;
        }
    };
    tokio::select! {
        biased;
        _ = signals.next() => signals.stop(&node).await,
        ended = republish => ended,
    }
}

/// Tells of `event`, if it is one of `key`.
async fn tell(event: Option<Event>, node: &Node, key: &str, network: &Network) -> Result<(), Failure> {
    match event {
        Some(Event::Republished { key: republished, stored }) if republished == key => {
            if network.json {
                return output::print_json(&RepublishedJson { republished: key, stored }).await;
            }
            output::print(format!("Republished on {}.\n", nodes(stored))).await
        }
        Some(Event::Superseded { key: superseded, by }) if superseded == key => {
            let text = format!("{by} has set another value for {key:?}: it is no longer republished from here");
            Err(Failure::new(Exit::NotFound, text))
        }
        Some(_) => Ok(()),
        None => Err(node.stopped().await.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn outcome(asked: usize, stored: usize, refused: usize) -> SetOutcome {
        let expires_in = Some(Duration::from_secs(86_409));
        SetOutcome { asked, stored, refused, silent: asked - stored - refused, expires_in, superseded: false }
    }

    #[test]
    fn the_report_says_how_many_hold_it_and_until_when() {
        let value = Value::from("hello");
        let text = report("greeting", &value, &outcome(1, 1, 0), false);
        assert_eq!(
            text,
            "Stored \"greeting\" (text, 5 bytes) on 1 node.\n\
             It expires in 24 h unless it is republished; --keep stays and does that.\n"
        );
        let text = report("k", &value, &outcome(20, 17, 1), true);
        assert!(text.contains("on 17 of 20 nodes (1 refused it, 2 did not answer)."), "{text}");
        assert!(text.contains("24 h after the last time. Ctrl-C"), "{text}");
    }

    #[test]
    fn a_life_that_no_holder_told_is_said_to_be_the_default() {
        let untold = SetOutcome { expires_in: None, ..outcome(1, 1, 0) };
        let text = |outcome, keep| report("k", &"v".into(), &outcome, keep);
        assert!(text(untold.clone(), false).contains("It expires in 24 h by default unless"));
        assert!(text(untold.clone(), true).contains("24 h after the last time by default. Ctrl-C"));
        let short = SetOutcome { expires_in: Some(Duration::from_secs(120)), ..outcome(1, 1, 0) };
        assert!(text(short, false).contains("It expires in 2 min unless"));
        let json = output::json(&StoredJson::new("k", &"v".into(), &untold));
        assert!(json.ends_with(r#""expires_in_seconds":null}"#), "{json}");
    }

    #[test]
    fn one_node_that_holds_it_is_enough_and_none_is_a_failure() {
        assert!(judge(&outcome(20, 1, 0)).is_ok());
        assert_eq!(judge(&outcome(3, 0, 0)).unwrap_err().exit, Exit::Unavailable);
        assert_eq!(judge(&outcome(0, 0, 0)).unwrap_err().exit, Exit::Unavailable);
        let refused = judge(&outcome(3, 0, 2)).unwrap_err();
        assert_eq!(refused.exit, Exit::NotFound);
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
    fn text_stays_text_unless_bytes_are_asked_for() {
        assert_eq!(of_argument("a".into(), false), Value::from("a"));
        assert_eq!(of_argument("a".into(), true), Value::from(b"a"));
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
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.to_string().contains("more than 60000 bytes"), "{failure}");
        assert_eq!(of_file(&dir.path().join("absent"), false).unwrap_err().exit, Exit::NoInput);
        assert_eq!(read_bounded(io::repeat(0)).unwrap().len(), 60_001);
    }

    #[test]
    fn what_no_node_could_serve_is_refused_in_the_librarys_words() {
        let wide = Value::from("ü".repeat(20_000));
        assert_eq!(check_value(&wide, Codec::Json).unwrap_err().exit, Exit::Usage);
        assert!(check_value(&wide, Codec::Bencode).is_ok());
    }
}
