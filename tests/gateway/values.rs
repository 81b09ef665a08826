//! Values: set, read, listed, pinned and released.

use kademlia_dynamic::{Node, Value};
use serde_json::json;

use crate::client::{Answer, Served, problem};

#[actix_web::test]
async fn a_value_is_what_was_sent_text_as_text_and_bytes_as_bytes() {
    let served = Served::start().await;
    let set = served.put("/v1/values/text", "text/html", "<b>é</b>".as_bytes()).await;
    let outcome = json!({
        "asked": 0, "stored": 0, "refused": 0, "silent": 0, "pending": 0, "expires_in": set.json()["expires_in"], "superseded": false,
    });
    assert_eq!((set.status, set.json()), (200, outcome));
    assert_eq!(served.put("/v1/values/bytes", "application/octet-stream", b"text").await.status, 200);
    assert_eq!(served.put("/v1/values/other", "image/png", b"\xff\x00").await.status, 200);
    let not_text = served.put("/v1/values/k", "text/plain; charset=latin1", b"\xe9").await;
    assert_eq!(not_text.problem(), problem(400, "not_text"));

    let text = served.get("/v1/values/text").await;
    assert_eq!((text.status, text.text()), (200, "<b>é</b>"));
    assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!((text.header("kad-holder"), text.header("kad-votes")), (Some("self"), Some("1/1/1")));
    assert!(text.header("kad-expires-in").unwrap().parse::<f64>().unwrap() > 86_000.0);
    for (path, body) in [("/v1/values/bytes", &b"text"[..]), ("/v1/values/other", b"\xff\x00")] {
        let bytes = served.get(path).await;
        assert_eq!((bytes.status, &*bytes.body), (200, body));
        assert_eq!(bytes.header("content-type"), Some("application/octet-stream"));
        assert_eq!(bytes.header("content-disposition"), Some("attachment"));
    }
    let json = served.request("GET", "/v1/values/text").header("Accept", "application/json").send().await.json();
    assert_eq!((&json["result"], &json["value"]["value"]), (&"found".into(), &"<b>é</b>".into()), "{json}");
}

#[actix_web::test]
async fn keys_of_any_text_are_told_apart_and_what_is_no_key_is_a_problem() {
    let served = Served::start().await;
    let long = "é".repeat(512);
    let encode = |key: &str| key.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let keys = ["a/b", "%", "%2F", "\0", "?&#", "a b", "", long.as_str(), "\u{202e}<script>", "+", "a/health"];
    for key in keys {
        let path = format!("/v1/values/{}", encode(key));
        assert_eq!(served.put(&path, "text/plain", key.as_bytes()).await.status, 200, "{key:?}");
    }
    for key in keys {
        assert_eq!(served.node.get(key).await.unwrap(), Some(Value::from(key)), "{key:?}");
        assert_eq!(served.get(&format!("/v1/values/{}", encode(key))).await.text(), key);
        assert_eq!(served.get(&format!("/v1/values/{}/health", encode(key))).await.json()["key"], *key);
    }
    assert_eq!(served.get("/v1/values/+").await.text(), "+", "a plus is a plus in a path");
    let too_long = served.get(&format!("/v1/values/{}", encode(&(long + "a")))).await;
    assert_eq!(too_long.problem(), problem(414, "key_too_long"));
    assert_eq!((&too_long.json()["length"], &too_long.json()["max"]), (&1_025.into(), &1_024.into()));
    for path in ["/v1/values/%FF", "/v1/values/%zz", "/v1/values/%"] {
        let answer = served.get(path).await;
        // Some of these the server refuses before they are read as a path.
        assert!(answer.status == 400, "{path}: {answer:?}");
    }
    assert_eq!(served.get("/v1/values/%FF").await.problem(), problem(400, "bad_key"));
    assert_eq!(served.get("/v1/values/a/b").await.problem(), problem(404, "no_such_path"));
}

#[actix_web::test]
async fn a_value_of_60_000_bytes_is_taken_and_one_byte_more_is_too_large() {
    let served = Served::start().await;
    let value = vec![b'x'; 60_001];
    assert_eq!(served.put("/v1/values/k", "text/plain", &value[1..]).await.status, 200);
    assert_eq!(served.get("/v1/values/k").await.body.len(), 60_000);
    let too_large = served.put("/v1/values/k", "text/plain", &value).await;
    assert_eq!(too_large.problem(), problem(413, "too_large"));
    assert_eq!(too_large.json()["max"], 60_000);
    let far_too_large = served.put("/v1/values/k", "text/plain", &vec![b'x'; 1 << 20]).await;
    assert_eq!(far_too_large.problem(), problem(413, "too_large"));
    assert_eq!(served.get("/v1/values/k").await.body.len(), 60_000, "it is as before");
    // Bytes grow when JSON carries them, so that less fits a datagram.
    let answer = served.put("/v1/values/k", "application/octet-stream", &value[1..]).await;
    assert_eq!(answer.problem(), problem(413, "too_large"));
}

