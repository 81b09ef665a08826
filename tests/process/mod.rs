//! The `kad` binary as a process: started, and killed when the test ends. Shared by the binaries `cli` and `service`.

use std::borrow::BorrowMut;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value as Json;

pub(crate) fn kad(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kad"));
    clean(command.args(args));
    command
}

/// `command` with pipes, and an environment that configures no node.
pub(crate) fn clean(command: &mut Command) -> &mut Command {
    // A test that names no folder must not write to a home.
    command.env("HOME", "/dev/null").env_remove("XDG_DATA_HOME").env_remove("RUST_LOG");
    // Nodes of tests do not compete for the default port: what is about HTTP asks for it.
    command.env("KAD_NODE_HTTP", "off");
    for name in
        ["KAD_HTTP", "KAD_HTTP_TOKEN", "KAD_NODE_DATA_DIR", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
    {
        command.env_remove(name);
    }
    command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped())
}

/// A process that is killed when it is dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) lines: BufReader<ChildStdout>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::spawn(kad(args))
    }

    pub(crate) fn spawn(mut command: impl BorrowMut<Command>) -> Self {
        let mut child = command.borrow_mut().spawn().expect("the program is there (a terminal takes python3)");
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The next line that it prints; empty once it prints no more.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }

    /// The line that `kad node --json` prints once it has joined its network.
    pub(crate) fn started(&mut self) -> Json {
        serde_json::from_str(&self.line()).unwrap()
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(kill.success());
    }

    /// Whether it has not ended.
    #[allow(dead_code, reason = "only the tests with a service manager ask for it")]
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Its exit code, and what it wrote to standard error above the level of information.
    pub(crate) fn end(&mut self) -> (Option<i32>, String) {
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        let reported: String = errors.split_inclusive('\n').filter(|line| !line.contains(" INFO ")).collect();
        (self.child.wait().unwrap().code(), reported)
    }
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
