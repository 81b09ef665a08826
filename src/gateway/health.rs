//! Whether the node is alive, and whether it is ready.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use serde_json::json;

use super::problem::{Answer, Problem};
use super::state::State;
use crate::actors::outcome::Error;
use crate::causes::Causes;
use crate::protocol::store::BackendState;

/// How long the parts of the node may take to answer, before it counts as not ready.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a write may wait for the disk, before the node counts as not ready: fifty times as long as on a slow disk that works.
const MAX_WRITE: Duration = Duration::from_secs(5);

/// Whether this server answers. It asks nothing of the node.
#[utoipa::path(get, path = "/healthz", tag = "node", responses((status = 200, description = "`ok`", body = Object)))]
pub(super) async fn alive() -> Answer {
    Ok(HttpResponse::Ok().json(json!({ "ok": true })))
}

/// Whether the node can do its work: it runs, its store can be written and answers, and it has reached the network that it was to
/// join.
#[utoipa::path(
    get, path = "/readyz", tag = "node",
    responses(
        (status = 200, description = "It is ready", body = Object),
        (status = 503, description = "It is not: `reasons` says why", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn ready(state: Data<State>) -> Answer {
    let reasons = tokio::time::timeout(PATIENCE, reasons(&state)).await;
    let reasons = reasons.unwrap_or_else(|_| vec!["the node does not answer".to_owned()]);
    if reasons.is_empty() {
        return Ok(HttpResponse::Ok().json(json!({ "ready": true })));
    }
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", reasons.join("; "));
    Err(problem.with("reasons", reasons).retry(Duration::from_secs(5)))
}

async fn reasons(state: &State) -> Vec<String> {
    let mut reasons = Vec::new();
    let turn = state.turn().await;
    let snapshot = match state.node.snapshot().await {
        Ok(snapshot) => snapshot,
        Err(error) => return vec![Causes(&error).to_string()],
    };
    drop(turn);
    let backend = snapshot.store.backend.state;
    if matches!(backend, BackendState::Full | BackendState::Failing | BackendState::Gone) {
        reasons.push(format!("the store takes no values: it is {}", backend.as_str()));
    }
    if let Some(waits) = snapshot.store.oldest_write.filter(|waits| *waits > MAX_WRITE) {
        reasons.push(format!("the disk does not answer: a write has waited for {} s", waits.as_secs()));
    }
    match tokio::time::timeout(Duration::from_millis(100), state.node.joined()).await {
        Err(_) => reasons.push("it is still joining its network".to_owned()),
        Ok(Ok(Some(outcome))) if !outcome.joined() && snapshot.table.peers == 0 => {
            reasons.push(Causes(&Error::NotJoined { outcome: Box::new(outcome) }).to_string());
        }
        Ok(Ok(_)) => {}
        Ok(Err(error)) => reasons.push(Causes(&error).to_string()),
    }
    reasons
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests {
    use super::*;
    use crate::actors::node::Node;
    use crate::gateway::Gateway;
    use crate::protocol::store::{Change, Committed, Store, StoreError, StoredRecord};
    use crate::sim::{MemoryNetwork, in_virtual_time};
    use actix_web::App;
    use actix_web::test::{TestRequest, call_service, init_service};
    use std::pin::pin;
    use std::sync::{Arc, Mutex};

    /// Answers no commit by itself.
    #[derive(Clone, Default)]
    struct Hanging(Arc<Mutex<Vec<Committed>>>);

    impl Store for Hanging {
        fn load(&mut self) -> Result<Vec<StoredRecord>, StoreError> {
            Ok(Vec::new())
        }

        fn commit(&mut self, _: Vec<Change>, done: Committed) {
            self.0.lock().unwrap().push(done);
        }
    }

    #[test]
    fn a_node_whose_disk_hangs_is_not_ready_until_the_disk_answers() {
        in_virtual_time(async {
            let (network, store) = (MemoryNetwork::new(7), Hanging::default());
            let node = Node::builder().store(store.clone()).start_local_over(network.endpoint()).await.unwrap();
            let app = init_service(App::new().configure(Gateway::builder(node.clone()).build().configure())).await;
            let status = async || {
                let request = TestRequest::with_uri("/readyz").insert_header(("host", "localhost")).to_request();
                call_service(&app, request).await.status().as_u16()
            };
            let mut set = pin!(node.set("k", "v"));
            let mut wait = async |seconds| tokio::time::timeout(Duration::from_secs(seconds), &mut set).await;
            assert!(wait(4).await.is_err());
            assert_eq!(status().await, 200, "a disk may be slow");
            assert!(wait(2).await.is_err());
            assert_eq!(status().await, 503);
            for done in std::mem::take(&mut *store.0.lock().unwrap()) {
                done(Ok(()));
            }
            assert!(wait(60).await.unwrap().is_ok());
            assert_eq!(status().await, 200);
        });
    }
}
