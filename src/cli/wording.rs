//! How several commands word durations, counts, values and tables.

use std::ffi::OsStr;
use std::time::Duration;

use crate::protocol::value::Value;

/// `duration` in its largest unit, rounded down; below a minute with a decimal where there is one.
pub(super) fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..60 if duration.subsec_millis() >= 100 => format!("{:.1} s", duration.as_secs_f64()),
        1..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `1 node`, `2 nodes`.
pub(super) fn nodes(count: usize) -> String {
    format!("{count} {}", if count == 1 { "node" } else { "nodes" })
}

/// `text, 5 bytes`, `bytes, 1 byte`.
pub(super) fn kind_and_length(value: &Value) -> String {
    let (kind, len) = (value.kind(), value.len());
    format!("{kind}, {len} {}", if len == 1 { "byte" } else { "bytes" })
}

/// `a, b, c`.
pub(super) fn list(items: impl IntoIterator<Item = impl ToString>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

/// `3 missing, 1 silent`: the counts that are not zero.
pub(super) fn counts<'a>(counted: impl IntoIterator<Item = (usize, &'a str)>) -> String {
    list(counted.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")))
}

/// `rows` as lines whose cells stand below each other, flush left, each column as wide as its longest cell.
pub(super) fn columns<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// The one of `names` that is most like `typed`, if any is much like it.
pub(super) fn nearest<'a>(typed: &str, names: &[&'a str]) -> Option<&'a str> {
    let likeness = |name: &&str| strsim::jaro_winkler(typed, name);
    let best = names.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(&best) > 0.8).then_some(best)
}

/// The program's own name as it was called, quoted for a shell, so that a printed command can be copied.
pub(super) fn program(called: Option<&OsStr>) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:,+@%\\".contains(&byte);
    match called.and_then(OsStr::to_str) {
        None | Some("") => "kad".to_owned(),
        Some(name) if name.bytes().all(plain) => name.to_owned(),
        Some(name) => format!("'{}'", name.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_a_person_says_them() {
        let said = [0, 999, 1_000, 2_500, 59_000, 60_000, 3_599_000, 86_410_000, 172_800_000]
            .map(|millis| human(Duration::from_millis(millis)));
        assert_eq!(said, ["0 ms", "999 ms", "1 s", "2.5 s", "59 s", "1 min", "59 min", "24 h", "2 days"]);
    }

    #[test]
    fn one_is_not_plural() {
        assert_eq!([0, 1, 2].map(nodes), ["0 nodes", "1 node", "2 nodes"]);
        assert_eq!(kind_and_length(&Value::from("a")), "text, 1 byte");
        assert_eq!(kind_and_length(&Value::from(b"")), "bytes, 0 bytes");
    }

    #[test]
    fn cells_of_a_column_stand_below_each_other_and_no_line_ends_with_spaces() {
        let rows = [["A", "LONG", ""], ["ключ", "x", "last"]].map(|row| row.map(str::to_owned));
        assert_eq!(columns(&rows), ["A     LONG\n", "ключ  x     last\n"]);
        assert_eq!(counts([(0, "gone"), (2, "silent"), (1, "missing")]), "2 silent, 1 missing");
    }

    #[test]
    fn a_program_is_named_as_it_was_called() {
        assert_eq!(program(Some(OsStr::new("target/release/kad"))), "target/release/kad");
        assert_eq!(program(Some(OsStr::new("/my tools/kad's"))), r"'/my tools/kad'\''s'");
        assert_eq!([program(None), program(Some(OsStr::new("")))], ["kad", "kad"]);
    }
}
