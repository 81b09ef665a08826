//! What `kad node` reports to a service manager, as `sd_notify(3)` defines it: that it is ready, its status, that it is alive
//! as far as its disk, that it stops. Without a service manager nothing is sent.
//!
//! The socket is used here directly: the crates for it read its name from the environment with each message.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::time::Duration;
use std::{fmt, io};

use super::failure::{Exit, Failure};
use super::watchdog::Stranger;
use super::wording::nodes;
use crate::actors::node::Node;
use crate::actors::outcome::Error;
use crate::actors::snapshot::Snapshot;
use crate::causes::Causes;
use crate::protocol::store::BackendState;

/// How often the status is sent.
const STATUS_INTERVAL: Duration = Duration::from_secs(10);

/// How often the service manager is asked for twice that time while the node starts.
const START_INTERVAL: Duration = Duration::from_secs(10);
/// How often it does so: a start of ten minutes is one that hangs, and the service manager's own limit then counts.
const START_EXTENSIONS: u32 = 60;

/// The connection to the service manager.
pub(super) struct Service {
    /// `None` where there is no service manager.
    send: Option<Send>,
    /// The time within which it wants to hear that the node is alive.
    watchdog: Option<Duration>,
}

/// Sends a message.
type Send = Box<dyn Fn(&str) -> io::Result<()>>;

impl Service {
    /// As the environment has it.
    pub(super) fn of_environment() -> Result<Self, Failure> {
        Self::new(|name| std::env::var_os(name))
    }

    /// As an environment with these variables has it.
    pub(super) fn new(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, Failure> {
        let Some(socket) = variable("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(Self { send: None, watchdog: None });
        };
        let what = |name: &str, value: &OsStr| format!("{name}={} in the environment", value.to_string_lossy());
        let send = connect(&socket).map_err(Failure::of(Exit::CONFIGURATION, what("NOTIFY_SOCKET", &socket)))?;
        let number = |name: &str| {
            let parse = |value: OsString| {
                let number = value.to_string_lossy().parse::<u64>();
                number.map_err(Failure::of(Exit::CONFIGURATION, what(name, &value)))
            };
            variable(name).map(parse).transpose()
        };
        let ours = number("WATCHDOG_PID")?.is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC")?.filter(|usec| ours && *usec > 0).map(Duration::from_micros);
        Ok(Self { send: Some(send), watchdog })
    }

    fn notify(&self, state: &str) {
        if let Some(Err(error)) = self.send.as_ref().map(|send| send(state)) {
            tracing::debug!(%error, state, "the service manager cannot be reached");
        }
    }

    /// Reports what the node is about to do.
    pub(super) fn status(&self, what: &dyn fmt::Display) {
        self.notify(&format!("STATUS={}", one_line(what)));
    }

    /// Reports that the node is starting, and asks for time for that, for as long as it is polled.
    pub(super) async fn starting(&self) -> Infallible {
        self.status(&"starting");
        for _ in 0..START_EXTENSIONS {
            self.notify(&format!("EXTEND_TIMEOUT_USEC={}", (2 * START_INTERVAL).as_micros()));
            tokio::time::sleep(START_INTERVAL).await;
        }
        std::future::pending().await
    }

    /// The port is bound and the store open.
    pub(super) fn ready(&self) {
        self.notify("READY=1");
    }

    /// The node is about to stop, for this reason.
    pub(super) fn stopping(&self, why: &dyn fmt::Display) {
        self.notify(&format!("STOPPING=1\nSTATUS={}", one_line(why)));
    }

    /// Reports the status of `node`, and that it is alive, for as long as it is polled. `stranger` asks it from outside.
    pub(super) async fn report(&self, node: &Node, stranger: Option<&Stranger>) -> Infallible {
        if self.send.is_none() {
            return std::future::pending().await;
        }
        tokio::select! {
            never = self.report_status(node) => never,
            never = self.feed_watchdog(node, stranger) => never,
        }
    }

    async fn report_status(&self, node: &Node) -> Infallible {
        loop {
            // A part that is being restarted is reported the next time.
            if let Ok(snapshot) = node.snapshot().await {
                self.status(&status(&snapshot));
            }
            tokio::time::sleep(STATUS_INTERVAL).await;
        }
    }

    /// At half of the time, but only after a stranger's round trip through socket and dispatcher, and one through the node
    /// and its store: where any of these hangs, nothing is sent any more.
    async fn feed_watchdog(&self, node: &Node, stranger: Option<&Stranger>) -> Infallible {
        let Some(limit) = self.watchdog else { return std::future::pending().await };
        loop {
            let alive = match stranger {
                Some(stranger) if !stranger.is_answered(node, limit / 4).await => {
                    tracing::warn!("the watchdog has to wait: the node answers no query");
                    false
                }
                _ => match node.probe().await {
                    // A disk that is full has answered: another process would have no more room.
                    Ok(()) | Err(Error::Store(_)) => true,
                    Err(error) => {
                        tracing::warn!(error = %Causes(&error), "the watchdog has to wait");
                        false
                    }
                },
            };
            if alive {
                self.notify("WATCHDOG=1");
            }
            tokio::time::sleep(if alive { limit / 2 } else { limit / 8 }).await;
        }
    }
}

fn one_line(text: &dyn fmt::Display) -> String {
    text.to_string().replace('\n', " ")
}

fn status(snapshot: &Snapshot) -> String {
    let (held, published) = (snapshot.store.held.values, snapshot.store.published.values);
    let restarts: u64 = snapshot.restarts.by_actor.values().sum();
    let store = match snapshot.store.backend.state {
        BackendState::Healthy => String::new(),
        other => format!("; store: {other}"),
    };
    let known = nodes(snapshot.table.peers);
    format!("{known} known; values: {published} published, {held} held; restarts: {restarts}{store}")
}

/// The socket `name` of the service manager: a path or, on Linux, a name without one after `@`.
#[cfg(unix)]
fn connect(name: &OsStr) -> io::Result<Send> {
    #[cfg(target_os = "linux")]
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let to = match name.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a path nor a name after @")),
    };
    let socket = UnixDatagram::unbound()?;
    // A service manager that hangs must not block the node.
    socket.set_nonblocking(true)?;
    Ok(Box::new(move |state| socket.send_to_addr(state.as_bytes(), &to).map(drop)))
}

#[cfg(not(unix))]
fn connect(_: &OsStr) -> io::Result<Send> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no such sockets"))
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::store::{Change, Committed, Store, StoreError, StoredRecord};
    use crate::sim::{MemoryNetwork, in_virtual_time};
    use std::os::unix::net::UnixDatagram;
    use std::sync::{Arc, Mutex};

    /// A service manager, and the service that reports to it.
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

    /// What was sent and not yet received.
    fn heard(manager: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 512];
        std::iter::from_fn(|| {
            manager.recv(&mut buffer).ok().map(|len| String::from_utf8(buffer[..len].to_vec()).unwrap())
        })
        .collect()
    }

    /// Commits, or leaves commits without an answer.
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
                never = service.report(&node, None) => match never {},
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
                never = service.starting() => match never {},
                () = hangs => {}
            }
        });
    }

    #[test]
    fn what_makes_no_sense_in_the_environment_is_a_configuration_error_that_names_it() {
        let (_dir, _manager, bad) = service(Some("soon"));
        let failure = bad.err().unwrap();
        assert_eq!((failure.exit, failure.exit.code()), (Exit::CONFIGURATION, 64));
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
        // No socket is there: that is no reason to fail.
        of_another.ready();
    }
}
