//! The names of the codecs. Their laws are in `round_trip.rs`, those of their quick paths in `libraries.rs`.

mod libraries;
mod padding;
mod round_trip;

use super::*;

#[test]
fn a_codec_is_known_by_the_name_that_it_prints() {
    for codec in Codec::ALL {
        assert_eq!(codec.to_string().parse::<Codec>().unwrap(), codec);
        assert_eq!(serde_json::to_value(codec).unwrap(), codec.name());
    }
    let error = "xml".parse::<Codec>().unwrap_err().to_string();
    assert!(Codec::ALL.iter().all(|codec| error.contains(codec.name())), "{error}");
}
