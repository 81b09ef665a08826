//! `kad config`: checks a file of settings, and prints those that a node would have, as such a file.

use std::fmt::Write;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value as Json;

use super::args::config::{ConfigArgs, ConfigCommand};
use super::failure::{Exit, Failure};
use super::settings::effective::{self, Mistake, Setting};
use super::{blocking::off_thread, output, stderr};
use crate::protocol::config::{shortest, span};

/// How long a line of a comment is, at most, without its `# `.
const WIDTH: usize = 98;

pub(super) async fn run(args: ConfigArgs) -> Result<(), Failure> {
    match args.command {
        ConfigCommand::Check { file, json } => check(file, json).await,
        ConfigCommand::Print { config, set, json } => {
            let load = move || effective::settings(config, &set, std::env::vars_os());
            let (settings, warnings) = off_thread(load).await??;
            warnings.iter().for_each(stderr::note);
            let text = match json {
                true => settings.iter().map(|setting| output::json(setting) + "\n").collect(),
                false => file_of(&settings),
            };
            output::print(text).await
        }
    }
}

/// What came of a check, as JSON. Fields may be added.
#[derive(Serialize)]
struct Checked<'a> {
    file: &'a str,
    settings: usize,
    mistakes: &'a [Mistake],
}

async fn check(file: PathBuf, json: bool) -> Result<(), Failure> {
    let name = file.display().to_string();
    let (settings, mistakes) = off_thread(move || effective::check(&file)).await??;
    if json {
        output::print(output::json(&Checked { file: &name, settings, mistakes: &mistakes }) + "\n").await?;
    } else if mistakes.is_empty() {
        let count = if settings == 1 { "1 setting".to_owned() } else { format!("{settings} settings") };
        output::print(format!("{name}: {count}, each is permitted\n")).await?;
    }
    let line = |mistake: &Mistake| match mistake.line {
        Some(line) => format!("line {line}, {}", mistake.text),
        None => mistake.text.clone(),
    };
    match &mistakes[..] {
        [] => Ok(()),
        all => Err(Failure::new(Exit::CONFIGURATION, all.iter().map(line).collect::<Vec<_>>().join("\n     "))),
    }
}

/// `settings` as a TOML file, with comments.
fn file_of(settings: &[Setting]) -> String {
    let mut text = String::from("# The settings that `kad node` has, as a file for its --config.\n");
    let mut group = "";
    for setting in settings {
        if setting.group != group {
            group = setting.group;
            let _ = write!(text, "\n# ---- {} ----\n", group.trim().trim_end_matches('.'));
        }
        let Setting { name, value, source, .. } = setting;
        let assignment = match value {
            Json::Null => format!("# {name} is not set"),
            value => format!("{name} = {}", toml(value)),
        };
        let source = if source == "default" { "the default".to_owned() } else { format!("from {source}") };
        let about = comment(&setting.doc) + &comment(&permitted(setting));
        let _ = write!(text, "\n{about}{assignment:<35} # {source}\n");
    }
    text
}

/// What may stand there, and what does if nothing is set.
fn permitted(setting: &Setting) -> String {
    let Setting { default, unit, low, high, one_of, .. } = setting;
    let mut all = Vec::new();
    if let (Some(low), Some(high)) = (low, high) {
        all.push(format!(
            "Permitted: {} to {}{}.",
            toml(low),
            toml(high),
            unit.map_or(String::new(), |unit| format!(" {unit}"))
        ));
    } else if !one_of.is_empty() {
        all.push(format!("Permitted: {}.", one_of.join(", ")));
    } else if let Some(unit) = unit {
        all.push(format!("In {unit}."));
    }
    if !default.is_null() {
        all.push(format!("Default: {}.", toml(default)));
    }
    all.join(" ")
}

