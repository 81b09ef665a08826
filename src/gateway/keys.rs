//! Keys in paths: a key is one segment, percent-encoded UTF-8, `/` and `%` included.

use actix_web::HttpRequest;
use utoipa::IntoParams;

use super::problem::Problem;

/// What [`key_of`] reads, for the description.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "the path is read as it was sent")]
pub(super) struct KeyPath {
    /// The key, percent-encoded.
    key: String,
}

/// The key in the path of `request`: the segment that so many others follow. It is read as it was sent, since the router's own
/// copy of the path is decoded, and so cannot say what was not UTF-8.
pub(super) fn key_of(request: &HttpRequest, following: usize) -> Result<String, Problem> {
    decode(request.uri().path().rsplit('/').nth(following).unwrap_or_default())
}

fn decode(segment: &str) -> Result<String, Problem> {
    let mut decoded = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        match (digit(), digit()) {
            (Some(high), Some(low)) => decoded.push(u8::try_from(high * 16 + low).unwrap_or_default()),
            _ => return Err(not_text("a % is followed by two hex digits")),
        }
    }
    String::from_utf8(decoded).map_err(|_| not_text("it is no UTF-8"))
}

fn not_text(why: &str) -> Problem {
    Problem::bad_request("bad_key", format!("the key in the path cannot be read: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_decoded_once_and_is_utf_8() {
        for (segment, key) in [("a", "a"), ("", ""), ("a%2Fb", "a/b"), ("%25", "%"), ("%2525", "%25"), ("%00", "\0")] {
            assert_eq!(decode(segment).unwrap(), key, "{segment}");
        }
        assert_eq!(decode("%C3%A9+é").unwrap(), "é+é");
        for bad in ["%", "%4", "%zz", "%+1", "%FF", "a%C3"] {
            assert_eq!(decode(bad).unwrap_err().code(), "bad_key", "{bad}");
        }
    }
}
