//! Which handler answers which path.

use std::sync::Arc;

use actix_web::http::{StatusCode, header};
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Resource, ResponseError, Route};

use super::guard::guard;
use super::problem::{Answer, Problem};
use super::state::State;
use super::{events, health, lookups, metrics, openapi, page, peers, pins, values, watch};

/// Adds the gateway to an application or a scope.
pub(super) fn configure(state: &Arc<State>, config: &mut ServiceConfig) {
    let all = web::scope("")
        .wrap(from_fn(guard))
        .service(resource("/healthz", [("GET", web::get().to(health::alive))]))
        .service(resource("/readyz", [("GET", web::get().to(health::ready))]))
        .service(resource("/metrics", [("GET", web::get().to(metrics::show))]))
        .service(resource("/openapi.json", [("GET", web::get().to(openapi::show))]))
        .service(resource("/v1/values", [("GET", web::get().to(values::list))]))
        .service(resource(
            "/v1/values/{key:[^/]*}",
            [
                ("GET", web::get().to(values::read)),
                ("PUT", web::put().to(values::set)),
                ("DELETE", web::delete().to(values::release)),
            ],
        ))
        .service(resource("/v1/values/{key:[^/]*}/health", [("GET", web::get().to(values::health))]))
        .service(resource("/v1/pins", [("GET", web::get().to(pins::list))]))
        .service(resource(
            "/v1/pins/{key:[^/]*}",
            [("PUT", web::put().to(pins::pin)), ("DELETE", web::delete().to(pins::unpin))],
        ))
        .service(resource("/v1/lookup/{id_or_key:[^/]*}", [("GET", web::get().to(lookups::look_up))]))
        .service(resource("/v1/peers", [("GET", web::get().to(peers::list))]))
        .service(resource("/v1/buckets", [("GET", web::get().to(peers::buckets))]))
        .service(resource("/v1/node", [("GET", web::get().to(peers::node))]))
        .service(resource("/v1/events", [("GET", web::get().to(events::follow))]))
        .service(resource(
            "/v1/watch",
            [("GET", web::get().to(watch::of_query)), ("POST", web::post().to(watch::of_body))],
        ))
        .service(resource("/v1/codes", [("POST", web::post().to(page::code))]))
        .configure(page::configure)
        .default_service(web::to(not_found));
    config.app_data(Data::from(state.clone())).service(all);
}

/// A path with its methods. Any other method is refused, and reported which there are.
fn resource<const N: usize>(path: &str, routes: [(&'static str, Route); N]) -> Resource {
    let allowed = routes.iter().map(|(method, _)| *method).collect::<Vec<_>>().join(", ");
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
