//! A Kademlia node made of actors, to embed in an application.
//!
//! Kademlia is a table of keys and values that many machines hold together, over UDP and without a server: each value lives
//! on the nodes whose ids are nearest to its key, and any node finds it in a few steps. A [`Node`] is one of these machines.
//! It joins the networks of the PyPI package `kademlia-dynamic`. The binary `kad` of this package is the same node on its own.
//!
#![cfg_attr(feature = "node", doc = "```")]
#![cfg_attr(not(feature = "node"), doc = "```ignore")]
//! use kademlia_dynamic::{Error, GetOptions, GetResult, Node, Value};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Error> {
//!     let first = Node::builder().bind("127.0.0.1:0").start().await?;
//!     let second = Node::builder().bootstrap([first.local_addr()]).start().await?;
//!
//!     let outcome = first.set("greeting", "hello").await?;
//!     assert_eq!((outcome.asked, outcome.stored), (1, 1));
//!     assert_eq!(second.get("greeting").await?, Some(Value::from("hello")));
//!
//!     // "No peer holds it" and "no peer answered" are not the same.
//!     let read = second.get_with("farewell", GetOptions::default()).await?;
//!     assert_eq!(read.result, GetResult::NotFound { answered: 1, unheard: 0 });
//!     second.stop().await;
//!     Ok(())
//! }
//! ```
//!
//! # Where to look
//!
//! | for | see |
//! |---|---|
#![cfg_attr(
    all(feature = "persist", feature = "sim"),
    doc = "| a guide: first steps, actors, embedding, tests, tuning, security | [`guide`] |"
)]
//! | a running node | [`Node`], [`NodeBuilder`] and their methods |
//! | its settings, their defaults and ranges | [`Config`] |
//! | how requests end | [`SetOutcome`], [`GetOutcome`], [`Error`], and [`actors::outcome`] for the others |
//! | requests as actix messages, from an actor of yours | [`actors::requests`], sent to [`Node::actor`] |
//! | what happens in the node | [`Event`], [`Snapshot`], [`actors::counters`], [`StopReason`] |
//! | another way for its datagrams than UDP | [`actors::transport`] |
//! | ids, peers, values, messages, the store's trait: no sockets, clocks or actors | [`protocol`] |
//! | values that survive the process | the module `persist`, with the feature of that name |
//! | a node over HTTP | the module `gateway`, with the feature `http` |
//! | tests of your own actors without a network | the module `sim`, with the feature of that name |
//!
//! # Features
//!
//! | feature | brings | default |
//! |---|---|---|
//! | `node` | the node: its actors, on actix and tokio | yes |
//! | `http` | the node over HTTP: the module `gateway`, to mount in an actix-web application | yes |
//! | `persist` | a store on disk: values, the node's id and its peers survive the process | yes |
//! | `sim` | a network in memory, and scripted peers for tests | yes |
//! | `cli` | the binary `kad` | yes |
//!
//! An application takes `default-features = false, features = ["node"]`. Without any feature the crate is the module
//! [`protocol`] alone, which does no I/O.
#![cfg_attr(
    not(feature = "node"),
    allow(rustdoc::broken_intra_doc_links, reason = "this page names the node, which is not built then")
)]
// They panic where the output cannot be written: what a person reads goes through `cli::output` and `cli::stderr`.
#![warn(clippy::print_stdout, clippy::print_stderr)]
// The state machines of `protocol` are used by the actors, and built without them only to prove that they need none.
#![cfg_attr(not(feature = "node"), allow(dead_code, unused_imports))]

// The actors name the core as any embedder does.
extern crate self as kademlia_dynamic;

#[cfg(feature = "node")]
#[path = "../actors/mod.rs"]
pub mod actors;
mod causes;
// Only text: it has no code to compile but that of its examples.
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
#[cfg(feature = "http")]
pub mod gateway;
#[cfg(all(any(doc, doctest), feature = "persist", feature = "sim"))]
pub mod guide;
#[cfg(feature = "persist")]
pub mod persist;
pub mod protocol;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(all(test, feature = "node"))]
mod test_log;
#[cfg(any(feature = "node", feature = "persist"))]
mod uptime;

/// State machines and bounds for the benchmarks, fuzzers and integration tests of this package, which stand outside of the
/// crate and measure or provoke them directly. They are no part of its interface, and change without notice.
#[doc(hidden)]
pub mod internals {
    pub use crate::protocol::admission::{
        Admission, HOST_BUDGET, HOST_BUDGET_REFILL, MAX_AMPLIFICATION, TOKEN_EPOCH, Tokens,
    };
    pub use crate::protocol::comparison::COMPARED;
    pub use crate::protocol::lookup::{Ending, Goal, Lookup, Next, RecentPeers};
    pub use crate::protocol::routing::RoutingTable;
    pub use crate::protocol::store::{Records, RemoteWrite, Write};
}

#[doc(inline)]
pub use protocol::codec::Codec;
#[doc(inline)]
pub use protocol::config::Config;
#[doc(inline)]
pub use protocol::id::{NodeId, hash_key_to_node_id, xor_distance};
#[doc(inline)]
pub use protocol::peer::Peer;
#[doc(inline)]
pub use protocol::value::Value;

#[cfg(feature = "node")]
#[doc(inline)]
pub use actors::{
    clock::generate_node_id,
    events::{Event, EventKind, EventStream},
    node::{Node, NodeBuilder},
    outcome::{Error, FoundValue, GetOutcome, GetResult, Health, SetOutcome, StopReason},
    requests::{GetOptions, SetOptions},
    snapshot::Snapshot,
};

/// The README's programs, compiled as documentation tests.
#[cfg(all(doctest, feature = "persist", feature = "sim"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// The program that replaces one for the Python package.
#[cfg(all(doctest, feature = "node"))]
#[doc = include_str!("../docs/migrating.md")]
struct Migrating;
