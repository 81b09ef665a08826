//! The json decoder: what is read is said and read again as the same.
#![no_main]

#[path = "../../tests/fuzzing/decoders.rs"]
mod decoders;

use kademlia_dynamic::Codec;
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|datagram: &[u8]| -> Corpus {
    let _ = decoders::check_decoder(Codec::Json, datagram);
    Corpus::Keep
});
