//! Problem documents (RFC 9457): how the gateway says that it did not do what it was asked.

use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use serde_json::{Map, Value as Json};
use utoipa::ToSchema;

use crate::actors::outcome::Error;
use crate::causes::Causes;

/// The content type of a problem document.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// What a handler comes to.
pub(super) type Answer = Result<HttpResponse, Problem>;

/// A problem document (RFC 9457): `application/problem+json`.
#[derive(Debug, Clone, Serialize, ToSchema, thiserror::Error)]
#[error("{status} {code}: {detail}")]
pub struct Problem {
    /// Always `about:blank`: the status says the kind, and `code` more.
    #[serde(rename = "type")]
    #[schema(rename = "type", value_type = String)]
    kind: &'static str,
    /// The phrase of the status.
    #[schema(value_type = String)]
    title: &'static str,
    /// The status.
    status: u16,
    /// Which problem it is, for programs.
    #[schema(value_type = String)]
    code: &'static str,
    /// What is the matter, for people.
    detail: String,
    /// Facts of this problem.
    #[serde(flatten)]
    #[schema(value_type = Object, additional_properties = true)]
    facts: Map<String, Json>,
    #[serde(skip)]
    #[schema(ignore)]
    retry_after: Option<Duration>,
}

impl Problem {
    /// The problem `code` with this status and text.
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        let (kind, status, detail) = ("about:blank", status.as_u16(), detail.into());
        Self { kind, title, status, code, detail, facts: Map::new(), retry_after: None }
    }

    /// The same with one more fact.
    pub(super) fn with(mut self, name: &str, value: impl Into<Json>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }

    /// The same, to be tried again after this time.
    pub(super) fn retry(self, after: Duration) -> Self {
        Self { retry_after: Some(after), ..self }
    }

    /// A parameter, or the body, is not what it must be.
    pub(super) fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// The value is larger than any may be.
    pub(super) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    }

    /// Which problem it is.
    pub fn code(&self) -> &'static str {
        self.code
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((header::CONTENT_TYPE, CONTENT_TYPE));
        if let Some(after) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, after.as_secs_f64().ceil().max(1.0).to_string()));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        // Serde writes a problem: its keys are strings.
        response.body(serde_json::to_vec(self).unwrap_or_default())
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let (status, code) = match &error {
            Error::Config(_) => (StatusCode::BAD_REQUEST, "invalid_parameter"),
            Error::KeyTooLong { .. } => (StatusCode::URI_TOO_LONG, "key_too_long"),
            Error::ValueTooLarge { .. } | Error::AnswerTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Error::NotPublished { .. } => (StatusCode::CONFLICT, "not_published"),
            Error::UnsupportedValue { .. } => (StatusCode::BAD_GATEWAY, "unsupported_value"),
            Error::NotJoined { .. } => (StatusCode::SERVICE_UNAVAILABLE, "not_joined"),
            Error::NoneAnswered { .. } => (StatusCode::GATEWAY_TIMEOUT, "no_answer"),
            Error::Busy { .. } => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Error::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "store_failed"),
            Error::Interrupted => (StatusCode::SERVICE_UNAVAILABLE, "interrupted"),
            Error::TookTooLong(_) => (StatusCode::GATEWAY_TIMEOUT, "took_too_long"),
            Error::Stopped(_) => (StatusCode::SERVICE_UNAVAILABLE, "stopped"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        let problem = Self::new(status, code, Causes(&error).to_string());
        let problem = match &error {
            Error::KeyTooLong { len, max } | Error::ValueTooLarge { len, max } => {
                problem.with("length", *len).with("max", *max)
            }
            Error::AnswerTooLarge { encoded, max } => problem.with("length", *encoded).with("max", *max),
            Error::NoneAnswered { asked } => problem.with("asked", *asked),
            _ => problem,
        };
        if status == StatusCode::SERVICE_UNAVAILABLE { problem.retry(Duration::from_secs(1)) } else { problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_problem_names_its_status_its_code_and_its_facts() {
        let problem = Problem::from(Error::ValueTooLarge { len: 60_001, max: 60_000 });
        assert_eq!(
            serde_json::to_value(&problem).unwrap(),
            json!({
                "type": "about:blank", "title": "Payload Too Large", "status": 413, "code": "too_large",
                "detail": "the value has 60001 bytes, but at most 60000 are permitted", "length": 60_001, "max": 60_000,
            })
        );
        assert_eq!(problem.error_response().headers().get("content-type").unwrap(), CONTENT_TYPE);
    }

    #[test]
    fn what_may_pass_says_when_to_try_again_and_what_needs_a_token_how_to_give_it() {
        let busy = Problem::from(Error::Busy { what: "places", limit: 1 }).error_response();
        assert_eq!(busy.status().as_u16(), 503);
        assert_eq!(busy.headers().get("retry-after").unwrap(), "1");
        let late = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many", "").retry(Duration::from_millis(1_200));
        assert_eq!(late.error_response().headers().get("retry-after").unwrap(), "2");
        let no_token = Problem::new(StatusCode::UNAUTHORIZED, "no_token", "").error_response();
        assert_eq!(no_token.headers().get("www-authenticate").unwrap(), "Bearer");
    }
}
