//! The guide: chapters to read in order, or one by one.
//!
//! | chapter | |
//! |---|---|
//! | [`quick_start`] | a network of two nodes, and what the results say |
//! | [`actors`] | what a node is made of, and how actors of your own use it |
//! | [`embedding`] | threads, runtimes, a store on disk, errors, the end |
//! | [`testing`] | your own code without a network: memory, scripted peers, virtual time |
//! | [`tuning`] | settings and what they cost |
//! | [`security`] | what a node defends against, and what your application must do |

#[doc = include_str!("../docs/guide/quick_start.md")]
pub mod quick_start {}

#[doc = include_str!("../docs/guide/actors.md")]
pub mod actors {}

#[doc = include_str!("../docs/guide/embedding.md")]
pub mod embedding {}

#[doc = include_str!("../docs/guide/testing.md")]
pub mod testing {}

#[doc = include_str!("../docs/guide/tuning.md")]
pub mod tuning {}

#[doc = include_str!("../docs/guide/security.md")]
pub mod security {}
