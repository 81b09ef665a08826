//! Gives the binary the commit that it is built from: from git in a checkout, from cargo's note in a package; none elsewhere.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// What `cargo package` notes of the commit.
const NOTE: &str = ".cargo_vcs_info.json";
/// Digits of a commit that are shown.
const SHOWN: usize = 9;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let version = match of_package().or_else(of_git) {
        Some(commit) => format!("{version} ({commit})"),
        None => version,
    };
    println!("cargo::rustc-env=KAD_VERSION={version}");
}

fn of_package() -> Option<String> {
    let note = fs::read_to_string(NOTE).ok()?;
    let sha1 = note.split("\"sha1\": \"").nth(1)?;
    Some(sha1.chars().take_while(char::is_ascii_hexdigit).take(SHOWN).collect())
}

fn of_git() -> Option<String> {
    // Not the commit of some other repository that this folder lies in.
    if !Path::new(".git").exists() {
        return None;
    }
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    if Path::new(&log).exists() {
        println!("cargo::rerun-if-changed={log}");
    }
    git(&["rev-parse", &format!("--short={SHOWN}"), "HEAD"])
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
