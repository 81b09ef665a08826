//! Secrets: the token of a gateway, one-time codes and session cookies are such.

use std::fmt;

use crate::actors::clock::SystemEntropy;
use crate::protocol::entropy::Entropy;

/// The fewest characters of a token that is read from a file.
pub const MIN_LEN: usize = 16;

/// A secret text. It is compared in constant time, and does not show itself in logs.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// A new one of 256 bits.
    pub fn random() -> Self {
        let mut bytes = [0; 32];
        SystemEntropy::default().fill(&mut bytes);
        Self(hex::encode(bytes))
    }

    /// The one that `text` has, without the white space around it: at least 16 visible ASCII characters.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        match text {
            _ if !text.bytes().all(|byte| byte.is_ascii_graphic()) => Err("a token has visible ASCII characters only"),
            _ if text.len() < MIN_LEN => Err("a token has at least 16 characters"),
            _ => Ok(Self(text.to_owned())),
        }
    }

    /// The text itself, to be given to whom may have it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether `text` is it. How long that takes says nothing of where they differ.
    pub(super) fn is(&self, text: &str) -> bool {
        let (own, other) = (self.0.as_bytes(), text.as_bytes());
        own.len() == other.len() && own.iter().zip(other).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_equal_to_itself_alone_and_keeps_itself_to_itself() {
        let token = Token::random();
        let other = Token::random();
        assert!(token.is(token.reveal()) && !token.is(other.reveal()) && !token.is(""));
        assert!(!token.is(&token.reveal()[1..]) && token.reveal().len() == 64);
        assert_eq!(format!("{token:?}"), "Token(…)");
    }

    #[test]
    fn a_token_of_a_file_is_long_enough_and_visible() {
        assert!(Token::read(" 0123456789abcdef\n").unwrap().is("0123456789abcdef"));
        assert!(Token::read("0123456789abcde").is_err() && Token::read("").is_err());
        assert!(Token::read("0123456789 abcdef").is_err() && Token::read("0123456789abcdé.").is_err());
    }
}
