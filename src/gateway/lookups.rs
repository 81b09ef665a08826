//! Lookups of the nodes nearest to an id or to a key.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;

use super::keys::key_of;
use super::problem::Answer;
use super::query::{flag, flag_schema, query};
use super::state::State;
use crate::protocol::id::NodeId;

/// How a lookup is shown.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LookupQuery {
    /// Whether the answer has the trace: each peer that was asked, what came back and when.
    #[serde(default, deserialize_with = "flag")]
    #[param(schema_with = flag_schema, required = false)]
    trace: bool,
    /// Whether 40 hex digits are a key as well.
    #[serde(default, deserialize_with = "flag")]
    #[param(schema_with = flag_schema, required = false)]
    key: bool,
}

/// The nodes nearest to an id (40 hex digits) or to a key.
#[utoipa::path(
    get, path = "/v1/lookup/{id_or_key}", tag = "network",
    params(("id_or_key" = String, Path, description = "40 hex digits, or a key, percent-encoded"), LookupQuery),
    responses((status = 200, description = "`target`, `nodes`, and the `trace` where it was asked for", body = Object))
)]
pub(super) async fn look_up(state: Data<State>, request: HttpRequest) -> Answer {
    let (text, LookupQuery { trace, key }) = (key_of(&request, 0)?, query(&request)?);
    let id = NodeId::from_hex(&text).ok().filter(|_| !key);
    state.ask_the_network()?;
    let found = state.node.trace_nodes(id.unwrap_or_else(|| NodeId::of_key(&text))).await?;
    Ok(match trace {
        true => HttpResponse::Ok().json(found),
        false => HttpResponse::Ok().json(json!({ "target": found.target, "nodes": found.nodes })),
    })
}
