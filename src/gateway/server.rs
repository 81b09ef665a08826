//! The server of a gateway: on threads of its own, so that no client of it delays the node.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::KeepAlive;
use actix_web::{App, HttpServer};
use tokio::sync::oneshot;

use super::builder::Gateway;

/// Threads that answer requests.
pub const WORKERS: usize = 2;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 128;
/// How long a client may take to send the head of a request.
pub const HEAD_TIME: Duration = Duration::from_secs(5);
/// Bytes of answers that the system holds for a client that has not read them (Linux doubles it). Without it the system would
/// decide, up to 4 MB for each connection.
const SEND_BUFFER: usize = 128 << 10;
/// How much nicer the threads of the server are than the node: where processors are short, datagrams go before requests.
#[cfg(target_os = "linux")]
const NICER: i32 = 10;
/// How often the recorder of metrics sums up what it was reported.
const UPKEEP: Duration = Duration::from_secs(5);

/// A running server. It ends when this is dropped, and its connections with it.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    handle: ServerHandle,
}

impl Server {
    /// Serves `gateway` at the address that `listener` is bound to.
    ///
    /// # Errors
    /// Where its threads cannot be started.
    pub async fn start(listener: TcpListener, gateway: Gateway) -> io::Result<Self> {
        let addr = listener.local_addr()?;
        bound_answers(&listener, gateway.limits().read_time)?;
        let (started, starting) = oneshot::channel();
        std::thread::Builder::new().name("kad-http".to_owned()).spawn(move || run(listener, gateway, started))?;
        let ended = |_| io::Error::other("the server has ended before it began");
        let handle = starting.await.map_err(ended)??;
        Ok(Self { addr, handle })
    }

    /// The address that it listens at.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its address for a browser or another client on this machine.
    pub fn url(&self) -> String {
        let ip = self.addr.ip();
        let ip = match ip.is_unspecified() {
            true if ip.is_ipv4() => std::net::Ipv4Addr::LOCALHOST.into(),
            true => std::net::Ipv6Addr::LOCALHOST.into(),
            false => ip,
        };
        format!("http://{}/", SocketAddr::new(ip, self.addr.port()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The command is sent at once; its future only waits for the end.
        drop(self.handle.stop(false));
    }
}

/// What each connection inherits: how much waits for a client that does not read, and for how long. Actix has no bound for
/// either, so that such a client would hold its connection for ever.
fn bound_answers(listener: &TcpListener, read_time: Duration) -> io::Result<()> {
    let socket = socket2::SockRef::from(listener);
    socket.set_send_buffer_size(SEND_BUFFER)?;
    // Elsewhere the number of connections is the only bound.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(read_time))?;
    #[cfg(not(target_os = "linux"))]
    let _ = read_time;
    Ok(())
}

/// Has the node go before this thread and those that it starts. Elsewhere than on Linux a niceness is one of the whole process.
fn yield_to_the_node() {
    // Where it is forbidden, requests are answered as well, and may delay datagrams by milliseconds.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICER) {
        tracing::debug!(%error, "the priority of the HTTP server could not be lowered");
    }
}

fn run(listener: TcpListener, gateway: Gateway, started: oneshot::Sender<io::Result<ServerHandle>>) {
    yield_to_the_node();
    actix_rt::System::new().block_on(async move {
        let (recorder, connections) = (gateway.metrics().cloned(), gateway.limits().connections);
        let factory = move || App::new().configure(gateway.configure());
        let server = HttpServer::new(factory)
            .workers(WORKERS)
            .max_connections((connections / WORKERS).max(1))
            .backlog(BACKLOG)
            .client_request_timeout(HEAD_TIME)
            .client_disconnect_timeout(Duration::from_secs(1))
            // HEAD_TIME is for the first request of a connection alone: with half a head of a second one a client would hold
            // it for ever.
            .keep_alive(KeepAlive::Disabled)
            .disable_signals()
            .listen(listener);
        let server = match server {
            Ok(server) => server.run(),
            Err(error) => return drop(started.send(Err(error))),
        };
        if started.send(Ok(server.handle())).is_err() {
            return;
        }
        if let Some(recorder) = recorder {
            actix_rt::spawn(async move {
                loop {
                    tokio::time::sleep(UPKEEP).await;
                    recorder.run_upkeep();
                }
            });
        }
        if let Err(error) = server.await {
            tracing::error!(%error, "the HTTP server has failed");
        }
    });
}
