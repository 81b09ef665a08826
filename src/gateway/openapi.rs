//! The description of all paths, for programs: OpenAPI 3.1.

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::Method;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use super::access::{Need, need};
use super::problem::{self, Answer, Problem};
use super::{events, health, lookups, metrics, page, peers, pins, values, watch};

/// The description.
#[derive(OpenApi)]
#[openapi(
    info(title = "kad: a node of a Kademlia network over HTTP", description = "See docs/http.md."),
    // Relative to where this description is: the gateway may be mounted anywhere.
    servers((url = ".")),
    paths(
        values::list, values::read, values::set, values::release, values::health, watch::of_query, watch::of_body,
        pins::list, pins::pin, pins::unpin, lookups::look_up, peers::list, peers::buckets, peers::node, events::follow,
        health::alive, health::ready, metrics::show, page::code, show,
    ),
    components(schemas(Problem)),
    modifiers(&Problems),
    security((), ("token" = []))
)]
struct Description;

static TEXT: LazyLock<String> = LazyLock::new(|| Description::openapi().to_json().unwrap_or_default());

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "node", responses((status = 200, description = "OpenAPI", body = Object)))]
pub(super) async fn show() -> Answer {
    Ok(HttpResponse::Ok().content_type("application/json").body(TEXT.as_str()))
}

/// Adds to each path the problems that any may have, and how the token is given.
struct Problems;

const COMMON: [(&str, &str); 13] = [
    ("400", "A parameter, a key or the body cannot be read"),
    ("401", "The token is missing or wrong"),
    ("403", "A page of another origin made the request"),
    ("404", "There is no such path, or no node that answered holds the key"),
    ("408", "The client sent its request too slowly"),
    ("409", "This node does not publish the key"),
    ("413", "The value or the body is too large"),
    ("414", "The key is too long"),
    ("421", "The Host header is no name of this server"),
    ("429", "Too many requests a second"),
    ("500", "The node has failed"),
    ("503", "The node is busy, has joined no network yet, or has stopped"),
    ("504", "No peer answered in time"),
];

impl Modify for Problems {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let content = Content::new(Some(RefOr::Ref(Ref::from_schema_name("Problem"))));
        for (path, item) in &mut openapi.paths.paths {
            let operations = [
                (Method::GET, &mut item.get),
                (Method::PUT, &mut item.put),
                (Method::POST, &mut item.post),
                (Method::DELETE, &mut item.delete),
            ];
            for (method, operation) in operations {
                let Some(operation) = operation else { continue };
                // Of the others each may need it, by what the gateway was made with.
                if need(&method, path) == Need::Token {
                    operation.security = Some(vec![SecurityRequirement::new("token", [""; 0])]);
                }
                for (status, description) in COMMON {
                    let response = ResponseBuilder::new().description(description);
                    let response = response.content(problem::CONTENT_TYPE, content.clone()).build();
                    operation.responses.responses.entry(status.to_owned()).or_insert(RefOr::T(response));
                }
            }
        }
        let token = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        openapi.components.get_or_insert_default().add_security_scheme("token", token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_is_described_and_writes_need_the_token_where_reads_may() {
        let text: serde_json::Value = serde_json::from_str(&TEXT).unwrap();
        assert!(text["openapi"].as_str().unwrap().starts_with("3.1"), "{}", text["openapi"]);
        let read = &text["paths"]["/v1/values/{key}"]["get"]["responses"];
        for status in ["200", "404", "502", "504"] {
            assert!(read[status]["description"].is_string(), "{status}: {read}");
        }
        assert_eq!(text["components"]["securitySchemes"]["token"]["scheme"], "bearer");
        let security = |path: &str, method: &str| text["paths"][path][method]["security"].clone();
        assert_eq!(security("/v1/values/{key}", "put"), serde_json::json!([{ "token": [] }]));
        assert_eq!(security("/v1/values/{key}", "get"), serde_json::Value::Null, "that of the whole: either");
        assert_eq!(text["security"], serde_json::json!([{}, { "token": [] }]));
        assert_eq!(text["paths"].as_object().unwrap().len(), 16);
    }
}
