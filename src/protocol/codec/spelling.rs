//! The parts of a spelling that the legacy wires share, written straight into a datagram: ids in hex, addresses and numbers in
//! decimal.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};

use crate::protocol::id::NodeId;

/// Each byte in two lower-case hex digits.
const HEX: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

/// Each byte in decimal: its digits from the left, then how many they are.
const DECIMAL: [[u8; 4]; 256] = {
    let mut numbers = [[0; 4]; 256];
    let mut byte = 0;
    while byte < 256 {
        let digits = [b'0' + (byte / 100) as u8, b'0' + (byte / 10 % 10) as u8, b'0' + (byte % 10) as u8];
        numbers[byte] = match byte {
            0..10 => [digits[2], 0, 0, 1],
            10..100 => [digits[1], digits[2], 0, 2],
            _ => [digits[0], digits[1], digits[2], 3],
        };
        byte += 1;
    }
    numbers
};
/// The longest text of an IPv4 address, in bytes.
const LONGEST_IPV4: usize = 15;

/// Appends the first `len` bytes of `text`. A copy of a fixed length is cheap; what is too much of it is cut off again.
fn push_first<const N: usize>(out: &mut Vec<u8>, text: &[u8; N], len: usize) {
    let end = out.len() + len;
    out.extend_from_slice(text);
    out.truncate(end);
}

/// Appends `byte` in decimal.
fn push_byte(out: &mut Vec<u8>, byte: u8) {
    let [a, b, c, digits] = DECIMAL[usize::from(byte)];
    push_first(out, &[a, b, c], usize::from(digits));
}

/// Appends the 40 hex digits of `id`.
pub(super) fn push_id(out: &mut Vec<u8>, id: &NodeId) {
    let mut digits = [[0; 2]; 20];
    for (pair, byte) in digits.iter_mut().zip(id.as_bytes()) {
        *pair = HEX[usize::from(*byte)];
    }
    out.extend_from_slice(digits.as_flattened());
}

/// Appends `number` in decimal.
pub(super) fn push_number(out: &mut Vec<u8>, mut number: u64) {
    // Lengths and ports are the most of all numbers.
    if let Ok(short) = u8::try_from(number) {
        return push_byte(out, short);
    }
    if let Ok(port) = u16::try_from(number) {
        let (thousands, rest) = ((port / 1_000) as u8, port % 1_000);
        if thousands > 0 {
            push_byte(out, thousands);
        }
        return out.extend_from_slice(&[rest / 100, rest / 10 % 10, rest % 10].map(|digit| b'0' + digit as u8));
    }
    // The digits of 2^64 - 1.
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends `ip` as text.
pub(super) fn push_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            let (text, len) = ipv4(ip);
            push_first(out, &text, len);
        }
        IpAddr::V6(ip) => write!(out, "{ip}").expect("a vector takes all"),
    }
}

/// The length of `ip` as text in bytes, without printing an IPv4 address.
pub(super) fn ip_text_len(ip: IpAddr) -> usize {
    match ip {
        IpAddr::V4(ip) => {
            3 + ip.octets().map(|octet| usize::from(DECIMAL[usize::from(octet)][3])).iter().sum::<usize>()
        }
        IpAddr::V6(ip) => ip.to_string().len(),
    }
}

/// Appends the length of `ip` as text, a colon, and the text.
pub(super) fn push_sized_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            let (text, len) = ipv4(ip);
            // It is at most LONGEST_IPV4.
            push_byte(out, len as u8);
            out.push(b':');
            push_first(out, &text, len);
        }
        IpAddr::V6(ip) => {
            let text = ip.to_string();
            write!(out, "{}:{text}", text.len()).expect("a vector takes all");
        }
    }
}

/// The text of `ip`, from the left, and its length.
fn ipv4(ip: Ipv4Addr) -> ([u8; LONGEST_IPV4], usize) {
    let (mut text, mut len) = ([0; LONGEST_IPV4], 0);
    for (number, octet) in ip.octets().into_iter().enumerate() {
        if number > 0 {
            text[len] = b'.';
            len += 1;
        }
        let [a, b, c, digits] = DECIMAL[usize::from(octet)];
        // No octet begins behind the last three bytes.
        text[len..len + 3].copy_from_slice(&[a, b, c]);
        len += usize::from(digits);
    }
    (text, len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn octets_and_short_numbers_of_every_length_are_spelled_as_they_print() {
        for number in 0..70_000 {
            assert_eq!(written(|out| push_number(out, number)), number.to_string());
        }
        for octet in 0..=u8::MAX {
            for ip in
                [Ipv4Addr::from([octet; 4]), Ipv4Addr::new(0, octet, 255, octet), Ipv4Addr::new(255, 255, 255, octet)]
            {
                assert_eq!(written(|out| push_ip(out, ip.into())), ip.to_string());
            }
        }
    }

    proptest! {
        #[test]
        fn ids_addresses_and_numbers_are_spelled_as_they_print(id: [u8; 20], ip: IpAddr, number: u64, bits in 0u32..64) {
            let (id, number) = (NodeId::from_bytes(id), number >> bits);
            prop_assert_eq!(written(|out| push_id(out, &id)), id.to_string());
            prop_assert_eq!(written(|out| push_ip(out, ip)), ip.to_string());
            prop_assert_eq!(ip_text_len(ip), ip.to_string().len());
            prop_assert_eq!(written(|out| push_sized_ip(out, ip)), format!("{}:{ip}", ip.to_string().len()));
            prop_assert_eq!(written(|out| push_number(out, number)), number.to_string());
        }
    }
}
