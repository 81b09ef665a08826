//! Requests to a gateway, and what their answers mean for a command.

use std::io::Read;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use ureq::Agent;
use ureq::http::{Response, StatusCode};

use super::target::Target;
use crate::cli::args::remote::Remote;
use crate::cli::blocking::off_thread;
use crate::cli::failure::{Exit, Failure};
use crate::cli::wording::human;
use crate::gateway::sse::HEARTBEAT;

/// The most bytes of an answer that are read: a page of 1,000 keys of 1,024 bytes has 6 MB where each byte is escaped.
const MAX_ANSWER: u64 = 32 << 20;
/// How long a stream may be silent before its node counts as gone.
const SILENCE: Duration = HEARTBEAT.saturating_mul(3);
/// How often a request is sent, within its time, where the node asks to repeat it later.
const MAX_TRIES: u32 = 100;
/// The least time for a request: none at all would be no limit.
const SHORTEST: Duration = Duration::from_millis(1);

/// What is asked.
#[derive(Debug, Clone)]
pub(super) enum Ask {
    Get,
    Put,
    Delete,
    /// With JSON as the body.
    Post(String),
}

/// A client of one gateway.
#[derive(Debug, Clone)]
pub(super) struct Client(std::sync::Arc<Inner>);

#[derive(Debug)]
struct Inner {
    agent: Agent,
    target: Target,
    timeout: Duration,
}

/// A problem document, as far as it is used here.
#[derive(Debug, Clone, Deserialize)]
struct Problem {
    status: u16,
    code: String,
    detail: String,
}

/// What a gateway answered.
pub(super) enum Answer {
    Done(Json),
    /// It is not ready: the reasons.
    NotReady(Vec<String>),
}

impl Client {
    /// A client of the node that `remote` names.
    pub(super) fn new(remote: &Remote) -> Result<Self, Failure> {
        let target = Target::of(remote)?;
        if target.token.is_some() && !target.url.is_loopback() {
            tracing::warn!("the token goes to {} unencrypted: `ssh -L` and a loopback address hide it", target.url);
        }
        // Neither a proxy of the environment nor a redirection takes the token elsewhere.
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("kad/", env!("CARGO_PKG_VERSION")));
        Ok(Self(std::sync::Arc::new(Inner { agent: config.build().new_agent(), target, timeout: remote.timeout })))
    }

    /// The address of the node.
    pub(super) fn url(&self) -> String {
        self.0.target.url.to_string()
    }

    /// What the gateway has at `path`.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: impl Into<String>) -> Result<T, Failure> {
        self.ask(Ask::Get, path).await
    }

    /// Asks for `path`.
    pub(super) async fn ask<T: DeserializeOwned>(&self, ask: Ask, path: impl Into<String>) -> Result<T, Failure> {
        let path = path.into();
        match self.answer(ask, path).await? {
            Answer::Done(json) => serde_json::from_value(json).map_err(|error| self.0.stranger(&error.to_string())),
            Answer::NotReady(reasons) => Err(Failure::new(Exit::UNAVAILABLE, reasons.join("; "))),
        }
    }

    /// Asks for `path`, where not being ready is an answer as well.
    pub(super) async fn answer(&self, ask: Ask, path: impl Into<String>) -> Result<Answer, Failure> {
        let path = path.into();
        let deadline = Instant::now() + self.0.timeout;
        for _ in 1..MAX_TRIES {
            let (this, ask, path) = (self.clone(), ask.clone(), path.clone());
            let left = deadline.saturating_duration_since(Instant::now()).max(SHORTEST);
            let tried = off_thread(move || {
                let response = this.0.send(&ask, &path, Some(left), left)?;
                match (response.status(), retry_after(&response)) {
                    (StatusCode::TOO_MANY_REQUESTS, Some(after)) => Ok(ControlFlow::Continue(after)),
                    _ => this.0.judge(response).map(ControlFlow::Break),
                }
            });
            match tried.await?? {
                // It would be too late then.
                ControlFlow::Continue(after) if Instant::now() + after >= deadline => break,
                ControlFlow::Continue(after) => tokio::time::sleep(after).await,
                ControlFlow::Break(answer) => return Ok(answer),
            }
        }
        let text = format!(
            "the node is busy with requests of others, and asks to come back later than within {} (HTTP status 429; --timeout TIME)",
            human(self.0.timeout)
        );
        Err(Failure::new(Exit::UNAVAILABLE, text))
    }

    /// A stream of lines at `path`. It may block, as its reader may.
    pub(super) fn open(&self, ask: &Ask, path: &str) -> Result<impl Read + use<>, Failure> {
        let response = self.0.send(ask, path, None, SILENCE)?;
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if response.status() == StatusCode::OK && kind.starts_with("text/event-stream") {
            return Ok(response.into_body().into_reader());
        }
        match self.0.judge(response)? {
            Answer::Done(_) => Err(self.0.stranger("it sends no events")),
            Answer::NotReady(reasons) => Err(Failure::new(Exit::UNAVAILABLE, reasons.join("; "))),
        }
    }

    /// What answers is no gateway.
    pub(super) fn stranger(&self, why: &str) -> Failure {
        self.0.stranger(why)
    }

    /// The stream has broken off.
    pub(super) fn ended(&self, why: &str) -> Failure {
        Failure::new(Exit::UNAVAILABLE, format!("the node at {} has ended the stream: {why}", self.0.target.url))
    }
}

