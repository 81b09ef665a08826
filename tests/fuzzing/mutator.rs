//! A datagram changed a little, by chance that a seed gives: bytes flipped, cut, doubled and put in, numbers and words of the
//! wire exchanged for others. It knows no codec.

use kademlia_dynamic::protocol::entropy::{Entropy, SeededEntropy};

/// Mutations of one datagram, at most.
const ROUNDS: u64 = 4;

/// What is put in: pieces of the three wires, whole ones and broken ones.
const WORDS: &[&[u8]] = &[
    b"type",
    b"id",
    b"sender",
    b"node_id",
    b"ip",
    b"port",
    b"target",
    b"target_id",
    b"key",
    b"value",
    b"size",
    b"peers",
    b"peers6",
    b"has_key",
    b"stored",
    b"ttl",
    b"v",
    b"ping",
    b"pong",
    b"find_node",
    b"find_node_res",
    b"find_value",
    b"find_value_res",
    b"set",
    b"set_res",
    b"set_cached",
    b"set_cached_res",
    b"check_store",
    b"check_store_res",
    b"get",
    b"get_res",
    b"renew",
    b"renew_res",
    b"reconcile",
    b"reconcile_res",
    b"entries",
    b"states",
    b"ranges",
    b"wanted",
    b"__bytes_b64__",
    b"\0bytes\0",
    b"a94a8fe5ccb19ba61c4c0873d391e987982fbbd3",
    b"00c0ffee00c0ffee",
    b"0x",
    b"-1",
    b"localhost",
    b"0.0.0.0",
    b"224.0.0.1",
    b"127.0.0.1",
    b"::1",
    b"::ffff:1.2.3.4",
    b"null",
    b"true",
    b"false",
    b"NaN",
    b"Infinity",
    b"1e5",
    b"\\ud800",
    b"\\u0000",
    b"\\ud83d\\udd11",
    b"\xff\xfe",
    b"\xc3\xa9",
    b"\"",
    b"{}",
    b"[]",
    b"{\"__bytes_b64__\":\"AA==\"}",
    b",\"v\":1",
    b",\"x\":[[]]",
    b"i0e",
    b"i1e",
    b"i-1e",
    b"i-0e",
    b"i007e",
    b"0:",
    b"1:x",
    b"01:x",
    b"le",
    b"de",
    b"l",
    b"d",
    b"e",
    b"4:key1",
    b"1:vi1e",
    b"\xc0",
    b"\xc2",
    b"\xc3",
    b"\xc4\x00",
    b"\x90",
    b"\x80",
    b"\x81\xa1x",
    b"\xa0",
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xd3\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc1",
];

/// What a run of digits becomes.
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "00",
    "01",
    "9",
    "16",
    "40",
    "65535",
    "65536",
    "70000",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1.5",
    "1e3",
    "99999999999999999999999999",
    "-9223372036854775808",
];

/// Gives mutations of datagrams. The same seed gives the same.
pub(crate) struct Mutator(SeededEntropy);

impl Mutator {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SeededEntropy::new(seed))
    }

    /// A number in `0..bound`; 0 if `bound` is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound as u64) as usize
    }

    /// Puts into `into` a mutation of `datagram`, with pieces of `other`.
    pub(crate) fn mutate(&mut self, datagram: &[u8], other: &[u8], into: &mut Vec<u8>) {
        into.clear();
        into.extend_from_slice(datagram);
        for _ in 0..=self.0.below(ROUNDS) {
            self.step(other, into);
        }
    }

    fn step(&mut self, other: &[u8], into: &mut Vec<u8>) {
        let at = self.below(into.len());
        let span = at..(at + 1 + self.below(16)).min(into.len());
        match self.below(12) {
            0 | 1 if at < into.len() => into[at] ^= 1 << self.below(8),
            2 | 3 if at < into.len() => into[at] = self.below(256) as u8,
            4 => drop(into.drain(span)),
            5 => {
                let doubled = into[span].to_vec();
                into.splice(at..at, doubled);
            }
            6 => into.truncate(at),
            7 => {
                let word = WORDS[self.below(WORDS.len())];
                into.splice(at..at, word.iter().copied());
            }
            8 | 9 => self.exchange_a_string(into),
            10 => self.exchange_a_number(into),
            _ => {
                let from = self.below(other.len());
                let piece = &other[from..(from + 1 + self.below(64)).min(other.len())];
                into.splice(span, piece.iter().copied());
            }
        }
    }

    /// Letters and underscores that stand together become a word of the wire, with the length in front of them as it was.
    fn exchange_a_string(&mut self, into: &mut Vec<u8>) {
        let at = self.below(into.len());
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
        let Some(start) = into[at..].iter().position(is_word).map(|skipped| at + skipped) else { return };
        let end = start + into[start..].iter().take_while(|byte| is_word(byte)).count();
        let word = WORDS[self.below(WORDS.len())];
        into.splice(start..end, word.iter().copied());
    }

    fn exchange_a_number(&mut self, into: &mut Vec<u8>) {
        let at = self.below(into.len());
        let Some(start) = into[at..].iter().position(u8::is_ascii_digit).map(|skipped| at + skipped) else { return };
        let end = start + into[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = NUMBERS[self.below(NUMBERS.len())];
        into.splice(start..end, number.bytes());
    }
}
