//! Figures of the page: each is written by the server, and names where in `/v1/node` the script finds it again and how it is
//! shown. The script has the same formats.

use maud::{Markup, html};
use serde_json::Value as Json;

/// What is shown where there is nothing to show.
const NONE: &str = "–";

/// How a figure is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Count,
    Bytes,
    /// Seconds as a time.
    Time,
    /// Seconds since strangers reached the node.
    Reached,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Count => "count",
            Self::Bytes => "bytes",
            Self::Time => "time",
            Self::Reached => "reached",
        }
    }

    fn show(self, value: &Json) -> String {
        match (self, value) {
            (Self::Reached, _) => reached(value.as_f64()),
            (_, Json::Null) => NONE.to_owned(),
            (Self::Text, Json::String(text)) => text.clone(),
            (Self::Count, _) => count(value.as_u64().unwrap_or_default()),
            (Self::Bytes, _) => bytes(value.as_f64().unwrap_or_default()),
            (Self::Time, _) => time(value.as_f64().unwrap_or_default()),
            (Self::Text, other) => other.to_string(),
        }
    }
}

/// What stands at `path` (names and numbers, with `/` between them).
pub(super) fn at<'a>(node: &'a Json, path: &str) -> &'a Json {
    node.pointer(&format!("/{path}")).unwrap_or(&Json::Null)
}

/// One figure.
pub(super) fn figure(node: &Json, path: &str, format: Format) -> Markup {
    html! { span data-v=(path) data-f=(format.name()) { (format.show(at(node, path))) } }
}

/// A counter, which is not there while it is zero.
pub(super) fn counter(node: &Json, path: &str) -> Markup {
    html! { span data-v=(path) data-f="counter" { (count(at(node, path).as_u64().unwrap_or_default())) } }
}

/// How much of a bound is used.
pub(super) fn meter(node: &Json, path: &str, bound: &str, label: &str) -> Markup {
    let number = |path| at(node, path).as_f64().unwrap_or_default();
    html! {
        meter data-v=(path) data-max=(bound) aria-label=(label) min="0" max=(number(bound).max(1.0)) value=(number(path)) {}
    }
}

/// With a comma between each three digits.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

fn bytes(mut number: f64) -> String {
    for unit in ["B", "kB", "MB", "GB"] {
        if number < 1_000.0 {
            let digits = usize::from(unit != "B" && number < 100.0);
            return format!("{number:.digits$} {unit}");
        }
        number /= 1_000.0;
    }
    format!("{number:.1} TB")
}

/// The two largest units.
fn time(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{whole} s"),
        (0, 0, _) => format!("{minutes} min {} s", whole % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// A query of strangers within the last hour shows that they reach the node.
fn reached(ago: Option<f64>) -> String {
    match ago {
        Some(ago) if ago < 3_600.0 => format!("yes, {} ago", time(ago)),
        Some(ago) => format!("unknown since {}", time(ago)),
        None => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn figures_are_shown_as_people_read_them() {
        for (format, value, shown) in [
            (Format::Count, json!(0), "0"),
            (Format::Count, json!(1_234_567), "1,234,567"),
            (Format::Count, json!(100_000), "100,000"),
            (Format::Bytes, json!(999), "999 B"),
            (Format::Bytes, json!(1_500), "1.5 kB"),
            (Format::Bytes, json!(67_108_864), "67.1 MB"),
            (Format::Bytes, json!(671_088_640), "671 MB"),
            (Format::Time, json!(59.9), "59 s"),
            (Format::Time, json!(61), "1 min 1 s"),
            (Format::Time, json!(7_260), "2 h 1 min"),
            (Format::Time, json!(90_000), "1 d 1 h"),
            (Format::Reached, Json::Null, "unknown"),
            (Format::Reached, json!(60), "yes, 1 min 0 s ago"),
            (Format::Reached, json!(7_200), "unknown since 2 h 0 min"),
            (Format::Text, json!("<b>"), "<b>"),
            (Format::Count, Json::Null, NONE),
        ] {
            assert_eq!(format.show(&value), shown, "{value}");
        }
    }

    #[test]
    fn a_figure_says_where_it_comes_from_and_is_escaped() {
        let node = json!({ "a": [{ "b{c}": "<script>" }] });
        let markup = figure(&node, "a/0/b{c}", Format::Text).into_string();
        assert_eq!(markup, r#"<span data-v="a/0/b{c}" data-f="text">&lt;script&gt;</span>"#);
    }
}
