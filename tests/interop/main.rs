//! Our node among nodes of the Python package `kademlia-dynamic`, 1.0.0 and 1.1.1, on both of their wires.
//!
//! The tests install the package themselves, under `target/interop/`. Where python3 is missing they fail and say what to
//! install; `KAD_SKIP_INTEROP=1` leaves them out.

/// Turns functions of a version and a wire into a test for each version on each wire.
macro_rules! on_each_version_and_wire {
    ($($test:ident),+ $(,)?) => {
        on_each_version_and_wire!(@ of_1_0_0_in_json, V1_0_0, Json, $($test),+);
        on_each_version_and_wire!(@ of_1_0_0_in_bencode, V1_0_0, Bencode, $($test),+);
        on_each_version_and_wire!(@ of_1_1_1_in_json, V1_1_1, Json, $($test),+);
        on_each_version_and_wire!(@ of_1_1_1_in_bencode, V1_1_1, Bencode, $($test),+);
    };
    (@ $name:ident, $version:ident, $codec:ident, $($test:ident),+) => {
        mod $name {
            $(
                #[tokio::test]
                async fn $test() {
                    use kademlia_dynamic::protocol::codec::Codec;
                    super::$test(crate::python::Version::$version, Codec::$codec).await;
                }
            )+
        }
    };
}

mod alone;
mod bencode;
mod crowd;
#[path = "../fuzzing/decoders.rs"]
mod decoders;
mod differential;
mod environment;
mod joins;
#[path = "../fuzzing/keeping.rs"]
mod keeping;
mod legacy;
mod messages;
mod migrating;
#[path = "../fuzzing/mutator.rs"]
mod mutator;
mod our_messages;
mod ours;
mod python;
mod raw;
#[path = "../fuzzing/recording.rs"]
mod recording;
mod replicas;
mod rules;
mod traffic;
mod values;
