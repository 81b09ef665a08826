//! `kad get`: reads a value. A pipe or a file gets exactly what was stored; a terminal gets something to look at.

use std::cell::Cell;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;

use super::args::GetArgs;
use super::deadline::Deadline;
use super::failure::{Exit, Failure};
use super::wording::{kind_and_length, nodes};
use super::{client, stderr, trace};
use crate::GetOptions;
use crate::actors::outcome::{GetOutcome, TracedGet};
use crate::protocol::lookup::{Trace, Votes};
use crate::protocol::peer::Peer;
use crate::protocol::value::Value;

pub(super) async fn run(args: GetArgs) -> Result<(), Failure> {
    client::check_key(&args.key)?;
    let deadline = Deadline::begin(&args.network);
    // Of the last try that came so far.
    let traced = Cell::new(None);
    let found = client::with_client(&deadline, &args.network, async |client| {
        let options = GetOptions::default().quorum(args.quorum.into());
        let TracedGet { outcome, trace } = client.get_with(&args.key, options).await?;
        traced.set(Some(trace));
        found(&args.key, outcome)
    })
    .await;
    let traced = traced.take().filter(|_| args.trace);
    if let Some(trace) = traced.as_ref().filter(|_| !args.network.json) {
        let told = trace.as_ref().map_or_else(|| trace::not_looked_up(&args.key), |it| trace::report(&args.key, it));
        stderr::line(told);
    }
    let trace = traced.flatten();
    let found = match found {
        Ok(found) => found,
        Err(failure) => {
            if let Some(trace) = trace.filter(|_| args.network.json) {
                deadline.print_json(&MissedJson { kind: None, key: &args.key, trace }).await?;
            }
            return Err(failure);
        }
    };
    if found.votes.wanted > 1 && !args.network.json {
        stderr::note(agreement(&found.votes));
    }
    match &args.output {
        _ if args.network.json => deadline.print_json(&found.json(&args.key, trace)).await,
        Some(path) if path != Path::new("-") => {
            deadline.save(path, found.value.as_bytes()).await?;
            stderr::note(format_args!("wrote {} ({})", path.display(), kind_and_length(&found.value)));
            Ok(())
        }
        _ if io::stdout().is_terminal() => {
            if let Value::Bytes(_) = found.value {
                stderr::note(format_args!(
                    "{} as hex; --output PATH or a pipe gets them raw",
                    kind_and_length(&found.value)
                ));
            }
            deadline.print(for_terminal(&found.value)).await
        }
        _ => deadline.print(found.value.as_bytes()).await,
    }
}

struct Found {
    value: Value,
    holder: Option<Peer>,
    expires_in: Option<Duration>,
    votes: Votes,
}

/// A found value for machines. Fields may be added.
#[derive(Serialize)]
struct FoundJson<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    key: &'a str,
    bytes: usize,
    holder: Option<Peer>,
    expires_in_seconds: Option<u64>,
    /// With `--quorum`.
    #[serde(skip_serializing_if = "Option::is_none")]
    votes: Option<Votes>,
    /// With `--trace`.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<Arc<Trace>>,
}

/// How a value was looked for in vain, for machines that asked for a trace.
#[derive(Serialize)]
struct MissedJson<'a> {
    /// Always null: there is no value.
    kind: Option<&'static str>,
    key: &'a str,
    trace: Arc<Trace>,
}

impl Found {
    fn json<'a>(&'a self, key: &'a str, trace: Option<Arc<Trace>>) -> FoundJson<'a> {
        let (value, value_base64) = match &self.value {
            Value::Text(text) => (Some(text.as_str()), None),
            Value::Bytes(bytes) => (None, Some(BASE64.encode(bytes))),
        };
        FoundJson {
            kind: self.value.kind(),
            value,
            value_base64,
            key,
            bytes: self.value.len(),
            holder: self.holder,
            expires_in_seconds: self.expires_in.map(|expires_in| expires_in.as_secs()),
            votes: Some(self.votes).filter(|votes| votes.wanted > 1),
            trace,
        }
    }
}

/// What there is of the agreement that was asked for.
fn agreement(votes: &Votes) -> String {
    let Votes { agreed, cast, wanted } = *votes;
    let missing = if cast < wanted { format!("; {wanted} were wanted, and no more found") } else { String::new() };
    format!("{agreed} of {} heard gave this value{missing}", nodes(cast))
}

fn found(key: &str, outcome: GetOutcome) -> Result<Found, Failure> {
    match outcome {
        GetOutcome::Found { value, holder, expires_in, votes } => Ok(Found { value, holder, expires_in, votes }),
        GetOutcome::Unsupported { holder } => {
            let text = format!(
                "{key:?} is held at {}, with a value that is neither text nor bytes: this node cannot represent it",
                holder.addr
            );
            Err(Failure::new(Exit::Data, text))
        }
        // This node has just joined, so that it knows nobody means that those it knew are gone.
        GetOutcome::NotFound { answered: 0, .. } => Err(client::network_silent(0)),
        GetOutcome::NotFound { answered, unheard } => {
            let nearer =
                if unheard > 0 { format!("; {} nearer did not answer", nodes(unheard)) } else { String::new() };
            let text = format!("{key:?} was not found: {} answered, and none holds it{nearer}", nodes(answered));
            Err(Failure::new(Exit::NotFound, text))
        }
        GetOutcome::NobodyAnswered { asked } => Err(client::network_silent(asked)),
    }
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

    fn json(value: Value) -> String {
        let holder = Some(Peer::new(crate::NodeId::ZERO, "127.0.0.1:8000".parse().unwrap()));
        let found = Found { value, holder, expires_in: Some(Duration::from_millis(1_500)), votes: Votes::SINGLE };
        output::json(&found.json("k", None))
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
    fn how_many_agreed_is_told_where_several_were_heard() {
        let told = |agreed, cast| agreement(&Votes { agreed, cast, wanted: 3 });
        assert_eq!(told(2, 3), "2 of 3 nodes heard gave this value");
        assert_eq!(told(1, 1), "1 of 1 node heard gave this value; 3 were wanted, and no more found");
        let votes = Votes { agreed: 2, cast: 3, wanted: 3 };
        let found = Found { value: "v".into(), holder: None, expires_in: None, votes };
        let text = output::json(&found.json("k", None));
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
    fn not_found_and_nobody_answered_are_told_apart() {
        let end = |outcome| found("k", outcome).err().map(|failure| (failure.exit.code(), failure.to_string()));
        let (code, text) = end(GetOutcome::NotFound { answered: 1, unheard: 0 }).unwrap();
        assert_eq!((code, text.as_str()), (1, "\"k\" was not found: 1 node answered, and none holds it"));
        let (code, text) = end(GetOutcome::NotFound { answered: 20, unheard: 2 }).unwrap();
        assert_eq!(code, 1);
        assert_eq!(text, "\"k\" was not found: 20 nodes answered, and none holds it; 2 nodes nearer did not answer");
        assert_eq!(end(GetOutcome::NobodyAnswered { asked: 2 }).unwrap().0, 69);
        let holder = Peer::new(crate::NodeId::ZERO, "127.0.0.1:8000".parse().unwrap());
        let (code, text) = end(GetOutcome::Unsupported { holder }).unwrap();
        assert!(code == 65 && text.starts_with("\"k\" is held at 127.0.0.1:8000, with a value that"), "{code}: {text}");
        assert_eq!(end(GetOutcome::NotFound { answered: 0, unheard: 2 }).unwrap().0, 69);
    }
}
