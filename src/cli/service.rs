//! What a service manager is told of `kad node`, in the manner of `sd_notify(3)`: that it is ready, how it fares, that it
//! is alive as far as its disk, that it stops. Whoever has none loses nothing.
//!
//! The socket is spoken to here, and not by a crate: those take it from the environment with each message.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use super::failure::{Exit, Failure};
use super::watchdog::Stranger;
use super::wording::nodes;
use crate::actors::node::Node;
use crate::actors::outcome::Error;
use crate::actors::snapshot::Snapshot;
use crate::protocol::store::BackendState;

/// How often it says how it fares.
const STATUS_INTERVAL: Duration = Duration::from_secs(10);

/// How often it asks for twice that time while it starts.
const START_INTERVAL: Duration = Duration::from_secs(10);
/// How often it does so: a start of ten minutes is one that hangs, and the service manager's own limit then counts.
const START_EXTENSIONS: u32 = 60;

/// The line to the service manager.
pub(super) struct Service {
    /// `None` where there is no service manager.
    socket: Option<Socket>,
    /// Within which time it wants to hear that the node lives.
    watchdog: Option<Duration>,
}

impl Service {
    /// As the environment has it.
    pub(super) fn of_environment() -> Result<Self, Failure> {
        Self::new(|name| std::env::var_os(name))
    }

    /// As an environment with these variables has it.
    pub(super) fn new(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, Failure> {
        let Some(name) = variable("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(Self { socket: None, watchdog: None });
        };
        let wrong = |name: &str, value: &OsString, why: &dyn fmt::Display| {
            let value = value.to_string_lossy();
            Failure::new(Exit::Configuration, format!("{name}={value} in the environment: {why}"))
        };
        let socket = Socket::open(&name).map_err(|why| wrong("NOTIFY_SOCKET", &name, &why))?;
        let number = |name: &str| match variable(name) {
            None => Ok(None),
            Some(value) => match value.to_string_lossy().parse::<u64>() {
                Ok(number) => Ok(Some(number)),
                Err(error) => Err(wrong(name, &value, &error)),
            },
        };
        let ours = number("WATCHDOG_PID")?.is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC")?.filter(|usec| ours && *usec > 0).map(Duration::from_micros);
        Ok(Self { socket: Some(socket), watchdog })
    }

    fn say(&self, state: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(state)
        {
            tracing::debug!(%error, state, "the service manager does not hear");
        }
    }

    /// It is about to do this.
    pub(super) fn say_status(&self, what: &dyn fmt::Display) {
        self.say(&format!("STATUS={}", one_line(what)));
    }

    /// Says that the node is starting, and asks for patience with that, for as long as it is polled.
    pub(super) async fn starting(&self) -> Infallible {
        self.say_status(&"starting");
        for _ in 0..START_EXTENSIONS {
            self.say(&format!("EXTEND_TIMEOUT_USEC={}", (2 * START_INTERVAL).as_micros()));
            tokio::time::sleep(START_INTERVAL).await;
        }
        std::future::pending().await
    }

    /// The port is bound and the store open.
    pub(super) fn ready(&self) {
        self.say("READY=1");
    }

    /// It is about to stop, for this reason.
    pub(super) fn stopping(&self, why: &dyn fmt::Display) {
        self.say(&format!("STOPPING=1\nSTATUS={}", one_line(why)));
    }

    /// Says how `node` fares, and that it is alive, for as long as it is polled. `stranger` asks it from outside.
    pub(super) async fn report(&self, node: &Node, stranger: Option<&Stranger>) {
        if self.socket.is_none() {
            return std::future::pending().await;
        }
        tokio::join!(self.report_status(node), self.feed_watchdog(node, stranger));
    }

    async fn report_status(&self, node: &Node) {
        loop {
            // A part that is being restarted is heard of the next time.
            if let Ok(snapshot) = node.snapshot().await {
                self.say_status(&status(&snapshot));
            }
            tokio::time::sleep(STATUS_INTERVAL).await;
        }
    }

    /// At half of the time, but only after a stranger's round trip through socket and dispatcher, and one through the node
    /// and its store: whatever hangs there, this says no more.
    async fn feed_watchdog(&self, node: &Node, stranger: Option<&Stranger>) {
        let Some(limit) = self.watchdog else { return };
        loop {
            if let Some(stranger) = stranger
                && !stranger.is_answered(node, limit / 4).await
            {
                tracing::warn!("the watchdog has to wait: the node answers nothing");
                tokio::time::sleep(limit / 8).await;
                continue;
            }
            match node.probe().await {
                // A disk that is full has answered: another process would have no more room.
                Ok(()) | Err(Error::Store(_)) => {
                    self.say("WATCHDOG=1");
                    tokio::time::sleep(limit / 2).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "the watchdog has to wait");
                    tokio::time::sleep(limit / 8).await;
                }
            }
        }
    }
}

