//! Events and watches: one stream for many keys.

use std::time::Duration;

use kademlia_dynamic::Node;
use kademlia_dynamic::gateway::Limits;
use serde_json::json;

use crate::client::{Events, Served, problem};

#[actix_web::test]
async fn events_come_by_kind_and_by_group() {
    let served = Served::start().await;
    let mut values = Events::open(served.request("GET", "/v1/events?kinds=values")).await;
    let mut lookups = Events::open(served.request("GET", "/v1/events?kinds=lookup_ended,restarts")).await;
    served.node.set("k", "v").await.unwrap();
    served.node.release("k").await.unwrap();
    assert_eq!(values.next().await, ("published".to_owned(), json!({"event": "published", "key": "k"})));
    assert_eq!(values.next().await.0, "released");
    assert_eq!(lookups.next().await.0, "lookup_ended");
    let unknown = served.get("/v1/events?kinds=values,valeus").await;
    assert_eq!(unknown.problem(), problem(400, "invalid_parameter"));
    assert!(unknown.json()["detail"].as_str().unwrap().contains("valeus"));
}

#[actix_web::test]
async fn a_watch_reports_what_is_held_at_once_and_what_is_set_as_soon_as_it_is() {
    let served = Served::start().await;
    served.node.set("a", "first").await.unwrap();
    let mut watch = Events::open(served.anonymous("GET", "/v1/watch?key=a&key=b")).await;
    let (mut seen, mut absent) = (watch.next().await, watch.next().await);
    if seen.0 == "absent" {
        std::mem::swap(&mut seen, &mut absent);
    }
    assert_eq!((seen.0.as_str(), &seen.1["key"], &seen.1["value"]), ("value", &"a".into(), &"first".into()));
    assert_eq!(absent.1, json!({"event": "absent", "key": "b"}));
    served.node.set("b", b"\x00").await.unwrap();
    let change = watch.next().await.1;
    assert_eq!(
        (&change["key"], &change["kind"], &change["value_base64"]),
        (&"b".into(), &"bytes".into(), &"AA==".into())
    );
    served.node.set("a", "second").await.unwrap();
    assert_eq!(watch.next().await.1["value"], "second");
}

#[actix_web::test]
async fn ten_thousand_keys_are_watched_on_one_connection() {
    let served = Served::start().await;
    let keys: Vec<String> = (0..10_000).map(|n| format!("key {n}")).collect();
    let body = serde_json::to_vec(&json!({ "keys": keys })).unwrap();
    let mut watch = Events::open(served.anonymous("POST", "/v1/watch").body(&body)).await;
    for n in [9_999, 0, 5_000] {
        let key = format!("key {n}");
        served.node.set(&key, "v").await.unwrap();
        loop {
            let data = watch.next_of("value").await;
            if data["key"] == key.as_str() {
                break;
            }
        }
    }
    let more = serde_json::to_vec(&json!({ "keys": vec!["k"; 10_001] })).unwrap();
    let refused = served.anonymous("POST", "/v1/watch").body(&more).send().await;
    assert_eq!(refused.problem(), problem(400, "invalid_parameter"));
}

#[actix_web::test]
async fn what_is_no_list_of_keys_is_refused() {
    let served = Served::start().await;
    for body in ["", "[]", "{\"keys\": [1]}", "{\"keys\": [\"k\"], \"more\": 1}"] {
        let answer = served.anonymous("POST", "/v1/watch").body(body.as_bytes()).send().await;
        assert_eq!(answer.problem(), problem(400, "invalid_body"), "{body}");
    }
    for query in ["", "?", "?keys=a", "?key=a&b=c"] {
        let answer = served.anonymous("GET", &format!("/v1/watch{query}")).send().await;
        assert_eq!(answer.problem(), problem(400, "invalid_parameter"), "{query}");
    }
    let long = format!("/v1/watch?key={}", "a".repeat(1_025));
    assert_eq!(served.anonymous("GET", &long).send().await.problem(), problem(414, "key_too_long"));
}

#[actix_web::test]
async fn streams_are_bounded_and_a_stream_that_its_client_has_left_makes_room() {
    let mut limits = Limits::default();
    limits.streams = 2;
    let served = Served::with(|builder| builder.limits(limits)).await;
    let first = Events::open(served.request("GET", "/v1/events")).await;
    let _second = Events::open(served.request("GET", "/v1/watch?key=k")).await;
    let third = served.get("/v1/events").await;
    assert_eq!((third.problem(), third.header("retry-after")), (problem(503, "busy"), Some("5")));
    drop(first);
    let freed = async {
        while served.anonymous("GET", "/v1/watch?key=k").open_or_refused().await != 200 {
            // An event shows the server that the client has gone.
            served.node.set("other", "v").await.unwrap();
        }
    };
    tokio::time::timeout(crate::client::PATIENCE, freed).await.unwrap();
}

#[actix_web::test]
async fn a_client_that_does_not_read_its_stream_is_told_that_it_missed_something_and_gets_the_latest() {
    // On a machine with other work it may be long before this client reads.
    let mut limits = Limits::default();
    limits.read_time = Duration::from_secs(600);
    let served = Served::with(|builder| builder.limits(limits)).await;
    // 30 MB: more than the buffers of both sockets hold.
    let keys: Vec<String> = (0..600).map(|n| format!("key{n}")).collect();
    for key in &keys {
        served.node.set(key, "x".repeat(50_000)).await.unwrap();
    }
    let query: String = keys.iter().map(|key| format!("key={key}&")).collect();
    let mut watch = Events::open(served.anonymous("GET", &format!("/v1/watch?{}", query.trim_end_matches('&')))).await;
    // Once a reader that keeps up has all of them, this one has missed some.
    let mut other = served.node.watch(&keys).await.unwrap();
    for _ in 0..keys.len() {
        other.next().await.unwrap();
    }
    served.node.set(&keys[0], "the last").await.unwrap();
    let (mut values, mut missed) = (0, 0);
    loop {
        match watch.next().await {
            (event, data) if event == "missed" => missed += data["changes"].as_u64().unwrap(),
            (_, data) if data["value"] == "the last" => break,
            _ => values += 1,
        }
    }
    assert!(missed > 0 && values > 0, "{missed} missed, {values} seen");
}

#[actix_web::test]
async fn a_stream_ends_with_the_node() {
    let served = Served::start().await;
    let other = Node::builder().start().await.unwrap();
    let ended = Served::of(other, |builder| builder).await;
    let watch = Events::open(ended.request("GET", "/v1/watch?key=k")).await;
    let mut events = Events::open(ended.request("GET", "/v1/events")).await;
    ended.node.set("k", "v").await.unwrap();
    events.next_of("published").await;
    ended.node.stop().await;
    watch.end().await;
    assert_eq!(ended.get("/v1/node").await.problem(), problem(503, "stopped"));
    assert_eq!(served.get("/healthz").await.status, 200);
}
