//! Where a node leaves its token for `kad` itself: in its folder, or below the runtime directory of the user. Beside it stands the
//! address that the token is for, so that it goes to no other. The file of the address is locked while the node runs: a node that
//! was killed leaves both files behind, and another user's program may listen at its port since then.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::gateway::Token;

/// The token, readable by the user alone.
pub(in crate::cli) const TOKEN_FILE: &str = "http-token";
/// The address of the node over HTTP.
pub(in crate::cli) const ADDRESS_FILE: &str = "http-address";

/// The token and the address of a running node. They are removed when this is dropped, unless others stand in their place: the
/// folder may have been renamed, and made anew by another node.
#[derive(Debug)]
pub(in crate::cli) struct TokenFile {
    folder: PathBuf,
    /// Whether the folder is there for these files alone.
    own: bool,
    /// The files by name, open: that of the address stays locked, and no other file gets the number of either.
    files: Vec<(&'static str, File)>,
}

impl TokenFile {
    /// Writes them to `folder`, that of the node, or to one below the runtime directory where it has none.
    ///
    /// # Errors
    /// Where they cannot be written, or others could read them.
    pub(in crate::cli) fn write(folder: Option<&Path>, addr: SocketAddr, url: &str, token: &Token) -> io::Result<Self> {
        let (folder, own) = match folder {
            Some(folder) => (folder.to_owned(), false),
            None => (runtime_folder(addr, |name| std::env::var_os(name))?, true),
        };
        let mut written = Self { folder, own, files: Vec::new() };
        for (name, text) in [(TOKEN_FILE, token.reveal()), (ADDRESS_FILE, url)] {
            let file = replace(&written.folder, name, text)?;
            written.files.push((name, file));
        }
        Ok(written)
    }
}

/// What a running node has left in its folder.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Left {
    pub(in crate::cli) token: Token,
    /// The address of the node over HTTP: the only one that the token may be sent to.
    pub(in crate::cli) url: String,
}

impl Left {
    /// What lies in `folder`.
    ///
    /// # Errors
    /// No running node leaves anything there, or it cannot be read.
    pub(in crate::cli) fn in_folder(folder: &Path) -> io::Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            let text = File::open(&path).and_then(|file| {
                if name == ADDRESS_FILE {
                    check_running(&file)?;
                }
                io::read_to_string(file)
            });
            text.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
        };
        // First the address, of a node that runs: its token lies there already.
        let url = read(ADDRESS_FILE)?.trim().to_owned();
        let token = Token::read(&read(TOKEN_FILE)?).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
        Ok(Self { token, url })
    }

    /// What nodes have left in the folders below `home`, that of the platform, and below the runtime directory. Folders that
    /// others could have made are passed over.
    pub(in crate::cli) fn all(home: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> Vec<Self> {
        let runtime = Some(runtime_home(variable)).filter(|home| check_private(home).is_ok());
        let homes = home.map(Path::to_owned).into_iter().chain(runtime);
        let folders = homes.filter_map(|home| fs::read_dir(home).ok()).flatten().flatten();
        folders.filter_map(|folder| Self::in_folder(&folder.path()).ok()).collect()
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        for (name, file) in &self.files {
            let path = self.folder.join(name);
            // It may be gone, with the folder.
            if is_at(file, &path) {
                let _ = fs::remove_file(path);
            }
        }
        if self.own {
            let _ = fs::remove_dir(&self.folder);
        }
    }
}

/// Puts `text` into the file `name`, which no other user can read at any moment, and which is locked from the start.
fn replace(folder: &Path, name: &str, text: &str) -> io::Result<File> {
    // A temporary file has the mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{text}")?;
    // Elsewhere a locked file could not be read.
    if cfg!(unix) {
        match file.as_file().try_lock() {
            Err(TryLockError::Error(error)) if error.kind() != io::ErrorKind::Unsupported => return Err(error),
            // No other process knows the file yet; and some file systems have no locks.
            _ => {}
        }
    }
    Ok(file.persist(folder.join(name))?)
}

/// Whether `file` is the one at `path`.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let number = |found: fs::Metadata| (found.dev(), found.ino());
    file.metadata().map(number).is_ok_and(|own| fs::symlink_metadata(path).map(number).is_ok_and(|found| found == own))
}

/// The same, where no open folder can be renamed.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

