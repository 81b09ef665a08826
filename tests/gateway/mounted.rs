//! A gateway in a scope of another application.

use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::{App, HttpResponse, web};
use kademlia_dynamic::Node;
use kademlia_dynamic::gateway::Gateway;

#[actix_web::test]
async fn a_gateway_in_a_scope_leaves_the_rest_of_the_application_alone_and_keeps_its_rules() {
    let node = Node::builder().start().await.unwrap();
    let (first, second) = (Gateway::builder(node.clone()).build(), Gateway::builder(node.clone()).build());
    let app = App::new()
        .service(web::scope("/dht").configure(first.configure()))
        .service(web::scope("/two").configure(second.configure()))
        .route("/own", web::get().to(|| async { HttpResponse::Ok().body("own") }));
    let app = init_service(app).await;
    let status = |method: &str, path: &str, token: Option<&Gateway>| {
        let mut request =
            TestRequest::with_uri(path).method(method.parse().unwrap()).insert_header(("host", "localhost"));
        if let Some(gateway) = token {
            request = request.insert_header(("authorization", format!("Bearer {}", gateway.token().reveal())));
        }
        let call = call_service(&app, request.set_payload("v").to_request());
        async move { call.await.status().as_u16() }
    };
    assert_eq!(status("PUT", "/dht/v1/values/a%2Fb", Some(&first)).await, 200);
    assert_eq!(status("PUT", "/dht/v1/values/k", Some(&second)).await, 401, "each has its own token");
    assert_eq!(status("PUT", "/two/v1/values/k", Some(&second)).await, 200);
    assert_eq!(status("GET", "/dht/v1/values", None).await, 401);
    assert_eq!(status("GET", "/dht/v1/values/a%2Fb", None).await, 200);
    assert_eq!(status("GET", "/dht/", None).await, 200);
    assert_eq!(status("GET", "/dht", None).await, 200);
    assert_eq!(status("GET", "/dht/nowhere", Some(&first)).await, 404);
    assert_eq!(status("GET", "/nowhere", None).await, 404);
    let own = call_service(&app, TestRequest::with_uri("/own").to_request()).await;
    assert_eq!(read_body(own).await, "own", "the host is not checked there");
    assert!(node.copy_of("a/b").await.unwrap().is_some());
}
