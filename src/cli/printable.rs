//! Text of others made safe to show: characters that control a terminal, or are invisible, are escaped. Pipes and files get
//! text as it is.

/// Whether a terminal may obey `character` instead of showing it, or shows nothing of it: C0, DEL and C1, marks that reverse
/// or isolate text, line and paragraph separators, and characters without width. The joiners U+200C and U+200D are not among
/// them: words and emoji are spelled with these.
fn is_unsafe(character: char) -> bool {
    let hidden = matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    character.is_control() || hidden
}

/// `text` as a terminal may show it: unsafe characters as `\u{1b}`. Line ends and tabs stay; a carriage return, with which one
/// line could hide another, does not.
pub(super) fn for_terminal(text: &str) -> String {
    escaped(text, "\n\t", |character| character.escape_unicode().to_string())
}

/// The JSON text `json` with unsafe characters as `\u001b`, which means the same: they stand within strings only.
pub(super) fn json(json: &str) -> String {
    escaped(json, "", |character| {
        character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
    })
}

/// `text`, with unsafe characters as `escape` has them, but those that are `kept`.
fn escaped(text: &str, kept: &str, escape: impl Fn(char) -> String) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unsafe(character) && !kept.contains(character) {
            safe += &escape(character);
        } else {
            safe.push(character);
        }
    }
    safe
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
            let shown = for_terminal(&format!("a{character}b"));
            assert_eq!(shown, format!("a\\u{{{:x}}}b", u32::from(character)));
        }
        assert_eq!(for_terminal("\x1b]0;owned\x07\x1b[2K\rok"), "\\u{1b}]0;owned\\u{7}\\u{1b}[2K\\u{d}ok");
        let plain = "two lines,\n\ta tab, ключ, e\u{301}, \u{3000}, \u{1f468}\u{200d}\u{1f469}, \\u{1b}\n";
        assert_eq!(for_terminal(plain), plain);
    }

    #[test]
    fn json_is_safe_everywhere_and_means_the_same() {
        for character in UNSAFE {
            let text = format!("a{character}\n\"b");
            let safe = json(&serde_json::to_string(&text).unwrap());
            assert!(!safe.contains(is_unsafe), "{safe:?}");
            assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), text);
        }
        assert_eq!(json("\"\u{9b}\u{e0041}\""), r#""\u009b\udb40\udc41""#);
    }
}
