//! Values: read, set, released, listed; and which nodes hold a key.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::keys::{KeyPath, key_of};
use super::problem::{Answer, Problem};
use super::query::{body, flag, flag_schema, query};
use super::state::State;
use crate::actors::outcome::{GetOutcome, GetResult};
use crate::actors::requests::{GetOptions, HeldKey, ListKeys, MAX_PAGE, SetOptions};
use crate::protocol::value::Value;

/// The most bytes of a body that are read: no datagram carries more. Which values are too large, the node says.
const MAX_BODY: usize = 65_536;
/// Keys of a page where the request names no number.
const PAGE: usize = 100;

/// How a value is read.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReadQuery {
    /// How many holders are heard before a value is believed: at most `k`, a setting of the node.
    #[param(minimum = 1, maximum = 255)]
    quorum: Option<usize>,
    /// Whether the network is asked even where this node holds the key.
    #[serde(default, deserialize_with = "flag")]
    #[param(schema_with = flag_schema, required = false)]
    fresh: bool,
    /// Whether the JSON of the answer has the trace of the lookup.
    #[serde(default, deserialize_with = "flag")]
    #[param(schema_with = flag_schema, required = false)]
    trace: bool,
}

/// The value of a key.
///
/// With `Accept: application/json` the answer is JSON: the value as text or base64, its holder, its votes, the trace. Otherwise it
/// is the value itself, and headers say the rest.
#[utoipa::path(
    get, path = "/v1/values/{key}", tag = "values", params(KeyPath, ReadQuery),
    responses(
        (status = 200, description = "The value", content(
            (String = "text/plain"), (Vec<u8> = "application/octet-stream"), (Object = "application/json"),
        ), headers(
            ("Kad-Holder" = String, description = "The node that had it: its id and address, or `self`"),
            ("Kad-Expires-In" = Option<f64>, description = "Seconds that the copy lives, where that is known"),
            ("Kad-Votes" = String, description = "How many of those heard gave this value, as `agreed/cast/wanted`"),
        )),
        (status = 502, description = "The value is neither text nor bytes", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn read(state: Data<State>, request: HttpRequest) -> Answer {
    let key = key_of(&request, 0)?;
    let ReadQuery { quorum, fresh, trace } = query(&request)?;
    let quorum = quorum.unwrap_or(1);
    let held = !fresh && quorum == 1 && state.node.copy_of(&key).await?.is_some();
    if !held {
        state.ask_the_network()?;
    }
    let options = GetOptions::default().quorum(quorum).fresh(fresh).trace(trace);
    let outcome = state.node.get_with(&key, options).await?;
    let GetResult::Found { value, holder, expires_in, votes } = &outcome.result else { return Err(absent(&outcome)) };
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accept.contains("application/json") {
        return Ok(HttpResponse::Ok().json(&outcome));
    }
    let mut response = HttpResponse::Ok();
    let holder = holder.map_or("self".to_owned(), |peer| format!("{}@{}", peer.id, peer.addr));
    response.insert_header(("kad-holder", holder));
    if let Some(expires_in) = expires_in {
        response.insert_header(("kad-expires-in", format!("{:.3}", expires_in.as_secs_f64())));
    }
    response.insert_header(("kad-votes", format!("{}/{}/{}", votes.agreed, votes.cast, votes.wanted)));
    Ok(match value {
        Value::Text(text) => response.content_type("text/plain; charset=utf-8").body(text.clone()),
        Value::Bytes(bytes) => {
            response.insert_header((header::CONTENT_DISPOSITION, "attachment"));
            response.content_type("application/octet-stream").body(bytes.clone())
        }
    })
}

fn absent(outcome: &GetOutcome) -> Problem {
    match &outcome.result {
        GetResult::NotFound { answered, unheard } => {
            let problem = Problem::new(StatusCode::NOT_FOUND, "not_found", "no node that answered holds this key");
            problem.with("answered", *answered).with("unheard", *unheard)
        }
        GetResult::NoneAnswered { asked } => {
            let problem = Problem::new(StatusCode::GATEWAY_TIMEOUT, "no_answer", "none of the peers asked answered");
            problem.with("asked", *asked)
        }
        _ => {
            let detail = "a node holds a value that is neither text nor bytes";
            Problem::new(StatusCode::BAD_GATEWAY, "unsupported_value", detail)
        }
    }
}

/// When a `set` is answered.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SetQuery {
    /// How many peers hold the value before the answer comes: at most `k`, a setting of the node. The others are sent it all the
    /// same. Without it the answer comes when each of them has acknowledged the value, refused it or failed.
    #[param(minimum = 1, maximum = 255)]
    quorum: Option<usize>,
}

/// What became of a `set`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SetAnswer {
    /// Peers that were asked to hold the value.
    asked: usize,
    /// Peers that hold it now.
    stored: usize,
    /// Peers that refused it.
    refused: usize,
    /// Peers that did not answer.
    silent: usize,
    /// Peers of which the answer does not say what became of the value: it came before, with a quorum.
    pending: usize,
    /// Seconds that the value lives at its holders unless it is republished, where one of them says so.
    expires_in: Option<f64>,
    /// Whether a later `set` of the same key overtook this one.
    superseded: bool,
}