/// `value` as TOML spells it; a duration in its largest unit.
fn toml(value: &Json) -> String {
    match value {
        Json::String(text) => match span(text) {
            Some(duration) => format!("\"{}\"", shortest(duration)),
            // A JSON string is one of TOML too.
            None => output::json(text),
        },
        Json::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// `text` as lines of a comment.
fn comment(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => *line += &format!(" {word}"),
            _ => lines.push(word.to_owned()),
        }
    }
    lines.iter().map(|line| format!("# {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::config::Config;
    use std::path::Path;

    fn settings(file: &str, set: &[(&str, &str)], variables: &[(&str, &str)]) -> Vec<Setting> {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), file).unwrap();
        let set: Vec<_> = set.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let variables = variables.iter().map(|&(name, value)| (name.into(), value.into()));
        effective::settings(Some(path.path().to_owned()), &set, variables).unwrap().0
    }

    fn find<'a>(settings: &'a [Setting], name: &str) -> &'a Setting {
        settings.iter().find(|setting| setting.name == name).unwrap()
    }

    #[test]
    fn each_setting_says_its_value_and_where_it_comes_from() {
        let file = "k = 7\nalpha = 2\nbootstrap = ['a:1']\nquery_timeout = '1500ms'";
        let settings =
            settings(file, &[("max_values", "6")], &[("KAD_NODE_ALPHA", "4"), ("KAD_NODE_BOOTSTRAP", "b:2 c:3")]);
        let of = |name| (find(&settings, name).value.clone(), find(&settings, name).source.as_str());
        assert!(of("k").1.starts_with('/') && of("k").0 == 7, "{:?}", of("k"));
        assert_eq!(of("alpha"), (4.into(), "KAD_NODE_ALPHA"));
        assert_eq!(of("bootstrap"), (serde_json::json!(["b:2", "c:3"]), "KAD_NODE_BOOTSTRAP"));
        assert_eq!(of("max_values"), (6.into(), "--set"));
        assert_eq!(of("k").0, 7);
        assert_eq!(of("listen"), ("127.0.0.1:8000".into(), "default"));
        assert_eq!(of("max_lookups").1, "default");
        assert_eq!(of("node_id").0, Json::Null);
    }

    #[test]
    fn what_is_printed_is_a_file_that_gives_the_same_settings() {
        let file = "k = 7\nkey_expiry = '100s'\nrate_limit = 'always'\nwire = 'bencode'\nquery_timeout = '250ms'";
        let first = file_of(&settings(file, &[], &[]));
        let again = settings(&first, &[], &[]);
        assert_eq!(find(&again, "min_cache_ttl").value, "100s");
        let of = |settings: &[Setting]| settings.iter().map(|s| (s.name, s.value.clone())).collect::<Vec<_>>();
        assert_eq!(of(&again), of(&settings(file, &[], &[])));
        for (name, _) in of(&again) {
            assert!(
                first.contains(&format!("\n{name} = ")) || first.contains(&format!("\n# {name} is not set")),
                "{name}"
            );
        }
        let count = serde_json::to_value(Config::DEFAULT).unwrap().as_object().unwrap().len();
        assert_eq!(again.len(), count + 12);
    }

    #[test]
    fn the_comments_have_meaning_unit_range_and_default() {
        let text = file_of(&settings("query_timeout = '3s'", &[], &[]));
        let query_timeout = "# How long a query waits for its answer.\n# Permitted: \"10ms\" to \"1m\". Default: \"2s\".\nquery_timeout = \"3s\"";
        assert!(text.contains(query_timeout), "{text}");
        assert!(text.contains("Permitted: 1 to 64 queries. Default: 3.\nalpha = 3 "), "{text}");
        assert!(text.contains("Permitted: global, always, off. Default: \"global\".\nrate_limit = "), "{text}");
        assert!(text.contains("In bytes. Default: 67108864.\nmax_store_bytes"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 100 || !line.starts_with('#')), "{text}");
    }

    #[test]
    fn all_mistakes_of_a_file_are_found_with_their_lines() {
        let check = |text: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            let name = file.path().display().to_string();
            let (count, mistakes) = effective::check(file.path()).unwrap();
            let text = mistakes.into_iter().map(|mistake| (mistake.line, mistake.text.replace(&name, "FILE")));
            (count, text.collect::<Vec<_>>())
        };
        let (count, mistakes) = check("# settings\nmax_valeus = 1\nk = 0\n\nalpha = 2\nquery_timeout = 3\n");
        assert_eq!(count, 4);
        assert_eq!(
            mistakes[0],
            (
                Some(2),
                "in FILE: there is no setting max_valeus (do you mean max_values?); docs/operations.md lists all"
                    .to_owned()
            )
        );
        assert_eq!(mistakes[1], (Some(3), "in FILE: k is 0, but must be within 1..=255".to_owned()));
        assert!(mistakes[2].0 == Some(6) && mistakes[2].1.contains("query_timeout"), "{mistakes:?}");
        assert_eq!(mistakes.len(), 3);
        assert_eq!(check("key_expiry = '3d'\nmin_cache_ttl = '2d'"), (2, Vec::new()));
        assert_eq!(check("min_cache_ttl = '2d'").1[0].0, Some(1));
        let (_, both) = check("key_expiry = '0s'\nmin_cache_ttl = '2d'");
        assert!(both.len() == 1 && both[0].1.contains("key_expiry"), "{both:?}");
        let (_, both) = check("ephemeral = true\ndata_dir = '/d'");
        assert!(both.len() == 1 && both[0].1.contains("exclude each other"), "{both:?}");
        let open = "k = 8\nhttp = '0.0.0.0:0'";
        let (_, one) = check(open);
        assert!(one.len() == 1 && one[0].0 == Some(2) && one[0].1.contains("http_token_file"), "{one:?}");
        assert_eq!(check(&format!("{open}\nhttp_token_file = '/etc/kad/token'")), (3, Vec::new()));
        for closed in ["[::1]:0", "127.0.0.1:0", "localhost:0", "off"] {
            assert_eq!(check(&format!("http = '{closed}'")), (1, Vec::new()), "{closed}");
        }
        let (count, syntax) = check("k = \n");
        assert!(count == 0 && syntax.len() == 1 && syntax[0].1.starts_with("in FILE: "), "{syntax:?}");
        assert!(effective::check(Path::new("/nowhere/kad.toml")).is_err());
    }
}
