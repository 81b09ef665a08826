//! Pinned keys.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;

use super::keys::{KeyPath, key_of};
use super::problem::Answer;
use super::query::query;
use super::state::State;

/// The least number of replicas where the request names none.
const MIN_REPLICAS: usize = 3;

/// How a key is pinned.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PinQuery {
    /// The least number of replicas: at most `k`, a setting of the node. Defaults to 3.
    #[param(minimum = 1, maximum = 255)]
    min_replicas: Option<usize>,
}

/// The pinned keys, as far as they are shown, and the replicas that were counted last.
#[utoipa::path(get, path = "/v1/pins", tag = "pins", responses((status = 200, description = "The pinned keys", body = Object)))]
pub(super) async fn list(state: Data<State>) -> Answer {
    let _turn = state.turn().await;
    Ok(HttpResponse::Ok().json(state.node.snapshot().await?.pins))
}

/// Pins a key that this node publishes: its replicas are counted and repaired, and no other writer supersedes it.
#[utoipa::path(
    put, path = "/v1/pins/{key}", tag = "pins", params(KeyPath, PinQuery),
    responses((status = 200, description = "It is pinned", body = Object))
)]
pub(super) async fn pin(state: Data<State>, request: HttpRequest) -> Answer {
    let (key, PinQuery { min_replicas }) = (key_of(&request, 0)?, query(&request)?);
    let min_replicas = min_replicas.unwrap_or(MIN_REPLICAS);
    state.node.pin(&key, min_replicas).await?;
    Ok(HttpResponse::Ok().json(json!({ "pinned": true, "min_replicas": min_replicas })))
}

/// Unpins a key. It stays published.
#[utoipa::path(
    delete, path = "/v1/pins/{key}", tag = "pins", params(KeyPath),
    responses((status = 200, description = "`unpinned` says whether it was pinned", body = Object))
)]
pub(super) async fn unpin(state: Data<State>, request: HttpRequest) -> Answer {
    let unpinned = state.node.unpin(key_of(&request, 0)?).await?;
    Ok(HttpResponse::Ok().json(json!({ "unpinned": unpinned })))
}
