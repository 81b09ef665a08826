//! The page at `/` without a browser: what it is made of, and what it shows to whom. `tests/browser/` tries it in one.

use crate::client::Served;

#[actix_web::test]
async fn the_page_is_made_on_the_server_and_loads_nothing_but_its_own_files() {
    let served = Served::start().await;
    let page = served.anonymous("GET", "/").send().await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let policy = page.header("content-security-policy").unwrap();
    for rule in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src 'self'"]
    {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
    let html = page.text();
    assert!(html.contains(&served.node.id().to_string()) && html.contains(&served.node.local_addr().to_string()));
    assert!(html.contains("No peer is known: values stay on this node alone."), "{html}");
    let node = served.anonymous("GET", "/v1/node").send().await.json();
    assert_eq!(node["concerns"], serde_json::json!(["No peer is known: values stay on this node alone."]));
    for inline in ["<style", " style=", " onclick=", "javascript:", "://"] {
        assert!(!html.contains(inline), "{inline}: {html}");
    }
    assert_eq!(html.matches("<script").count(), 1);
    for (file, kind) in [("page.js", "text/javascript"), ("page.css", "text/css"), ("icon.svg", "image/svg+xml")] {
        assert!(html.contains(&format!("\"page/{file}\"")), "{file}: {html}");
        let file = served.anonymous("GET", &format!("/page/{file}")).send().await;
        assert_eq!((file.status, file.header("x-content-type-options")), (200, Some("nosniff")));
        assert!(file.header("content-type").unwrap().starts_with(kind));
    }
}

#[actix_web::test]
async fn where_reads_are_protected_the_page_shows_nothing_of_the_node_without_a_session() {
    let served = Served::with(|builder| builder.protect_reads(true)).await;
    let page = served.anonymous("GET", "/").send().await;
    let (id, addr) = (served.node.id().to_string(), served.node.local_addr().to_string());
    assert_eq!(page.status, 200);
    assert!(!page.text().contains(&id) && !page.text().contains(&id[..8]) && !page.text().contains(&addr));
    let code = served.gateway.one_time_code();
    let entered = served.anonymous("GET", &format!("/?code={}", code.reveal())).send().await;
    let cookie = entered.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let page = served.anonymous("GET", "/").header("Cookie", &cookie).send().await;
    assert!(page.text().contains(&id) && page.text().contains(&addr));
    let wrong = served.anonymous("GET", "/").header("Cookie", "kad_session=guessed").send().await;
    assert!(!wrong.text().contains(&id));
}
