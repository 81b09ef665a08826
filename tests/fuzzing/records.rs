//! Laws of the reading of a stored record, whatever the disk gives back.

use kademlia_dynamic::persist::trial::{rewritten, sealed};

/// Reads `input`, its first byte the length of the key in front of the rest: as it stands, and under the right checksum.
/// As how many bytes the rest is kept, if it is a record under the right checksum.
///
/// # Panics
/// Where what was read is not kept as the same.
pub(crate) fn check_record(input: &[u8]) -> Option<usize> {
    let (key, content) = match input.split_first() {
        Some((len, rest)) => rest.split_at(usize::from(*len).min(rest.len())),
        None => (&[][..], &[][..]),
    };
    let right = sealed(key, content);
    for bytes in [content, &right] {
        if let Some([once, twice]) = rewritten(key, bytes) {
            assert_eq!(once, twice, "kept twice");
        }
    }
    rewritten(key, &right).map(|[once, _]| once.len())
}
