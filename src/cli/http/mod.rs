//! The node over HTTP, as `kad node` serves it: where it listens, who may use it, and where its token is left for `kad` itself.

pub(super) mod settings;
pub(super) mod token_file;

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use metrics_exporter_prometheus::PrometheusHandle;

use self::settings::{DEFAULT_HTTP, HttpListen, HttpSettings};
use self::token_file::TokenFile;
use super::failure::{Exit, Failure};
use super::{blocking::off_thread, data_dir};
use crate::actors::limits::{self, Needs};
use crate::actors::node::Node;
use crate::gateway::server::{Server, WORKERS};
use crate::gateway::{Gateway, Token};

/// What the server needs to begin: its threads with their stacks, their runtimes, and a few connections.
const NEEDS: Needs = Needs { descriptors: 20 + 6 * WORKERS, memory: 32 << 20 };

/// The most bytes that are read of a token's file. A token is far shorter.
const MAX_TOKEN: u64 = 64 << 10;

/// A port that is bound, before there is a node to serve there.
pub(super) struct Listening {
    listener: TcpListener,
    addr: SocketAddr,
    /// The token of `--http-token-file`.
    token: Option<Token>,
}

/// Binds the port, so that a node is only begun where it can be served. `None`: there is to be no server, or the default port is
/// not free.
pub(super) async fn listen(settings: &HttpSettings) -> Result<Option<Listening>, Failure> {
    let (wanted, asked) = match &settings.listen {
        HttpListen::Off => return Ok(None),
        HttpListen::At(addr) => (addr.clone(), true),
        HttpListen::Default => (DEFAULT_HTTP.parse().expect("the default address is one"), false),
    };
    let addr = data_dir::address(&wanted).await?;
    if !addr.ip().to_canonical().is_loopback() && settings.token_file.is_none() {
        let text = format!(
            "--http {addr} is reached from other machines: it needs --http-token-file FILE, and TLS in front of it\n\
             At a loopback address, such as {DEFAULT_HTTP}, it needs neither."
        );
        return Err(Failure::new(Exit::CONFIGURATION, text));
    }
    let token = match &settings.token_file {
        Some(path) => {
            let path = path.clone();
            // The thread of the caller hears signals, and a pipe may have no writer.
            Some(off_thread(move || read_token(&path)).await??)
        }
        None => None,
    };
    let bound = limits::check(NEEDS).map_err(|limit| limit.to_string()).and_then(|()| bind(addr));
    match bound {
        Ok(listener) => Ok(Some(Listening { addr: listener.local_addr().unwrap_or(addr), listener, token })),
        Err(why) if asked => {
            Err(Failure::new(Exit::SYSTEM, format!("cannot serve HTTP at {addr}: {why} (--http ADDR:PORT)")))
        }
        Err(why) => {
            tracing::warn!("no HTTP: {addr} {why} (--http ADDR:PORT for another address, --no-http for none)");
            Ok(None)
        }
    }
}

fn bind(addr: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(addr).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => "is in use by another program".to_owned(),
        _ => error.to_string(),
    })
}

fn read_token(path: &Path) -> Result<Token, Failure> {
    let text = File::open(path)
        .and_then(|file| io::read_to_string(file.take(MAX_TOKEN)))
        .map_err(Failure::of(Exit::NO_INPUT, format_args!("cannot read {}", path.display())))?;
    #[cfg(unix)]
    if std::fs::metadata(path).is_ok_and(|file| std::os::unix::fs::MetadataExt::mode(&file) & 0o004 != 0) {
        tracing::warn!(
            "each user of this machine can read the token in {path}: chmod o-r {path}",
            path = path.display()
        );
    }
    Token::read(&text).map_err(|why| Failure::new(Exit::CONFIGURATION, format!("in {}: {why}", path.display())))
}

/// The node over HTTP. It ends when this is dropped.
pub(super) struct Http {
    server: Server,
    gateway: Gateway,
    /// `None` where it could not be written.
    _token_file: Option<TokenFile>,
}

/// How a node is reached over HTTP.
#[derive(Debug)]
pub(super) struct HttpStarted {
    pub(super) url: String,
    /// The page, with a one-time code.
    pub(super) page: String,
    pub(super) token: Token,
}

impl Http {
    /// Serves `node`, whose folder is `folder`, with what `metrics` records.
    pub(super) async fn start(
        listening: Listening,
        settings: &HttpSettings,
        node: &Node,
        folder: Option<&Path>,
        metrics: Option<PrometheusHandle>,
    ) -> Result<Self, Failure> {
        let Listening { listener, addr, token } = listening;
        // A host is named where a proxy is in front, which makes each of its clients a local one.
        let local = addr.ip().to_canonical().is_loopback() && settings.hosts.is_empty();
        let mut builder = Gateway::builder(node.clone())
            .protect_reads(!local)
            .secure_cookie(!local)
            .cookie(format!("kad_session_{}", addr.port()));
        if !addr.ip().is_unspecified() {
            builder = builder.host(SocketAddr::new(addr.ip(), 0).to_string().trim_end_matches(":0"));
        }
        builder = settings.hosts.iter().fold(builder, |builder, host| builder.host(host));
        builder = settings.origins.iter().fold(builder, |builder, origin| builder.origin(origin));
        builder = token.into_iter().fold(builder, |builder, token| builder.token(token));
        builder = metrics.into_iter().fold(builder, |builder, recorder| builder.metrics(recorder));
        let gateway = builder.build();
        let server =
            Server::start(listener, gateway.clone()).await.map_err(Failure::of(Exit::SYSTEM, "cannot serve HTTP"))?;
        let (token, url, folder) = (gateway.token().clone(), server.url(), folder.map(Path::to_owned));
        let written = off_thread(move || TokenFile::write(folder.as_deref(), addr, &url, &token)).await?;
        let token_file =
            written.map_err(|error| tracing::warn!(%error, "the HTTP token cannot be left in a file")).ok();
        Ok(Self { server, gateway, _token_file: token_file })
    }

    pub(super) fn started(&self) -> HttpStarted {
        let url = self.server.url();
        let page = format!("{url}?code={}", self.gateway.one_time_code().reveal());
        HttpStarted { url, page, token: self.gateway.token().clone() }
    }
}
