//! The values of many keys as they change, on one stream.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload, Query};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;

use super::problem::{Answer, Problem};
use super::query::body;
use super::sse::{self, Source, frame};
use super::state::State;
use crate::actors::watch::Watch;

/// Keys of one stream.
pub const MAX_KEYS: usize = 10_000;
/// The most bytes of the list of keys: room for 10,000 keys of 200 bytes.
const MAX_BODY: usize = 2 << 20;

/// The keys to watch.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WatchBody {
    /// At most 10,000.
    keys: Vec<String>,
}

/// Watches the keys of the query: `?key=a&key=b`.
///
/// The stream has an event `value` for each key that is found and each new value, `absent` where no node holds one, and
/// `missed` where the client was too slow. A key that this node holds is reported at once, others are looked up in intervals.
#[utoipa::path(
    get, path = "/v1/watch", tag = "values", params(("key" = Vec<String>, Query, description = "A key; may be repeated")),
    responses((status = 200, description = "The stream", body = String, content_type = "text/event-stream"))
)]
pub(super) async fn of_query(state: Data<State>, request: HttpRequest) -> Answer {
    let query = Query::<Vec<(String, String)>>::from_query(request.query_string());
    let query = query.map_err(|error| Problem::bad_request("invalid_parameter", error.to_string()))?.into_inner();
    if let Some((name, _)) = query.iter().find(|(name, _)| name != "key") {
        let detail = format!("in the query: there is no parameter {name:?}, only key");
        return Err(Problem::bad_request("invalid_parameter", detail));
    }
    watch(&state, query.into_iter().map(|(_, key)| key).collect(), state.stream()?).await
}

/// The same for more keys than an address holds.
#[utoipa::path(
    post, path = "/v1/watch", tag = "values", request_body(content = WatchBody, content_type = "application/json"),
    responses((status = 200, description = "The stream", body = String, content_type = "text/event-stream"))
)]
pub(super) async fn of_body(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    // Before the body, so that no more bodies of this size are held than there are streams.
    let place = state.stream()?;
    let body = body(&request, payload, MAX_BODY).await?;
    let invalid = |error: serde_json::Error| Problem::bad_request("invalid_body", format!("in the body: {error}"));
    let WatchBody { keys } = serde_json::from_slice(&body).map_err(invalid)?;
    watch(&state, keys, place).await
}

async fn watch(state: &State, keys: Vec<String>, place: OwnedSemaphorePermit) -> Answer {
    if keys.is_empty() || keys.len() > MAX_KEYS {
        let detail = format!("a stream watches 1 to {MAX_KEYS} keys, not {}", keys.len());
        return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_parameter", detail));
    }
    state.ask_the_network()?;
    Ok(sse::answer(state.node.watch(keys).await?, place))
}

impl Source for Watch {
    async fn next(&mut self) -> Option<String> {
        Watch::next(self).await.map(|change| frame(change.name(), &change))
    }
}
