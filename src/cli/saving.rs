//! Files that a command writes. They end up where a shell's `>` would write, and are replaced whole or not at all wherever
//! that leaves all else as it is.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::failure::{Exit, Failure};
use super::streams;

/// Links that lead to one another, before they are taken for a circle. Linux has the same limit.
const MAX_LINKS: usize = 40;
/// Names that are tried for a draft, where others are left from processes that were killed.
const MAX_DRAFTS: usize = 100;

/// Writes `bytes` to the file at `path`. A regular file that was there is replaced once they are all written, and otherwise
/// stays; it keeps its owner and its mode. It is written in place where a new one could not have these, or where it has
/// other names. A link is followed, also to what is not there yet. What is no regular file (a device, a pipe, a descriptor as
/// `/dev/stdout`) is written to as it is. A new file can be read by its owner alone.
///
/// # Errors
/// [`Exit::CannotCreate`].
pub(super) fn save(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write(path, bytes)
        .map_err(|error| Failure::new(Exit::CannotCreate, format!("cannot write {}: {error}", path.display())))
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let target = match followed(path)? {
        Target::Descriptor(mut open) => return open.write_all(bytes),
        Target::Path(target) => target,
    };
    match fs::metadata(&target) {
        Ok(there) if there.is_file() => replace(&target, &there, bytes),
        Ok(_) => streams::patient(OpenOptions::new().write(true).open(&target)?).write_all(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(&target, bytes),
        Err(error) => Err(error),
    }
}

/// What is to be written.
enum Target {
    Path(PathBuf),
    /// What a process has open already.
    Descriptor(Box<dyn Write>),
}

/// What `path` leads to, if it is a link. The last one may lead to nothing yet.
fn followed(path: &Path) -> io::Result<Target> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        #[cfg(unix)]
        if let Some(open) = descriptor(&path) {
            return open.map(Target::Descriptor);
        }
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_symlink() => {
                let link = fs::read_link(&path)?;
                path = path.parent().map_or(link.clone(), |folder| folder.join(link));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(_) | Err(_) => return Ok(Target::Path(path)),
        }
    }
    Err(io::Error::other("its links lead in a circle"))
}

/// The descriptor that `path` names, as `/dev/fd/1` does. It is written to where it stands: others may write there too.
#[cfg(unix)]
fn descriptor(path: &Path) -> Option<io::Result<Box<dyn Write>>> {
    let number: u32 = path.file_name()?.to_str()?.parse().ok()?;
    let folder = fs::canonicalize(path.parent()?).ok()?;
    let ours = fs::canonicalize("/dev/fd").is_ok_and(|ours| ours == folder);
    let of_another = folder.starts_with("/proc") && folder.ends_with("fd");
    if !ours && !of_another {
        return None;
    }
    let open = match number {
        1 if ours => streams::output(),
        2 if ours => streams::errors(),
        _ => OpenOptions::new().append(true).open(path).map(streams::patient),
    };
    Some(open.map(|open| Box::new(open) as Box<dyn Write>))
}

fn create(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut draft = Draft::beside(target)?;
    draft.write(bytes)?;
    draft.become_file(target)
}

fn replace(target: &Path, there: &Metadata, bytes: &[u8]) -> io::Result<()> {
    // Where a shell may not write, this may not either, even if it might replace the file.
    let mut open = OpenOptions::new().write(true).open(target)?;
    if !has_other_names(there)
        && let Ok(mut draft) = Draft::beside(target)
        && draft.resemble(there).is_ok()
    {
        draft.write(bytes)?;
        if draft.become_file(target).is_ok() {
            return Ok(());
        }
        // It may be mounted where it is, for one.
    }
    open.set_len(0)?;
    open.write_all(bytes)
}

#[cfg(unix)]
fn has_other_names(file: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(file) > 1
}

#[cfg(not(unix))]
fn has_other_names(_: &Metadata) -> bool {
    false
}

/// A file beside the one that it is to become, so that it stays within one file system. It is gone with this, unless it has
/// become that one.
struct Draft {
    path: PathBuf,
    file: File,
}

