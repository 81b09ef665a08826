//! `kad get`: reads a value. A pipe or a file gets exactly the bytes that were stored; a terminal gets readable text.

use std::cell::Cell;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;

use super::args::GetArgs;
use super::deadline::Deadline;
use super::failure::{Exit, Failure};
use super::wording::{kind_and_length, nodes};
use super::{blocking::off_thread, client, saving, stderr, trace};
use crate::GetOptions;
use crate::actors::outcome::{GetOutcome, GetResult};
use crate::protocol::lookup::{Trace, Votes};
use crate::protocol::peer::Peer;
use crate::protocol::value::Value;

pub(super) async fn run(args: GetArgs) -> Result<(), Failure> {
    let GetArgs { key, output, network, .. } = &args;
    client::check_key(key)?;
    let deadline = Deadline::begin(network);
    // Of the last attempt that came so far.
    let traced = Cell::new(None);
    let found = client::with_client(&deadline, async |client| {
        let options = GetOptions::default().quorum(args.quorum.into()).trace(args.trace);
        let GetOutcome { result, trace, .. } = client.get_with(key, options).await?;
        traced.set(Some(trace));
        Found::of(key, result)
    })
    .await;
    let traced = traced.take().filter(|_| args.trace);
    if network.json {
        return print_json(&deadline, key, found, traced.flatten()).await;
    }
    if let Some(trace) = traced {
        stderr::line(trace.map_or_else(|| trace::no_lookup(key), |trace| trace::report(key, &trace)));
    }
    let Found { value, votes, .. } = found?;
    if votes.wanted > 1 {
        stderr::note(agreement(&votes));
    }
    let what = kind_and_length(&value);
    match output {
        Some(path) if path != Path::new("-") => {
            let (target, name) = (path.clone(), path.display());
            let save = async { off_thread(move || saving::save(&target, value.as_bytes())).await? };
            let late = format_args!("cannot write {name}: it did not accept all of it");
            deadline.within(Exit::CANNOT_CREATE, late, save).await?;
            stderr::note(format_args!("wrote {name} ({what})"));
            Ok(())
        }
        _ if io::stdout().is_terminal() => {
            if let Value::Bytes(_) = value {
                stderr::note(format_args!("{what} as hex; --output PATH or a pipe gets them raw"));
            }
            deadline.print(for_terminal(&value)).await
        }
        _ => deadline.print(value.as_bytes()).await,
    }
}

async fn print_json(
    deadline: &Deadline<'_>,
    key: &str,
    found: Result<Found, Failure>,
    trace: Option<Arc<Trace>>,
) -> Result<(), Failure> {
    // Without a value there is nothing but a trace to print.
    if found.is_ok() || trace.is_some() {
        deadline.report(&GetJson::new(key, found.as_ref().ok(), trace), "").await?;
    }
    found.map(drop)
}

/// A value that was found; as JSON, what is to be said of the copy that was read.
#[derive(Serialize)]
struct Found {
    #[serde(skip)]
    value: Value,
    bytes: usize,
    holder: Option<Peer>,
    expires_in_seconds: Option<u64>,
    #[serde(skip)]
    votes: Votes,
}

impl Found {
    fn of(key: &str, result: GetResult) -> Result<Self, Failure> {
        match result {
            GetResult::Found { value, holder, expires_in, votes } => {
                let expires_in_seconds = expires_in.map(|expires_in| expires_in.as_secs());
                Ok(Self { bytes: value.len(), value, holder, expires_in_seconds, votes })
            }
            GetResult::Unsupported { holder } => {
                let text = format!(
                    "{key:?} is held at {}, with a value that is neither text nor bytes: this node cannot represent it",
                    holder.addr
                );
                Err(Failure::new(Exit::DATA, text))
            }
            // This node has just joined: if it knows no peer, those that it knew are gone.
            GetResult::NotFound { answered: 0, .. } => Err(Failure::network_silent(0)),
            GetResult::NotFound { answered, unheard } => {
                let nearer =
                    if unheard > 0 { format!("; {} nearer did not answer", nodes(unheard)) } else { String::new() };
                let text = format!("{key:?} was not found: {} answered, and none holds it{nearer}", nodes(answered));
                Err(Failure::new(Exit::NOT_FOUND, text))
            }
            GetResult::NoneAnswered { asked } => Err(Failure::network_silent(asked)),
        }
    }
}

/// A read as JSON. Fields may be added.
#[derive(Serialize)]
struct GetJson<'a> {
    /// Null where no value was found.
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    key: &'a str,
    #[serde(flatten)]
    found: Option<&'a Found>,
    /// With `--quorum`.
    #[serde(skip_serializing_if = "Option::is_none")]
    votes: Option<Votes>,
    /// With `--trace`.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<Arc<Trace>>,
}

