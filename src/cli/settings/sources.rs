//! Where settings come from: a file, the environment and `--set`.

use std::ffi::OsString;
use std::path::Path;
use std::sync::LazyLock;

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

use crate::cli::failure::{Exit, Failure};
use crate::cli::wording::nearest;
use crate::protocol::config::Config;

/// The variable that names the file, as `--config` does. It is none of the settings.
pub(super) const ENV_FILE: &str = "KAD_NODE_CONFIG";
/// What the names of environment variables begin with; the name of the setting follows, in upper case.
pub(super) const ENV_PREFIX: &str = "KAD_NODE_";
/// How the environment is named as a source.
pub(super) const ENVIRONMENT: &str = "the environment (KAD_NODE_…)";
/// The settings that are options of `kad node`.
pub(super) const OPTIONS: [&str; 12] = [
    "listen",
    "wire",
    "bootstrap",
    "node_id",
    "data_dir",
    "ephemeral",
    "durability",
    "http",
    "http_token_file",
    "http_hosts",
    "http_origins",
    "log_format",
];

/// All settings, each with a value of its type.
static KNOWN: LazyLock<Dict> = LazyLock::new(|| {
    let config = Value::serialize(Config::DEFAULT).ok().and_then(Value::into_dict);
    let mut known = config.expect("serde writes the settings by their names");
    known.extend(OPTIONS.map(|name| (name.to_owned(), Value::from(String::new()))));
    known.insert("ephemeral".to_owned(), Value::from(false));
    known
});

/// Whether there is a setting of this name.
pub(super) fn is_known(name: &str) -> bool {
    KNOWN.contains_key(name)
}

/// The setting whose name is most like `typed`, if one is much like it.
pub(super) fn similar(typed: &str) -> Option<&'static str> {
    nearest(typed, &KNOWN.keys().map(String::as_str).collect::<Vec<_>>())
}

/// The settings of one source. Figment gets those of [`Config`] under the key `config`, which no user sees.
pub(super) struct Layer {
    name: String,
    settings: Dict,
}

impl Layer {
    /// Those of the file at `path`.
    pub(super) fn of_file(path: &Path, text: &str) -> Result<Self, Failure> {
        let name = path.display().to_string();
        match Toml::from_str(text) {
            Ok(settings) => Ok(Self { name, settings }),
            Err(error) => Err(Failure::new(Exit::CONFIGURATION, format!("in {name}: {error}"))),
        }
    }

    /// The names of its settings, in their order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.settings.keys().map(String::as_str)
    }

    /// It with the settings `names` alone.
    pub(super) fn only(&self, names: &[&str]) -> Self {
        let settings = self.settings.iter().filter(|(name, _)| names.contains(&name.as_str()));
        Self {
            name: self.name.clone(),
            settings: settings.map(|(name, value)| (name.clone(), value.clone())).collect(),
        }
    }

    /// Those of `variables` that are settings, and a warning for each whose name only begins as theirs: in a Kubernetes
    /// namespace with a service `kad-node` every container has a dozen of these.
    ///
    /// # Errors
    /// [`Exit::CONFIGURATION`] where a setting is no UTF-8 text: without it a node could start in another folder.
    pub(super) fn of_environment(variables: &[(OsString, OsString)]) -> Result<(Self, Vec<String>), Failure> {
        let (mut settings, mut warnings) = (Dict::new(), Vec::new());
        for (name, value) in variables {
            let name = name.to_string_lossy();
            let Some(field) = name.strip_prefix(ENV_PREFIX).map(str::to_ascii_lowercase) else { continue };
            if name == ENV_FILE {
                continue;
            }
            if !is_known(&field) {
                let hint =
                    similar(&field).map(|name| format!(" (do you mean {ENV_PREFIX}{}?)", name.to_ascii_uppercase()));
                let hint = hint.unwrap_or_default();
                warnings.push(format!("{name} in the environment is not used: there is no such setting{hint}"));
                continue;
            }
            let text = value.to_str().ok_or_else(|| {
                Failure::new(Exit::CONFIGURATION, format!("in {ENVIRONMENT}: {name} is no UTF-8 text"))
            })?;
            settings.insert(field.clone(), value_of(&field, text));
        }
        Ok((Self { name: ENVIRONMENT.to_owned(), settings }, warnings))
    }

    /// Those of `--set NAME=VALUE`.
    pub(super) fn of_options(options: &[(String, String)]) -> Self {
        let settings = options.iter().map(|(name, text)| (name.clone(), value_of(name, text))).collect();
        Self { name: "--set".to_owned(), settings }
    }
}

/// `text` as a value of the setting `name`: a number or a flag where the setting is one, text otherwise.
fn value_of(name: &str, text: &str) -> Value {
    let text = text.trim();
    match KNOWN.get(name) {
        Some(Value::Bool(..)) => match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Value::from(true),
            "0" | "false" | "no" | "off" => Value::from(false),
            _ => Value::from(text),
        },
        Some(Value::Num(..)) => text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from),
        _ => Value::from(text),
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let is_option = |(name, _): &(String, Value)| OPTIONS.contains(&name.as_str());
        let (mut data, config): (Dict, Dict) = self.settings.clone().into_iter().partition(is_option);
        data.insert("config".to_owned(), config.into());
        Ok(Profile::Default.collect(data))
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn a_setting_of_the_environment_that_is_no_text_is_an_error_and_another_variable_is_not() {
        let of = |name: &str| Layer::of_environment(&[(name.into(), OsString::from_vec(b"/data/\xff".to_vec()))]);
        let failure = of("KAD_NODE_DATA_DIR").err().unwrap();
        assert_eq!(failure.exit.code(), 64);
        assert_eq!(failure.to_string(), "in the environment (KAD_NODE_…): KAD_NODE_DATA_DIR is no UTF-8 text");
        assert_eq!(of("KAD_NODE_SERVICE_HOST").unwrap().1.len(), 1);
        assert!(of(ENV_FILE).is_ok(), "a path as it is");
    }
}