impl Draft {
    /// An empty one, which its owner alone can read.
    fn beside(target: &Path) -> io::Result<Self> {
        if target.file_name().is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it names no file"));
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        for number in 0..MAX_DRAFTS {
            // Not after the file: its own name may be as long as names can be.
            let path = target.with_file_name(format!(".kad-{}-{number}.part", std::process::id()));
            match options.open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                opened => return opened.map(|file| Self { path, file }),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "there are too many drafts beside it (.kad-….part)"))
    }

    /// Takes the owner and the mode of `other`, before anything is in it that could be read.
    fn resemble(&self, other: &Metadata) -> io::Result<()> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::{MetadataExt, fchown};
            let own = self.file.metadata()?;
            if (own.uid(), own.gid()) != (other.uid(), other.gid()) {
                fchown(&self.file, Some(other.uid()), Some(other.gid()))?;
            }
        }
        self.file.set_permissions(other.permissions())
    }

    /// Writes `bytes`, as far as the disk.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.file.sync_all()
    }

    fn become_file(&self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Where it has become the file it is not there any more, and where it cannot be removed the first error is the one to
        // tell.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_whole_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("value");
        save(&path, b"first").unwrap();
        save(&path, b"").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        save(&path, b"\0\xff").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"\0\xff");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_written_is_named_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let failure = save(dir.path(), b"x").unwrap_err();
        assert_eq!(failure.exit, Exit::CannotCreate);
        assert!(failure.to_string().contains(&dir.path().display().to_string()), "{failure}");
        assert_eq!(save(&dir.path().join("absent/value"), b"x").unwrap_err().exit, Exit::CannotCreate);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_name_may_be_as_long_as_names_can_be_and_drafts_of_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let left = dir.path().join(format!(".kad-{}-0.part", std::process::id()));
        fs::write(&left, "left by a process that was killed").unwrap();
        let path = dir.path().join("n".repeat(255));
        save(&path, b"first").unwrap();
        save(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read(&left).unwrap(), b"left by a process that was killed");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[cfg(unix)]
    mod unix {
        use super::*;
        use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

        fn mode(path: &Path) -> u32 {
            fs::metadata(path).unwrap().permissions().mode() & 0o777
        }

        #[test]
        fn a_link_stays_a_link_and_a_file_keeps_its_permissions() {
            let dir = tempfile::tempdir().unwrap();
            let (file, link) = (dir.path().join("file"), dir.path().join("link"));
            for permissions in [0o600, 0o644, 0o622] {
                fs::write(&file, "old").unwrap();
                fs::set_permissions(&file, fs::Permissions::from_mode(permissions)).unwrap();
                let _ = symlink(&file, &link);
                save(&link, b"new").unwrap();
                assert_eq!(fs::read(&file).unwrap(), b"new");
                assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
                assert_eq!(mode(&file), permissions);
            }
        }

        #[test]
        fn a_file_keeps_its_owner() {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("file");
            fs::write(&file, "old").unwrap();
            // Only root may give a file away.
            let _ = std::os::unix::fs::chown(&file, Some(12_345), Some(54_321));
            let before = fs::metadata(&file).unwrap();
            save(&file, b"new").unwrap();
            let after = fs::metadata(&file).unwrap();
            assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
        }

        #[test]
        fn a_draft_is_never_more_readable_than_its_file_and_a_new_file_is_its_owners() {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("file");
            save(&file, b"new").unwrap();
            assert_eq!(mode(&file), 0o600);
            fs::set_permissions(&file, fs::Permissions::from_mode(0o200)).unwrap();
            let draft = Draft::beside(&file).unwrap();
            assert_eq!(mode(&draft.path), 0o600);
            draft.resemble(&fs::metadata(&file).unwrap()).unwrap();
            assert_eq!((mode(&draft.path), draft.file.metadata().unwrap().len()), (0o200, 0));
            drop(draft);
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        }

        #[test]
        fn links_to_what_is_not_there_yet_create_it_and_circles_are_told() {
            let dir = tempfile::tempdir().unwrap();
            let inner = dir.path().join("inner");
            fs::create_dir(&inner).unwrap();
            symlink("inner/second", dir.path().join("first")).unwrap();
            symlink("file", inner.join("second")).unwrap();
            save(&dir.path().join("first"), b"v").unwrap();
            assert_eq!(fs::read(inner.join("file")).unwrap(), b"v");
            assert!(fs::symlink_metadata(dir.path().join("first")).unwrap().is_symlink());
            symlink("circle", dir.path().join("circle")).unwrap();
            let failure = save(&dir.path().join("circle"), b"v").unwrap_err();
            assert!(failure.to_string().contains("circle"), "{failure}");
        }

        #[test]
        fn other_names_of_a_file_see_the_new_value() {
            let dir = tempfile::tempdir().unwrap();
            let (file, other) = (dir.path().join("file"), dir.path().join("other"));
            fs::write(&file, "an older and longer value").unwrap();
            fs::hard_link(&file, &other).unwrap();
            save(&file, b"new").unwrap();
            assert_eq!(fs::read(&other).unwrap(), b"new");
        }

        #[test]
        fn an_open_descriptor_is_written_to_where_it_stands() {
            use std::os::fd::AsRawFd;
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("log");
            fs::write(&file, "before ").unwrap();
            let mut open = OpenOptions::new().append(true).open(&file).unwrap();
            save(Path::new(&format!("/dev/fd/{}", open.as_raw_fd())), b"VALUE").unwrap();
            open.write_all(b" after").unwrap();
            assert_eq!(fs::read(&file).unwrap(), b"before VALUE after");
        }
    }
}
