//! Lenient reading of fields: a field of the wrong type is a finding, not an error, so that one bad optional field, or one bad peer
//! among twenty, does not cost the whole message. The caller decides what a missing or bad field means.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The finding for one field.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Slot<T> {
    /// The field is missing.
    #[default]
    Absent,
    /// An explicit null, which reads as nothing (docs/wire.md, 2.5).
    Null,
    /// Content of the wrong type or form.
    Bad,
    /// Valid content.
    Good(T),
}

impl<T> Slot<T> {
    /// Stores a finding. Returns whether there was one before: the message has the field twice.
    #[must_use]
    pub(super) fn fill(&mut self, found: Slot<T>) -> bool {
        let twice = !matches!(self, Slot::Absent);
        *self = found;
        twice
    }

    /// The content, if it is valid.
    pub(super) fn good(self) -> Option<T> {
        if let Slot::Good(content) = self { Some(content) } else { None }
    }
}

impl<T> From<Option<T>> for Slot<T> {
    fn from(read: Option<T>) -> Self {
        read.map_or(Slot::Bad, Slot::Good)
    }
}

/// A value without parts, as the format represents it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaf<'a> {
    /// JSON's `null`, MessagePack's nil.
    Null,
    /// JSON's and MessagePack's booleans.
    Bool(bool),
    /// An integer of 0 or more.
    Int(u64),
    /// JSON's strings, MessagePack's str.
    Text(&'a str),
    /// Bencode's strings, MessagePack's bin.
    Bytes(&'a [u8]),
    /// A negative or a fractional number, or another type that this wire does not use.
    Other,
}

/// The form that one field should have.
pub(super) trait Form: Sized {
    /// The content of the field.
    type Out;

    /// Reads a value without parts.
    fn leaf(self, leaf: Leaf<'_>) -> Slot<Self::Out> {
        if leaf == Leaf::Null { Slot::Null } else { Slot::Bad }
    }

    /// Reads a list, to its end.
    fn list<'de, A: SeqAccess<'de>>(self, mut list: A) -> Result<Slot<Self::Out>, A::Error> {
        skip_rest(&mut list)?;
        Ok(Slot::Bad)
    }

    /// Reads a dictionary, to its end.
    fn dictionary<'de, A: MapAccess<'de>>(self, mut dictionary: A) -> Result<Slot<Self::Out>, A::Error> {
        while dictionary.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Slot::Bad)
    }
}

/// Skips the rest of a list.
pub(super) fn skip_rest<'de, A: SeqAccess<'de>>(list: &mut A) -> Result<(), A::Error> {
    while list.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// A field whose content is a leaf.
pub(super) struct LeafForm<T>(pub(super) fn(Leaf<'_>) -> Option<T>);

impl<T> Form for LeafForm<T> {
    type Out = T;

    fn leaf(self, leaf: Leaf<'_>) -> Slot<T> {
        if leaf == Leaf::Null { Slot::Null } else { (self.0)(leaf).into() }
    }
}

/// Reads one field by its form. Only a malformed datagram is an error.
pub(super) struct Lenient<F>(pub(super) F);

impl<'de, F: Form> DeserializeSeed<'de> for Lenient<F> {
    type Value = Slot<F::Out>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: Form> Visitor<'de> for Lenient<F> {
    type Value = Slot<F::Out>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON's kinds, or bytes")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(self.0.leaf(Leaf::Null))
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(self.0.leaf(Leaf::Bool(flag)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(self.0.leaf(Leaf::Int(number)))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(self.0.leaf(u64::try_from(number).map_or(Leaf::Other, Leaf::Int)))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(self.0.leaf(Leaf::Other))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(self.0.leaf(Leaf::Text(text)))
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(self.0.leaf(Leaf::Bytes(bytes)))
    }

    /// An extension type of MessagePack.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, extension: D) -> Result<Self::Value, D::Error> {
        IgnoredAny::deserialize(extension)?;
        Ok(self.0.leaf(Leaf::Other))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        self.0.list(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, dictionary: A) -> Result<Self::Value, A::Error> {
        self.0.dictionary(dictionary)
    }
}
