//! What is stored under a key: text or bytes. A value keeps the kind it was set with, on every wire.

use std::fmt;

/// A value of the network. Text stays text and bytes stay bytes, from the `set` to every `get` (docs/wire.md, 3.3).
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// Unicode text. It may be empty.
    Text(String),
    /// Any bytes. They may be empty.
    Bytes(Vec<u8>),
}

impl Value {
    /// Length in bytes: of the UTF-8 for text.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes: the UTF-8 for text.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Value::Text(text) => text.as_bytes(),
            Value::Bytes(bytes) => bytes,
        }
    }

    /// The text, if this is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            Value::Bytes(_) => None,
        }
    }

    /// `"text"` or `"bytes"`.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "text",
            Value::Bytes(_) => "bytes",
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) if text.len() <= 64 => write!(f, "Text({text:?})"),
            Value::Bytes(bytes) if bytes.len() <= 32 => write!(f, "Bytes({})", hex::encode(bytes)),
            large => write!(f, "{} of {} bytes", large.kind(), large.len()),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Value::Bytes(bytes.to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(bytes: &[u8; N]) -> Self {
        Value::Bytes(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Value::Bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text_and_bytes_stay_bytes() {
        assert_eq!(Value::from("a"), Value::Text("a".into()));
        assert_eq!(Value::from(b"a"), Value::Bytes(vec![b'a']));
        assert_ne!(Value::from("a"), Value::from(b"a"));
    }

    #[test]
    fn a_large_value_does_not_fill_a_log_line() {
        assert_eq!(format!("{:?}", Value::from("x".repeat(65).as_str())), "text of 65 bytes");
    }
}
