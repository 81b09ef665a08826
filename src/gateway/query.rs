//! Parameters and bodies of requests, read within bounds.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::{StatusCode, header};
use actix_web::web::{Payload, Query};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, de};
use utoipa::openapi::{Object, ObjectBuilder, Type};

use super::problem::Problem;

/// How long a client may take to send the body of a request.
pub const BODY_TIME: Duration = Duration::from_secs(10);

/// The query of `request`. A parameter that is not known is a mistake.
pub(super) fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, Problem> {
    let query = Query::<T>::from_query(request.query_string()).map_err(|error| invalid(&error))?;
    Ok(query.into_inner())
}

fn invalid(error: &actix_web::error::QueryPayloadError) -> Problem {
    let actix_web::error::QueryPayloadError::Deserialize(error) = error else {
        return Problem::bad_request("invalid_parameter", error.to_string());
    };
    Problem::bad_request("invalid_parameter", format!("in the query: {error}"))
}

/// A parameter that is on or off: `1`, `true`, `0` or `false`; on where it has no value.
pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "1" | "true" | "" => Ok(true),
        "0" | "false" => Ok(false),
        other => Err(de::Error::custom(format_args!("{other:?} is neither 1 nor 0"))),
    }
}

/// What [`flag`] reads, for the description.
pub(super) fn flag_schema() -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["1", "true", "0", "false", ""])).build()
}

/// The body of `request`, of at most `max` bytes.
pub(super) async fn body(request: &HttpRequest, payload: Payload, max: usize) -> Result<Vec<u8>, Problem> {
    let too_large = || Problem::too_large(format!("the body has more than {max} bytes")).with("max", max);
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > max as u64) {
        return Err(too_large());
    }
    let late = |_| {
        let detail = format!("the body did not come within {} seconds", BODY_TIME.as_secs());
        Problem::new(StatusCode::REQUEST_TIMEOUT, "slow_body", detail)
    };
    tokio::time::timeout(BODY_TIME, read(payload, max)).await.map_err(late)??.ok_or_else(too_large)
}

/// All of it; `None` if it is longer than `max`.
async fn read(mut payload: Payload, max: usize) -> Result<Option<Vec<u8>>, Problem> {
    let mut body = Vec::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| Problem::bad_request("broken_body", error.to_string()))?;
        if body.len() + chunk.len() > max {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}
