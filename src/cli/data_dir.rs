//! Where `kad node` listens, and the folder of its store: the one that is asked for, or one for each address in the
//! platform's data directory, so that two nodes of one machine never share one.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::blocking::off_thread;
use super::contact::ListenAddr;
use super::failure::{Exit, Failure};
use super::settings::NodeSettings;
use super::wording::human;
use crate::actors::node::Node;
use crate::actors::outcome::Error;
use crate::actors::socket::udp::UdpTransport;
use crate::causes::Causes;
use crate::persist::{DiskStore, Durability, OpenError, STORE_FILE};
use crate::protocol::peer::canonical;
use crate::protocol::store::BackendState;

/// How long the folder of a running node may be gone before the node ends.
const GONE_FOR: Duration = Duration::from_secs(60);
/// How often that is checked.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Opens the store in `folder`, on another thread: that takes seconds where millions of values are stored, and has no limit
/// where the disk hangs.
pub(super) async fn open(folder: &Path, durability: Durability) -> Result<DiskStore, Failure> {
    open_by(DiskStore::open_with, folder, durability).await
}

async fn open_by<T: Send + 'static>(
    open: impl FnOnce(PathBuf, Durability) -> Result<T, OpenError> + Send + 'static,
    folder: &Path,
    durability: Durability,
) -> Result<T, Failure> {
    let folder = folder.to_owned();
    off_thread(move || open(folder, durability)).await?.map_err(|error| unusable(&error))
}

/// The folder of the store of a node at `addr`; `None` where it has none.
pub(super) async fn folder(settings: &NodeSettings, addr: SocketAddr) -> Result<Option<PathBuf>, Failure> {
    if settings.ephemeral {
        return Ok(None);
    }
    // A node at any free port is another one each time.
    if settings.data_dir.is_some() || addr.port() == 0 {
        return Ok(settings.data_dir.clone());
    }
    let home = home().ok_or_else(|| {
        let text = "no folder for values is known: name one with --data-dir DIR, or store none with --ephemeral";
        Failure::new(Exit::CANNOT_CREATE, text)
    })?;
    let listen = settings.listen.to_string();
    off_thread(move || Some(for_address(&home, &listen, addr))).await
}

/// Where the folders of nodes are that name none.
pub(super) fn home() -> Option<PathBuf> {
    platform(|name| std::env::var_os(name)).map(|platform| platform.join("kad"))
}

/// The folder in `home` of a node at `addr`: one for all spellings of an address, unless there is one for the very spelling
/// `listen`, as earlier versions made it.
fn for_address(home: &Path, listen: &str, addr: SocketAddr) -> PathBuf {
    let spelled = home.join(name(listen));
    if spelled.is_dir() {
        return spelled;
    }
    // A node at all IPv6 addresses listens at all IPv4 addresses too.
    let ip = if addr.ip().is_unspecified() { Ipv4Addr::UNSPECIFIED.into() } else { addr.ip().to_canonical() };
    home.join(name(&SocketAddr::new(ip, addr.port()).to_string()))
}

