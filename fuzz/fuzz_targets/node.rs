//! A whole node: each input is a datagram from a new source (its first byte says to which of three nodes, one for each codec),
//! and what the node has become is kept for the next.
#![no_main]

#[allow(dead_code, reason = "the tests ask it more")]
#[path = "../../tests/fuzzing/besieged.rs"]
mod besieged;
#[path = "../../tests/fuzzing/world.rs"]
mod world;

use std::cell::RefCell;

use besieged::Besieged;
use kademlia_dynamic::Codec;
use kademlia_dynamic::sim::VirtualTime;
use libfuzzer_sys::fuzz_target;

thread_local! {
    static NODES: (VirtualTime, [RefCell<Besieged>; 3]) = {
        let time = VirtualTime::new();
        let nodes = Codec::ALL.map(|codec| RefCell::new(time.run(Besieged::new(codec, 1))));
        (time, nodes)
    };
}

fuzz_target!(|input: &[u8]| {
    let Some((which, datagram)) = input.split_first() else { return };
    NODES.with(|(time, nodes)| time.run(nodes[usize::from(*which) % 3].borrow_mut().feed(datagram)));
});