/// Publishes a value: held here, placed in the network, and republished until the key is released.
///
/// `application/octet-stream` makes it bytes, `text/plain` text. With any other type, or none, UTF-8 is text and anything else bytes.
#[utoipa::path(
    put, path = "/v1/values/{key}", tag = "values", params(KeyPath, SetQuery),
    request_body(content((Option<String> = "text/plain"), (Option<Vec<u8>> = "application/octet-stream")), description = "The value; without a body it is empty"),
    responses((status = 200, description = "Held here and offered to the network", body = SetAnswer))
)]
pub(super) async fn set(state: Data<State>, request: HttpRequest, payload: Payload) -> Answer {
    let key = key_of(&request, 0)?;
    let SetQuery { quorum } = query(&request)?;
    let value = value_of(&request, body(&request, payload, MAX_BODY).await?)?;
    state.ask_the_network()?;
    let options = quorum.map_or(SetOptions::default(), |quorum| SetOptions::default().quorum(quorum));
    let outcome = state.node.set_with(&key, value, options).await?;
    Ok(HttpResponse::Ok().json(SetAnswer {
        asked: outcome.asked,
        stored: outcome.stored,
        refused: outcome.refused,
        silent: outcome.silent,
        pending: outcome.pending,
        expires_in: outcome.expires_in.as_ref().map(Duration::as_secs_f64),
        superseded: outcome.superseded,
    }))
}

fn value_of(request: &HttpRequest, body: Vec<u8>) -> Result<Value, Problem> {
    let kind = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if kind.eq_ignore_ascii_case(b"application/octet-stream") {
        return Ok(Value::Bytes(body));
    }
    match String::from_utf8(body) {
        Ok(text) => Ok(Value::Text(text)),
        Err(_) if kind.eq_ignore_ascii_case(b"text/plain") => {
            let detail = "the body is not UTF-8: send bytes as application/octet-stream";
            Err(Problem::bad_request("not_text", detail))
        }
        Err(bytes) => Ok(Value::Bytes(bytes.into_bytes())),
    }
}

/// Ends the republication of a key. Its copies in the network live on until they expire.
#[utoipa::path(
    delete, path = "/v1/values/{key}", tag = "values", params(KeyPath),
    responses((status = 200, description = "`released` says whether this node published it", body = Object))
)]
pub(super) async fn release(state: Data<State>, request: HttpRequest) -> Answer {
    let released = state.node.release(key_of(&request, 0)?).await?;
    Ok(HttpResponse::Ok().json(json!({ "released": released })))
}

/// Which nodes hold a key, and for how long.
#[utoipa::path(
    get, path = "/v1/values/{key}/health", tag = "values",
    params(KeyPath),
    responses((status = 200, description = "What the nodes nearest to the key say", body = Object))
)]
pub(super) async fn health(state: Data<State>, request: HttpRequest) -> Answer {
    let key = key_of(&request, 1)?;
    state.ask_the_network()?;
    Ok(HttpResponse::Ok().json(state.node.health(key).await?))
}

/// Which page of the keys.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// What the keys begin with.
    prefix: Option<String>,
    /// The last key of the page before.
    after: Option<String>,
    /// The most keys of the page. Defaults to 100.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// A page of the keys that this node holds.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ListAnswer {
    /// The keys, in the order of their bytes.
    values: Vec<HeldValue>,
    /// What `after` is for the next page; null on the last one.
    #[schema(value_type = Option<String>)]
    next: Option<Arc<str>>,
}

/// A key that this node holds.
#[derive(Debug, Serialize, ToSchema)]
struct HeldValue {
    #[schema(value_type = String)]
    key: Arc<str>,
    /// `published` by this node, or `held` for others.
    #[schema(value_type = String)]
    class: crate::protocol::store::Class,
    /// Whether no other writer supersedes it.
    pinned: bool,
    /// Bytes of the value.
    bytes: usize,
    /// Seconds that the copy lives, unless it is renewed.
    expires_in: f64,
}

/// The keys that this node publishes or holds for others, a page at a time.
#[utoipa::path(
    get, path = "/v1/values", tag = "values", params(ListQuery),
    responses((status = 200, description = "A page", body = ListAnswer))
)]
pub(super) async fn list(state: Data<State>, request: HttpRequest) -> Answer {
    let ListQuery { prefix, after, limit } = query(&request)?;
    let limit = limit.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        let detail = format!("limit is {limit}, but must be within 1..={MAX_PAGE}");
        return Err(Problem::bad_request("invalid_parameter", detail));
    }
    let _turn = state.turn().await;
    let list = ListKeys::new().prefix(prefix.unwrap_or_default()).limit(limit);
    let page = state.node.keys(after.into_iter().fold(list, ListKeys::after)).await?;
    let next = page.keys.last().filter(|_| page.more).map(|last| last.key.clone());
    let values = page.keys.into_iter().map(|held| {
        let HeldKey { key, class, pinned, bytes, expires_in } = held;
        HeldValue { key, class, pinned, bytes, expires_in: expires_in.as_secs_f64() }
    });
    Ok(HttpResponse::Ok().json(ListAnswer { values: values.collect(), next }))
}
