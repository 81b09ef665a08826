//! Settings that come as text: the environment and `--set`.

use std::ffi::OsString;

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

use super::fields::Settings;
use crate::cli::wording::nearest;

/// The variable that names the file, as `--config` does. It is none of the settings.
pub(super) const ENV_FILE: &str = "KAD_NODE_CONFIG";
/// What the names of environment variables begin with; the name of the setting follows, in upper case.
const ENV_PREFIX: &str = "KAD_NODE_";

/// Settings as text.
pub(super) struct Layer {
    name: &'static str,
    settings: Dict,
}

impl Layer {
    /// Those of `variables` that are settings, and a warning for each whose name only begins as theirs: in a Kubernetes
    /// namespace with a service `kad-node` every container has a dozen of these.
    pub(super) fn of_environment(variables: &[(OsString, OsString)]) -> (Self, Vec<String>) {
        let (mut settings, mut warnings) = (Dict::new(), Vec::new());
        for (name, value) in variables {
            let name = name.to_string_lossy();
            let Some(field) = name.strip_prefix(ENV_PREFIX).map(str::to_ascii_lowercase) else { continue };
            if name == ENV_FILE {
                continue;
            }
            let why = match value.to_str() {
                _ if !Settings::NAMES.contains(&field.as_str()) => {
                    let meant = nearest(&field, Settings::NAMES);
                    let hint = meant.map(|name| format!(" (do you mean {ENV_PREFIX}{}?)", name.to_ascii_uppercase()));
                    format!("there is no such setting{}", hint.unwrap_or_default())
                }
                None => "it is no UTF-8 text".to_owned(),
                Some(text) => {
                    settings.insert(field.clone(), value_of(&field, text));
                    continue;
                }
            };
            warnings.push(format!("{name} in the environment is not used: {why}"));
        }
        (Self { name: "the environment (KAD_NODE_…)", settings }, warnings)
    }

    /// Those of `--set NAME=VALUE`.
    pub(super) fn of_options(options: &[(String, String)]) -> Self {
        let settings = options.iter().map(|(name, text)| (name.clone(), value_of(name, text))).collect();
        Self { name: "--set", settings }
    }
}

/// `text` as a value of the setting `field`: a number or a flag where the setting is one, text otherwise.
fn value_of(field: &str, text: &str) -> Value {
    let text = text.trim();
    let at = Settings::NAMES.iter().position(|name| *name == field);
    match at.map(|at| Settings::KINDS[at]) {
        Some("bool") => match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Value::from(true),
            "0" | "false" | "no" | "off" => Value::from(false),
            _ => Value::from(text),
        },
        Some("usize" | "u32") => text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from),
        _ => Value::from(text),
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.settings.clone()))
    }
}