fn one_line(text: &dyn fmt::Display) -> String {
    text.to_string().replace('\n', " ")
}

fn status(snapshot: &Snapshot) -> String {
    let (held, published) = (snapshot.store.held.values, snapshot.store.published.values);
    let restarts: u64 = snapshot.restarts.values().sum();
    let store = match snapshot.store.backend.state {
        BackendState::Healthy => String::new(),
        other => format!("; store: {other}"),
    };
    let known = nodes(snapshot.table.peers);
    format!("{known} known; values: {published} published, {held} held; restarts: {restarts}{store}")
}

#[cfg(unix)]
use unix::Socket;

#[cfg(unix)]
mod unix {
    use std::ffi::OsStr;
    use std::io;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    /// Where the service manager listens.
    pub(super) struct Socket {
        socket: UnixDatagram,
        to: SocketAddr,
    }

    impl Socket {
        /// A path, or after `@` a name without one.
        pub(super) fn open(name: &OsStr) -> io::Result<Self> {
            let to = match name.as_bytes() {
                [b'/', ..] => SocketAddr::from_pathname(name)?,
                [b'@', name @ ..] => of_name(name)?,
                _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a path nor a name after @")),
            };
            let socket = UnixDatagram::unbound()?;
            // A manager that hangs must not hold the node.
            socket.set_nonblocking(true)?;
            Ok(Self { socket, to })
        }

        pub(super) fn send(&self, state: &str) -> io::Result<()> {
            self.socket.send_to_addr(state.as_bytes(), &self.to).map(drop)
        }
    }

    #[cfg(target_os = "linux")]
    fn of_name(name: &[u8]) -> io::Result<SocketAddr> {
        use std::os::linux::net::SocketAddrExt;
        SocketAddr::from_abstract_name(name)
    }

    #[cfg(not(target_os = "linux"))]
    fn of_name(_: &[u8]) -> io::Result<SocketAddr> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "names without a path are Linux's"))
    }
}

#[cfg(not(unix))]
struct Socket(std::convert::Infallible);

