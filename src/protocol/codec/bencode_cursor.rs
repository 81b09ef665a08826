//! Reads canonical bencode: what is not, `bencode_form` and `serde_bencode` decide.

use super::dialect::Dialect;
use super::direct::{Cursor, Open, contacts};
use super::lenient::{Leaf, Slot};
use crate::protocol::peer::Peer;

/// Digits of an integer that certainly has 63 bits.
const MAX_DIGITS: usize = 18;

/// A position in a datagram.
pub(super) struct BencodeCursor<'a> {
    datagram: &'a [u8],
    at: usize,
}

impl<'a> BencodeCursor<'a> {
    pub(super) fn new(datagram: &'a [u8]) -> Self {
        Self { datagram, at: 0 }
    }

    fn byte(&self) -> Option<u8> {
        self.datagram.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.byte()? == byte).then(|| self.at += 1)
    }

    /// Takes digits without leading zeros, and `end` after them.
    fn digits(&mut self, end: u8) -> Option<u64> {
        let start = self.at;
        let mut number = 0;
        while let Some(digit @ b'0'..=b'9') = self.byte() {
            number = number * 10 + u64::from(digit - b'0');
            self.at += 1;
            if self.at - start > MAX_DIGITS {
                return None;
            }
        }
        let zeros = self.at - start > 1 && self.datagram[start] == b'0';
        let found = self.at > start && !zeros;
        self.take(end).filter(|()| found).map(|()| number)
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.digits(b':')?).ok()?;
        let string = self.datagram.get(self.at..)?.get(..len)?;
        self.at += len;
        Some(string)
    }
}

impl<'a> Cursor<'a> for BencodeCursor<'a> {
    fn dictionary(&mut self) -> Option<Open<'a>> {
        self.take(b'd')?;
        Some(Open::new(0))
    }

    fn key(&mut self, open: &mut Open<'a>) -> Option<Option<&'a [u8]>> {
        if self.take(b'e').is_some() {
            return Some(None);
        }
        let key = self.string()?;
        // Ascending, hence never twice.
        if open.last.is_some_and(|last| last >= key) {
            return None;
        }
        open.last = Some(key);
        Some(open.last)
    }

    fn leaf(&mut self) -> Option<Leaf<'a>> {
        if self.take(b'i').is_some() {
            return self.digits(b'e').map(Leaf::Int);
        }
        self.string().map(Leaf::Bytes)
    }

    fn peers<D: Dialect>(&mut self) -> Option<Slot<Vec<Peer>>> {
        self.take(b'l')?;
        contacts::<D, _>(self, |cursor, _| Some(cursor.take(b'e').is_none()))
    }

    fn is_at_end(&mut self) -> bool {
        self.at == self.datagram.len()
    }
}
