//! Padding of a query, so that its receiver may answer at once: to an address that has proved nothing a node sends at most three
//! times what came from there (docs/wire.md, 4.5 and 9.2). Each function appends the field `z` to an encoded message, so that it is
//! `missing` bytes longer, or up to 7 more. It stands last on each wire: no other name of a field sorts behind it.

/// The longest padding that is written, in bytes.
pub(super) const MAX_PADDING: usize = 4_096;

pub(super) fn json(datagram: &mut Vec<u8>, missing: usize) {
    if datagram.pop_if(|last| *last == b'}').is_some() {
        datagram.extend_from_slice(br#","z":""#);
        zeros(datagram, missing.saturating_sub(7), b'0');
        datagram.extend_from_slice(br#""}"#);
    }
}

pub(super) fn bencode(datagram: &mut Vec<u8>, missing: usize) {
    if datagram.pop_if(|last| *last == b'e').is_some() {
        let count = missing.saturating_sub(5);
        datagram.extend_from_slice(format!("1:z{count}:").as_bytes());
        zeros(datagram, count, b'0');
        datagram.push(b'e');
    }
}

pub(super) fn msgpack(datagram: &mut Vec<u8>, missing: usize) {
    // A map of at most 14 fields has room for one more in its first byte.
    let Some(first @ 0x80..=0x8e) = datagram.first_mut() else { return };
    *first += 1;
    let count = missing.saturating_sub(4);
    datagram.extend_from_slice(&[0xa1, b'z']);
    match u8::try_from(count) {
        Ok(count) => datagram.extend_from_slice(&[0xc4, count]),
        Err(_) => {
            datagram.push(0xc5);
            datagram.extend_from_slice(&(count as u16).to_be_bytes());
        }
    }
    zeros(datagram, count, 0);
}

fn zeros(datagram: &mut Vec<u8>, count: usize, zero: u8) {
    datagram.resize(datagram.len() + count, zero);
}
