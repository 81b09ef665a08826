//! How a gateway is made, and what it is given.

use std::sync::Arc;

use actix_web::web::ServiceConfig;
use metrics_exporter_prometheus::PrometheusHandle;

use super::budget::Budget;
use super::limits::Limits;
use super::routes;
use super::sessions::Sessions;
use super::state::State;
use super::token::Token;
use crate::actors::node::Node;

/// Makes a [`Gateway`].
#[derive(Debug, Clone)]
pub struct Builder {
    node: Node,
    token: Option<Token>,
    protect_reads: bool,
    hosts: Vec<String>,
    origins: Vec<String>,
    cookie: String,
    secure: bool,
    limits: Limits,
    metrics: Option<PrometheusHandle>,
}

impl Builder {
    /// The token that permits everything. Defaults to a random one.
    #[must_use]
    pub fn token(self, token: Token) -> Self {
        Self { token: Some(token), ..self }
    }

    /// Whether reads need the token as well. Defaults to `false`, which is for loopback addresses only.
    #[must_use]
    pub fn protect_reads(self, protect: bool) -> Self {
        Self { protect_reads: protect, ..self }
    }

    /// A name or address by which clients reach this server: the `Host` of a request is one of them, with any port.
    /// `localhost` and the loopback addresses always are.
    #[must_use]
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.hosts.push(name.into().to_ascii_lowercase());
        self
    }

    /// An origin such as `https://app.example.org` whose pages may make requests (CORS). They need the token as any other
    /// client: cookies are not for them. Defaults to none.
    #[must_use]
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into().to_ascii_lowercase());
        self
    }

    /// The name of the session cookie. Browsers send a cookie to every port of a host, so two gateways of one host need
    /// two names. Defaults to `kad_session`.
    #[must_use]
    pub fn cookie(self, name: impl Into<String>) -> Self {
        Self { cookie: name.into(), ..self }
    }

    /// Whether the session cookie is sent over TLS alone. Defaults to `false`.
    #[must_use]
    pub fn secure_cookie(self, secure: bool) -> Self {
        Self { secure, ..self }
    }

    /// What requests may cost.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The recorder whose metrics `/metrics` shows, as [`recorder`](super::recorder) installs it. Without it there are none.
    #[must_use]
    pub fn metrics(self, recorder: PrometheusHandle) -> Self {
        Self { metrics: Some(recorder), ..self }
    }

    /// The gateway.
    pub fn build(self) -> Gateway {
        let streams = Arc::new(tokio::sync::Semaphore::new(self.limits.streams));
        Gateway {
            state: Arc::new(State {
                node: self.node,
                token: self.token.unwrap_or_else(Token::random),
                protect_reads: self.protect_reads,
                hosts: self.hosts,
                origins: self.origins,
                cookie: self.cookie,
                secure: self.secure,
                sessions: Sessions::default(),
                requests: Budget::new(self.limits.requests),
                network_requests: Budget::new(self.limits.network_requests),
                streams,
                limits: self.limits,
                metrics: self.metrics,
            }),
        }
    }
}

/// A node over HTTP: see the [module](super).
#[derive(Debug, Clone)]
pub struct Gateway {
    state: Arc<State>,
}

impl Gateway {
    /// A gateway to `node` with the defaults.
    pub fn builder(node: Node) -> Builder {
        Builder {
            node,
            token: None,
            protect_reads: false,
            hosts: Vec::new(),
            origins: Vec::new(),
            cookie: "kad_session".to_owned(),
            secure: false,
            limits: Limits::default(),
            metrics: None,
        }
    }

    /// The token: clients send it as `Authorization: Bearer TOKEN`.
    pub fn token(&self) -> &Token {
        &self.state.token
    }

    /// A new one-time code: a browser that opens the page with `?code=CODE` gets a session cookie for it, once.
    pub fn one_time_code(&self) -> Token {
        self.state.sessions.code()
    }

    /// What [`App::configure`](actix_web::App::configure) or [`Scope::configure`](actix_web::Scope::configure) takes. It answers
    /// every path below where it is mounted, so give it a scope of its own, or mount it last.
    pub fn configure(&self) -> impl Fn(&mut ServiceConfig) + Clone + use<> {
        let state = self.state.clone();
        move |config| routes::configure(&state, config)
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.state.limits
    }

    pub(super) fn metrics(&self) -> Option<&PrometheusHandle> {
        self.state.metrics.as_ref()
    }
}
