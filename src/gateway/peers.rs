//! The node itself: its peers, its buckets, its state. Keys are not among what it shows.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::concerns::concerns;
use super::problem::{Answer, Problem};
use super::state::State;
use crate::actors::snapshot::{AdmissionSnapshot, MessageTraffic, StoreSnapshot, TableCounters, UpkeepSnapshot};

/// The peers of the routing table, with the bucket, the last answer and the round trip of each.
#[utoipa::path(get, path = "/v1/peers", tag = "network", responses((status = 200, description = "`peers`", body = Object)))]
pub(super) async fn list(state: Data<State>) -> Answer {
    let _turn = state.turn().await;
    Ok(HttpResponse::Ok().json(json!({ "peers": state.node.peers().await? })))
}

/// The buckets of the routing table, farthest from this node's id first.
#[utoipa::path(get, path = "/v1/buckets", tag = "network", responses((status = 200, description = "`own` and `buckets`", body = Object)))]
pub(super) async fn buckets(state: Data<State>) -> Answer {
    let _turn = state.turn().await;
    let table = state.node.snapshot().await?.table;
    Ok(HttpResponse::Ok().json(json!({ "own": table.own, "buckets": table.buckets })))
}

/// A node at one moment.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NodeAnswer {
    /// Its id.
    id: String,
    /// The UDP address that it is bound to.
    address: String,
    /// How it spells its messages.
    wire: &'static str,
    /// The version of this program.
    version: &'static str,
    /// Seconds that it runs.
    uptime: f64,
    /// What is the matter, one sentence each; empty where the node keeps up.
    concerns: Vec<String>,
    /// Seconds since a query came from a global address that was sent nothing for ten minutes: strangers reach this node. Null says
    /// nothing.
    reached: Option<f64>,
    /// Peers of the routing table.
    peers: PeerCounts,
    /// What it holds.
    #[schema(value_type = Object)]
    store: StoreSnapshot,
    /// How far it is with comparing what it holds with its neighbours.
    #[schema(value_type = Object)]
    upkeep: UpkeepSnapshot,
    /// Its pinned keys, without the keys.
    #[schema(value_type = Object)]
    pins: serde_json::Value,
    /// What it remembers of addresses.
    #[schema(value_type = Object)]
    admission: AdmissionSnapshot,
    /// What the routing table refused or removed.
    #[schema(value_type = Object)]
    table: TableCounters,
    #[serde(flatten)]
    activity: Activity,
}

/// What it does, and has done since its start.
#[derive(Debug, Serialize, ToSchema)]
struct Activity {
    /// Queries in flight.
    queries_in_flight: usize,
    /// Lookups that run.
    lookups_running: usize,
    /// Lookups that wait.
    lookups_waiting: usize,
    /// Every counter that is not zero, as `name` or `name{reason}`.
    counters: BTreeMap<String, u64>,
    /// Restarts by actor, of those that had any.
    #[schema(value_type = BTreeMap<String, u64>)]
    restarts: BTreeMap<&'static str, u64>,
    /// Messages and bytes by message and direction.
    #[schema(value_type = Vec<Object>)]
    traffic: Vec<MessageTraffic>,
}

/// How many peers there are.
#[derive(Debug, Serialize, ToSchema)]
struct PeerCounts {
    /// All.
    known: usize,
    /// Those that left the last query unanswered.
    failing: usize,
    /// Those whose last answer was a legacy node's.
    legacy: usize,
    /// Those that wait for a place.
    replacements: usize,
}

/// The state of this node, and its counters.
#[utoipa::path(get, path = "/v1/node", tag = "node", responses((status = 200, description = "The node", body = NodeAnswer)))]
pub(super) async fn node(state: Data<State>) -> Answer {
    Ok(HttpResponse::Ok().json(describe(&state).await?))
}

/// The state of the node.
pub(super) async fn describe(state: &State) -> Result<NodeAnswer, Problem> {
    let _turn = state.turn().await;
    let snapshot = state.node.snapshot().await?;
    let concerns = concerns(&snapshot);
    let table = &snapshot.table;
    // The keys need the token: /v1/pins has them.
    let mut pins = serde_json::to_value(&snapshot.pins).unwrap_or_default();
    if let Some(pins) = pins.as_object_mut() {
        pins.remove("keys");
    }
    Ok(NodeAnswer {
        id: snapshot.id.to_string(),
        address: snapshot.addr.to_string(),
        wire: snapshot.codec.name(),
        version: env!("CARGO_PKG_VERSION"),
        uptime: snapshot.uptime.as_secs_f64(),
        concerns,
        reached: snapshot.reached.map(|ago| ago.as_secs_f64()),
        peers: PeerCounts {
            known: table.peers,
            failing: table.failing,
            legacy: table.legacy,
            replacements: table.replacements,
        },
        pins,
        store: snapshot.store,
        upkeep: snapshot.upkeep,
        admission: snapshot.admission,
        table: snapshot.table.counters,
        activity: Activity {
            queries_in_flight: snapshot.queries_in_flight,
            lookups_running: snapshot.lookups_running,
            lookups_waiting: snapshot.lookups_waiting,
            counters: snapshot.counters,
            restarts: snapshot.restarts.by_actor,
            traffic: snapshot.traffic,
        },
    })
}
