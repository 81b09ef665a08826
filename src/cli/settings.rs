//! What a node is run with: options of the command line override the environment, that a file, and that the defaults. The
//! settings are those of [`Config`], which checks their ranges, and the options of `kad node`.

pub(super) mod effective;
mod sources;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use figment::error::Kind;
use figment::{Figment, Metadata};
use serde::Deserialize;

use self::sources::{ENV_FILE, Layer};
use super::args::{DEFAULT_ADDR, LogFormat, NodeArgs};
use super::contact::{Contact, ContactList, ListenAddr};
use super::failure::{Exit, Failure};
use super::http::settings::{Hosts, HttpListen, HttpSettings, Origins};
use crate::persist::Durability;
use crate::protocol::codec::Codec;
use crate::protocol::config::{Config, ConfigBuilder};
use crate::protocol::id::NodeId;

/// All that a node is run with.
#[derive(Debug)]
pub(super) struct NodeSettings {
    pub(super) listen: ListenAddr,
    pub(super) wire: Codec,
    pub(super) bootstrap: Vec<Contact>,
    pub(super) node_id: Option<NodeId>,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) ephemeral: bool,
    pub(super) durability: Durability,
    pub(super) http: HttpSettings,
    pub(super) log_format: LogFormat,
    pub(super) json: bool,
    pub(super) config: Config,
    /// What the environment has and is not used. It is to be logged once there is a log.
    pub(super) warnings: Vec<String>,
}

/// What was set in the file, in the environment and by `--set`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    listen: Option<ListenAddr>,
    wire: Option<Codec>,
    bootstrap: Option<ContactList>,
    node_id: Option<NodeId>,
    data_dir: Option<PathBuf>,
    ephemeral: Option<bool>,
    durability: Option<Durability>,
    http: Option<HttpListen>,
    http_token_file: Option<PathBuf>,
    http_hosts: Option<Hosts>,
    http_origins: Option<Origins>,
    log_format: Option<LogFormat>,
    config: ConfigBuilder,
}

impl Settings {
    /// Refuses a folder of a node that stores nothing.
    fn check_folder(&self) -> Result<(), Failure> {
        if self.ephemeral == Some(true) && self.data_dir.is_some() {
            let text =
                "the settings ephemeral and data_dir exclude each other: a node that stores nothing needs no folder";
            return Err(Failure::new(Exit::CONFIGURATION, text));
        }
        Ok(())
    }
}

/// What a node is run with, by `args`, the environment and the file that either names.
pub(super) fn load(args: NodeArgs) -> Result<NodeSettings, Failure> {
    load_from(args, std::env::vars_os())
}

fn load_from(args: NodeArgs, variables: impl Iterator<Item = (OsString, OsString)>) -> Result<NodeSettings, Failure> {
    let (layers, warnings) = layers(args.config.clone(), &args.set, variables)?;
    let (set, config) = read(&merged(layers))?;
    let stores = args.data_dir.is_some();
    if !stores && !args.ephemeral {
        set.check_folder()?;
    }
    let bootstrap = if args.bootstrap.is_empty() { set.bootstrap.map(|list| list.0) } else { Some(args.bootstrap) };
    Ok(NodeSettings {
        listen: args.listen.or(set.listen).unwrap_or_else(|| DEFAULT_ADDR.parse().expect("it is an address")),
        wire: args.wire.or(set.wire).unwrap_or_default(),
        bootstrap: bootstrap.unwrap_or_default(),
        node_id: args.node_id.or(set.node_id),
        data_dir: args.data_dir.or(set.data_dir),
        ephemeral: args.ephemeral || (!stores && set.ephemeral.unwrap_or(false)),
        durability: args.durability.or(set.durability).unwrap_or_default(),
        http: HttpSettings::new(args.http, set.http, set.http_token_file, set.http_hosts, set.http_origins)?,
        log_format: args.log_format.or(set.log_format).unwrap_or_default(),
        json: args.json,
        config,
        warnings,
    })
}

