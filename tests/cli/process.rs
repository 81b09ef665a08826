//! The binary as a process: started, spoken to, and gone when the test goes.

use std::borrow::BorrowMut;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::UdpSocket;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value as Json;

pub(crate) const WIRES: [&str; 3] = ["json", "bencode", "msgpack"];

pub(crate) fn kad(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kad"));
    clean(command.args(args));
    command
}

/// `command` with pipes, and an environment that says nothing to a node.
fn clean(command: &mut Command) -> &mut Command {
    // A test that forgot to say where a node keeps what it holds touches no home.
    command.env("HOME", "/dev/null").env_remove("XDG_DATA_HOME").env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped())
}

/// A process that goes when the test goes.
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

    /// On a terminal, which python3 makes: a test of what only a person sees.
    pub(crate) fn on_a_terminal(args: &[&str]) -> Self {
        let mut command = Command::new("python3");
        command.args(["-c", "import pty, sys; pty.spawn(sys.argv[1:])", env!("CARGO_BIN_EXE_kad")]).args(args);
        Self::spawn(clean(&mut command))
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

    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(kill.success());
    }

    /// Its exit code and what it wrote to standard error, but for what a node logs of its usual life.
    pub(crate) fn end(&mut self) -> (Option<i32>, String) {
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        let told: String = errors.split_inclusive('\n').filter(|line| !line.contains(" INFO ")).collect();
        (self.child.wait().unwrap().code(), told)
    }
}

pub(crate) struct Node {
    pub(crate) process: Running,
    pub(crate) id: String,
    pub(crate) addr: String,
    wire: &'static str,
    pub(crate) started: Json,
}

impl Node {
    pub(crate) fn start(wire: &'static str, more: &[&str]) -> Self {
        let kept: &[&str] = if more.contains(&"--data-dir") { &[] } else { &["--ephemeral"] };
        let args = [&["node", "--json", "--listen", "127.0.0.1:0", "--wire", wire], kept, more].concat();
        let mut process = Running::start(&args);
        let started: Json = serde_json::from_str(&process.line()).unwrap();
        let text = |field: &str| started[field].as_str().unwrap().to_owned();
        Self { id: text("node_id"), addr: text("address"), wire, process, started }
    }

    /// A client's command against this node.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        // What follows `--` are values, so the options go right behind the command's name.
        let (name, rest) = args.split_first().unwrap();
        kad(&[&[*name, "--bootstrap", &self.addr, "--wire", self.wire], rest].concat())
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub(crate) fn ok(&self, args: &[&str]) -> Vec<u8> {
        let output = self.run(args);
        assert_eq!(code(&output), 0, "{args:?}: {}", stderr(&output));
        output.stdout
    }

    pub(crate) fn json(&self, args: &[&str]) -> Json {
        serde_json::from_slice(&self.ok(args)).unwrap()
    }

    pub(crate) fn set_from_stdin(&self, args: &[&str], input: &[u8]) -> Output {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        // It may refuse to read all of it.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// An address at which nobody answers, for as long as the socket is held.
pub(crate) fn silent() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap().to_string();
    (socket, addr)
}

pub(crate) fn usage(args: &[&str]) -> String {
    let output = kad(args).output().unwrap();
    assert_eq!((code(&output), output.stdout.len()), (2, 0), "{args:?}: {}", stderr(&output));
    stderr(&output)
}
