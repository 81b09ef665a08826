//! Text that others chose, made safe to look at: what a terminal would obey, or an eye would not see, is escaped. A pipe and a
//! file get text as it is.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a terminal may obey `character` instead of showing it, or shows nothing of it: C0, DEL and C1, marks that reverse
/// or isolate text, line and paragraph separators, and what has no width. The joiners U+200C and U+200D are not among them:
/// words and emoji are spelled with these.
fn is_unsafe(character: char) -> bool {
    let hidden = matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    character.is_control() || hidden
}

/// `text` as a terminal may show it: with `\u{1b}` in the place of what is unsafe. Its line ends and tabs stay; a carriage
/// return, which would let one line hide another, does not.
pub(super) fn for_terminal(text: &str) -> Cow<'_, str> {
    let escaped = |character: char| is_unsafe(character) && !matches!(character, '\n' | '\t');
    if !text.contains(escaped) {
        return Cow::Borrowed(text);
    }
    let shown = text.chars().fold(String::with_capacity(text.len()), |mut shown, character| {
        if escaped(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
        shown
    });
    Cow::Owned(shown)
}

/// The JSON text `json` with `\u001b` in the place of what is unsafe, which means the same. Within strings, for nothing of that
/// stands between them.
pub(super) fn json(json: String) -> String {
    if !json.contains(is_unsafe) {
        return json;
    }
    json.chars().fold(String::with_capacity(json.len()), |mut safe, character| {
        if is_unsafe(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(safe, "\\u{unit:04x}").expect("a string takes any text");
            }
        } else {
            safe.push(character);
        }
        safe
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each kind that a terminal obeys or an eye does not see.
    const UNSAFE: [char; 22] = [
        '\0',
        '\u{7}',
        '\u{8}',
        '\r',
        '\u{b}',
        '\u{c}',
        '\u{1b}',
        '\u{7f}',
        '\u{85}',
        '\u{9b}',
        '\u{9d}',
        '\u{ad}',
        '\u{61c}',
        '\u{200b}',
        '\u{200f}',
        '\u{2028}',
        '\u{202e}',
        '\u{2060}',
        '\u{2066}',
        '\u{2069}',
        '\u{feff}',
        '\u{e0041}',
    ];

    #[test]
    fn what_a_terminal_would_obey_is_escaped_and_the_rest_stays() {
        for character in UNSAFE {
            let shown = for_terminal(&format!("a{character}b")).into_owned();
            assert_eq!(shown, format!("a\\u{{{:x}}}b", u32::from(character)));
        }
        assert_eq!(for_terminal("\x1b]0;owned\x07\x1b[2K\rok"), "\\u{1b}]0;owned\\u{7}\\u{1b}[2K\\u{d}ok");
        let plain = "two lines,\n\ta tab, ключ, e\u{301}, \u{3000}, \u{1f468}\u{200d}\u{1f469}, \\u{1b}\n";
        assert!(matches!(for_terminal(plain), Cow::Borrowed(same) if same == plain));
    }

    #[test]
    fn json_is_safe_everywhere_and_means_the_same() {
        for character in UNSAFE {
            let text = format!("a{character}\n\"b");
            let safe = json(serde_json::to_string(&text).unwrap());
            assert!(!safe.contains(is_unsafe), "{safe:?}");
            assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), text);
        }
        assert_eq!(json("\"\u{9b}\u{e0041}\"".to_owned()), r#""\u009b\udb40\udc41""#);
    }
}
