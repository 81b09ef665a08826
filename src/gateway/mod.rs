//! A node over HTTP: values, pins, lookups, events, metrics and health, as a service to mount in an actix-web application.
//!
//! A [`Gateway`] is made with a [`Node`] and configures an [`App`](actix_web::App) or a scope of one; [`server`] is the server
//! that `kad node` runs. The paths, with their parameters and answers, are described by `/openapi.json` and in `docs/http.md`.
//!
//! ```no_run
//! use actix_web::{App, HttpServer, web};
//! use kademlia_dynamic::Node;
//! use kademlia_dynamic::gateway::Gateway;
//!
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::builder().start().await?;
//! let gateway = Gateway::builder(node).host("dht.example.org").build();
//! HttpServer::new(move || App::new().service(web::scope("/dht").configure(gateway.configure())))
//!     .bind("127.0.0.1:8080")?
//!     .run()
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Who may do what
//! Whatever listens on a loopback port is reached by each user of the machine, and by each page that a browser there shows. So:
//!
//! - A request whose `Host` is not a name of this server is refused (DNS rebinding).
//! - A request that a page of another origin makes is refused, unless the origin [is permitted](Builder::origin).
//! - Writes, lists of keys and events need the [token](Gateway::token), or the cookie that a one-time code becomes.
//! - Where [reads need it as well](Builder::protect_reads), so does all else but `/healthz` and the page itself.
//!
//! Nothing is encrypted here: any other address than a loopback one takes TLS in front.

mod access;
mod budget;
mod builder;
mod concerns;
mod events;
mod guard;
mod health;
mod keys;
mod limits;
mod lookups;
mod metrics;
mod openapi;
mod page;
mod peers;
mod pins;
mod problem;
mod query;
mod routes;
pub mod server;
mod sessions;
pub(crate) mod sse;
mod state;
mod token;
mod values;
mod watch;

#[cfg(doc)]
use crate::actors::node::Node;

pub use self::builder::{Builder, Gateway};
pub use self::limits::Limits;
pub use self::metrics::{METRICS, Metric, recorder};
#[cfg(feature = "cli")]
pub(crate) use self::page::advice::advice;
pub use self::problem::Problem;
pub use self::token::Token;
