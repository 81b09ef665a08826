//! Which handler answers which path.

use std::sync::Arc;

use actix_web::http::{Method, StatusCode, header};
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{
    FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder, ResponseError, Route, guard as guards,
};

use super::guard::guard;
use super::problem::{Answer, Problem};
use super::state::State;
use super::{events, health, lookups, metrics, openapi, page, peers, pins, values, watch};

/// Adds the gateway to an application or a scope.
pub(super) fn configure(state: &Arc<State>, config: &mut ServiceConfig) {
    let all = web::scope("")
        .wrap(from_fn(guard))
        .service(resource("/healthz", [get(health::alive)]))
        .service(resource("/readyz", [get(health::ready)]))
        .service(resource("/metrics", [get(metrics::show)]))
        .service(resource("/openapi.json", [get(openapi::show)]))
        .service(resource("/v1/values", [get(values::list)]))
        .service(resource(
            "/v1/values/{key:[^/]*}",
            [get(values::read), on(Method::PUT, values::set), on(Method::DELETE, values::release)],
        ))
        .service(resource("/v1/values/{key:[^/]*}/health", [get(values::health)]))
        .service(resource("/v1/pins", [get(pins::list)]))
        .service(resource("/v1/pins/{key:[^/]*}", [on(Method::PUT, pins::pin), on(Method::DELETE, pins::unpin)]))
        .service(resource("/v1/lookup/{id_or_key:[^/]*}", [get(lookups::look_up)]))
        .service(resource("/v1/peers", [get(peers::list)]))
        .service(resource("/v1/buckets", [get(peers::buckets)]))
        .service(resource("/v1/node", [get(peers::node)]))
        // Without HEAD: it would open a stream and read nothing.
        .service(resource("/v1/events", [on(Method::GET, events::follow)]))
        .service(resource("/v1/watch", [on(Method::GET, watch::of_query), on(Method::POST, watch::of_body)]))
        .service(resource("/v1/codes", [on(Method::POST, page::code)]))
        .service(resource("/", [get(page::show)]))
        .service(resource("", [get(page::show)]))
        .service(resource("/page/page.js", [get(page::script)]))
        .service(resource("/page/page.css", [get(page::style)]))
        .service(resource("/page/icon.svg", [get(page::icon)]))
        .default_service(web::to(not_found));
    config.app_data(Data::from(state.clone())).service(all);
}

/// The methods that a route answers, as the header Allow has them, and the route.
type Methods = (String, Route);

fn on<F, Args>(method: Method, handler: F) -> Methods
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    (method.to_string(), Route::new().method(method).to(handler))
}

/// What answers GET, and HEAD with the same headers (RFC 9110, 9.1).
fn get<F, Args>(handler: F) -> Methods
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    ("GET, HEAD".to_owned(), Route::new().guard(guards::Any(guards::Get()).or(guards::Head())).to(handler))
}

/// A path with its methods. Any other method is refused, and reported which there are.
fn resource<const N: usize>(path: &str, routes: [Methods; N]) -> Resource {
    let allowed = routes.iter().map(|(methods, _)| methods.as_str()).collect::<Vec<_>>().join(", ");
    let resource = routes.into_iter().fold(web::resource(path), |resource, (_, route)| resource.route(route));
    resource.default_service(web::to(move || not_permitted(allowed.clone())))
}

async fn not_permitted(allowed: String) -> HttpResponse {
    let detail = format!("this path takes {allowed}");
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
    let mut response = problem.error_response();
    if let Ok(allowed) = header::HeaderValue::from_str(&allowed) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

async fn not_found(request: HttpRequest) -> Answer {
    let detail = format!("there is nothing at {}; /openapi.json lists all paths", request.path());
    Err(Problem::new(StatusCode::NOT_FOUND, "no_such_path", detail))
}
