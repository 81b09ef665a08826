//! Claims of the README and SECURITY.md that no compiler checks: numbers, metrics, links, tests that are named, and what is to be
//! typed; and that the sections of docs/wire.md exist that the code cites. The README's programs are documentation tests of the
//! library.

use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::process::Command;

use kademlia_dynamic::actors::counters::Counter;
use kademlia_dynamic::protocol::config::{Config, MAX_DATAGRAM};
use kademlia_dynamic::{Codec, Value};

const README: &str = include_str!("../../README.md");
const SECURITY: &str = include_str!("../../SECURITY.md");

/// 60000 as the README writes it: 60,000.
fn grouped(number: usize) -> String {
    if number < 1_000 { number.to_string() } else { format!("{},{:03}", grouped(number / 1_000), number % 1_000) }
}

#[test]
fn the_limits_are_those_of_the_code() {
    for (number, of) in [
        (Config::DEFAULT.store.max_value_len, "bytes"),
        (Config::DEFAULT.store.max_key_len, "bytes"),
        (Config::DEFAULT.limits.max_global_answer, "bytes"),
        (Config::DEFAULT.store.max_values, "values"),
        (Config::DEFAULT.store.max_store_bytes >> 20, "MiB"),
        (Config::DEFAULT.limits.max_dispatches, "at once"),
    ] {
        let said = format!("{} {of}", grouped(number));
        assert!(README.contains(&said), "the README does not say {said:?}");
    }
}

#[test]
fn the_longest_value_in_json_is_the_one_that_the_readme_names() {
    let fits = |value: Value| Codec::Json.legacy_answer_len(&value) <= MAX_DATAGRAM;
    assert!(README.contains("48,939 of bytes"));
    assert!(fits(Value::Bytes(vec![0; 48_939])));
    assert!(!fits(Value::Bytes(vec![0; 48_940])));
    assert!(README.contains("21,700 at worst"));
    for worst in ["é", "😀"] {
        assert!(fits(Value::Text(worst.repeat(21_700 / worst.len()))));
        assert!(!fits(Value::Text(worst.repeat(21_800 / worst.len()))));
    }
}

#[test]
fn every_metric_is_named() {
    for counter in Counter::ALL {
        assert!(README.contains(counter.name()), "the README does not name {}", counter.name());
    }
}

/// The anchors of the headings of a page, as GitHub makes them.
fn anchors(page: &str) -> Vec<String> {
    let anchor = |heading: &str| {
        let kept = heading.trim_start_matches('#').trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    page.lines().filter(|line| line.starts_with('#')).map(anchor).collect()
}

#[test]
fn every_link_leads_to_a_file_that_exists_and_to_a_heading_that_it_has() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "docs/http.md", "docs/metrics.md"];
    for page in pages.into_iter().chain(["docs/migrating.md", "docs/operations.md"]) {
        let text = std::fs::read_to_string(root.join(page)).unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let (file, heading) =
                target.split_once('#').map_or((target, None), |(file, heading)| (file, Some(heading)));
            let file =
                root.join(page).with_file_name(if file.is_empty() { page.rsplit('/').next().unwrap() } else { file });
            assert!(file.exists(), "{page} links to {target}, which is not there");
            if let Some(heading) = heading {
                let headings = anchors(&std::fs::read_to_string(file).unwrap());
                assert!(
                    headings.iter().any(|anchor| anchor == heading),
                    "{page}: no heading makes the anchor of {target}"
                );
            }
        }
    }
}

/// The lines that add the node to an application are typed into a shell, in a new one with the README's program. The
/// dependencies must resolve; with KAD_README_BUILD=1 the program is compiled against them as well, which takes a minute.
#[cfg(unix)]
#[test]
fn an_application_that_begins_as_the_readme_says_resolves_its_dependencies() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let section = README.split("## Embed it").nth(1).unwrap();
    let block = |opening: &str| section.split(opening).nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let typed: Vec<&str> = block("```console\n").lines().map(|line| line.strip_prefix("$ ").unwrap()).collect();
    let typed = typed.join(" && ").replace("../kademlia-dynamic", root.to_str().unwrap());

    let folder = tempfile::tempdir().unwrap();
    let run = |command: &str, dir: &Path| {
        let mut shell = Command::new("sh");
        // What this package was built with is there; nothing else is to be fetched.
        shell.args(["-c", command]).current_dir(dir).env("CARGO_NET_OFFLINE", "true");
        // In the shared target directory, where other steps check most dependencies, too.
        let target = root.join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()));
        let output = shell.env("CARGO_TARGET_DIR", target).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run("cargo new --quiet my-app", folder.path());
    let app = folder.path().join("my-app");
    run(&typed, &app);
    std::fs::copy(root.join("Cargo.lock"), app.join("Cargo.lock")).unwrap();
    std::fs::write(app.join("src/main.rs"), block("```rust,no_run\n")).unwrap();
    run("cargo tree --edges normal", &app);
    if std::env::var_os("KAD_README_BUILD").is_some() {
        run("cargo check --quiet", &app);
    }
}

/// A threat is only met as far as a test shows it.
#[test]
fn every_threat_names_a_test_and_each_of_them_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let threats = SECURITY.split("## Threats").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let is_threat = |row: &&str| row.starts_with("| ") && !row.starts_with("| threat");
    let mut threats = threats.lines().filter(is_threat).peekable();
    assert!(threats.peek().is_some());
    for threat in threats {
        let tests: Vec<(&str, &str)> =
            threat.split("[`").skip(1).filter_map(|link| link.split(')').next()?.split_once("`](")).collect();
        assert!(!tests.is_empty(), "no test shows it: {threat}");
        for (test, file) in tests {
            let source = std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            let is_suite = file.contains(&format!("tests/{test}/"));
            assert!(is_suite || source.contains(&format!("fn {test}(")), "{file} has no test {test}");
        }
    }
}

/// Adds the `.rs` files below `folder` to `found`.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the sources") {
        let path = entry.expect("an entry of it").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_section_of_the_specification_that_the_code_cites_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let headings: Vec<&str> = include_str!("../../docs/wire.md")
        .lines()
        .filter(|line| line.starts_with("##"))
        .filter_map(|line| line.trim_start_matches('#').split_whitespace().next())
        .map(|number| number.trim_end_matches('.'))
        .collect();
    let mut files = Vec::new();
    for folder in ["src", "actors", "tests"] {
        sources(&root.join(folder), &mut files);
    }
    let mut cited = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for rest in text.split("docs/wire.md, ").skip(1) {
            let end = rest.find(|next: char| !next.is_ascii_digit() && next != '.').unwrap_or(rest.len());
            let section = rest[..end].trim_end_matches('.');
            if !section.is_empty() {
                assert!(headings.contains(&section), "{} cites {section}", file.display());
                cited += 1;
            }
        }
    }
    assert!(cited > 0);
}

#[test]
fn every_path_that_the_guides_for_contributors_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !root.join(".ci").exists() {
        return; // The published package leaves out some of the folders.
    }
    for name in ["CONTRIBUTING.md", "ARCHITECTURE.md"] {
        let guide = std::fs::read_to_string(root.join(name)).unwrap();
        let prose: String = guide.split("```").step_by(2).collect();
        let paths: Vec<&str> = prose.split('`').skip(1).step_by(2).filter(|code| code.contains('/')).collect();
        assert!(paths.len() > 20, "{name}");
        for path in paths {
            assert!(root.join(path).exists(), "{name} names {path}, which is not there");
        }
    }
}