#[actix_web::test]
async fn an_absent_key_and_a_silent_network_are_different_problems() {
    let served = Served::start().await;
    let absent = served.get("/v1/values/k").await;
    assert_eq!(absent.problem(), problem(404, "not_found"));
    assert_eq!((&absent.json()["answered"], &absent.json()["unheard"]), (&0.into(), &0.into()));
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let alone = Node::builder().bootstrap([silent.local_addr().unwrap()]).start().await.unwrap();
    let alone = Served::of(alone, |builder| builder).await;
    let answer = alone.get("/v1/values/k").await;
    assert_eq!((answer.problem(), answer.header("retry-after")), (problem(503, "not_joined"), Some("1")));
    let ready = alone.get("/readyz").await;
    assert_eq!(ready.problem(), problem(503, "not_ready"));
    assert!(ready.json()["reasons"][0].as_str().unwrap().contains("no contact has answered"), "{ready:?}");
    assert_eq!((alone.get("/healthz").await.status, served.get("/readyz").await.status), (200, 200));
}

fn keys(answer: &Answer) -> Vec<String> {
    let page = answer.json();
    page["values"].as_array().unwrap().iter().map(|value| value["key"].as_str().unwrap().to_owned()).collect()
}

#[actix_web::test]
async fn the_keys_that_are_published_are_listed_in_pages_by_prefix() {
    let served = Served::start().await;
    for key in ["b", "a/2", "a/1", "a/3"] {
        served.node.set(key, "value").await.unwrap();
    }
    let first = served.get("/v1/values?prefix=a/&limit=2").await;
    assert_eq!((keys(&first), &first.json()["next"]), (vec!["a/1".into(), "a/2".into()], &"a/2".into()));
    let value = &first.json()["values"][0];
    assert_eq!((&value["class"], &value["bytes"], &value["pinned"]), (&"published".into(), &5.into(), &false.into()));
    let second = served.get("/v1/values?prefix=a%2F&limit=2&after=a%2F2").await;
    assert_eq!((keys(&second), &second.json()["next"]), (vec!["a/3".to_owned()], &json!(null)));
    assert_eq!(keys(&served.get("/v1/values").await).len(), 4);
    for query in ["limit=0", "limit=1001", "limit=x", "prefiks=a"] {
        assert_eq!(served.get(&format!("/v1/values?{query}")).await.problem(), problem(400, "invalid_parameter"));
    }
}

#[actix_web::test]
async fn a_key_is_pinned_unpinned_and_released() {
    let served = Served::start().await;
    let pin = |query: &str| served.request("PUT", &format!("/v1/pins/k{query}")).send();
    assert_eq!(pin("").await.problem(), problem(409, "not_published"));
    served.node.set("k", "v").await.unwrap();
    assert_eq!(pin("?min_replicas=21").await.problem(), problem(400, "invalid_parameter"));
    assert_eq!(pin("?min_replicas=2").await.json(), json!({"pinned": true, "min_replicas": 2}));
    assert_eq!(served.get("/v1/pins").await.json()["keys"][0]["key"], "k");
    assert_eq!(served.get("/v1/values").await.json()["values"][0]["pinned"], true);
    let node = served.anonymous("GET", "/v1/node").send().await.json();
    let under_way = &node["pins"]["under_way"];
    let counts = json!({"pinned": 1, "under_way": under_way, "below_min": 0, "replicas": {}});
    assert_eq!(node["pins"], counts, "the keys need the token");
    let delete = |path: &'static str| served.request("DELETE", path).send();
    for unpinned in [true, false] {
        assert_eq!(delete("/v1/pins/k").await.json(), json!({ "unpinned": unpinned }));
    }
    for released in [true, false] {
        assert_eq!(delete("/v1/values/k").await.json(), json!({ "released": released }));
    }
}

#[actix_web::test]
async fn a_method_that_a_path_does_not_take_is_refused_with_those_that_it_does() {
    let served = Served::start().await;
    let answer = served.request("POST", "/v1/values/k").send().await;
    assert_eq!(
        (answer.problem(), answer.header("allow")),
        (problem(405, "method_not_allowed"), Some("GET, HEAD, PUT, DELETE"))
    );
    assert_eq!(served.get("/v1/values/k?fresh=maybe").await.problem(), problem(400, "invalid_parameter"));
    assert_eq!(served.get("/v1/values/k?quorum=0").await.problem(), problem(400, "invalid_parameter"));
    assert_eq!(served.get("/v1/values/k?quorum=21").await.problem(), problem(400, "invalid_parameter"));
    assert_eq!(
        served.put("/v1/values/k?quorum=21", "text/plain", b"v").await.problem(),
        problem(400, "invalid_parameter")
    );
}

#[actix_web::test]
async fn head_is_answered_as_get_is_without_the_body_and_opens_no_stream() {
    let served = Served::start().await;
    served.node.set("k", "value").await.unwrap();
    for path in ["/v1/values/k", "/v1/values/k/health", "/v1/values", "/openapi.json", "/healthz", "/page/page.css"] {
        let (get, head) = (served.get(path).await, served.request("HEAD", path).send().await);
        assert_eq!((head.status, head.body.len()), (get.status, 0), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        let length = |answer: &Answer| answer.header("content-length").unwrap().parse::<usize>().unwrap();
        assert!(length(&head) > 0, "{path}: {head:?}");
    }
    assert_eq!(served.request("HEAD", "/v1/values/absent").send().await.status, 404);
    for path in ["/v1/events", "/v1/watch?key=k"] {
        let head = served.request("HEAD", path).send().await;
        assert_eq!((head.status, head.body.len()), (405, 0), "{path}");
    }
}
