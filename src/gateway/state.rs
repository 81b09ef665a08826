//! What the handlers of a gateway share.

use std::sync::Arc;
use std::time::Instant;

use actix_web::http::StatusCode;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::budget::Budget;
use super::limits::Limits;
use super::problem::Problem;
use super::sessions::Sessions;
use super::token::Token;
use crate::actors::node::Node;

/// What a gateway is made with: [`Builder`](super::Builder) says what each means.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) protect_reads: bool,
    /// In lower case, without ports.
    pub(super) hosts: Vec<String>,
    /// In lower case.
    pub(super) origins: Vec<String>,
    pub(super) cookie: String,
    pub(super) secure: bool,
    pub(super) limits: Limits,
    pub(super) metrics: Option<PrometheusHandle>,
}

/// Shared by all workers.
#[derive(Debug)]
pub(super) struct State {
    pub(super) node: Node,
    pub(super) token: Token,
    pub(super) settings: Settings,
    pub(super) sessions: Sessions,
    requests: Budget,
    network_requests: Budget,
    streams: Arc<Semaphore>,
    turns: Semaphore,
}

impl State {
    pub(super) fn new(node: Node, token: Token, settings: Settings) -> Self {
        let limits = settings.limits;
        Self {
            node,
            token,
            settings,
            sessions: Sessions::default(),
            requests: Budget::new(limits.requests),
            network_requests: Budget::new(limits.network_requests),
            streams: Arc::new(Semaphore::new(limits.streams)),
            turns: Semaphore::new(1),
        }
    }

    /// Waits for its turn to read much of the node: lists and the state of all its parts. One request does so at a time, until its
    /// answer is written: hundreds of lists at once would keep the node, and its processor, from its datagrams.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.turns.acquire().await.ok()
    }

    /// Takes one from what may be asked of the network.
    pub(super) fn ask_the_network(&self) -> Result<(), Problem> {
        take(&self.network_requests, "too many requests a second ask the network; what this node holds can be read")
    }

    /// Takes one from all requests.
    pub(super) fn admit(&self) -> Result<(), Problem> {
        take(&self.requests, "too many requests a second")
    }

    /// A place among the streams.
    pub(super) fn stream(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let full = "all streams are taken: watch several keys with one of them";
        let busy =
            |_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", full).retry(std::time::Duration::from_secs(5));
        self.streams.clone().try_acquire_owned().map_err(busy)
    }
}

fn take(budget: &Budget, detail: &str) -> Result<(), Problem> {
    let refused = |after| Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail).retry(after);
    budget.take(Instant::now()).map_err(refused)
}
