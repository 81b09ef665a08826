//! Whether the node is alive, and whether it is ready.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use serde_json::json;

use super::problem::{Answer, Problem};
use super::state::State;
use crate::actors::outcome::Error;
use crate::causes::Causes;
use crate::protocol::store::BackendState;

/// How long the parts of the node may take to answer, before it counts as not ready.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether this server answers. It asks nothing of the node.
#[utoipa::path(get, path = "/healthz", tag = "node", responses((status = 200, description = "`ok`", body = Object)))]
pub(super) async fn alive() -> Answer {
    Ok(HttpResponse::Ok().json(json!({ "ok": true })))
}

/// Whether the node can do its work: it runs, its store can be written, and it has reached the network that it was to join.
#[utoipa::path(
    get, path = "/readyz", tag = "node",
    responses(
        (status = 200, description = "It is ready", body = Object),
        (status = 503, description = "It is not: `reasons` says why", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn ready(state: Data<State>) -> Answer {
    let reasons = tokio::time::timeout(PATIENCE, reasons(&state)).await;
    let reasons = reasons.unwrap_or_else(|_| vec!["the node does not answer".to_owned()]);
    if reasons.is_empty() {
        return Ok(HttpResponse::Ok().json(json!({ "ready": true })));
    }
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", reasons.join("; "));
    Err(problem.with("reasons", reasons).retry(Duration::from_secs(5)))
}

async fn reasons(state: &State) -> Vec<String> {
    let mut reasons = Vec::new();
    let turn = state.turn().await;
    let snapshot = match state.node.snapshot().await {
        Ok(snapshot) => snapshot,
        Err(error) => return vec![Causes(&error).to_string()],
    };
    drop(turn);
    let backend = snapshot.store.backend.state;
    if matches!(backend, BackendState::Full | BackendState::Failing | BackendState::Gone) {
        reasons.push(format!("the store takes no values: it is {}", backend.as_str()));
    }
    match tokio::time::timeout(Duration::from_millis(100), state.node.joined()).await {
        Err(_) => reasons.push("it is still joining its network".to_owned()),
        Ok(Ok(Some(outcome))) if !outcome.joined() && snapshot.table.peers == 0 => {
            reasons.push(Causes(&Error::NotJoined { outcome: Box::new(outcome) }).to_string());
        }
        Ok(Ok(_)) => {}
        Ok(Err(error)) => reasons.push(Causes(&error).to_string()),
    }
    reasons
}
