//! How vectors grow of which each of thousands of nodes has some, and which stay once they have grown.

/// Reserves memory for one more in `vec` if there is none, and for a quarter of its length beside it: doubled, half of it might stay
/// empty.
pub(crate) fn reserve_one<T>(vec: &mut Vec<T>) {
    if vec.len() == vec.capacity() {
        vec.reserve_exact((vec.len() / 4).max(4));
    }
}
