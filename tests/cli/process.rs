//! `kad node` as a process, and commands against it.

use std::io::Write;
use std::net::UdpSocket;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value as Json;

use crate::running::clean;
pub(crate) use crate::running::{Running, code, kad, stderr};

pub(crate) const WIRES: [&str; 3] = ["json", "bencode", "msgpack"];

impl Running {
    /// On a terminal, which python3 makes: for what only a person sees.
    pub(crate) fn on_a_terminal(args: &[&str]) -> Self {
        let mut command = Command::new("python3");
        command.args(["-c", "import pty, sys; pty.spawn(sys.argv[1:])", env!("CARGO_BIN_EXE_kad")]).args(args);
        Self::spawn(clean(&mut command))
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
        let store: &[&str] = if more.contains(&"--data-dir") { &[] } else { &["--ephemeral"] };
        let args = [&["node", "--json", "--listen", "127.0.0.1:0", "--wire", wire], store, more].concat();
        let mut process = Running::start(&args);
        let started = process.started();
        let text = |field: &str| started[field].as_str().unwrap().to_owned();
        Self { id: text("node_id"), addr: text("address"), wire, process, started }
    }

    /// A client's command against this node.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        // The arguments after `--` are values, so the options go right behind the command's name.
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

/// The output of a command, which has to end within so many seconds.
pub(crate) fn within(seconds: u64, command: &mut Command) -> Output {
    ended(seconds, command.spawn().unwrap())
}

/// The output of a process, which has to end within so many seconds.
pub(crate) fn ended(seconds: u64, child: Child) -> Output {
    let pid = child.id().to_string();
    let (ended, output) = mpsc::channel();
    std::thread::spawn(move || ended.send(child.wait_with_output()));
    let output = output.recv_timeout(Duration::from_secs(seconds)).unwrap_or_else(|_| {
        let _ = Command::new("kill").args(["-KILL", &pid]).status();
        panic!("it has not ended within {seconds} s");
    });
    output.unwrap()
}

/// An address that does not answer while the socket is open.
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
