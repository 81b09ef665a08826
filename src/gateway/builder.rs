//! How a gateway is made, and what it is given.

use std::sync::Arc;

use actix_web::web::ServiceConfig;
use metrics_exporter_prometheus::PrometheusHandle;

use super::limits::Limits;
use super::routes;
use super::state::{Settings, State};
use super::token::Token;
use crate::actors::node::Node;

/// Makes a [`Gateway`].
#[derive(Debug, Clone)]
pub struct Builder {
    node: Node,
    token: Option<Token>,
    settings: Settings,
}

impl Builder {
    /// The token that permits everything. Defaults to a random one.
    #[must_use]
    pub fn token(self, token: Token) -> Self {
        Self { token: Some(token), ..self }
    }

    /// Whether reads need the token as well. Defaults to `false`, which is for loopback addresses without
    /// a proxy in front only.
    #[must_use]
    pub fn protect_reads(mut self, protect: bool) -> Self {
        self.settings.protect_reads = protect;
        self
    }

    /// A name or address by which clients reach this server: the `Host` of a request is one of them, with any port. It is given
    /// without a port, and an IPv6 address in brackets; another form is never met. `localhost` and the loopback addresses
    /// always count.
    #[must_use]
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.settings.hosts.push(name.into().to_ascii_lowercase());
        self
    }

    /// An origin whose pages may make requests (CORS), as browsers name it: `https://app.example.org`, with a port only where
    /// that is not the usual one, and without a path. They need the token as any other client: cookies are not for them.
    /// Defaults to none.
    #[must_use]
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.settings.origins.push(origin.into().to_ascii_lowercase());
        self
    }

    /// The name of the session cookie. Browsers send a cookie to every port of a host, so two gateways of one host need
    /// two names. Defaults to `kad_session`.
    #[must_use]
    pub fn cookie(mut self, name: impl Into<String>) -> Self {
        self.settings.cookie = name.into();
        self
    }

    /// Whether the session cookie is sent over TLS alone. Defaults to `false`.
    #[must_use]
    pub fn secure_cookie(mut self, secure: bool) -> Self {
        self.settings.secure = secure;
        self
    }

    /// What requests may cost.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// The recorder whose metrics `/metrics` shows, as [`recorder`](super::recorder) installs it. Without it there are none.
    #[must_use]
    pub fn metrics(mut self, recorder: PrometheusHandle) -> Self {
        self.settings.metrics = Some(recorder);
        self
    }

    /// The gateway.
    pub fn build(self) -> Gateway {
        let token = self.token.unwrap_or_else(Token::random);
        Gateway { state: Arc::new(State::new(self.node, token, self.settings)) }
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
            settings: Settings {
                protect_reads: false,
                hosts: Vec::new(),
                origins: Vec::new(),
                cookie: "kad_session".to_owned(),
                secure: false,
                limits: Limits::default(),
                metrics: None,
            },
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
        &self.state.settings.limits
    }

    pub(super) fn metrics(&self) -> Option<&PrometheusHandle> {
        self.state.settings.metrics.as_ref()
    }
}
