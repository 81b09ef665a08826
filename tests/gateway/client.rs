//! A gateway to test, and a client that sends exactly what it is given.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use kademlia_dynamic::Node;
use kademlia_dynamic::gateway::server::Server;
use kademlia_dynamic::gateway::{Builder, Gateway};
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No test waits longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A node and its gateway on a free port.
pub(crate) struct Served {
    pub(crate) node: Node,
    pub(crate) gateway: Gateway,
    pub(crate) addr: SocketAddr,
    _server: Server,
}

impl Served {
    pub(crate) async fn start() -> Self {
        Self::with(|builder| builder).await
    }

    pub(crate) async fn with(change: impl FnOnce(Builder) -> Builder) -> Self {
        Self::of(Node::builder().start().await.unwrap(), change).await
    }

    pub(crate) async fn of(node: Node, change: impl FnOnce(Builder) -> Builder) -> Self {
        let gateway = change(Gateway::builder(node.clone())).build();
        let server = Server::start(TcpListener::bind("127.0.0.1:0").unwrap(), gateway.clone()).await.unwrap();
        Self { node, gateway, addr: server.addr(), _server: server }
    }

    /// A request with the token.
    pub(crate) fn request(&self, method: &str, path: &str) -> Request {
        let token = format!("Bearer {}", self.gateway.token().reveal());
        self.anonymous(method, path).header("Authorization", &token)
    }

    /// A request without it.
    pub(crate) fn anonymous(&self, method: &str, path: &str) -> Request {
        Request {
            addr: self.addr,
            line: format!("{method} {path} HTTP/1.1"),
            headers: vec![("Host".to_owned(), self.addr.to_string())],
            body: Vec::new(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request("GET", path).send().await
    }

    pub(crate) async fn put(&self, path: &str, kind: &str, body: &[u8]) -> Answer {
        self.request("PUT", path).header("Content-Type", kind).body(body).send().await
    }
}

pub(crate) struct Request {
    addr: SocketAddr,
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// With this header, in the place of any of its name.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }

    /// The head as it is sent.
    pub(crate) fn head(&self) -> String {
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{}\r\n{headers}Content-Length: {}\r\n\r\n", self.line, self.body.len())
    }

    /// Opens a connection and sends it.
    pub(crate) async fn open(&self) -> TcpStream {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(self.head().as_bytes()).await.unwrap();
        // It may be refused before it has been read.
        let _ = stream.write_all(&self.body).await;
        stream
    }

    /// The status of the answer, whose rest is not read.
    pub(crate) async fn open_or_refused(self) -> u16 {
        let mut head = [0; 12];
        tokio::time::timeout(PATIENCE, self.open().await.read_exact(&mut head))
            .await
            .expect("an answer comes")
            .unwrap();
        std::str::from_utf8(&head[9..]).unwrap().parse().unwrap()
    }

    pub(crate) async fn send(self) -> Answer {
        let mut stream = self.header("Connection", "close").open().await;
        let mut bytes = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("an answer comes").unwrap();
        Answer::read(&bytes)
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or_else(|| panic!("{bytes:?}"));
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let (line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
        let headers = headers.lines().filter_map(|line| line.split_once(": "));
        Self {
            status: line.split(' ').nth(1).unwrap().parse().unwrap(),
            headers: headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect(),
            body: bytes[end + 4..].to_vec(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of the problem document that it must be.
    pub(crate) fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!((&problem["type"], &problem["status"]), (&"about:blank".into(), &self.status.into()), "{problem}");
        assert!(problem["title"].is_string() && !problem["detail"].as_str().unwrap().is_empty(), "{problem}");
        (self.status, problem["code"].as_str().unwrap().to_owned())
    }
}

/// A problem, to compare with.
pub(crate) fn problem(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// The events of a stream, one after the other.
pub(crate) struct Events {
    stream: TcpStream,
    seen: Vec<u8>,
}

impl Events {
    /// Sends `request`, and reads the head of the answer, which must be a stream.
    pub(crate) async fn open(request: Request) -> Self {
        let mut events = Self { stream: request.open().await, seen: Vec::new() };
        let head = events.until(b"\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
        events
    }

    /// The text up to `end`, which is taken away.
    async fn until(&mut self, end: &[u8]) -> String {
        loop {
            if let Some(at) = self.seen.windows(end.len()).position(|part| part == end) {
                let rest = self.seen.split_off(at + end.len());
                let text = std::mem::replace(&mut self.seen, rest);
                return String::from_utf8(text).unwrap();
            }
            let read = self.stream.read_buf(&mut self.seen);
            let read = tokio::time::timeout(PATIENCE, read).await.expect("an event comes").unwrap();
            assert!(read > 0, "the stream has ended: {}", String::from_utf8_lossy(&self.seen));
        }
    }

    /// The next event: its name and its data. The sizes of chunks and comments are passed over.
    pub(crate) async fn next(&mut self) -> (String, Json) {
        loop {
            let frame = self.until(b"\n\n").await;
            let field = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
            if let (Some(event), Some(data)) = (field("event: "), field("data: ")) {
                return (event, serde_json::from_str(&data).unwrap());
            }
        }
    }

    /// Reads all that comes until the stream ends.
    pub(crate) async fn end(mut self) {
        let rest = self.stream.read_to_end(&mut self.seen);
        tokio::time::timeout(PATIENCE, rest).await.expect("the stream ends").unwrap();
    }

    /// The next event of this name.
    pub(crate) async fn next_of(&mut self, name: &str) -> Json {
        loop {
            let (event, data) = self.next().await;
            if event == name {
                return data;
            }
        }
    }
}
