//! Digests of values: by which a node recognises a value without having it.

use std::fmt;

use serde::{Serialize, Serializer};
use sha1::{Digest, Sha1};

use super::entry::{EntryDigest, Nonce};
use super::value::Value;

/// A value's SHA-1, its kind included: enough to recognise a value that was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ValueDigest(pub [u8; 20]);

impl ValueDigest {
    /// The digest of `value`. Text and bytes of the same content differ, as the values do.
    pub fn of(value: &Value) -> Self {
        let mut hasher = Sha1::new();
        hasher.update(value.kind());
        hasher.update([0]);
        hasher.update(value.as_bytes());
        Self(hasher.finalize().into())
    }

    /// Its first 8 hex digits, for people.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }

    /// The digest that stands in a message with this nonce: two values of one such digest cannot be prepared before the nonce is
    /// known (docs/wire.md, 3.5).
    pub fn keyed(&self, nonce: Nonce) -> EntryDigest {
        let mut hasher = Sha1::new();
        hasher.update(nonce.0);
        hasher.update(self.0);
        let hash: [u8; 20] = hasher.finalize().into();
        EntryDigest(*hash.first_chunk().expect("20 bytes begin with 8"))
    }
}

/// All 40 hex digits.
impl fmt::Display for ValueDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for ValueDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_of_the_same_content_are_different_values() {
        assert_ne!(ValueDigest::of(&"a".into()), ValueDigest::of(&b"a".into()));
    }

    #[test]
    fn a_keyed_digest_depends_on_the_value_and_on_the_nonce() {
        let [a, b] = ["a", "b"].map(|value| ValueDigest::of(&value.into()));
        let [one, two] = [1, 2].map(|byte| Nonce([byte; 8]));
        assert_eq!(a.keyed(one), a.keyed(one));
        assert!(a.keyed(one) != b.keyed(one) && a.keyed(one) != a.keyed(two));
        assert_eq!(hex::encode(a.keyed(one).0), "e2e68b7804d715cc");
    }
}