fn retry_after(response: &Response<ureq::Body>) -> Option<Duration> {
    let seconds = response.headers().get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(Duration::from_secs(5)))
}

impl Inner {
    /// Sends a request. `whole` is the time for all of the answer, `read` that for each part of it.
    fn send(
        &self,
        ask: &Ask,
        path: &str,
        whole: Option<Duration>,
        read: Duration,
    ) -> Result<Response<ureq::Body>, Failure> {
        let url = self.target.url.join(path);
        let token = self.target.token.as_ref().map(|token| format!("Bearer {}", token.reveal()));
        // Each method has another type.
        macro_rules! prepared {
            ($request:expr) => {{
                let request = $request.config().timeout_global(whole).timeout_per_read(Some(read));
                let request = request.timeout_connect(Some(self.timeout)).timeout_recv_response(Some(self.timeout));
                let request = request.build().header("accept", "application/json");
                match &token {
                    Some(token) => request.header("authorization", token),
                    None => request,
                }
            }};
        }
        let sent = match ask {
            Ask::Get => prepared!(self.agent.get(&url)).call(),
            Ask::Delete => prepared!(self.agent.delete(&url)).call(),
            Ask::Put => prepared!(self.agent.put(&url)).send_empty(),
            Ask::Post(body) => prepared!(self.agent.post(&url)).content_type("application/json").send(body),
        };
        sent.map_err(|error| self.unreached(&error))
    }

    /// What an answer means.
    fn judge(&self, mut response: Response<ureq::Body>) -> Result<Answer, Failure> {
        let status = response.status();
        let body = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
        let body = body.map_err(|error| self.unreached(&error))?;
        if status.is_success() {
            let json = serde_json::from_slice(&body).map_err(|error| self.stranger(&error.to_string()))?;
            return Ok(Answer::Done(json));
        }
        let no_problem = |_| self.stranger(&format!("HTTP status {}", status.as_u16()));
        let json: Json = serde_json::from_slice(&body).map_err(no_problem)?;
        let problem: Problem = serde_json::from_value(json.clone()).map_err(no_problem)?;
        if problem.code == "not_ready" {
            let reasons = json["reasons"].as_array().into_iter().flatten();
            return Ok(Answer::NotReady(reasons.filter_map(Json::as_str).map(str::to_owned).collect()));
        }
        Err(self.refused(problem))
    }

    /// The gateway refused what was asked.
    fn refused(&self, Problem { status, code, detail }: Problem) -> Failure {
        if code == "no_such_path" {
            return self.stranger(&detail);
        }
        let exit = match status {
            401 | 403 => Exit::DENIED,
            404 | 409 => Exit::NOT_FOUND,
            400 | 413 | 414 | 421 => Exit::USAGE,
            500 => Exit::INTERNAL,
            _ => Exit::UNAVAILABLE,
        };
        let url = &self.target.url;
        let text = match (&*code, &self.target.withheld) {
            ("no_token", Some(withheld)) => format!("the node at {url} needs its token: {withheld}"),
            ("no_token", None) => format!(
                "the node at {url} needs its token\n\
                 --data-dir DIR reads it in the folder of the node; KAD_HTTP_TOKEN or --http-token-file FILE has it for --node URL."
            ),
            ("wrong_token", _) => format!(
                "the node at {url} refuses the token: it is not the one that it has since its start\n\
                 Its file http-token, and the first line of `kad node --json`, have that one."
            ),
            _ => detail,
        };
        Failure::new(exit, text)
    }

    /// What answers is no gateway.
    fn stranger(&self, why: &str) -> Failure {
        let text = format!(
            "what answers at {} is no kad node, or one of another version: {why}\n\
             --node URL or --data-dir DIR names the node.",
            self.target.url
        );
        Failure::new(Exit::UNAVAILABLE, text)
    }

    /// No answer came.
    fn unreached(&self, error: &ureq::Error) -> Failure {
        let url = &self.target.url;
        let text = match error {
            ureq::Error::Timeout(_) => {
                format!("the node at {url} has not answered within {} (--timeout TIME)", human(self.timeout))
            }
            ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => format!(
                "no node serves HTTP at {url}: connection refused\n\
                 `kad node` starts one; --data-dir DIR or --node URL names one that serves it elsewhere."
            ),
            ureq::Error::Io(error) => format!("cannot reach the node at {url}: {error}"),
            ureq::Error::HostNotFound => format!("cannot reach the node at {url}: there is no host of this name"),
            ureq::Error::Protocol(_) | ureq::Error::Http(_) => return self.stranger(&error.to_string()),
            other => format!("cannot reach the node at {url}: {other}"),
        };
        Failure::new(Exit::UNAVAILABLE, text)
    }
}
