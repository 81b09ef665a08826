//! The version of this program.

/// The version of this program, with the commit that it was built from where that is known.
pub(super) const VERSION: &str = env!("KAD_VERSION");