#[cfg(not(unix))]
impl Socket {
    fn open(_: &std::ffi::OsStr) -> std::io::Result<Self> {
        Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "this system has no such sockets"))
    }

    fn send(&self, _: &str) -> std::io::Result<()> {
        match self.0 {}
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::store::{Change, Committed, Store, StoreError, StoredRecord};
    use crate::sim::{MemoryNetwork, in_virtual_time};
    use std::os::unix::net::UnixDatagram;
    use std::sync::{Arc, Mutex};

    /// A service manager, and the service that speaks to it.
    fn service(watchdog_usec: Option<&str>) -> (tempfile::TempDir, UnixDatagram, Result<Service, Failure>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_nonblocking(true).unwrap();
        let service = Service::new(|name| match name {
            "NOTIFY_SOCKET" => Some(path.clone().into()),
            "WATCHDOG_USEC" => watchdog_usec.map(OsString::from),
            _ => None,
        });
        (dir, manager, service)
    }

    /// What has been said and not yet heard.
    fn heard(manager: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 512];
        std::iter::from_fn(|| {
            manager.recv(&mut buffer).ok().map(|len| String::from_utf8(buffer[..len].to_vec()).unwrap())
        })
        .collect()
    }

    /// Commits, or keeps whoever waits for it.
    #[derive(Clone, Default)]
    struct Hanging(Arc<Mutex<(bool, Vec<Committed>)>>);

    impl Hanging {
        fn set(&self, hangs: bool) {
            let waiting = {
                let mut state = self.0.lock().unwrap();
                state.0 = hangs;
                std::mem::take(&mut state.1)
            };
            waiting.into_iter().for_each(|done| done(Ok(())));
        }
    }

    impl Store for Hanging {
        fn load(&mut self) -> Result<Vec<StoredRecord>, StoreError> {
            Ok(Vec::new())
        }

        fn commit(&mut self, _: Vec<Change>, done: Committed) {
            let mut state = self.0.lock().unwrap();
            if state.0 { state.1.push(done) } else { done(Ok(())) }
        }
    }

    #[test]
    fn a_store_that_hangs_stops_the_watchdog_and_nothing_else_until_it_goes_on() {
        in_virtual_time(async {
            let (_dir, manager, service) = service(Some("2000000"));
            let (service, store) = (service.unwrap(), Hanging::default());
            let network = MemoryNetwork::new(7);
            let node = Node::builder().store(store.clone()).start_local_over(network.endpoint()).await.unwrap();
            let fed = || heard(&manager).iter().filter(|state| *state == "WATCHDOG=1").count();
            let during = async |time| {
                let _ = tokio::time::timeout(time, service.report(&node, None)).await;
            };
            // At half of the time: at once, and after 1, 2 and 3 s.
            during(Duration::from_millis(3_500)).await;
            assert_eq!(fed(), 4);
            store.set(true);
            let reporting = async {
                tokio::time::sleep(Duration::from_secs(8)).await;
                let said = heard(&manager);
                assert!(said.iter().all(|state| state.starts_with("STATUS=")) && !said.is_empty(), "{said:?}");
                store.set(false);
                tokio::time::sleep(Duration::from_millis(3_500)).await;
                assert_eq!(fed(), 4, "it goes on at once");
            };
            tokio::select! {
                () = service.report(&node, None) => {}
                () = reporting => {}
            }
        });
    }

    #[test]
    fn what_it_says_is_what_sd_notify_says() {
        in_virtual_time(async {
            let (_dir, manager, service) = service(None);
            let service = service.unwrap();
            let network = MemoryNetwork::new(7);
            let node = Node::builder().start_local_over(network.endpoint()).await.unwrap();
            let _ = node.set("k", "v").await.unwrap();
            service.ready();
            let _ = tokio::time::timeout(Duration::from_secs(25), service.report(&node, None)).await;
            service.stopping(&"two\nlines");
            let status = "STATUS=0 nodes known; values: 1 published, 0 held; restarts: 0";
            assert_eq!(heard(&manager), ["READY=1", status, status, status, "STOPPING=1\nSTATUS=two lines"]);
        });
    }

    #[test]
    fn a_start_asks_for_patience_again_and_again_but_not_for_ever() {
        in_virtual_time(async {
            let (_dir, manager, service) = service(None);
            let service = service.unwrap();
            let hangs = async {
                tokio::time::sleep(Duration::from_secs(5)).await;
                assert_eq!(heard(&manager), ["STATUS=starting", "EXTEND_TIMEOUT_USEC=20000000"]);
                // Within the ten minutes and for another two.
                let mut asked = 0;
                for _ in 1..72 {
                    tokio::time::sleep(Duration::from_secs(10)).await;
                    asked += heard(&manager).iter().filter(|said| *said == "EXTEND_TIMEOUT_USEC=20000000").count();
                }
                assert_eq!(asked, 59);
            };
            tokio::select! {
                _ = service.starting() => {}
                () = hangs => {}
            }
        });
    }

    #[test]
    fn what_makes_no_sense_in_the_environment_is_a_configuration_error_that_names_it() {
        let (_dir, _manager, bad) = service(Some("soon"));
        let failure = bad.err().unwrap();
        assert_eq!((failure.exit, failure.exit.code()), (Exit::Configuration, 64));
        assert!(failure.to_string().contains("WATCHDOG_USEC=soon"), "{failure}");
        let relative = Service::new(|name| (name == "NOTIFY_SOCKET").then(|| "notify".into()));
        assert!(relative.err().unwrap().to_string().contains("NOTIFY_SOCKET=notify"));
    }

    #[test]
    fn without_a_service_manager_or_for_another_process_nothing_is_said() {
        let (_dir, manager, _) = service(None);
        let none = Service::new(|_| None).unwrap();
        none.ready();
        assert!(heard(&manager).is_empty() && none.watchdog.is_none());
        let of_another = Service::new(|name| match name {
            "NOTIFY_SOCKET" => Some("/nowhere".into()),
            "WATCHDOG_USEC" => Some("1000".into()),
            _ => Some("1".into()),
        });
        let of_another = of_another.unwrap();
        assert!(of_another.watchdog.is_none());
        // Nobody listens there: that is no reason to fail.
        of_another.ready();
    }
}
