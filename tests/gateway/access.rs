//! Who may do what: hosts, origins, tokens, cookies, headers.

use kademlia_dynamic::gateway::Token;

use crate::client::{Served, problem};

const WRITES: [(&str, &str); 5] = [
    ("PUT", "/v1/values/k"),
    ("DELETE", "/v1/values/k"),
    ("PUT", "/v1/pins/k"),
    ("DELETE", "/v1/pins/k"),
    ("POST", "/v1/codes"),
];
const LISTS: [(&str, &str); 3] = [("GET", "/v1/values"), ("GET", "/v1/pins"), ("GET", "/v1/events")];

#[actix_web::test]
async fn writes_and_lists_of_keys_need_the_token_also_on_a_loopback_port() {
    let served = Served::start().await;
    for (method, path) in WRITES.into_iter().chain(LISTS) {
        let answer = served.anonymous(method, path).send().await;
        assert_eq!(answer.problem(), problem(401, "no_token"), "{method} {path}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        let wrong = format!("Bearer {}", Token::random().reveal());
        let answer = served.anonymous(method, path).header("Authorization", &wrong).send().await;
        assert_eq!(answer.problem(), problem(401, "wrong_token"), "{method} {path}");
    }
    let basic = served.anonymous("GET", "/v1/values").header("Authorization", "Basic a2FkOmthZA==").send().await;
    assert_eq!(basic.problem(), problem(401, "wrong_token"));
    assert_eq!(served.get("/v1/values").await.status, 200);
    assert!(served.node.copy_of("k").await.unwrap().is_none(), "nothing was written");
}

#[actix_web::test]
async fn reads_need_the_token_where_they_are_protected_and_only_there() {
    let reads = ["/v1/values/k", "/v1/node", "/v1/peers", "/v1/buckets", "/v1/lookup/k", "/readyz", "/openapi.json"];
    let (open, protected) = (Served::start().await, Served::with(|builder| builder.protect_reads(true)).await);
    for path in reads {
        assert_ne!(open.anonymous("GET", path).send().await.status, 401, "{path}");
        assert_eq!(protected.anonymous("GET", path).send().await.problem(), problem(401, "no_token"), "{path}");
        assert_ne!(protected.get(path).await.status, 401, "{path}");
    }
    for path in ["/healthz", "/"] {
        assert_eq!(protected.anonymous("GET", path).send().await.status, 200, "{path}");
    }
}

#[actix_web::test]
async fn a_host_that_is_no_name_of_the_server_is_refused() {
    let served = Served::with(|builder| builder.host("dht.example.org")).await;
    for host in ["evil.example", "evil.example:8420", "127.0.0.1.evil.example", "localhost@evil.example", ""] {
        let answer = served.request("GET", "/healthz").header("Host", host).send().await;
        assert_eq!(answer.problem(), problem(421, "wrong_host"), "{host}");
    }
    for host in ["localhost:1", "127.0.0.1", "[::1]:8420", "DHT.example.org"] {
        assert_eq!(served.anonymous("GET", "/healthz").header("Host", host).send().await.status, 200, "{host}");
    }
}

#[actix_web::test]
async fn pages_of_other_origins_are_refused_for_whatever_they_ask_but_may_link_to_the_page() {
    let served = Served::start().await;
    let own = format!("http://{}", served.addr);
    for (method, path) in [("GET", "/v1/node"), ("PUT", "/v1/values/k"), ("POST", "/v1/watch"), ("OPTIONS", "/v1/node")]
    {
        for (name, value) in [
            ("Origin", "http://evil.example"),
            ("Origin", "null"),
            ("Origin", "http://127.0.0.1:1"),
            ("Sec-Fetch-Site", "cross-site"),
            ("Sec-Fetch-Site", "same-site"),
        ] {
            let answer = served.request(method, path).header(name, value).send().await;
            assert_eq!(answer.problem(), problem(403, "foreign_origin"), "{method} {path} {name}: {value}");
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
    let navigation = |path: &str| {
        let request = served.anonymous("GET", path).header("Sec-Fetch-Site", "cross-site");
        request.header("Sec-Fetch-Mode", "navigate").send()
    };
    assert_eq!(navigation("/").await.status, 200);
    assert_eq!(navigation("/v1/values/k").await.problem(), problem(403, "foreign_origin"));
    let same = served.request("GET", "/v1/node").header("Origin", &own).header("Sec-Fetch-Site", "same-origin");
    assert_eq!(same.send().await.status, 200);
}

#[actix_web::test]
async fn an_origin_that_was_permitted_may_ask_with_the_token_and_without_cookies() {
    let served = Served::with(|builder| builder.origin("https://app.example.org")).await;
    let from = |method: &str, path: &str| {
        let request = served.anonymous(method, path).header("Origin", "https://app.example.org");
        request.header("Sec-Fetch-Site", "cross-site")
    };
    let preflight = from("OPTIONS", "/v1/values/k").header("Access-Control-Request-Method", "PUT").send().await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("https://app.example.org"));
    assert!(preflight.header("access-control-allow-methods").unwrap().contains("PUT"));
    assert!(preflight.header("access-control-allow-headers").unwrap().contains("authorization"));
    assert_eq!(preflight.header("access-control-allow-credentials"), None);
    let token = format!("Bearer {}", served.gateway.token().reveal());
    let set = from("PUT", "/v1/values/k").header("Authorization", &token).body(b"v").send().await;
    assert_eq!((set.status, set.header("access-control-allow-origin")), (200, Some("https://app.example.org")));
    let cookie = session(&served).await;
    assert_eq!(from("GET", "/v1/values").header("Cookie", &cookie).send().await.problem(), problem(401, "no_token"));
    let other = served.request("GET", "/v1/node").header("Origin", "https://app.example.org.evil.example");
    assert_eq!(other.send().await.problem(), problem(403, "foreign_origin"));
}

#[actix_web::test]
async fn the_page_of_the_server_keeps_its_cookie_where_the_own_origin_is_permitted_too() {
    let served = Served::with(|builder| builder.host("dht.example.org").origin("https://dht.example.org")).await;
    let cookie = session(&served).await;
    let set = served.anonymous("PUT", "/v1/values/k").header("Host", "dht.example.org").header("Cookie", &cookie);
    let set = set.header("Origin", "https://dht.example.org").header("Sec-Fetch-Site", "same-origin").body(b"v");
    assert_eq!(set.send().await.status, 200);
}

/// The cookie that a new one-time code becomes.
async fn session(served: &Served) -> String {
    let code = served.gateway.one_time_code();
    let answer = served.anonymous("GET", &format!("/?code={}", code.reveal())).send().await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("./")), "{answer:?}");
    let cookie = answer.header("set-cookie").unwrap();
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    cookie.split(';').next().unwrap().to_owned()
}