/// Whether the node that has left `file` runs. On a file system without locks each counts as running.
fn check_running(file: &File) -> io::Result<()> {
    if cfg!(unix) && file.try_lock_shared().is_ok() {
        let text = "the node that has left this file has ended without removing it";
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    Ok(())
}

/// Where the folders of ephemeral nodes are.
fn runtime_home(variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let runtime = variable("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute() && path.is_dir());
    match runtime {
        Some(runtime) => runtime.join("kad"),
        None => std::env::temp_dir().join(format!("kad-{}", user())),
    }
}

/// The folder of an ephemeral node that serves HTTP at `addr`: below [`runtime_home`], which is made where it is missing.
fn runtime_folder(addr: SocketAddr, variable: impl Fn(&str) -> Option<OsString>) -> io::Result<PathBuf> {
    let name = addr.to_string().replace([':', '[', ']', '%'], "_");
    let home = runtime_home(variable);
    create(&home)?;
    check_private(&home)?;
    let folder = home.join(name);
    create(&folder)?;
    check_private(&folder)?;
    Ok(folder)
}

#[cfg(unix)]
fn user() -> u32 {
    nix::unistd::geteuid().as_raw()
}

#[cfg(not(unix))]
fn user() -> String {
    std::env::var("USERNAME").unwrap_or_default()
}

fn create(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// In a directory for all users another one may have made the folder, or a link of its name.
#[cfg(unix)]
fn check_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let found = fs::symlink_metadata(folder)?;
    if found.is_dir() && found.uid() == user() && found.mode() & 0o077 == 0 {
        return Ok(());
    }
    let text = format!("{} is not a folder of this user alone (mode 0700)", folder.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}

#[cfg(not(unix))]
fn check_private(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_token_is_readable_by_the_user_alone_and_gone_with_the_node() {
        let dir = tempfile::tempdir().unwrap();
        let (token, addr) = (Token::random(), "127.0.0.1:8420".parse().unwrap());
        fs::write(dir.path().join(TOKEN_FILE), "of the last run").unwrap();
        let written = TokenFile::write(Some(dir.path()), addr, "http://127.0.0.1:8420/", &token).unwrap();
        let left = Left::in_folder(dir.path()).unwrap();
        assert!(left.token.reveal() == token.reveal() && left.url == "http://127.0.0.1:8420/");
        let file = dir.path().join(TOKEN_FILE);
        assert_eq!((fs::read_to_string(&file).unwrap().trim(), mode(&file)), (token.reveal(), 0o600));
        assert_eq!(fs::read_to_string(dir.path().join(ADDRESS_FILE)).unwrap(), "http://127.0.0.1:8420/\n");
        drop(written);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_node_leaves_the_files_of_another_one_that_has_made_its_folder_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, addr) = (dir.path().join("data"), "127.0.0.1:8420".parse().unwrap());
        let write = || {
            fs::create_dir(&folder).unwrap();
            TokenFile::write(Some(&folder), addr, "http://127.0.0.1:8420/", &Token::random()).unwrap()
        };
        let first = write();
        fs::rename(&folder, dir.path().join("renamed")).unwrap();
        let second = write();
        drop(first);
        assert!(Left::in_folder(&folder).is_ok());
        fs::remove_dir_all(&folder).unwrap();
        let third = write();
        drop(second);
        assert!(Left::in_folder(&folder).is_ok());
        drop(third);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_node_has_left_is_used_for_nothing_and_replaced_by_the_next_node() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new, addr) = (Token::random(), Token::random(), "127.0.0.1:8420".parse().unwrap());
        fs::write(dir.path().join(TOKEN_FILE), old.reveal()).unwrap();
        fs::write(dir.path().join(ADDRESS_FILE), "http://127.0.0.1:8420/").unwrap();
        for _ in 0..2 {
            let error = Left::in_folder(dir.path()).unwrap_err();
            assert!(error.kind() == io::ErrorKind::NotFound && error.to_string().contains("has ended"), "{error}");
        }
        let _written = TokenFile::write(Some(dir.path()), addr, "http://127.0.0.1:8421/", &new).unwrap();
        let left = Left::in_folder(dir.path()).unwrap();
        assert_eq!((left.token.reveal(), &*left.url), (new.reveal(), "http://127.0.0.1:8421/"));
    }

    #[test]
    fn an_ephemeral_node_has_a_folder_of_its_own_that_no_other_user_can_prepare() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = |name: &str| (name == "XDG_RUNTIME_DIR").then(|| dir.path().as_os_str().to_owned());
        let folder = runtime_folder("[::1]:8420".parse().unwrap(), runtime).unwrap();
        assert_eq!((folder.clone(), mode(&folder)), (dir.path().join("kad/___1__8420"), 0o700));
        fs::remove_dir(&folder).unwrap();
        fs::create_dir(dir.path().join("elsewhere")).unwrap();
        symlink(dir.path().join("elsewhere"), &folder).unwrap();
        assert!(runtime_folder("[::1]:8420".parse().unwrap(), runtime).is_err(), "a link");
        fs::set_permissions(dir.path().join("kad"), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(runtime_folder("127.0.0.1:1".parse().unwrap(), runtime).is_err(), "a mode that others can read");
    }
}
