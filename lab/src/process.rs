//! The processes that are measured: how they start, and the CPU time and memory that they have used.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use kademlia_dynamic::Codec;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::failure::{Exit, Failure};

/// How long a process may take until it names its address.
const START: Duration = Duration::from_secs(30);
/// The settings of a node that is measured.
const STRICT: [&str; 6] = [
    "source_verification=always",
    "rate_limit=always",
    "source_rate=1000000",
    "source_burst=1000000",
    "prefix_rate=1000000",
    "prefix_burst=1000000",
];
/// Clock ticks of a second in /proc: 100 on all common platforms of Linux, whatever the kernel's own clock.
const TICKS: u64 = 100;

/// What the system calls this process.
const OWN: &str = "self";

/// A running process. It ends with this handle.
#[derive(Debug)]
pub(crate) struct Process {
    /// The address that it serves at.
    pub(crate) addr: SocketAddr,
    /// How it is reached over HTTP, where it is.
    pub(crate) http: Option<Http>,
    id: u32,
    _child: Child,
}

/// A node over HTTP.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    pub(crate) addr: SocketAddr,
    pub(crate) token: String,
}

#[derive(Deserialize)]
struct FirstLine {
    address: SocketAddr,
    http: Option<String>,
    http_token: Option<String>,
}

impl FirstLine {
    fn http(&self) -> Option<Http> {
        let addr = self.http.as_ref()?.strip_prefix("http://")?.trim_end_matches('/').parse().ok()?;
        Some(Http { addr, token: self.http_token.clone()? })
    }
}

impl Process {
    /// A node that keeps nothing, and logs failures only. Loopback addresses must prove themselves to it and have rates, as those
    /// of strangers anywhere, and the rates are so high that none applies.
    pub(crate) async fn node(binary: &Path, codec: Codec) -> Result<Self, Failure> {
        let settings = STRICT.iter().flat_map(|setting| ["--set", setting]);
        Self::start(node(binary, codec).arg("--no-http").args(settings), apart).await
    }

    /// A node with a gateway on any free port, which takes loopback addresses as they are.
    pub(crate) async fn gateway(binary: &Path) -> Result<Self, Failure> {
        Self::start(node(binary, Codec::default()).args(["--http", "127.0.0.1:0"]), Command::spawn).await
    }

    /// The echo of this program.
    pub(crate) async fn echo() -> Result<Self, Failure> {
        let own = std::env::current_exe();
        let own = own.map_err(|error| Failure::new(Exit::System, format!("cannot find this program: {error}")))?;
        Self::start(Command::new(own).arg("echo"), apart).await
    }

    async fn start(
        command: &mut Command,
        start: impl FnOnce(&mut Command) -> io::Result<Child>,
    ) -> Result<Self, Failure> {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let failed = |why: String| Failure::new(Exit::System, format!("cannot start {program}: {why}"));
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = start(command).map_err(|error| failed(error.to_string()))?;
        let id = child.id().ok_or_else(|| failed("it ended at once".to_owned()))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.as_mut() {
            let mut stdout = BufReader::new(stdout);
            let read = timeout(START, stdout.read_line(&mut line)).await;
            let read = read.map_err(|_| failed(format!("it printed nothing within {START:?}")))?;
            read.map_err(|error| failed(error.to_string()))?;
        }
        let first: FirstLine =
            serde_json::from_str(&line).map_err(|_| failed(format!("its first line names no address: {line:?}")))?;
        Ok(Self { addr: first.address, http: first.http(), id, _child: child })
    }

    /// The user and system time of all its threads so far.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        read(&self.id.to_string(), "stat", cpu_in)
    }

    /// Its memory in bytes: now, and at most since the last [`forget_peak`](Self::forget_peak).
    pub(crate) fn memory(&self) -> Result<(u64, u64), Failure> {
        read(&self.id.to_string(), "status", memory_in)
    }

    /// Takes the memory that it has now for the most that it had.
    pub(crate) fn forget_peak(&self) {
        // Where the system does not permit it, the peak is that of the whole run.
        let _ = fs::write(format!("/proc/{}/clear_refs", self.id), "5");
    }
}

/// The user and system time of all threads of this process so far.
pub(crate) fn own_cpu() -> Result<Duration, Failure> {
    read(OWN, "stat", cpu_in)
}

/// The memory of this process in bytes: now, and at most.
pub(crate) fn own_memory() -> Result<(u64, u64), Failure> {
    read(OWN, "status", memory_in)
}

fn read<T>(id: &str, file: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Failure> {
    let path = format!("/proc/{id}/{file}");
    let failed = |why: &str| Failure::new(Exit::System, format!("cannot read {path}: {why}"));
    let text = fs::read_to_string(&path).map_err(|error| failed(&error.to_string()))?;
    parse(&text).ok_or_else(|| failed("it has another form"))
}

fn memory_in(status: &str) -> Option<(u64, u64)> {
    Some((kilobytes(status, "VmRSS:")?, kilobytes(status, "VmHWM:")?))
}

fn node(binary: &Path, codec: Codec) -> Command {
    let mut command = Command::new(binary);
    command.args(["node", "--ephemeral", "--listen", "127.0.0.1:0", "--json", "--wire", codec.name()]);
    command.env("RUST_LOG", "error,actix_http=off");
    command
}

/// The field called `name` of a status file, in bytes.
fn kilobytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

/// Fields 14 and 15 of a stat file. The second field, the name in parentheses, may hold anything.
fn cpu_in(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let mut ticks = || times.next()?.parse::<u64>().ok();
    Some(Duration::from_millis((ticks()? + ticks()?) * 1_000 / TICKS))
}

/// Starts it on a processor of its own, where there are two.
fn apart(command: &mut Command) -> io::Result<Child> {
    #[cfg(target_os = "linux")]
    return crate::processors::apart(|| command.spawn());
    #[cfg(not(target_os = "linux"))]
    command.spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_the_sum_of_user_and_system_time_whatever_the_name() {
        let stat = "17 (a ) R 1 (b) S 1 17 17 0 -1 4194304 1 2 3 4 250 31 7 8 20 0 2 0 99";
        assert_eq!(cpu_in(stat), Some(Duration::from_millis(2_810)));
        assert_eq!(cpu_in("17 (a) S 1"), None);
        assert_eq!(cpu_in(""), None);
    }

    #[test]
    fn memory_is_read_by_its_name() {
        let status = "Name:\tkad\nVmHWM:\t   20480 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!((kilobytes(status, "VmRSS:"), kilobytes(status, "VmHWM:")), (Some(1 << 20), Some(20 << 20)));
        assert_eq!(kilobytes(status, "VmSwap:"), None);
    }
}
