//! What happens in the node, as a stream of server-sent events.

use std::collections::BTreeSet;

use actix_web::HttpRequest;
use actix_web::web::Data;
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;

use super::problem::{Answer, Problem};
use super::query::query;
use super::sse::{self, Source, frame};
use super::state::State;
use crate::actors::events::{EventKind, EventStream};

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// Kinds (`peer_added`) and groups of them (`peers`, `values`, `lookups`, `restarts`), separated by commas. Defaults to all.
    kinds: Option<String>,
}

/// What happens from now on, as server-sent events: `event` is the kind, `data` is JSON. Where the client is too slow, an event
/// `missed` says how many were left out so far.
#[utoipa::path(
    get, path = "/v1/events", tag = "node", params(EventsQuery),
    responses((status = 200, description = "The stream", body = String, content_type = "text/event-stream"))
)]
pub(super) async fn follow(state: Data<State>, request: HttpRequest) -> Answer {
    let EventsQuery { kinds } = query(&request)?;
    let kinds = match &kinds {
        Some(names) => named(names)?,
        None => EventKind::ALL.iter().copied().collect(),
    };
    let place = state.stream()?;
    Ok(sse::answer(Events { stream: state.node.events_of(kinds), missed: 0, next: None }, place))
}

fn named(names: &str) -> Result<BTreeSet<EventKind>, Problem> {
    let mut kinds = BTreeSet::new();
    for name in names.split(',').map(str::trim) {
        let before = kinds.len();
        kinds.extend(EventKind::named(name));
        if kinds.len() == before && EventKind::named(name).next().is_none() {
            let known: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
            let detail = format!("{name:?} is no kind of event: there are {}", known.join(", "));
            return Err(Problem::bad_request("invalid_parameter", detail));
        }
    }
    Ok(kinds)
}

struct Events {
    stream: EventStream,
    /// How many lost events the client knows of.
    missed: u64,
    /// The event that comes after the news of those lost.
    next: Option<String>,
}

impl Source for Events {
    async fn next(&mut self) -> Option<String> {
        if let Some(next) = self.next.take() {
            return Some(next);
        }
        let event = self.stream.next().await?;
        let event = frame(event.kind().name(), &event);
        let missed = self.stream.missed();
        if missed == self.missed {
            return Some(event);
        }
        self.missed = missed;
        self.next = Some(event);
        Some(frame("missed", &json!({ "event": "missed", "events": missed })))
    }
}
