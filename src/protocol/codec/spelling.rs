//! The parts of a spelling that the legacy wires share, written straight into a datagram: ids in hex, addresses and numbers in
//! decimal.

use std::io::Write;
use std::net::IpAddr;

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
            let mut text = [0; 15];
            let mut len = 0;
            for (number, octet) in ip.octets().into_iter().enumerate() {
                if number > 0 {
                    text[len] = b'.';
                    len += 1;
                }
                for (least, digit) in [(100, octet / 100), (10, octet / 10 % 10), (0, octet % 10)] {
                    if octet >= least {
                        text[len] = b'0' + digit;
                        len += 1;
                    }
                }
            }
            out.extend_from_slice(&text[..len]);
        }
        IpAddr::V6(ip) => write!(out, "{ip}").expect("a vector takes all"),
    }
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

    proptest! {
        #[test]
        fn ids_addresses_and_numbers_are_spelled_as_they_print(id: [u8; 20], ip: IpAddr, number: u64, bits in 0u32..64) {
            let (id, number) = (NodeId::from_bytes(id), number >> bits);
            prop_assert_eq!(written(|out| push_id(out, &id)), id.to_string());
            prop_assert_eq!(written(|out| push_ip(out, ip)), ip.to_string());
            prop_assert_eq!(written(|out| push_number(out, number)), number.to_string());
        }
    }
}
