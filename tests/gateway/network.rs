//! What the gateway shows of a network, and what it reads from there.

use kademlia_dynamic::gateway::{METRICS, recorder};
use kademlia_dynamic::{Node, NodeId};

use crate::client::Served;

/// A gateway to one of four nodes that know each other.
async fn network() -> (Served, Vec<Node>) {
    let first = Node::builder().start().await.unwrap();
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(Node::builder().bootstrap([first.local_addr()]).start().await.unwrap());
    }
    (Served::of(first, |builder| builder).await, others)
}

#[actix_web::test]
async fn a_value_of_another_node_is_read_with_its_holder_its_votes_and_its_trace() {
    let (served, others) = network().await;
    others[0].set("k", "v").await.unwrap();
    let read = served.get("/v1/values/k?quorum=2").await;
    assert_eq!((read.status, read.text()), (200, "v"));
    let votes: Vec<usize> = read.header("kad-votes").unwrap().split('/').map(|n| n.parse().unwrap()).collect();
    assert!(votes[0] >= 2 && votes[2] == 2, "{votes:?}");

    // It holds the key by now, and reads it there, unless the network is asked.
    assert_eq!(served.get("/v1/values/k").await.header("kad-holder"), Some("self"));
    let fresh = served.get("/v1/values/k?fresh=1").await;
    let (id, addr) = fresh.header("kad-holder").unwrap().split_once('@').unwrap();
    assert!(others.iter().any(|node| node.id().to_string() == id && node.local_addr().to_string() == addr));
    let traced = served.request("GET", "/v1/values/k?fresh=1&trace=1").header("Accept", "application/json");
    let traced = traced.send().await.json();
    assert_eq!(traced["trace"]["target"], NodeId::of_key("k").to_string(), "{traced}");

    let health = served.get("/v1/values/k/health").await.json();
    assert_eq!(health["nearest"]["confirmed"].as_array().unwrap().len(), 3, "{health}");
    let set = served.put("/v1/values/other", "text/plain", b"v").await.json();
    assert_eq!((&set["asked"], &set["stored"]), (&3.into(), &3.into()));
    assert!(set["expires_in"].as_f64().unwrap() > 0.0, "{set}");
    // It may be answered before the last of them has answered.
    let set = served.put("/v1/values/early?quorum=1", "text/plain", b"v").await.json();
    let count = |name: &str| set[name].as_u64().unwrap();
    assert!(count("stored") >= 1 && count("stored") + count("pending") == 3 && count("asked") == 3, "{set}");
}

#[actix_web::test]
async fn a_lookup_is_of_an_id_or_of_a_key_and_has_its_trace_where_it_is_asked_for() {
    let (served, others) = network().await;
    let id = others[1].id();
    let found = served.get(&format!("/v1/lookup/{id}?trace=1")).await.json();
    assert_eq!((&found["target"], &found["nodes"][0]["node_id"]), (&id.to_string().into(), &id.to_string().into()));
    assert_eq!(found["trace"]["asked"].as_array().unwrap().len(), 3, "{found}");
    let of_key = served.get("/v1/lookup/some%20key").await.json();
    assert_eq!(of_key["target"], NodeId::of_key("some key").to_string());
    assert!(of_key.get("trace").is_none() && of_key["nodes"].as_array().unwrap().len() == 3, "{of_key}");
    let as_key = served.get(&format!("/v1/lookup/{id}?key=1")).await.json();
    assert_eq!(as_key["target"], NodeId::of_key(&id.to_string()).to_string());
}

#[actix_web::test]
async fn peers_buckets_and_the_node_are_shown_without_a_token() {
    let (served, others) = network().await;
    let get = |path: &'static str| served.anonymous("GET", path).send();
    let peers = get("/v1/peers").await.json();
    let peers = peers["peers"].as_array().unwrap();
    assert_eq!(peers.len(), others.len());
    for peer in peers {
        assert!(peer["round_trip"].as_f64().unwrap() > 0.0 && peer["answered_ago"].is_number(), "{peer}");
        assert!(peer["node_id"].is_string() && peer["bucket"].is_string(), "{peer}");
    }
    let buckets = get("/v1/buckets").await.json();
    assert_eq!(buckets["own"], served.node.id().to_string());
    assert_eq!(buckets["buckets"][0]["peers"].as_array().unwrap().len(), 3, "{buckets}");
    let node = get("/v1/node").await.json();
    assert_eq!((&node["id"], &node["peers"]["known"]), (&served.node.id().to_string().into(), &3.into()));
    assert!(node["counters"]["kad_datagrams_received_total"].as_u64().unwrap() > 0, "{node}");
}

#[actix_web::test]
async fn metrics_have_each_name_with_its_help_and_what_there_is_of_it() {
    let recorder = recorder().expect("no other test of this binary installs one");
    let served = Served::with(|builder| builder.metrics(recorder)).await;
    served.node.set("k", "value").await.unwrap();
    let answer = served.anonymous("GET", "/metrics").send().await;
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = answer.text();
    for (line, value) in [("kad_values{class=\"published\"}", "1"), ("kad_value_bytes{class=\"published\"}", "6")] {
        assert!(text.contains(&format!("{line} {value}\n")), "{line}: {text}");
    }
    assert!(text.contains("kad_dropped_total{reason=\"no_slot\"} "), "{text}");
    // Those of a store on disk and of restarts come with these.
    for metric in METRICS.iter().filter(|metric| !metric.name.contains("_store_") && !metric.name.contains("restarts"))
    {
        assert!(text.contains(&format!("# HELP {} {}", metric.name, metric.help)), "{}: {text}", metric.name);
    }
    let without = Served::start().await;
    assert_eq!(without.get("/metrics").await.problem().1, "no_metrics");
}

#[actix_web::test]
async fn the_description_has_every_path_that_answers() {
    let served = Served::start().await;
    let text = served.anonymous("GET", "/openapi.json").send().await.json();
    let paths = text["paths"].as_object().unwrap();
    for (path, operations) in paths {
        for method in operations.as_object().unwrap().keys().filter(|name| *name != "parameters") {
            if path == "/v1/events" || path == "/v1/watch" {
                continue;
            }
            let answer = served.request(&method.to_uppercase(), &path.replace(['{', '}'], "")).send().await;
            assert!(answer.status != 405 && !answer.text().contains("no_such_path"), "{method} {path}: {answer:?}");
            assert!(
                operations[method]["responses"].get(answer.status.to_string()).is_some(),
                "{method} {path}: {answer:?}"
            );
        }
    }
}