/// The file that is named by `config` or in `variables`, these themselves, and the options `set`; and what of the environment
/// is not used.
fn layers(
    config: Option<PathBuf>,
    set: &[(String, String)],
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<(Vec<Layer>, Vec<String>), Failure> {
    let mut variables: Vec<(OsString, OsString)> = variables.collect();
    variables.sort();
    let named = variables.iter().find(|(name, _)| name == ENV_FILE).map(|(_, path)| PathBuf::from(path));
    let (environment, warnings) = Layer::of_environment(&variables)?;
    let mut layers = vec![environment, Layer::of_options(set)];
    if let Some(path) = config.or(named) {
        layers.insert(0, Layer::of_file(&path, &contents(&path)?)?);
    }
    Ok((layers, warnings))
}

fn contents(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(Failure::of(Exit::NO_INPUT, format_args!("cannot read {}", file.display())))
}

/// The settings of these layers, of which the last one overrides the others.
fn merged(layers: Vec<Layer>) -> Figment {
    layers.into_iter().fold(Figment::new(), Figment::merge)
}

/// The settings in `figment`, and the configuration that they make.
fn read(figment: &Figment) -> Result<(Settings, Config), Failure> {
    let settings: Settings = figment.extract().map_err(|error| not_permitted(&error))?;
    let config = settings.config.clone().build().map_err(|error| {
        let place = place(figment.find_metadata(&format!("config.{}", error.name)));
        Failure::new(Exit::CONFIGURATION, format!("in {place}: {error}"))
    })?;
    Ok((settings, config))
}

/// Where a setting stands.
fn place(found: Option<&Metadata>) -> &str {
    found.map_or("the settings", |metadata| &metadata.name)
}

/// The first error, and where it stands.
fn not_permitted(error: &figment::Error) -> Failure {
    let place = place(error.metadata.as_ref());
    let name = error.path.last().map_or("", String::as_str);
    let why = match &error.kind {
        Kind::UnknownField(field, _) => unknown(field),
        Kind::UnknownVariant(variant, known) => format!("{name} is {}, not {variant:?}", known.join(" or ")),
        Kind::InvalidType(found, wanted) => {
            format!("{name} is {}, not a {found}", wanted.replace("usize", "a whole number"))
        }
        other if name.is_empty() => other.to_string(),
        other => format!("{name}: {other}"),
    };
    Failure::new(Exit::CONFIGURATION, format!("in {place}: {why}"))
}

/// How the setting that is meant by `option`, as `--max-values`, is written on the command line, if there is one.
pub(super) fn option_for(option: &str) -> Option<String> {
    let field = option.trim_start_matches('-').replace('-', "_");
    sources::is_known(&field).then(|| format!("--set {field}=VALUE"))
}

/// There is no setting of this name: says so, and which may have been meant.
fn unknown(field: &str) -> String {
    let hint = sources::similar(field).map(|name| format!(" (do you mean {name}?)")).unwrap_or_default();
    format!("there is no setting {field}{hint}; docs/operations.md lists all")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, Command};
    use crate::protocol::config::{AppliesTo, PublisherConflict};
    use clap::Parser;
    use std::time::Duration;

    fn args(options: &[&str]) -> NodeArgs {
        match Cli::try_parse_from(["kad", "node"].iter().chain(options)).unwrap().command {
            Command::Node(args) => args,
            other => panic!("{other:?}"),
        }
    }

    /// With these options and variables.
    fn loaded(options: &[&str], variables: &[(&str, &str)]) -> Result<NodeSettings, String> {
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        load_from(args(options), variables).map_err(|failure| {
            assert_eq!(failure.exit.code(), 64);
            failure.to_string()
        })
    }

    fn read(text: &str) -> Result<Config, String> {
        let layer = Layer::of_file(Path::new("kad.toml"), text);
        layer.and_then(|layer| super::read(&merged(vec![layer]))).map(|(_, config)| config).map_err(|failure| {
            assert_eq!(failure.exit.code(), 64);
            failure.to_string()
        })
    }

    /// The names of all settings of [`Config`].
    fn names() -> Vec<String> {
        let written = serde_json::to_value(Config::DEFAULT).unwrap();
        written.as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn the_settings_beside_those_of_the_configuration_are_the_options() {
        let error = Figment::from(("other", 1)).extract::<Settings>().map(drop).unwrap_err();
        let Kind::UnknownField(_, known) = error.kind else { panic!("{error}") };
        assert_eq!(known.split_last(), Some((&"config", &sources::OPTIONS[..])));
    }

    #[test]
    fn what_is_not_set_has_its_default() {
        assert_eq!(read("").unwrap(), Config::default());
        let config =
            read("k = 8\nquery_timeout = '500ms'\nrate_limit = 'always'\npublisher_conflict = 'hold'").unwrap();
        assert_eq!((config.lookup.k, config.lookup.query_timeout), (8, Duration::from_millis(500)));
        assert_eq!(
            (config.limits.rate_limit, config.values.publisher_conflict),
            (AppliesTo::Always, PublisherConflict::Hold)
        );
        assert_eq!(config.lookup.alpha, Config::default().lookup.alpha);
    }

    #[test]
    fn each_field_of_the_configuration_can_be_set() {
        assert!(names().len() > 40);
        for field in names() {
            let error = read(&format!("{field} = [0]")).unwrap_err();
            assert!(error.starts_with(&format!("in kad.toml: {field} is ")), "{field} cannot be set: {error}");
        }
    }

    #[test]
    fn the_documentation_lists_all_settings_with_their_defaults() {
        let text = include_str!("../../docs/operations.md");
        let block = text.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        assert_eq!(read(block).unwrap(), Config::default());
        for field in names() {
            assert!(block.contains(&format!("\n{field} = ")), "{field} is not in docs/operations.md");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place_and_its_name() {
        let error = read("k = 0").unwrap_err();
        assert_eq!(error, "in kad.toml: k is 0, but must be within 1..=255");
        let error = read("query_timeout = '2 weeks'").unwrap_err();
        assert_eq!(error, "in kad.toml: query_timeout: \"2 weeks\" is no duration: write 250ms, 90s, 15m, 4h or 2d");
        for wrong in [
            "k = -1",
            "k = 'many'",
            "read_on = 1",
            "rate_limit = 'never'",
            "verification_time = 3",
            "k = ",
            "[k]\na = 1",
        ] {
            let error = read(wrong).unwrap_err();
            assert!(error.starts_with("in kad.toml: "), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_said_so() {
        let failure = load(args(&["--config", "nowhere/kad.toml"])).unwrap_err();
        assert_eq!(failure.exit.code(), 66);
        assert!(failure.to_string().starts_with("cannot read nowhere/kad.toml: "), "{failure}");
    }

    #[test]
    fn options_go_before_the_environment_that_before_the_file_and_that_before_the_defaults() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text =
            "listen = '127.0.0.1:1'\nwire = 'bencode'\nbootstrap = ['a:1', 'b:2']\nk = 7\nalpha = 2\nmax_values = 5";
        std::fs::write(file.path(), text).unwrap();
        let path = file.path().to_str().unwrap();
        let defaults = loaded(&[], &[]).unwrap();
        assert_eq!((defaults.listen.to_string(), defaults.wire), (DEFAULT_ADDR.to_owned(), Codec::default()));
        let of_file = loaded(&["--config", path], &[]).unwrap();
        assert_eq!((of_file.listen.to_string().as_str(), of_file.wire), ("127.0.0.1:1", Codec::Bencode));
        assert_eq!(of_file.bootstrap.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a:1", "b:2"]);
        let variables = [
            ("KAD_NODE_CONFIG", path),
            ("KAD_NODE_LISTEN", "127.0.0.1:2"),
            ("KAD_NODE_BOOTSTRAP", "c:3, d:4"),
            ("KAD_NODE_K", "9"),
        ];
        let of_environment = loaded(&[], &variables).unwrap();
        assert_eq!(of_environment.listen.to_string(), "127.0.0.1:2");
        assert_eq!(of_environment.bootstrap.iter().map(ToString::to_string).collect::<Vec<_>>(), ["c:3", "d:4"]);
        assert_eq!((of_environment.config.lookup.k, of_environment.config.lookup.alpha), (9, 2));
        let options = [
            "--listen",
            "127.0.0.1:3",
            "--wire",
            "msgpack",
            "--bootstrap",
            "e:5",
            "--set",
            "k=11",
            "--set",
            "max_values=6",
        ];
        let of_options = loaded(&options, &variables).unwrap();
        assert_eq!((of_options.listen.to_string().as_str(), of_options.wire), ("127.0.0.1:3", Codec::MessagePack));
        assert_eq!(of_options.bootstrap.iter().map(ToString::to_string).collect::<Vec<_>>(), ["e:5"]);
        assert_eq!(
            (of_options.config.lookup.k, of_options.config.lookup.alpha, of_options.config.store.max_values),
            (11, 2, 6)
        );
    }

    #[test]
    fn each_option_that_has_a_value_is_a_setting_too() {
        let id = "0123456789abcdef0123456789abcdef01234567";
        let variables = [
            ("KAD_NODE_DATA_DIR", "/data"),
            ("KAD_NODE_DURABILITY", "relaxed"),
            ("KAD_NODE_NODE_ID", id),
            ("KAD_NODE_LOG_FORMAT", "json"),
        ];
        let set = loaded(&[], &variables).unwrap();
        assert_eq!(
            (set.data_dir, set.durability, set.log_format),
            (Some("/data".into()), Durability::Relaxed, LogFormat::Json)
        );
        assert_eq!(set.node_id.unwrap().to_string(), id);
        assert!(loaded(&[], &[("KAD_NODE_EPHEMERAL", "Yes")]).unwrap().ephemeral);
        assert!(
            !loaded(&["--data-dir", "/d"], &[("KAD_NODE_EPHEMERAL", "1")]).unwrap().ephemeral,
            "the option goes before it"
        );
        let both = loaded(&[], &[("KAD_NODE_EPHEMERAL", "1"), ("KAD_NODE_DATA_DIR", "/d")]).unwrap_err();
        assert!(both.contains("ephemeral and data_dir exclude each other"), "{both}");
    }

    #[test]
    fn in_the_environment_a_flag_is_written_in_any_of_the_usual_ways() {
        for (text, flag) in [
            ("1", true),
            ("TRUE", true),
            ("yes", true),
            ("On", true),
            ("0", false),
            ("False", false),
            ("NO", false),
            ("off", false),
        ] {
            assert_eq!(loaded(&[], &[("KAD_NODE_READ_ON", text)]).unwrap().config.lookup.read_on, flag, "{text}");
        }
        let error = loaded(&[], &[("KAD_NODE_READ_ON", "maybe")]).unwrap_err();
        assert!(
            error.starts_with("in the environment (KAD_NODE_…): read_on is ") && error.contains("maybe"),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_setting_in_the_environment_is_a_warning_and_elsewhere_an_error_that_suggests_one() {
        let links = [
            ("KAD_NODE_PORT", "udp://10.96.0.10:8000"),
            ("KAD_NODE_SERVICE_HOST", "10.96.0.10"),
            ("KAD_NODE_MAX_VALUE", "5"),
        ];
        let set = loaded(&[], &links).unwrap();
        assert_eq!(set.config, Config::default());
        assert_eq!(set.warnings.len(), 3);
        assert!(set.warnings[0].starts_with("KAD_NODE_MAX_VALUE in the environment is not used: there is no such setting (do you mean KAD_NODE_MAX_VALUES?)"), "{:?}", set.warnings);
        let error = loaded(&["--set", "max_value=5"], &[]).unwrap_err();
        assert_eq!(
            error,
            "in --set: there is no setting max_value (do you mean max_values?); docs/operations.md lists all"
        );
        assert_eq!(read("max_value = 5").unwrap_err(), error.replace("--set", "kad.toml"));
    }

    #[test]
    fn a_value_out_of_its_range_names_the_place_that_it_comes_from() {
        assert_eq!(loaded(&["--set", "k=0"], &[]).unwrap_err(), "in --set: k is 0, but must be within 1..=255");
        let error = loaded(&[], &[("KAD_NODE_K", "0")]).unwrap_err();
        assert_eq!(error, "in the environment (KAD_NODE_…): k is 0, but must be within 1..=255");
        let error = loaded(&[], &[("KAD_NODE_LISTEN", "224.0.0.1:8000")]).unwrap_err();
        assert!(error.contains("listen: 224.0.0.1 is not the address of one host"), "{error}");
        let error = loaded(&[], &[("KAD_NODE_BOOTSTRAP", "a:1 b")]).unwrap_err();
        assert!(error.contains("bootstrap: \"b\": an address is host:port"), "{error}");
    }
}
