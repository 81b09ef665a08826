//! Nodes of the Python package, many in one child process, and what can be asked of them. How the child gets its
//! Python is `python.rs`'s; what it does with a command is `legacy.py`'s.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kademlia_dynamic::protocol::codec::Codec;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::value::Value;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::python::{self, Version};

/// How long one command may take. A lookup past several peers that left takes 2 s for each three of them.
const COMMAND: Duration = Duration::from_secs(60);
/// How much of what the child says on its stderr is kept for a failure's message, in bytes.
const LAST_WORDS: usize = 16 * 1024;

/// The callers that wait for answers, by command. `None` once the child is gone: no caller may wait any more.
type Waiting = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Json>>>>>;

/// A child process full of legacy nodes. Dropping it kills them all.
pub(crate) struct Legacy {
    version: Version,
    codec: Codec,
    stdin: tokio::sync::Mutex<ChildStdin>,
    waiting: Waiting,
    last_words: Arc<Mutex<VecDeque<u8>>>,
    next_command: std::sync::atomic::AtomicU64,
    _child: Child,
}

/// One node in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LegacyNode {
    number: u64,
    /// Its id and its address.
    pub(crate) peer: Peer,
}

impl LegacyNode {
    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.peer.addr
    }
}

impl Legacy {
    /// A child for nodes of `version` that speak `codec`. `None` if these tests are to be left out.
    ///
    /// # Panics
    /// If there is no Python, with a sentence that says what to do.
    pub(crate) async fn start(version: Version, codec: Codec) -> Option<Self> {
        if python::left_out() {
            return None;
        }
        let interpreter = or_fail(python::with_package(version).await);
        let mut child = Command::new(interpreter)
            // Without -u Python would keep its answers to itself.
            .arg("-u")
            .arg(python::script("legacy.py"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONIOENCODING", "utf-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("an interpreter that was just found can be started");
        let stdin = child.stdin.take().expect("piped above");
        let stdout = child.stdout.take().expect("piped above");
        let stderr = child.stderr.take().expect("piped above");
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        let last_words = Arc::new(Mutex::new(VecDeque::new()));
        tokio::spawn(hand_out_answers(stdout, waiting.clone()));
        tokio::spawn(keep_the_last_words(stderr, last_words.clone()));
        let stdin = tokio::sync::Mutex::new(stdin);
        Some(Self { version, codec, stdin, waiting, last_words, next_command: 0.into(), _child: child })
    }

    /// Starts `n` nodes that join by `contacts`, or by the first of them where there are no contacts.
    pub(crate) async fn nodes(&self, n: usize, contacts: &[SocketAddr]) -> Vec<LegacyNode> {
        self.nodes_with(n, contacts, json!({})).await
    }

    /// The same, with settings under the names that 1.1.1 has for them; 1.0.0 has none.
    pub(crate) async fn nodes_with(&self, n: usize, contacts: &[SocketAddr], settings: Json) -> Vec<LegacyNode> {
        let serialization = match self.codec {
            Codec::Json => "json",
            Codec::Bencode => "bencode",
            Codec::MessagePack => panic!("legacy nodes do not speak MessagePack"),
        };
        let command = json!({
            "do": "start", "n": n, "serialization": serialization, "bootstrap": pairs(contacts), "settings": settings,
        });
        let answer = or_fail(self.call(command).await);
        let nodes = list(&answer, "nodes");
        nodes.iter().map(|node| LegacyNode { number: number(node, "node"), peer: peer(node) }).collect()
    }

    /// Has `node` join by `contacts`, one after the other. It does not say whether any of them answered.
    pub(crate) async fn bootstrap(&self, node: &LegacyNode, contacts: &[SocketAddr]) {
        or_fail(self.call(json!({"do": "bootstrap", "node": node.number, "bootstrap": pairs(contacts)})).await);
    }

    /// Sets `key` from `node`.
    pub(crate) async fn set(&self, node: &LegacyNode, key: &str, value: &Value) {
        let value = match value {
            Value::Text(text) => json!({"text": text}),
            Value::Bytes(bytes) => json!({"base64": STANDARD.encode(bytes)}),
        };
        or_fail(self.call(json!({"do": "set", "node": node.number, "key": key, "value": value})).await);
    }

    /// Gets `key` from `node`.
    pub(crate) async fn get(&self, node: &LegacyNode, key: &str) -> Option<Value> {
        value(&or_fail(self.call(json!({"do": "get", "node": node.number, "key": key})).await))
    }

    /// What `node` itself holds under `key`.
    pub(crate) async fn held(&self, node: &LegacyNode, key: &str) -> Option<Value> {
        value(&self.copy(node, key).await)
    }

    /// When what `node` itself holds under `key` expires, in seconds of the Unix epoch.
    pub(crate) async fn expiry(&self, node: &LegacyNode, key: &str) -> Option<f64> {
        self.copy(node, key).await["expires_at"].as_f64()
    }

    async fn copy(&self, node: &LegacyNode, key: &str) -> Json {
        or_fail(self.call(json!({"do": "held", "node": node.number, "key": key})).await)
    }

    /// The peers that `node` finds nearest to `target`.
    pub(crate) async fn find_node(&self, node: &LegacyNode, target: &NodeId) -> Vec<Peer> {
        let command = json!({"do": "find_node", "node": node.number, "target": target.to_string()});
        peers(&or_fail(self.call(command).await))
    }

    /// The value that `node` finds in the network under `key`, and the peers that it found nearest on the way.
    pub(crate) async fn find_value(&self, node: &LegacyNode, key: &str) -> (Option<Value>, Vec<Peer>) {
        let answer = or_fail(self.call(json!({"do": "find_value", "node": node.number, "key": key})).await);
        (value(&answer), peers(&answer))
    }

    /// The routing table of `node`.
    pub(crate) async fn table(&self, node: &LegacyNode) -> Vec<Peer> {
        peers(&or_fail(self.call(json!({"do": "table", "node": node.number})).await))
    }

    /// Has `nodes` lose what they hold under `key`, all at once.
    pub(crate) async fn forget(&self, nodes: &[LegacyNode], key: &str) {
        let numbers: Vec<u64> = nodes.iter().map(|node| node.number).collect();
        or_fail(self.call(json!({"do": "forget", "nodes": numbers, "key": key})).await);
    }

    /// Has `node` leave, which it does without a message.
    pub(crate) async fn stop(&self, node: &LegacyNode) {
        or_fail(self.call(json!({"do": "stop", "node": node.number})).await);
    }

    /// Ends the child, which any command still at work sees as the end of its process.
    pub(crate) async fn quit(&self) {
        // A child that takes no command has ended already.
        let _ = self.stdin.lock().await.write_all(b"\"quit\"\n").await;
    }

    /// What the package has logged as errors: above all, messages that its nodes could not handle.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let answer = or_fail(self.call(json!({"do": "complaints_heard"})).await);
        list(&answer, "complaints").iter().map(Json::to_string).collect()
    }

    /// Sends a command as it stands and waits for its answer.
    ///
    /// # Errors
    /// What the child says went wrong; or that it is gone or silent, with the end of its standard error.
    pub(crate) async fn call(&self, mut command: Json) -> Result<Json, String> {
        let id = self.next_command.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        command["id"] = json!(id);
        let line = format!("{command}\n");
        let failed = |what: &str| Err(format!("{self}: {what}: {:.200}{}", line.trim_end(), self.last_words()));

        let (answered, answer) = oneshot::channel();
        match locked(&self.waiting).as_mut() {
            Some(waiting) => waiting.insert(id, answered),
            None => return failed("the process is gone"),
        };
        let said = async { self.stdin.lock().await.write_all(line.as_bytes()).await };
        match timeout(COMMAND, said).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return failed(&format!("cannot be reached ({error})")),
            Err(_) => return failed("does not listen"),
        }
        match timeout(COMMAND, answer).await {
            Ok(Ok(mut answer)) => match answer["error"].as_str() {
                Some(error) => failed(error),
                None => Ok(answer["ok"].take()),
            },
            Ok(Err(_)) => failed("the process is gone"),
            Err(_) => failed(&format!("no answer after {COMMAND:?}")),
        }
    }

