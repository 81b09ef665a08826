//! The order in which buckets hold the peers nearest to an id, so that finding them sorts two or three buckets
//! rather than the table.

use std::cmp::Ordering;

use crate::protocol::id::NodeId;

/// The indices of `buckets` buckets, nearest to `target` first: every id of an earlier bucket is nearer than every id
/// of a later one. Bucket `i` covers the ids that share exactly the first `i` bits with `own`, the last one those
/// that share at least as many.
///
/// With `c` bits shared by `own` and `target`: bucket `c` shares `c + 1` bits with the target, so it comes first.
/// Those behind it share `c` bits; bit by bit the one on the target's side is nearer than all deeper ones, and the one
/// on our side farther. Those before it share as many bits as their index, so they come last, in reverse.
pub(super) fn order(own: &NodeId, target: &NodeId, buckets: usize) -> impl Iterator<Item = usize> {
    let last = buckets - 1;
    let home = (own.common_prefix(target) as usize).min(last);
    let differs = own.xor(target);
    let behind = home + 1..last;
    let nearer = behind.clone().filter(move |bit| differs.bit(*bit as u32));
    let farther = behind.rev().filter(move |bit| !differs.bit(*bit as u32));
    let deepest = (home < last).then_some(last);
    std::iter::once(home).chain(nearer).chain(deepest).chain(farther).chain((0..home).rev())
}

/// Compares two ids by their distance from `target`. The distances differ first where they do, so only that byte is computed.
pub(super) fn compare(target: &NodeId, a: &NodeId, b: &NodeId) -> Ordering {
    let bytes = a.as_bytes().iter().zip(b.as_bytes()).zip(target.as_bytes());
    bytes.map(|((a, b), target)| (a ^ target).cmp(&(b ^ target))).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}
