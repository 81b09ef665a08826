//! A Kademlia node made of actors.
extern crate self as kademlia_dynamic;

pub mod protocol;
