//! A folder that charts are written into.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::failure::{Exit, Failure};

/// A folder for charts that can be written to.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes the folder if need be, and tries to write there.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let path = path.to_owned();
        fs::create_dir_all(&path).map_err(|error| cannot("create the directory", &path, &error))?;
        let trial = path.join(".kad-lab");
        File::create(&trial)
            .and_then(|_| fs::remove_file(&trial))
            .map_err(|error| cannot("write charts into", &path, &error))?;
        Ok(Self(path))
    }

    /// Writes charts, each whole or not at all, and names them on standard error.
    pub(crate) fn write(&self, charts: Vec<(&'static str, String)>) -> Result<(), Failure> {
        for (name, svg) in charts {
            let (path, part) = (self.0.join(name), self.0.join(format!(".{name}.part")));
            fs::write(&part, svg)
                .and_then(|()| fs::rename(&part, &path))
                .map_err(|error| cannot("write", &path, &error))?;
            let _ = writeln!(io::stderr(), "wrote {}", path.display());
        }
        Ok(())
    }
}

fn cannot(do_what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::CannotCreate, format!("cannot {do_what} {}: {error}", path.display()))
}
