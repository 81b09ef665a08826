//! Reads MessagePack of the common form: what is beyond it, `msgpack_form` and `rmp-serde` decide.

use super::dialect::Dialect;
use super::direct::{Cursor, Open};
use super::lenient::{Leaf, Slot};
use crate::protocol::peer::Peer;

/// A position in a datagram.
pub(super) struct MsgpackCursor<'a> {
    rest: &'a [u8],
}

impl<'a> MsgpackCursor<'a> {
    pub(super) fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }

    /// Takes a number of `bytes` bytes.
    fn number(&mut self, bytes: usize) -> Option<u64> {
        Some(self.rest.split_off(..bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn text(&mut self, len: usize) -> Option<&'a str> {
        std::str::from_utf8(self.rest.split_off(..len)?).ok()
    }
}

impl<'a> Cursor<'a> for MsgpackCursor<'a> {
    fn dictionary(&mut self) -> Option<Open<'a>> {
        match self.rest.split_off_first()? {
            marker @ 0x80..=0x8f => Some(Open::new(usize::from(marker & 0x0f))),
            _ => None,
        }
    }

    fn key(&mut self, open: &mut Open<'a>) -> Option<Option<&'a [u8]>> {
        let Some(left) = open.left.checked_sub(1) else { return Some(None) };
        open.left = left;
        match self.rest.split_off_first()? {
            marker @ 0xa0..=0xbf => self.rest.split_off(..usize::from(marker & 0x1f)).map(Some),
            _ => None,
        }
    }

    fn leaf(&mut self) -> Option<Leaf<'a>> {
        Some(match *self.rest.split_off_first()? {
            number @ 0x00..=0x7f => Leaf::Int(number.into()),
            marker @ 0xa0..=0xbf => Leaf::Text(self.text(usize::from(marker & 0x1f))?),
            0xc0 => Leaf::Null,
            marker @ 0xc2..=0xc3 => Leaf::Bool(marker == 0xc3),
            marker @ 0xc4..=0xc5 => {
                let len = self.number(1 << (marker - 0xc4))? as usize;
                Leaf::Bytes(self.rest.split_off(..len)?)
            }
            marker @ 0xcc..=0xcf => Leaf::Int(self.number(1 << (marker - 0xcc))?),
            marker @ 0xd9..=0xda => {
                let len = self.number(1 << (marker - 0xd9))? as usize;
                Leaf::Text(self.text(len)?)
            }
            _ => return None,
        })
    }

    fn peers<D: Dialect>(&mut self) -> Option<Slot<Vec<Peer>>> {
        None
    }

    fn is_at_end(&mut self) -> bool {
        self.rest.is_empty()
    }
}
