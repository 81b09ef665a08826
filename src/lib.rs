//! A Kademlia node made of actors.
//!
//! Nodes that know each other keep a table of keys and values together: each value lives on the nodes whose ids are nearest
//! to its key, and any node finds it in a few steps. This crate is such a node, to embed in an application; the binary `kad`
//! is the same node on its own. It joins the networks of the PyPI package `kademlia-dynamic`.
//!
#![cfg_attr(feature = "node", doc = "```")]
#![cfg_attr(not(feature = "node"), doc = "```ignore")]
//! use kademlia_dynamic::{Error, GetOutcome, Node, Value};
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
//!     // "Nobody holds it" and "nobody answered" are not the same.
//!     assert!(matches!(second.get_outcome("farewell").await?, GetOutcome::NotFound { answered: 1, unheard: 0 }));
//!     second.stop().await;
//!     Ok(())
//! }
//! ```
//!
//! # Where to look
//!
//! | for | see |
//! |---|---|
//! | a running node | [`Node`], [`NodeBuilder`] and their methods |
//! | its settings, their defaults and ranges | [`Config`] |
//! | how requests end | [`SetOutcome`], [`GetOutcome`], [`Error`] |
//! | asking it in actix messages | [`actors::requests`], sent to [`Node::actor`] |
//! | what happens in it | [`Node::events`], [`Node::snapshot`], [`actors::counters`] |
//! | the protocol without sockets, clocks or actors | [`protocol`] |
//! | values that survive the process | the module `persist`, with the feature of that name |
//! | tests of your own actors without a network | the module `sim`, with the feature of that name |
//!
//! # Features
//!
//! | feature | brings | default |
//! |---|---|---|
//! | `node` | the node: its actors, on actix and tokio | yes |
//! | `persist` | a store on disk: values, the node's id and its peers survive the process | yes |
//! | `sim` | a network in memory, and scripted peers for tests | yes |
//! | `cli` | the binary `kad` | yes |
//!
//! An application takes `default-features = false, features = ["node"]`. Without any feature the crate is the module
//! [`protocol`] alone: state machines that do no I/O.
//!
#![cfg_attr(not(feature = "node"), doc = "[`Node`]: #features")]
#![cfg_attr(not(feature = "node"), doc = "[`NodeBuilder`]: #features")]
#![cfg_attr(not(feature = "node"), doc = "[`SetOutcome`]: #features")]
#![cfg_attr(not(feature = "node"), doc = "[`GetOutcome`]: #features")]
#![cfg_attr(not(feature = "node"), doc = "[`Error`]: #features")]
#![cfg_attr(not(feature = "node"), doc = "[`actors::requests`]: #features")]
#![cfg_attr(not(feature = "node"), doc = "[`actors::counters`]: #features")]
#![cfg_attr(not(feature = "node"), doc = "[`Node::actor`]: #features")]
#![cfg_attr(not(feature = "node"), doc = "[`Node::events`]: #features")]
#![cfg_attr(not(feature = "node"), doc = "[`Node::snapshot`]: #features")]
// They panic where the output cannot be written: what a person is told goes through `cli::output` and `cli::stderr`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

// The actors name the core as any embedder does, so that they can use nothing of it that is not public.
extern crate self as kademlia_dynamic;

#[cfg(feature = "node")]
#[path = "../actors/mod.rs"]
pub mod actors;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
#[cfg(feature = "persist")]
pub mod persist;
pub mod protocol;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(any(feature = "node", feature = "persist"))]
#[doc(hidden)]
pub mod uptime;

pub use protocol::codec::Codec;
pub use protocol::config::Config;
pub use protocol::id::{NodeId, hash_key_to_node_id, xor_distance};
pub use protocol::peer::Peer;
pub use protocol::value::Value;

#[cfg(feature = "node")]
pub use actors::clock::generate_node_id;
#[cfg(feature = "node")]
pub use actors::node::{Node, NodeBuilder};
#[cfg(feature = "node")]
pub use actors::outcome::{Error, FoundValue, GetOutcome, Health, SetOutcome, TracedGet};
#[cfg(feature = "node")]
pub use actors::requests::GetOptions;

/// The README's programs, compiled as documentation tests.
#[cfg(all(doctest, feature = "persist", feature = "sim"))]
#[doc = include_str!("../README.md")]
struct Readme;
