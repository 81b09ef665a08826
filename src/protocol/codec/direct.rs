//! Reads messages in one pass and without recursion, as nodes commonly write them: known fields, each once, with content of its
//! kind. What a wire encodes otherwise is no finding here: the caller then has the general reader decide, which accepts more and
//! names what is wrong.

use std::marker::PhantomData;

use super::dialect::{Contact, Dialect, PeersForm, number, small_number};
use super::lenient::{Form, Leaf, LeafForm, Slot};
use super::wire::{IP_LENS, Kind, Wire};
use crate::protocol::message::MAX_PEERS_READ;
use crate::protocol::peer::Peer;
use crate::protocol::value::Value;

/// A list or a dictionary that is being read.
pub(super) struct Open<'a> {
    /// The latest key.
    pub(super) last: Option<&'a [u8]>,
    /// Keys or items still to come, where the wire says that in advance.
    pub(super) left: usize,
}

impl Open<'_> {
    /// One with `left` keys or items.
    pub(super) fn new(left: usize) -> Self {
        Self { last: None, left }
    }
}

/// A position in a datagram. `None` from any method: the datagram is not well-formed, or the general reader is to decide.
pub(super) trait Cursor<'a>: Sized {
    /// Enters the dictionary that begins here.
    fn dictionary(&mut self) -> Option<Open<'a>>;

    /// The next key of the dictionary, or `Some(None)` at its end.
    fn key(&mut self, open: &mut Open<'a>) -> Option<Option<&'a [u8]>>;

    /// Reads a value without parts.
    fn leaf(&mut self) -> Option<Leaf<'a>>;

    /// Reads the list of peers that an answer names, where they are no records.
    fn peers<D: Dialect>(&mut self) -> Option<Slot<Vec<Peer>>>;

    /// Reads a value that is stored.
    fn value<D: Dialect>(&mut self) -> Option<Slot<Value>> {
        Some(filled(D::value, self.leaf()?))
    }

    /// Whether nothing follows.
    fn is_at_end(&mut self) -> bool;
}

/// The finding of a field without parts.
fn filled<T>(read: fn(Leaf<'_>) -> Option<T>, leaf: Leaf<'_>) -> Slot<T> {
    LeafForm(read).leaf(leaf)
}

/// The fields of the message that is all of a datagram.
pub(super) fn read<'a, D: Dialect, C: Cursor<'a>>(mut cursor: C) -> Option<Wire> {
    let mut wire = Wire::default();
    let mut open = cursor.dictionary()?;
    while let Some(name) = cursor.key(&mut open)? {
        let twice = match name {
            b"sender" => wire.sender.fill(contact::<D, C>(&mut cursor)?.sender().into()),
            b"value" => wire.value.fill(cursor.value::<D>()?),
            b"peers" if D::COMPACT => wire.peers.fill(records::<D>(IP_LENS[0], cursor.leaf()?)),
            b"peers6" if D::COMPACT => wire.peers6.fill(records::<D>(IP_LENS[1], cursor.leaf()?)),
            b"peers" => wire.peers.fill(cursor.peers::<D>()?),
            name => fill_leaf::<D>(&mut wire, name, cursor.leaf()?)?,
        };
        if twice {
            return None;
        }
    }
    cursor.is_at_end().then_some(wire)
}

/// Fills the field of this name, and returns whether the message has it twice; `None` where such a field is not known here.
fn fill_leaf<D: Dialect>(wire: &mut Wire, name: &[u8], leaf: Leaf<'_>) -> Option<bool> {
    Some(match name {
        b"type" => wire.kind.fill(filled(|leaf| D::text(leaf).and_then(Kind::of), leaf)),
        b"id" => wire.id.fill(filled(D::query_id, leaf)),
        b"v" => wire.version.fill(filled(small_number, leaf)),
        b"token" => wire.token.fill(filled(D::token, leaf)),
        b"key" => wire.key.fill(filled(|leaf| D::text(leaf).map(Into::into), leaf)),
        b"target" => wire.target.fill(filled(D::node_id, leaf)),
        b"ttl" => wire.ttl.fill(filled(small_number, leaf)),
        b"age" => wire.age.fill(filled(small_number, leaf)),
        b"size" => wire.size.fill(filled(number, leaf)),
        b"has_key" => wire.has_key.fill(filled(D::flag, leaf)),
        b"stored" => wire.stored.fill(filled(D::flag, leaf)),
        b"target_id" => wire.target_id.fill(filled(D::node_id, leaf)),
        b"entries" => wire.entries.fill(filled(D::binary, leaf)),
        b"states" => wire.states.fill(filled(D::binary, leaf)),
        b"ranges" => wire.ranges.fill(filled(D::binary, leaf)),
        b"wanted" => wire.wanted.fill(filled(D::binary, leaf)),
        // Padding says nothing.
        b"z" => false,
        _ => return None,
    })
}

/// The finding of peers that are records with addresses of `ip_len` bytes.
fn records<D: Dialect>(ip_len: usize, leaf: Leaf<'_>) -> Slot<Vec<Peer>> {
    PeersForm::<D>(ip_len, PhantomData).leaf(leaf)
}

/// Reads a dictionary of node id, address and port.
fn contact<'a, D: Dialect, C: Cursor<'a>>(cursor: &mut C) -> Option<Contact> {
    let mut contact = Contact::default();
    let mut open = cursor.dictionary()?;
    while let Some(name) = cursor.key(&mut open)? {
        if contact.fill::<D>(name, cursor.leaf()?)? {
            return None;
        }
    }
    Some(contact)
}

/// Reads a list of such dictionaries. `more`: whether a further item begins here; it is asked before each, with how many came
/// before it.
pub(super) fn contacts<'a, D: Dialect, C: Cursor<'a>>(
    cursor: &mut C,
    more: fn(&mut C, usize) -> Option<bool>,
) -> Option<Slot<Vec<Peer>>> {
    let mut peers = Vec::with_capacity(MAX_PEERS_READ);
    let mut count = 0;
    while more(cursor, count)? {
        count += 1;
        // Of further ones only the form matters.
        if count > MAX_PEERS_READ {
            return None;
        }
        peers.extend(contact::<D, C>(cursor)?.peer());
    }
    Some(Slot::Good(peers))
}
