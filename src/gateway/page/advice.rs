//! What a reason for which something was dropped or refused means, and what to do about it: the texts of docs/operations.md.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// What an operator is reported of a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Advice {
    pub(crate) meaning: String,
    pub(crate) action: String,
}

static ADVICE: LazyLock<BTreeMap<&str, Advice>> = LazyLock::new(|| read(include_str!("../../../docs/operations.md")));

/// The advice about `reason`.
pub(crate) fn advice(reason: &str) -> Option<&'static Advice> {
    ADVICE.get(reason)
}

/// The rows of a table whose first cell quotes reasons: `reason="too_fast"`, `"blocked"`.
fn read(text: &str) -> BTreeMap<&str, Advice> {
    let mut all = BTreeMap::new();
    for line in text.lines().filter(|line| line.contains("reason=\"")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        if let [observed, meaning, action] = cells[..] {
            for reason in observed.split('"').skip(1).step_by(2) {
                all.insert(reason, Advice { meaning: plain(meaning), action: plain(action) });
            }
        }
    }
    all
}

/// Markdown without its marks. A text begins with a capital letter.
fn plain(text: &str) -> String {
    let text = text.replace('`', "");
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::counters::Counter;

    #[test]
    fn there_is_advice_about_each_reason_for_which_something_is_dropped_or_refused() {
        let turned_away = |counter: &&Counter| counter.name().contains("dropped") || counter.name().contains("refused");
        for counter in Counter::ALL.iter().filter(turned_away) {
            let advice = advice(counter.reason()).unwrap_or_else(|| panic!("{}", counter.reason()));
            assert!(!advice.meaning.is_empty() && !advice.action.is_empty() && !advice.meaning.contains('`'));
        }
        assert_eq!(advice("too_fast").unwrap().meaning, "Some addresses send more than 50 datagrams a second");
    }
}
