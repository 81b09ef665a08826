//! Files that a command writes. They end up where a shell's `>` would write, and are replaced as a whole or not at all where
//! everything else about the file can stay as it is.

use std::error::Error;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::failure::{Exit, Failure};
use super::streams;

/// Links that lead to one another, before they count as a circle. Linux has the same limit.
const MAX_LINKS: usize = 40;

/// Writes `bytes` to the file at `path`. A regular file that exists is replaced once they are all written, and otherwise stays
/// as it was; it keeps its owner and its mode. It is written in place where a new one could not have these, or where it has
/// other names. Links are followed, also to a file that does not exist yet. What is not a regular file (a device, a pipe, a
/// descriptor such as `/dev/stdout`) is written to as it is. A new file can be read by its owner alone.
///
/// # Errors
/// [`Exit::CANNOT_CREATE`].
pub(super) fn save(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write(path, bytes).map_err(Failure::of(Exit::CANNOT_CREATE, format_args!("cannot write {}", path.display())))
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let target = match followed(path)? {
        Target::Descriptor(mut open) => return open.write_all(bytes),
        Target::Path(target) => target,
    };
    match fs::metadata(&target) {
        Ok(there) if there.is_file() => replace(&target, &there, bytes),
        Ok(_) => streams::patient(OpenOptions::new().write(true).open(&target)?).write_all(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut draft = draft(&target)?;
            fill(&mut draft, bytes)?;
            draft.persist(&target)?;
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// What is to be written.
enum Target {
    Path(PathBuf),
    /// What a process has open already.
    Descriptor(Box<dyn Write>),
}

/// What `path` leads to, if it is a link. The last one may lead to a file that does not exist yet.
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

/// The descriptor that `path` names, as `/dev/fd/1` does. It is written to at its current position: others may write there too.
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
        1 if ours => streams::standard(io::stdout()),
        2 if ours => streams::standard(io::stderr()),
        _ => OpenOptions::new().append(true).open(path).map(streams::patient),
    };
    Some(open.map(|open| Box::new(open) as Box<dyn Write>))
}

fn replace(target: &Path, there: &Metadata, bytes: &[u8]) -> io::Result<()> {
    // Where a shell may not write, this may not either, even if it might replace the file.
    let mut open = OpenOptions::new().write(true).open(target)?;
    if !has_other_names(there)
        && let Ok(mut draft) = draft(target)
        && resemble(draft.as_file(), there).is_ok()
    {
        fill(&mut draft, bytes)?;
        if draft.persist(target).is_ok() {
            return Ok(());
        }
        // A file that is a mount point, for one, cannot be replaced.
    }
    open.set_len(0)?;
    open.write_all(bytes)
}

fn has_other_names(file: &Metadata) -> bool {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::nlink(file) > 1;
    #[cfg(not(unix))]
    false
}

/// A file beside `target`, so that it stays within one file system, which its owner alone can read. It is removed unless it
/// becomes `target`.
fn draft(target: &Path) -> io::Result<NamedTempFile> {
    let (Some(_), Some(folder)) = (target.file_name(), target.parent()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it names no file"));
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let draft = tempfile::Builder::new().prefix(".kad-").suffix(".part").tempfile_in(folder);
    draft.map_err(|error| match error.source() {
        // Without the name of the draft.
        Some(cause) => io::Error::other(cause.to_string()),
        None => error,
    })
}

/// Gives `draft` the owner and the mode of `other`, while it is empty.
fn resemble(draft: &File, other: &Metadata) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        let own = draft.metadata()?;
        if (own.uid(), own.gid()) != (other.uid(), other.gid()) {
            fchown(draft, Some(other.uid()), Some(other.gid()))?;
        }
    }
    draft.set_permissions(other.permissions())
}

/// Writes `bytes`, as far as the disk.
fn fill(draft: &mut NamedTempFile, bytes: &[u8]) -> io::Result<()> {
    draft.write_all(bytes)?;
    draft.as_file().sync_all()
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
        assert_eq!(failure.exit, Exit::CANNOT_CREATE);
        assert!(failure.to_string().contains(&dir.path().display().to_string()), "{failure}");
        assert_eq!(save(&dir.path().join("absent/value"), b"x").unwrap_err().exit, Exit::CANNOT_CREATE);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_name_may_be_as_long_as_names_can_be_and_drafts_of_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let left = dir.path().join(".kad-left.part");
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
            let draft = draft(&file).unwrap();
            assert_eq!(mode(draft.path()), 0o600);
            resemble(draft.as_file(), &fs::metadata(&file).unwrap()).unwrap();
            assert_eq!((mode(draft.path()), draft.as_file().metadata().unwrap().len()), (0o200, 0));
            drop(draft);
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        }

        #[test]
        fn links_to_what_is_not_there_yet_create_it_and_circles_are_reported() {
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