#[actix_web::test]
async fn a_one_time_code_becomes_a_cookie_that_permits_what_the_token_does_once() {
    let served = Served::start().await;
    let cookie = session(&served).await;
    let set = served.anonymous("PUT", "/v1/values/k").header("Cookie", &cookie).body(b"v").send().await;
    assert_eq!(set.status, 200);
    let wrong = served.anonymous("GET", "/v1/values").header("Cookie", "kad_session=0").send().await;
    assert_eq!(wrong.problem(), problem(401, "session_ended"));

    let code = served.request("POST", "/v1/codes").send().await.json()["code"].as_str().unwrap().to_owned();
    let open = || served.anonymous("GET", &format!("/?code={code}")).send();
    let looked_at = served.anonymous("HEAD", &format!("/?code={code}")).send().await;
    assert_eq!((looked_at.status, looked_at.header("set-cookie")), (200, None), "HEAD takes no code");
    assert!(open().await.header("set-cookie").is_some());
    assert_eq!(open().await.header("set-cookie"), None, "a code is good once");
    let two = served.anonymous("GET", "/?code=a&code=b").send().await;
    assert_eq!(two.problem(), problem(400, "invalid_parameter"));
}

#[actix_web::test]
async fn no_answer_is_run_framed_guessed_or_kept_by_a_browser() {
    let served = Served::start().await;
    served.node.set("k", "<script>alert(1)</script>").await.unwrap();
    let absent = served.get("/nowhere").await;
    assert_eq!(absent.problem(), problem(404, "no_such_path"));
    let refused = served.anonymous("GET", "/v1/values").send().await;
    for answer in [served.get("/v1/values/k").await, served.get("/v1/node").await, absent, refused] {
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"));
        assert!(answer.header("content-security-policy").unwrap().contains("sandbox"));
    }
    let page = served.anonymous("GET", "/").send().await;
    let policy = page.header("content-security-policy").unwrap();
    for rule in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src 'self'"]
    {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("sandbox"), "{policy}");
}
