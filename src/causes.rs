//! An error in one line. An error's own text does not repeat its source, so that one printed alone would lack the cause.

use std::error::Error;
use std::fmt;

/// Displays an error and its sources, outermost first, with colons between them.
pub(crate) struct Causes<'a>(pub(crate) &'a dyn Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(source) = next {
            write!(f, ": {source}")?;
            next = source.source();
        }
        Ok(())
    }
}
