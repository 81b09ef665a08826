//! What a browser is given at `/`, and how it is let in: a one-time code in the address becomes a session cookie, and the address
//! is shown without it.

use std::time::Instant;

use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::json;

use super::problem::Answer;
use super::sessions::SESSION_TIME;
use super::state::State;

/// What a page may load: what this server has, and nothing else.
pub(super) const PAGE_CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                                   frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// Adds the paths of the page: `/`, and below `page/` what it loads.
pub(super) fn configure(config: &mut ServiceConfig) {
    config.route("/", web::get().to(show)).route("", web::get().to(show));
}

#[derive(Deserialize)]
struct PageQuery {
    code: Option<String>,
}

/// Lets a browser in that has a one-time code, and shows the paths there are.
async fn show(state: Data<State>, request: HttpRequest, query: web::Query<PageQuery>) -> HttpResponse {
    if let Some(code) = &query.code {
        return let_in(&state, &request, code);
    }
    let text = "This is a node of a Kademlia network (kad).\n\n\
                openapi.json describes its paths, healthz says whether it lives, and v1/node what it does.\n";
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CONTENT_SECURITY_POLICY, PAGE_CSP));
    response.content_type("text/plain; charset=utf-8").body(text)
}

/// The same page without the code, which is good once. Where it was used before, the session that it began may last.
fn let_in(state: &State, request: &HttpRequest, code: &str) -> HttpResponse {
    let mut response = HttpResponse::SeeOther();
    response.insert_header((header::LOCATION, request.path().to_owned()));
    if let Some(session) = state.sessions.begin(code, Instant::now()) {
        let cookie = Cookie::build(&state.cookie, session.reveal())
            .path("/")
            .http_only(true)
            .same_site(SameSite::Strict)
            .secure(state.secure)
            .max_age(actix_web::cookie::time::Duration::seconds(SESSION_TIME.as_secs().cast_signed()))
            .finish();
        response.cookie(cookie);
    }
    response.finish()
}

/// A new one-time code: the page is opened with `?code=CODE`.
#[utoipa::path(post, path = "/v1/codes", tag = "node", responses((status = 200, description = "`code`", body = Object)))]
pub(super) async fn code(state: Data<State>) -> Answer {
    Ok(HttpResponse::Ok().json(json!({ "code": state.sessions.code().reveal() })))
}
