//! What each request passes before a handler sees it, and each answer on its way back.

use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpResponse, ResponseError};

use super::access::{Need, is_own_host, is_own_origin, need};
use super::problem::Problem;
use super::state::State;

/// What an answer may do in a browser, unless it says so itself: nothing.
const CSP: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";
/// What a page of a permitted origin may send.
const CORS_METHODS: &str = "GET, HEAD, PUT, POST, DELETE";
const CORS_HEADERS: &str = "authorization, content-type";
/// What it may read of an answer.
const CORS_EXPOSED: &str = "kad-holder, kad-expires-in, kad-votes, retry-after";

/// Checks a request, has it answered, and gives the answer its headers.
pub(super) async fn guard(
    state: Data<State>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let permitted = permitted_origin(&state, &request);
    let preflight = request.method() == Method::OPTIONS && permitted.is_some();
    let mut response = match check(&state, &request, permitted.is_some()) {
        Err(problem) => request.into_response(problem.error_response()),
        Ok(()) if preflight => request.into_response(HttpResponse::NoContent().finish()),
        Ok(()) => match next.call(request).await {
            Ok(response) => response.map_into_boxed_body(),
            Err(error) => return Err(error),
        },
    };
    dress(response.headers_mut(), permitted.as_ref(), preflight);
    Ok(response)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

/// The origin of the request, where it is one of those that may make requests from elsewhere. That of this server itself is
/// none of them, whatever the settings name: its page uses the cookie.
fn permitted_origin(state: &State, request: &ServiceRequest) -> Option<HeaderValue> {
    let origin = request.headers().get(header::ORIGIN)?;
    let text = origin.to_str().ok()?.to_ascii_lowercase();
    let permitted = state.settings.origins.contains(&text) && !is_own_origin(&text, host(request));
    permitted.then(|| origin.clone())
}

fn host(request: &ServiceRequest) -> &str {
    let authority = request.uri().authority().map(|authority| authority.as_str());
    authority.or_else(|| text(request.headers(), header::HOST)).unwrap_or_default()
}

fn check(state: &State, request: &ServiceRequest, permitted: bool) -> Result<(), Problem> {
    let headers = request.headers();
    let host = host(request);
    if !is_own_host(host, &state.settings.hosts) {
        let detail = format!("{host:?} is no name of this server (http_hosts)");
        return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "wrong_host", detail));
    }
    let path = request.match_info().unprocessed();
    if !permitted {
        check_origin(headers, host, is_navigation(request, path))?;
    }
    if !(permitted && request.method() == Method::OPTIONS) {
        match need(request.method(), path) {
            Need::Nothing => {}
            Need::Read if !state.settings.protect_reads => {}
            Need::Read | Need::Token => check_token(state, request, permitted)?,
        }
    }
    // Last, so that requests which are refused take nothing from those that are not.
    state.admit()
}

/// Whether a browser shows the page itself, from wherever the link to it is.
fn is_navigation(request: &ServiceRequest, path: &str) -> bool {
    let mode = request.headers().get("sec-fetch-mode").is_some_and(|mode| mode == "navigate");
    request.method() == Method::GET && mode && matches!(path, "" | "/")
}

/// Refuses what a page of another origin sends. A client that is no browser sends neither header.
fn check_origin(headers: &HeaderMap, host: &str, navigation: bool) -> Result<(), Problem> {
    let foreign = |what: String| {
        let detail = format!("{what}: pages of other origins may not use this server (http_origins)");
        Err(Problem::new(StatusCode::FORBIDDEN, "foreign_origin", detail))
    };
    if let Some(origin) = text(headers, header::ORIGIN)
        && !is_own_origin(origin, host)
    {
        return foreign(format!("the request comes from {origin:?}"));
    }
    match text(headers, HeaderName::from_static("sec-fetch-site")) {
        None | Some("same-origin" | "none") => Ok(()),
        Some(_) if navigation => Ok(()),
        // Another port of this host is the same site, and another program.
        Some(site) => foreign(format!("the request is {site}")),
    }
}

fn check_token(state: &State, request: &ServiceRequest, permitted: bool) -> Result<(), Problem> {
    let refused = |code, detail| Err(Problem::new(StatusCode::UNAUTHORIZED, code, detail));
    if let Some(given) = text(request.headers(), header::AUTHORIZATION) {
        let scheme_and_token = given.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        return match scheme_and_token {
            Some((_, token)) if state.token.is(token.trim()) => Ok(()),
            _ => refused("wrong_token", "this is not the token of the node, as it made it when it started"),
        };
    }
    let cookie = request.cookie(&state.settings.cookie).filter(|_| !permitted);
    match cookie {
        Some(cookie) if state.sessions.has(cookie.value(), Instant::now()) => Ok(()),
        Some(_) => refused("session_ended", "the session has ended: open the page with a new one-time code"),
        None => refused(
            "no_token",
            "this needs the token of the node, as Authorization: Bearer TOKEN; it stands in the file http-token",
        ),
    }
}

/// What each answer has.
fn dress(headers: &mut HeaderMap, permitted: Option<&HeaderValue>, preflight: bool) {
    let mut set = |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    if permitted.is_none() {
        set(header::CROSS_ORIGIN_RESOURCE_POLICY, "same-origin");
    }
    if preflight {
        set(header::ACCESS_CONTROL_ALLOW_METHODS, CORS_METHODS);
        set(header::ACCESS_CONTROL_ALLOW_HEADERS, CORS_HEADERS);
        set(header::ACCESS_CONTROL_MAX_AGE, "600");
    }
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CSP));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    headers.insert(header::VARY, HeaderValue::from_static("Origin, Accept"));
    if let Some(origin) = permitted {
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(CORS_EXPOSED));
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
}
