//! Whether the simulated legacy node is like the nodes of the Python package `kademlia-dynamic`.
//!
//! The tests install the package themselves, under `target/interop/`. Where python3 is missing they fail and say what to
//! install; `KAD_SKIP_INTEROP=1` leaves them out.

#[path = "../../../tests/interop/legacy.rs"]
#[allow(dead_code, reason = "tests of the node use the rest")]
mod legacy;
#[path = "../../../tests/interop/python.rs"]
#[allow(dead_code, reason = "tests of the node use the rest")]
mod python;
mod simulated;
