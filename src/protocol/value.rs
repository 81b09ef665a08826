//! Values: text or bytes that are stored under a key. A value has the same kind on every wire as when it was set.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::ser::{Serialize, SerializeStruct, Serializer};

/// A value of the network. Text stays text and bytes stay bytes, from the `set` to every `get` (docs/wire.md, 3.3).
///
/// Text prints as it is, bytes as lower-case hex. With serde text is `{"kind": "text", "value": "…"}`, and bytes are
/// `{"kind": "bytes", "value_base64": "…"}`.
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

    /// Returns whether it is empty.
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

    /// The bytes, without a copy: the UTF-8 for text.
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Value::Text(text) => text.into_bytes(),
            Value::Bytes(bytes) => bytes,
        }
    }

    /// The text, if this is text.
    pub fn as_text(&self) -> Option<&str> {
        if let Value::Text(text) = self { Some(text) } else { None }
    }

    /// `"text"` or `"bytes"`.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "text",
            Value::Bytes(_) => "bytes",
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => f.write_str(text),
            Value::Bytes(bytes) => f.write_str(&hex::encode(bytes)),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Value", 2)?;
        fields.serialize_field("kind", self.kind())?;
        match self {
            Value::Text(text) => fields.serialize_field("value", text)?,
            Value::Bytes(bytes) => fields.serialize_field("value_base64", &BASE64.encode(bytes))?,
        }
        fields.end()
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

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Value::Text(text.clone())
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

impl From<&Vec<u8>> for Value {
    fn from(bytes: &Vec<u8>) -> Self {
        Value::Bytes(bytes.clone())
    }
}

#[cfg(feature = "node")]
impl From<bytes::Bytes> for Value {
    fn from(bytes: bytes::Bytes) -> Self {
        Value::Bytes(bytes.into())
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
    fn strings_and_bytes_of_every_kind_make_a_value() {
        let (text, bytes) = ("a".to_owned(), vec![b'a']);
        assert_eq!([Value::from(&text), Value::from(text.clone())], [Value::Text("a".into()), Value::Text("a".into())]);
        for value in [Value::from(&bytes), Value::from(bytes.as_slice()), Value::from(bytes.clone())] {
            assert_eq!(value, Value::Bytes(vec![b'a']));
        }
        #[cfg(feature = "node")]
        assert_eq!(Value::from(bytes::Bytes::from_static(b"a")), Value::Bytes(vec![b'a']));
    }

    #[test]
    fn its_bytes_are_those_that_it_was_made_of() {
        assert_eq!(Value::from("aü").into_bytes(), "aü".as_bytes());
        assert_eq!(Value::from(b"\0\xff").into_bytes(), b"\0\xff");
    }

    #[test]
    fn text_prints_as_it_is_and_bytes_as_hex() {
        assert_eq!(Value::from("aü\n").to_string(), "aü\n");
        assert_eq!(Value::from(b"\0\xff").to_string(), "00ff");
    }

    #[test]
    fn serde_tells_text_from_bytes() {
        let json = |value: Value| serde_json::to_string(&value).unwrap();
        assert_eq!(json(Value::from("a\"ü")), r#"{"kind":"text","value":"a\"ü"}"#);
        assert_eq!(json(Value::from(b"\0\xff")), r#"{"kind":"bytes","value_base64":"AP8="}"#);
        assert_eq!(json(Value::from(b"")), r#"{"kind":"bytes","value_base64":""}"#);
    }

    #[test]
    fn a_large_value_does_not_fill_a_log_line() {
        assert_eq!(format!("{:?}", Value::from("x".repeat(65).as_str())), "text of 65 bytes");
    }
}
