//! Where `kad node` keeps what outlives it: the folder that is asked for, or one for each address in the platform's data
//! directory, so that two nodes of one machine never share one.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::{Path, PathBuf};

use super::failure::{Exit, Failure};
use super::off_thread;
use super::settings::NodeSettings;
use crate::persist::{DiskStore, Durability, OpenError};

/// Opens the store in `folder`, on another thread: it takes seconds where millions of values are held, and as long as it
/// likes where the disk hangs.
pub(super) async fn open(folder: &Path, args: &NodeSettings) -> Result<DiskStore, Failure> {
    open_by(DiskStore::open_with, folder, args).await
}

async fn open_by<T: Send + 'static>(
    open: impl FnOnce(PathBuf, Durability) -> Result<T, OpenError> + Send + 'static,
    folder: &Path,
    args: &NodeSettings,
) -> Result<T, Failure> {
    let (folder, durability) = (folder.to_owned(), args.durability);
    let opened = off_thread(move || open(folder, durability)).await?;
    opened.map_err(|error| unusable(&error, args))
}

/// The folder of the node's store; `None` where it keeps nothing.
pub(super) fn folder(args: &NodeSettings) -> Result<Option<PathBuf>, Failure> {
    if args.ephemeral {
        return Ok(None);
    }
    if let Some(folder) = &args.data_dir {
        return Ok(Some(folder.clone()));
    }
    let listen = args.listen.to_string();
    // A node at any free port is another one each time.
    if listen.ends_with(":0") {
        return Ok(None);
    }
    let home = platform(|name| std::env::var_os(name)).ok_or_else(|| {
        let text = "no folder is known to keep values in: name one with --data-dir DIR, or keep none with --ephemeral";
        Failure::new(Exit::Store, text)
    })?;
    Ok(Some(home.join("kad").join(name(&listen))))
}

/// The folder of programs' data. Relative paths in the environment are not believed.
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

fn unusable(error: &OpenError, args: &NodeSettings) -> Failure {
    let text = match error {
        // Most likely it is the same command a second time, and then the port says it better.
        OpenError::InUse { .. } if port_in_use(args) => {
            return Failure::new(Exit::System, format!("the port of {} is in use (--listen ADDR:PORT)", args.listen));
        }
        OpenError::InUse { .. } => format!("{error}: stop that one, or choose another folder with --data-dir DIR"),
        OpenError::Folder { .. } => format!("{error} (--data-dir DIR for another, --ephemeral for none)"),
        OpenError::Unusable { folder, .. } => {
            let hint = "see that the disk has room and the folder may be written";
            format!("{error}: {hint}, or move {} away (--data-dir DIR, --ephemeral)", file(folder).display())
        }
        OpenError::LaterVersion { .. } => {
            format!("{error}: run that version, or choose another folder (--data-dir DIR, --ephemeral for none)")
        }
        OpenError::Thread(_) => return Failure::new(Exit::System, error.to_string()),
    };
    Failure::new(Exit::Store, text)
}

fn file(folder: &Path) -> PathBuf {
    folder.join(crate::persist::STORE_FILE)
}

fn port_in_use(args: &NodeSettings) -> bool {
    // Of the addresses of a host an IPv4 one, as the node would.
    let addr = args.listen.to_string().to_socket_addrs().ok().and_then(|found| found.min_by_key(SocketAddr::is_ipv6));
    addr.is_some_and(|addr| UdpSocket::bind(addr).is_err_and(|error| error.kind() == ErrorKind::AddrInUse))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, Command};
    use crate::cli::settings;
    use clap::Parser;

    #[tokio::test]
    async fn a_store_is_opened_on_another_thread_than_the_one_that_hears_signals() {
        // A port that is taken, by this test alone, would be the better reason for a folder in use.
        let cli = Cli::try_parse_from(["kad", "node", "--durability", "relaxed", "--listen", "127.0.0.1:0"]).unwrap();
        let Command::Node(args) = cli.command else { panic!("{cli:?}") };
        let args = settings::load(args).unwrap();
        let seen = |folder, durability| Ok((std::thread::current().id(), folder, durability));
        let (thread, folder, durability) = open_by(seen, Path::new("/data"), &args).await.unwrap();
        assert_ne!(thread, std::thread::current().id());
        assert_eq!((folder, durability), (PathBuf::from("/data"), Durability::Relaxed));
        let in_use = |folder, _| Err::<(), _>(OpenError::InUse { folder });
        let failure = open_by(in_use, Path::new("/data"), &args).await.unwrap_err();
        assert!(failure.exit.code() == 73 && failure.to_string().contains("/data"), "{failure}");
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
