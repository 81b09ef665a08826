//! `kad backup` and `kad restore`: a node's store as a file, also while the node runs.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::args::backup::{BackupArgs, RestoreArgs};
use super::failure::{Exit, Failure};
use super::{blocking::off_thread, output};
use crate::causes::Causes;
use crate::persist::{self, BackupError, STORE_FILE, Saved};
use crate::protocol::id::NodeId;

pub(super) async fn backup(args: BackupArgs) -> Result<(), Failure> {
    let BackupArgs { data_dir, file, json } = args;
    if file.is_dir() || same(&file, &data_dir.join(STORE_FILE)) {
        let text = format!("{} is no file for a backup: name another file", file.display());
        return Err(Failure::new(Exit::USAGE, text));
    }
    let (from, to) = (data_dir.clone(), file.clone());
    let saved = off_thread(move || persist::backup(from, to)).await?.map_err(|error| failed(&error))?;
    report(&saved, &format!("{} to {}", data_dir.display(), file.display()), "Saved", &file, json).await
}

pub(super) async fn restore(args: RestoreArgs) -> Result<(), Failure> {
    let RestoreArgs { file, data_dir, json } = args;
    let (from, to) = (file.clone(), data_dir.clone());
    let failed = |error| match error {
        BackupError::NoStore(file) => Failure::new(Exit::NO_INPUT, format!("there is no file {}", file.display())),
        other => failed(&other),
    };
    let saved = off_thread(move || persist::restore(from, to)).await?.map_err(failed)?;
    report(&saved, &format!("{} to {}", file.display(), data_dir.display()), "Restored", &data_dir, json).await
}

/// Whether both paths are one file.
fn same(one: &Path, other: &Path) -> bool {
    let found = |path: &Path| path.canonicalize().ok();
    found(one).is_some_and(|one| Some(one) == found(other))
}

/// A copy, as JSON. Fields may be added.
#[derive(Serialize)]
struct Copied {
    /// The file that was written, or the folder.
    to: PathBuf,
    values: usize,
    published: usize,
    damaged: usize,
    node_id: Option<NodeId>,
    bytes: u64,
}

async fn report(saved: &Saved, what: &str, done: &str, to: &Path, json: bool) -> Result<(), Failure> {
    let &Saved { values, published, damaged, node_id, bytes, .. } = saved;
    if json {
        // A name that is not UTF-8 is shown as well as it can be.
        let to = PathBuf::from(to.to_string_lossy().into_owned());
        return output::print(output::json(&Copied { to, values, published, damaged, node_id, bytes }) + "\n").await;
    }
    let node = node_id.map_or_else(|| "without an id".to_owned(), |id| format!("of node {id}"));
    let lost = if damaged == 0 { String::new() } else { format!("; {damaged} more are damaged: a node drops them") };
    let count = if values == 1 { "1 value".to_owned() } else { format!("{values} values") };
    output::print(format!("{done} {what}: {count} ({published} published) {node}, {bytes} bytes{lost}.\n")).await
}

fn failed(error: &BackupError) -> Failure {
    let (exit, hint) = match error {
        BackupError::NoStore(_) => (Exit::NO_INPUT, ""),
        BackupError::Exists(_) => (Exit::CANNOT_CREATE, ": restore to another folder, or move that file away"),
        BackupError::Busy(_) => (Exit::CANNOT_CREATE, ": try again when the node has less to do, or stop it"),
        BackupError::Locked(_) => (Exit::CANNOT_CREATE, ": try again when that one has ended, such as another backup"),
        BackupError::LaterVersion(_) => (Exit::CANNOT_CREATE, ": use that version"),
        _ => (Exit::CANNOT_CREATE, ""),
    };
    Failure::new(exit, format!("{}{hint}", Causes(error)))
}
