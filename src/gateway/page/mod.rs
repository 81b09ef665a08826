//! What a browser is given at `/`, and how it is let in: a one-time code in the address becomes a session cookie, and the address
//! is shown without it.

pub(super) mod advice;
mod figures;
mod layout;
mod panels;

use std::time::{Duration, Instant};

use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::{Method, header};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::json;

use super::peers;
use super::problem::Answer;
use super::query::query;
use super::sessions::SESSION_TIME;
use super::state::State;

/// What a page may load: what this server has, and nothing else.
pub(super) const PAGE_CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                                   frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

const SCRIPT: &str = include_str!("page.js");
const STYLE: &str = include_str!("page.css");
const ICON: &str = include_str!("icon.svg");
/// How long the page waits for the node. It shows itself in any case.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the page loads.
pub(super) async fn script() -> HttpResponse {
    file("text/javascript; charset=utf-8", SCRIPT)
}

/// What the page loads.
pub(super) async fn style() -> HttpResponse {
    file("text/css; charset=utf-8", STYLE)
}

/// What the page loads.
pub(super) async fn icon() -> HttpResponse {
    file("image/svg+xml", ICON)
}

fn file(content_type: &str, text: &'static str) -> HttpResponse {
    HttpResponse::Ok().content_type(content_type).insert_header((header::CACHE_CONTROL, "no-cache")).body(text)
}

#[derive(Deserialize)]
struct PageQuery {
    code: Option<String>,
}

/// Lets a browser in that has a one-time code, and shows the page: with the figures of the node where they may be read.
pub(super) async fn show(state: Data<State>, request: HttpRequest) -> Answer {
    let PageQuery { code } = query(&request)?;
    // What the page asks for lies beside it, wherever the gateway is mounted and whatever a proxy calls that.
    let last = request.path().rsplit('/').next().unwrap_or_default();
    // What only looks at a link, with HEAD, does not take its code.
    if let Some(code) = code.filter(|_| request.method() == Method::GET) {
        return Ok(let_in(&state, &code, format!("./{last}")));
    }
    let cookie = request.cookie(&state.settings.cookie);
    let signed_in = cookie.is_some_and(|cookie| state.sessions.has(cookie.value(), Instant::now()));
    let node = match signed_in || !state.settings.protect_reads {
        true => tokio::time::timeout(PATIENCE, peers::describe(&state)).await.ok().and_then(Result::ok),
        false => None,
    };
    let base = if last.is_empty() { String::new() } else { format!("{last}/") };
    let node = node.and_then(|node| serde_json::to_value(node).ok()).unwrap_or_default();
    let page = layout::page(&base, signed_in, state.settings.protect_reads, &node).into_string();
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CONTENT_SECURITY_POLICY, PAGE_CSP));
    Ok(response.content_type("text/html; charset=utf-8").body(page))
}

/// `page` is the same page without the code, which is good once. Where it was used before, the session that it began may last.
fn let_in(state: &State, code: &str, page: String) -> HttpResponse {
    let mut response = HttpResponse::SeeOther();
    response.insert_header((header::LOCATION, page));
    if let Some(session) = state.sessions.begin(code, Instant::now()) {
        let cookie = Cookie::build(&state.settings.cookie, session.reveal())
            .path("/")
            .http_only(true)
            .same_site(SameSite::Strict)
            .secure(state.settings.secure)
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

#[cfg(test)]
mod tests {
    use super::{SCRIPT, STYLE};

    #[test]
    fn the_script_is_short_and_never_makes_markup_of_a_text_nor_loads_anything_from_elsewhere() {
        assert!(SCRIPT.lines().count() <= 600, "{} lines", SCRIPT.lines().count());
        let long = |line: &&str| line.chars().count() > 100;
        assert_eq!(SCRIPT.lines().chain(STYLE.lines()).find(long), None);
        for forbidden in
            ["innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "Function(", "setAttribute('on"]
        {
            assert!(!SCRIPT.contains(forbidden), "{forbidden}");
        }
        let foreign =
            |text: &str| text.replace("http://www.w3.org/2000/svg", "").contains("//www.") || text.contains("https:");
        assert!(!foreign(SCRIPT) && !foreign(STYLE) && !STYLE.contains("url(") && !STYLE.contains("@import"));
    }
}
