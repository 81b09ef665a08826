//! The settings that a node would have, each with its source; and all that is wrong with a file of settings.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use figment::Figment;
use figment::error::Kind;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::sources::{ENV_PREFIX, ENVIRONMENT, Layer, OPTIONS};
use super::{Settings, contents, layers, merged, read};
use crate::cli::args::{Cli, DEFAULT_ADDR};
use crate::cli::failure::{Exit, Failure};
use crate::cli::http::settings::HttpListen;
use crate::protocol::config::{Config, Row};

/// A setting of a node. As JSON, fields may be added.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Setting {
    pub(in crate::cli) name: &'static str,
    /// Null where it is not set and has no default.
    pub(in crate::cli) value: Json,
    pub(in crate::cli) source: String,
    pub(in crate::cli) default: Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) unit: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) low: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) high: Option<Json>,
    /// The values permitted, where these are a few names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::cli) one_of: Vec<String>,
    pub(in crate::cli) doc: String,
    /// What its group is about.
    pub(in crate::cli) group: &'static str,
}

/// Something that is wrong with a file of settings.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(in crate::cli) struct Mistake {
    /// The line of the setting, from 1.
    pub(in crate::cli) line: Option<usize>,
    pub(in crate::cli) text: String,
}

/// The settings of a node that is started with the file `config`, or the one that the environment `variables` names, and the
/// options `--set` of `set`; and what of the environment is not used.
pub(in crate::cli) fn settings(
    config: Option<PathBuf>,
    set: &[(String, String)],
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<(Vec<Setting>, Vec<String>), Failure> {
    let (layers, warnings) = layers(config, set, variables)?;
    let figment = merged(layers);
    let (options, config) = read(&figment)?;
    options.check_folder()?;
    let of_options = OPTIONS.into_iter().map(|name| option(name, &options, &figment));
    let of_config = config.rows().into_iter().map(|row| setting(row, &figment));
    Ok((of_options.chain(of_config).collect(), warnings))
}

/// The defaults, with what `set` changes: for nodes whose options are not settings.
pub(in crate::cli) fn config_of(set: &[(String, String)]) -> Result<Config, Failure> {
    if let Some((name, _)) = set.iter().find(|(name, _)| OPTIONS.contains(&name.as_str())) {
        let text = format!("in --set: {name} cannot be set here: it is an option of a single node");
        return Err(Failure::new(Exit::CONFIGURATION, text));
    }
    Ok(read(&merged(vec![Layer::of_options(set)]))?.1)
}

/// How many settings the file at `path` has, and what is wrong with it, in the order of its lines.
pub(in crate::cli) fn check(path: &Path) -> Result<(usize, Vec<Mistake>), Failure> {
    let text = contents(path)?;
    let layer = match Layer::of_file(path, &text) {
        Ok(layer) => layer,
        Err(failure) => return Ok((0, vec![Mistake { line: None, text: failure.to_string() }])),
    };
    let fault = |layer: Layer| read(&merged(vec![layer])).and_then(|(options, _)| options.check_folder()).err();
    let mut mistakes: Vec<Mistake> = Vec::new();
    for name in layer.names() {
        // The range of some ends at the `key_expiry`.
        if let Some(failure) = fault(layer.only(&[name, "key_expiry"])).filter(|_| name != "key_expiry")
            && fault(layer.only(&["key_expiry"])).is_none()
        {
            mistakes.push(Mistake { line: line_of(name, &text), text: failure.to_string() });
        }
    }
    if let Some(failure) = fault(layer.only(&["key_expiry"])) {
        mistakes.push(Mistake { line: line_of("key_expiry", &text), text: failure.to_string() });
    }
    let count = layer.names().count();
    if mistakes.is_empty() {
        let whole = read(&merged(vec![layer])).and_then(|(options, _)| options.check_folder().map(|()| options));
        mistakes.extend(match whole {
            Err(failure) => Some(Mistake { line: None, text: failure.to_string() }),
            Ok(options) => open_to_others(&options).map(|addr| {
                let line = line_of("http", &text);
                let text = format!(
                    "in {}: http is {addr}, which other machines reach: it needs http_token_file, and TLS in front of it",
                    path.display()
                );
                Mistake { line, text }
            }),
        });
    }
    mistakes.sort_by_key(|mistake| mistake.line);
    Ok((count, mistakes))
}

/// The address at which other machines reach a node over HTTP without a token of the operator, as far as `options` alone say: a
/// name is not resolved.
fn open_to_others(options: &Settings) -> Option<SocketAddr> {
    let HttpListen::At(addr) = options.http.as_ref().filter(|_| options.http_token_file.is_none())? else {
        return None;
    };
    addr.to_string().parse().ok().filter(|addr: &SocketAddr| !addr.ip().to_canonical().is_loopback())
}

/// The line of `text` that sets `name`.
fn line_of(name: &str, text: &str) -> Option<usize> {
    let sets = |line: &str| {
        let rest = line.trim_start().trim_start_matches(['[', '"', '\'']).strip_prefix(name);
        rest.is_some_and(|rest| rest.trim_start_matches(['"', '\'']).trim_start().starts_with(['=', '.', ']']))
    };
    text.lines().position(sets).map(|index| index + 1)
}

fn setting(row: Row, figment: &Figment) -> Setting {
    let Row { group, name, doc, unit, range, default, value } = row;
    let (low, high) = range.unzip();
    let source = source(name, &format!("config.{name}"), figment);
    Setting { name, value, source, default, unit, low, high, one_of: choices(name), doc: plain(doc), group }
}

/// A setting that is an option of `kad node` too.
fn option(name: &'static str, options: &Settings, figment: &Figment) -> Setting {
    let default = match name {
        "listen" => json!(DEFAULT_ADDR),
        "wire" => json!(options.wire.unwrap_or_default().name()),
        "bootstrap" => json!([]),
        "ephemeral" => json!(false),
        "durability" => json!("durable"),
        "log_format" => json!("text"),
        _ => Json::Null,
    };
    let set = figment.find_value(name).ok().and_then(|value| serde_json::to_value(value).ok());
    let contacts =
        options.bootstrap.as_ref().map(|list| json!(list.0.iter().map(ToString::to_string).collect::<Vec<_>>()));
    let value = contacts.filter(|_| name == "bootstrap").or(set).unwrap_or_else(|| default.clone());
    let command = Cli::command();
    let node = command.find_subcommand("node").and_then(|node| node.get_arguments().find(|arg| arg.get_id() == name));
    let help = node.and_then(|arg| arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let doc = help.split(" [default").next().unwrap_or_default().to_owned() + ".";
    let group = "The node itself: each is an option of `kad node` as well";
    let source = source(name, name, figment);
    Setting { name, value, source, default, unit: None, low: None, high: None, one_of: choices(name), doc, group }
}

/// Where the setting `name`, which is at `place` in `figment`, comes from.
fn source(name: &str, place: &str, figment: &Figment) -> String {
    match figment.find_metadata(place).map(|metadata| &*metadata.name) {
        None => "default".to_owned(),
        Some(ENVIRONMENT) => format!("{ENV_PREFIX}{}", name.to_ascii_uppercase()),
        Some(other) => other.to_owned(),
    }
}

/// The values of a setting that has a few.
fn choices(name: &str) -> Vec<String> {
    let wrong = merged(vec![Layer::of_options(&[(name.to_owned(), "?".to_owned())])]);
    match wrong.extract::<Settings>().err().map(|error| error.kind) {
        Some(Kind::UnknownVariant(_, known)) => known.iter().map(|&name| name.to_owned()).collect(),
        _ => Vec::new(),
    }
}

/// A doc comment as text: on one line, without links.
fn plain(doc: &str) -> String {
    doc.trim().replace(['[', ']'], "")
}
