//! Where results go: standard output, and files that are replaced whole or not at all. What they say is written elsewhere.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::failure::{Exit, Failure};

/// Writes `bytes` to standard output as they are. A reader that has gone, as `head` does, has all that it wanted.
pub(super) fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Output, format!("cannot write to standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes `value` to standard output as one line of JSON.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    print(format!("{}\n", json(value)).as_bytes())
}

/// `value` as one line of JSON.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("what is printed has only strings as keys, and no way to fail")
}

/// Writes `bytes` to the file at `path`. A file that was there is replaced once they are all written, and otherwise stays;
/// it keeps its permissions. What is no file (a device, a pipe) is written to as it is.
pub(super) fn save(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write(path, bytes)
        .map_err(|error| Failure::new(Exit::CannotCreate, format!("cannot write {}: {error}", path.display())))
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A link stays a link: what it leads to is replaced.
    let target = match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        found => found?,
    };
    let permissions = match fs::metadata(&target) {
        Ok(there) if there.is_file() => Some(there.permissions()),
        Ok(_) => return OpenOptions::new().write(true).open(&target)?.write_all(bytes),
        Err(_) => None,
    };
    let draft = draft_of(&target)?;
    let written = File::create_new(&draft).and_then(|mut file| {
        file.write_all(bytes)?;
        permissions.map_or(Ok(()), |permissions| file.set_permissions(permissions))
    });
    let replaced = written.and_then(|()| fs::rename(&draft, &target));
    if replaced.is_err() {
        // It may not be there; the first error is the one to tell.
        let _ = fs::remove_file(&draft);
    }
    replaced
}

/// A name beside `target`, so that renaming it stays within one file system.
fn draft_of(target: &Path) -> io::Result<PathBuf> {
    let name = target.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it names no file"))?;
    let draft = format!(".{}.{}.part", name.to_string_lossy(), std::process::id());
    Ok(target.with_file_name(draft))
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

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link_and_a_file_keeps_its_permissions() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&file, &link).unwrap();
        save(&link, b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
