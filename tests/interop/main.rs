//! Our node among nodes of the Python package `kademlia-dynamic`, 1.0.0 and 1.1.1, on both of their wires.
//!
//! The tests install the package themselves, under `target/interop/`. Where python3 is missing they fail and say what to
//! install; `KAD_SKIP_INTEROP=1` leaves them out.

mod alone;
mod bencode;
mod legacy;
mod messages;
mod python;
mod raw;
