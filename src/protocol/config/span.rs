//! Durations in text: a number and its unit, in settings and in options.

use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `250ms`, `90s`, `15m`, `4h`, `1.5h`, `2d`; `None` where it is not written like that.
pub(crate) fn span(text: &str) -> Option<Duration> {
    let unit = text.trim_start_matches(|char: char| char.is_ascii_digit() || char == '.');
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    let count: f64 = text.strip_suffix(unit)?.parse().ok()?;
    Duration::try_from_secs_f64(count * seconds).ok()
}

/// `duration` in the largest unit in which it is a whole number: `2d`, `90s`, `250ms`.
#[cfg(feature = "cli")]
pub(crate) fn shortest(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    match units.into_iter().find(|(unit, _)| millis > 0 && millis.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", millis / unit),
        None => format!("{millis}ms"),
    }
}

/// A duration as a setting is written: read in any unit, written in seconds.
#[derive(Debug)]
pub(super) struct Span(Duration);

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.0
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}s", self.0.as_secs_f64()))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || D::Error::custom(format!("{text:?} is no duration: write 250ms, 90s, 15m, 4h or 2d"));
        span(&text).map(Self).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_its_unit() {
        for (text, millis) in
            [("250ms", 250), ("90s", 90_000), ("15m", 900_000), ("1.5h", 5_400_000), ("2d", 172_800_000), ("0s", 0)]
        {
            assert_eq!(span(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in
            ["", "s", "90", "-1s", "+1s", "1 s", "1e3s", "1..s", "infs", "NaNs", "1w", "s1", "90S", "1m30s", "4\u{b5}"]
        {
            assert_eq!(span(text), None, "{text}");
        }
        assert_eq!(span(&format!("{}d", "9".repeat(400))), None, "it is too long to be one");
    }

    #[cfg(feature = "cli")]
    #[test]
    fn a_duration_is_written_in_its_largest_whole_unit_and_read_as_it_was() {
        for (millis, text) in [
            (0, "0ms"),
            (250, "250ms"),
            (1_500, "1500ms"),
            (90_000, "90s"),
            (900_000, "15m"),
            (86_410_000, "86410s"),
            (172_800_000, "2d"),
        ] {
            let duration = Duration::from_millis(millis);
            assert_eq!((shortest(duration).as_str(), span(text)), (text, Some(duration)));
        }
    }
}