impl<'a> GetJson<'a> {
    fn new(key: &'a str, found: Option<&'a Found>, trace: Option<Arc<Trace>>) -> Self {
        let (value, value_base64) = match found.map(|found| &found.value) {
            Some(Value::Text(text)) => (Some(text.as_str()), None),
            Some(Value::Bytes(bytes)) => (None, Some(BASE64.encode(bytes))),
            None => (None, None),
        };
        Self {
            kind: found.map(|found| found.value.kind()),
            value,
            value_base64,
            key,
            found,
            votes: found.map(|found| found.votes).filter(|votes| votes.wanted > 1),
            trace,
        }
    }
}

/// How many holders gave the value, where several were asked for.
fn agreement(&Votes { agreed, cast, wanted }: &Votes) -> String {
    let missing = if cast < wanted { format!("; {wanted} were wanted, and no more found") } else { String::new() };
    format!("{agreed} of {cast} {} gave this value{missing}", if cast == 1 { "holder" } else { "holders" })
}

/// What a terminal shows: text that ends its line, bytes as hex.
fn for_terminal(value: &Value) -> String {
    match value {
        Value::Text(text) if text.ends_with('\n') => text.clone(),
        Value::Text(text) => format!("{text}\n"),
        Value::Bytes(bytes) => format!("{}\n", hex::encode(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output;
    use std::time::Duration;

    fn json(value: Value) -> String {
        let holder = Some(Peer::new(crate::NodeId::ZERO, "127.0.0.1:8000".parse().unwrap()));
        let expires_in = Some(Duration::from_millis(1_500));
        let found = Found::of("k", GetResult::Found { value, holder, expires_in, votes: Votes::SINGLE }).unwrap();
        output::json(&GetJson::new("k", Some(&found), None))
    }

    #[test]
    fn json_says_the_kind_first() {
        let text = json(Value::from("a\"ü"));
        assert!(
            text.starts_with(r#"{"kind":"text","value":"a\"ü","key":"k","bytes":4,"holder":{"node_id":"0"#),
            "{text}"
        );
        assert!(text.ends_with(r#""expires_in_seconds":1}"#), "{text}");
        assert!(json(Value::from(b"\0\xff")).starts_with(r#"{"kind":"bytes","value_base64":"AP8=","#));
        assert!(json(Value::from(b"")).starts_with(r#"{"kind":"bytes","value_base64":"","#));
    }

    #[test]
    fn how_many_agreed_is_reported_where_several_were_asked_for() {
        let text = |agreed, cast| agreement(&Votes { agreed, cast, wanted: 3 });
        assert_eq!(text(2, 3), "2 of 3 holders gave this value");
        assert_eq!(text(1, 1), "1 of 1 holder gave this value; 3 were wanted, and no more found");
        let votes = Votes { agreed: 2, cast: 3, wanted: 3 };
        let result = GetResult::Found { value: "v".into(), holder: None, expires_in: None, votes };
        let found = Found::of("k", result).unwrap();
        let text = output::json(&GetJson::new("k", Some(&found), None));
        assert!(text.ends_with(r#""votes":{"agreed":2,"cast":3,"wanted":3}}"#), "{text}");
    }

    #[test]
    fn a_terminal_gets_whole_lines_and_no_raw_bytes() {
        assert_eq!(for_terminal(&Value::from("hello")), "hello\n");
        assert_eq!(for_terminal(&Value::from("hello\n")), "hello\n");
        assert_eq!(for_terminal(&Value::from("")), "\n");
        assert_eq!(for_terminal(&Value::from(b"\x1b[2J")), "1b5b324a\n");
    }

    #[test]
    fn not_found_and_no_answer_are_different_failures() {
        let end = |outcome| Found::of("k", outcome).err().map(|failure| (failure.exit.code(), failure.to_string()));
        let (code, text) = end(GetResult::NotFound { answered: 1, unheard: 0 }).unwrap();
        assert_eq!((code, text.as_str()), (1, "\"k\" was not found: 1 node answered, and none holds it"));
        let (code, text) = end(GetResult::NotFound { answered: 20, unheard: 2 }).unwrap();
        assert_eq!(code, 1);
        assert_eq!(text, "\"k\" was not found: 20 nodes answered, and none holds it; 2 nodes nearer did not answer");
        assert_eq!(end(GetResult::NoneAnswered { asked: 2 }).unwrap().0, 69);
        let holder = Peer::new(crate::NodeId::ZERO, "127.0.0.1:8000".parse().unwrap());
        let (code, text) = end(GetResult::Unsupported { holder }).unwrap();
        assert!(code == 65 && text.starts_with("\"k\" is held at 127.0.0.1:8000, with a value that"), "{code}: {text}");
        assert_eq!(end(GetResult::NotFound { answered: 0, unheard: 2 }).unwrap().0, 69);
    }
}