    fn last_words(&self) -> String {
        let bytes: Vec<u8> = locked(&self.last_words).iter().copied().collect();
        if bytes.is_empty() { String::new() } else { format!("\nstderr:\n{}", String::from_utf8_lossy(&bytes)) }
    }
}

impl fmt::Display for Legacy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "legacy nodes {} speaking {:?}", self.version, self.codec)
    }
}

async fn hand_out_answers(stdout: ChildStdout, waiting: Waiting) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let answer: Json = serde_json::from_str(&line).unwrap_or_default();
        let asker = answer["id"].as_u64().and_then(|id| locked(&waiting).as_mut()?.remove(&id));
        if let Some(asker) = asker {
            // The caller may have given up.
            let _ = asker.send(answer);
        }
    }
    locked(&waiting).take();
}

async fn keep_the_last_words(mut stderr: impl AsyncRead + Unpin, kept: Arc<Mutex<VecDeque<u8>>>) {
    let mut chunk = [0; 4096];
    while let Ok(len @ 1..) = stderr.read(&mut chunk).await {
        let mut kept = locked(&kept);
        kept.extend(&chunk[..len]);
        let surplus = kept.len().saturating_sub(LAST_WORDS);
        kept.drain(..surplus);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn or_fail<T>(result: Result<T, String>) -> T {
    result.unwrap_or_else(|why| panic!("{why}"))
}

fn pairs(addrs: &[SocketAddr]) -> Vec<Json> {
    addrs.iter().map(|addr| json!([addr.ip().to_string(), addr.port()])).collect()
}

fn list<'a>(answer: &'a Json, name: &str) -> &'a [Json] {
    answer[name].as_array().unwrap_or_else(|| panic!("no list {name} in {answer}"))
}

fn number(answer: &Json, name: &str) -> u64 {
    answer[name].as_u64().unwrap_or_else(|| panic!("no number {name} in {answer}"))
}

fn peers(answer: &Json) -> Vec<Peer> {
    list(answer, "peers").iter().map(peer).collect()
}

fn peer(json: &Json) -> Peer {
    let parsed = || {
        let id = json["id"].as_str()?.parse().ok()?;
        let ip = json["ip"].as_str()?.parse().ok()?;
        Some(Peer::new(id, SocketAddr::new(ip, json["port"].as_u64()?.try_into().ok()?)))
    };
    parsed().unwrap_or_else(|| panic!("not a peer: {json}"))
}

fn value(answer: &Json) -> Option<Value> {
    let value = &answer["value"];
    if let Some(text) = value["text"].as_str() {
        return Some(Value::Text(text.to_owned()));
    }
    let bytes = STANDARD.decode(value["base64"].as_str()?).unwrap_or_else(|_| panic!("no base64: {value}"));
    Some(Value::Bytes(bytes))
}