/// The address that `listen` names: of a host's addresses an IPv4 one, as most nodes speak that.
pub(super) async fn address(listen: &ListenAddr) -> Result<SocketAddr, Failure> {
    let text = listen.to_string();
    let found = off_thread(move || text.to_socket_addrs().map(|found| found.min_by_key(SocketAddr::is_ipv6))).await?;
    let reason = match found {
        Ok(Some(addr)) if addr.ip().to_canonical() != addr.ip() => return Ok(canonical(addr)),
        Ok(Some(addr)) => return Ok(addr),
        Ok(None) => "it has no address".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(cannot_start(Error::Resolve { addr: listen.to_string(), reason }))
}

/// Checks that a node can listen at `addr`, before anything is created for one that cannot.
pub(super) fn try_port(addr: SocketAddr) -> Result<(), Failure> {
    UdpTransport::bind(addr).map(drop).map_err(|source| {
        cannot_start(match source.kind() {
            ErrorKind::AddrInUse => Error::PortInUse { addr },
            _ => Error::Bind { addr, source },
        })
    })
}

/// A node could not be started, because of `error`.
pub(super) fn cannot_start(error: Error) -> Failure {
    match error {
        Error::Resolve { .. } => Failure::new(Exit::SYSTEM, format!("cannot listen: {error}")),
        Error::PortInUse { .. } => Failure::new(Exit::SYSTEM, format!("{error} (--listen ADDR:PORT)")),
        other => other.into(),
    }
}

/// Waits until the store of `node` has been missing from `folder`, where it was opened, for [`GONE_FOR`]; without a folder for
/// ever.
pub(super) async fn lost(node: &Node, folder: Option<&Path>) -> Failure {
    let Some(folder) = folder else { return std::future::pending().await };
    let mut since: Option<Instant> = None;
    while since.is_none_or(|since| since.elapsed() < GONE_FOR) {
        if let Ok(snapshot) = node.snapshot().await {
            let gone = snapshot.store.backend.state == BackendState::Gone;
            since = gone.then(|| since.unwrap_or_else(Instant::now));
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    let text = format!(
        "the folder {} was removed, moved or replaced while the node ran, and did not come back within {}",
        folder.display(),
        human(GONE_FOR)
    );
    Failure::new(Exit::CANNOT_CREATE, text)
}

/// The folder for data of programs. Relative paths in the environment are ignored.
fn platform(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if cfg!(windows) {
        path("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        path("HOME").map(|home| home.join("Library").join("Application Support"))
    } else {
        path("XDG_DATA_HOME").or_else(|| path("HOME").map(|home| home.join(".local").join("share")))
    }
}

/// `listen` as the name of a folder, on any file system.
fn name(listen: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || ".-".contains(c) { c } else { '_' };
    listen.trim_start_matches('[').replace("]:", "_").chars().map(plain).collect()
}

fn unusable(error: &OpenError) -> Failure {
    let whole = Causes(error);
    let hint = match error {
        OpenError::InUse { .. } => ": stop that one, or choose another folder with --data-dir DIR".to_owned(),
        OpenError::Folder { .. } => " (--data-dir DIR for another, --ephemeral for none)".to_owned(),
        OpenError::Unusable { folder, .. } => format!(
            ": check that the disk has room and the folder is writable, or move {} away (--data-dir DIR, --ephemeral)",
            folder.join(STORE_FILE).display()
        ),
        OpenError::LaterVersion { .. } => {
            ": run that version, or choose another folder (--data-dir DIR, --ephemeral for none)".to_owned()
        }
        OpenError::Thread(_) => return Failure::new(Exit::SYSTEM, whole.to_string()),
    };
    Failure::new(Exit::CANNOT_CREATE, format!("{whole}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::store::{BackendHealth, Change, Committed, Store, StoreError, StoredRecord};
    use crate::sim::{MemoryNetwork, in_virtual_time};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[tokio::test]
    async fn a_store_is_opened_on_another_thread_than_the_one_that_hears_signals() {
        // A port that is taken, by this test alone, would be the better reason for a folder in use.
        let seen = |folder, durability| Ok((std::thread::current().id(), folder, durability));
        let (thread, folder, durability) = open_by(seen, Path::new("/data"), Durability::Relaxed).await.unwrap();
        assert_ne!(thread, std::thread::current().id());
        assert_eq!((folder, durability), (PathBuf::from("/data"), Durability::Relaxed));
        let in_use = |folder, _| Err::<(), _>(OpenError::InUse { folder });
        let failure = open_by(in_use, Path::new("/data"), Durability::Durable).await.unwrap_err();
        assert!(failure.exit.code() == 73 && failure.to_string().contains("/data"), "{failure}");
    }

    #[test]
    fn all_spellings_of_an_address_have_one_folder_unless_one_has_its_own_already() {
        let dir = tempfile::tempdir().unwrap();
        let of = |listen: &str, addr: &str| {
            let folder = for_address(dir.path(), listen, addr.parse().unwrap());
            folder.file_name().unwrap().to_str().unwrap().to_owned()
        };
        for (listen, addr) in [
            ("127.0.0.1:8000", "127.0.0.1:8000"),
            ("localhost:8000", "127.0.0.1:8000"),
            ("LOCALHOST:08000", "127.0.0.1:8000"),
            ("127.1:8000", "127.0.0.1:8000"),
            ("[::ffff:127.0.0.1]:8000", "[::ffff:127.0.0.1]:8000"),
        ] {
            assert_eq!(of(listen, addr), "127.0.0.1_8000", "{listen}");
        }
        assert_eq!(of("[::]:8000", "[::]:8000"), of("0.0.0.0:8000", "0.0.0.0:8000"));
        assert_eq!(of("[::1]:8000", "[::1]:8000"), "__1_8000");
        assert_ne!(of("127.0.0.2:8000", "127.0.0.2:8000"), of("127.0.0.1:8000", "127.0.0.1:8000"));
        std::fs::create_dir(dir.path().join("localhost_8000")).unwrap();
        assert_eq!(of("localhost:8000", "127.0.0.1:8000"), "localhost_8000");
        assert_eq!(of("127.0.0.1:8000", "127.0.0.1:8000"), "127.0.0.1_8000");
    }

    #[tokio::test]
    async fn an_address_is_resolved_and_a_name_prefers_ipv4() {
        for (listen, addr) in [
            ("127.0.0.1:08000", "127.0.0.1:8000"),
            ("localhost:8000", "127.0.0.1:8000"),
            ("LOCALHOST:8000", "127.0.0.1:8000"),
            ("[::ffff:127.0.0.1]:8000", "127.0.0.1:8000"),
            ("[::1]:8000", "[::1]:8000"),
        ] {
            assert_eq!(address(&listen.parse().unwrap()).await.unwrap(), addr.parse().unwrap(), "{listen}");
        }
    }

    /// A store whose folder is there or not, as a test wants it.
    struct Flickering(Arc<AtomicBool>);

    impl Store for Flickering {
        fn load(&mut self) -> Result<Vec<StoredRecord>, StoreError> {
            Ok(Vec::new())
        }

        fn commit(&mut self, _: Vec<Change>, done: Committed) {
            done(Ok(()));
        }

        fn health(&self) -> BackendHealth {
            let state = if self.0.load(Ordering::Relaxed) { BackendState::Gone } else { BackendState::Healthy };
            BackendHealth { state, ..BackendHealth::default() }
        }
    }

    #[test]
    fn a_folder_that_is_gone_for_a_minute_ends_a_node_and_one_that_comes_back_does_not() {
        in_virtual_time(async {
            let (gone, network) = (Arc::new(AtomicBool::new(false)), MemoryNetwork::new(7));
            let node = Node::builder().store(Flickering(gone.clone()));
            let node = node.start_local_over(network.endpoint()).await.unwrap();
            let folder = Path::new("/data");
            let wait =
                async |seconds| tokio::time::timeout(Duration::from_secs(seconds), lost(&node, Some(folder))).await;
            assert!(wait(1_000).await.is_err());
            let flicker = async {
                for _ in 0..10 {
                    gone.store(true, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_secs(50)).await;
                    gone.store(false, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_secs(2)).await;
                }
                gone.store(true, Ordering::Relaxed);
                Instant::now()
            };
            let begun = Instant::now();
            let (failure, since) = tokio::join!(lost(&node, Some(folder)), flicker);
            assert!((60..63).contains(&since.elapsed().as_secs()), "{:?} of {:?}", since.elapsed(), begun.elapsed());
            assert!(failure.exit.code() == 73 && failure.to_string().contains("/data"), "{failure}");
        });
    }

    #[test]
    fn each_address_has_a_folder_of_its_own_whose_name_any_file_system_takes() {
        assert_eq!(name("127.0.0.1:8000"), "127.0.0.1_8000");
        assert_eq!(name("[::1]:8000"), "__1_8000");
        assert_eq!(name("localhost:8000"), "localhost_8000");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_data_directory_is_the_platforms_and_never_a_relative_one() {
        let of = |set: &'static [(&str, &str)]| {
            platform(|name| set.iter().find(|(found, _)| *found == name).map(|(_, value)| value.into()))
        };
        assert_eq!(of(&[("XDG_DATA_HOME", "/data"), ("HOME", "/home/a")]), Some("/data".into()));
        assert_eq!(of(&[("XDG_DATA_HOME", "data"), ("HOME", "/home/a")]), Some("/home/a/.local/share".into()));
        assert_eq!(of(&[]), None);
    }
}
