//! The Python that legacy nodes run on: found on this machine, with one version of the package in a virtual
//! environment of its own under `target/interop/`. It runs nothing: that is `legacy.rs`.

use std::ffi::OsStr;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::OnceCell;
use tokio::time::timeout;

/// Set to anything but `0` or nothing, it leaves out the tests that need Python.
const SKIP: &str = "KAD_SKIP_INTEROP";
/// How long making one environment may take, the wait for another process that makes it included.
const MAKING: Duration = Duration::from_secs(300);
/// What the system may call its Python.
const NAMES: [&str; 2] = ["python3", "python"];

/// A version of the package `kademlia-dynamic`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// The first one: answers `get`, has no settings.
    V1_0_0,
    /// The one that most nodes run.
    V1_1_1,
}

impl Version {
    fn number(self) -> &'static str {
        match self {
            Version::V1_0_0 => "1.0.0",
            Version::V1_1_1 => "1.1.1",
        }
    }

    fn made(self) -> &'static OnceCell<Result<PathBuf, String>> {
        static MADE: [OnceCell<Result<PathBuf, String>>; 2] = [OnceCell::const_new(), OnceCell::const_new()];
        &MADE[self as usize]
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.number())
    }
}

/// Whether the tests that need Python are to be left out. Says so, past the capture of passing tests' output.
pub(crate) fn left_out() -> bool {
    let left_out = std::env::var_os(SKIP).is_some_and(|value| !value.is_empty() && value != "0");
    if left_out {
        let thread = std::thread::current();
        say(&format!("{SKIP} is set: {} is left out", thread.name().unwrap_or("a test")));
    }
    left_out
}

/// Prints a line even where the test passes: the capture only knows `println!` and its kin.
pub(crate) fn say(line: &str) {
    // A closed stderr is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The interpreter that has `version` of the package installed.
///
/// # Errors
/// A sentence that says what to install, or how to leave these tests out.
pub(crate) async fn with_package(version: Version) -> Result<PathBuf, String> {
    let folder = root().join(version.number());
    let made = version.made().get_or_init(|| async { Ok(make(&folder, version).await?.0) });
    made.await.clone()
}

/// The script of this name beside this file. Tests of the laboratory, whose package is a folder further down, use them too.
pub(crate) fn script(name: &str) -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut packages = package.ancestors().take(2).map(|package| package.join("tests/interop").join(name));
    packages.find(|script| script.exists()).expect("a checkout, and the package, have the scripts")
}

/// `target/interop`.
pub(crate) fn root() -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tmp.parent().unwrap_or(tmp).join("interop")
}

/// Makes the environment in `folder` unless it is there; says whether it was made just now.
pub(crate) async fn make(folder: &Path, version: Version) -> Result<(PathBuf, bool), String> {
    let system = find(&NAMES).await?;
    let script = script("venv.py");
    let args = [script.as_os_str(), folder.as_os_str(), OsStr::new(version.number())];
    let output = run(system, &args, MAKING).await.map_err(|why| advice(&format!("{system} venv.py: {why}")))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(advice(&format!("kademlia-dynamic {version} cannot be installed: {}", why.trim())));
    }
    let interpreter = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    Ok((interpreter, output.stdout.starts_with(b"made")))
}

/// The first of `names` that is a Python new enough.
pub(crate) async fn find(names: &[&'static str]) -> Result<&'static str, String> {
    let check = ["-c", "import sys; sys.exit(sys.version_info < (3, 8))"].map(OsStr::new);
    for &name in names {
        if run(name, &check, Duration::from_secs(30)).await.is_ok_and(|output| output.status.success()) {
            return Ok(name);
        }
    }
    Err(advice(&format!("no Python 3.8 or later was found under the name {}", names.join(" or "))))
}

fn advice(problem: &str) -> String {
    format!(
        "{problem}\nThe interop tests run nodes of the Python package: install Python 3.8 or later with its venv module \
         and pip (Debian, Ubuntu: apt-get install python3-venv), reachable package index included, or leave these \
         tests out with {SKIP}=1."
    )
}

async fn run(program: &str, args: &[&OsStr], limit: Duration) -> Result<Output, String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).kill_on_drop(true).output();
    match timeout(limit, output).await {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("not done after {limit:?}")),
    }
}
