//! A row of the table of settings, as programs read it.

use serde::Serialize;
use serde_json::Value as Json;

/// A setting: what it is, what is permitted, and its value in some configuration. Values are as serde writes them.
#[derive(Debug)]
pub(crate) struct Row {
    /// What its group is about.
    pub(crate) group: &'static str,
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) unit: Option<&'static str>,
    /// The least and the greatest value, where these are fixed.
    pub(crate) range: Option<(Json, Json)>,
    pub(crate) default: Json,
    pub(crate) value: Json,
}

/// `value` in the form `W` in which it is written.
pub(super) fn json<W: Serialize>(value: impl Into<W>) -> Json {
    serde_json::to_value(value.into()).expect("settings are numbers, flags and texts")
}
