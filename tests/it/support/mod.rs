//! Helpers of these tests: the node under test among scripted peers (`nodes`), requests and datagrams (`datagrams`),
//! events (`events`), and the log (`log`).

mod datagrams;
mod events;
mod log;
mod nodes;

use std::time::Duration;

pub(crate) use self::datagrams::{cached_for, drain, legacy, set, set_for, spell};
pub(crate) use self::events::{next_event, superseded};
pub(crate) use self::log::Lines;
pub(crate) use self::nodes::{
    by_distance, joined_among, joined_among_kind, keys_beyond, known, nearer, node_among, node_among_kind, own_id,
    ping_all, random_id, requests, start, with_k,
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
