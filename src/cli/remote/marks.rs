//! `kad pin`, `kad unpin` and `kad release`: what a running node is to do with keys.

use serde::Deserialize;
use serde_json::json;

use super::client::{Ask, Client};
use super::keys;
use super::url::encode;
use crate::cli::args::remote::{KeysArgs, PinArgs};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{self, Reader};
use crate::cli::stderr;

/// What is done with each key.
#[derive(Debug, Clone, Copy)]
enum Mark {
    Pin { min_replicas: u8 },
    Unpin,
    Release,
}

/// What the gateway answers; it has one of them.
#[derive(Deserialize)]
struct Done {
    #[serde(alias = "pinned", alias = "unpinned", alias = "released")]
    done: bool,
}

pub(in crate::cli) async fn pin(PinArgs { min_replicas, keys }: PinArgs) -> Result<(), Failure> {
    all(keys, Mark::Pin { min_replicas }).await
}

pub(in crate::cli) async fn unpin(keys: KeysArgs) -> Result<(), Failure> {
    all(keys, Mark::Unpin).await
}

pub(in crate::cli) async fn release(keys: KeysArgs) -> Result<(), Failure> {
    all(keys, Mark::Release).await
}

/// Marks each key. One that cannot be marked is noted, and the others are marked all the same.
async fn all(KeysArgs { keys, remote }: KeysArgs, mark: Mark) -> Result<(), Failure> {
    let keys = keys::all(keys).await?;
    let client = Client::new(&remote)?;
    let (count, mut failed) = (keys.len(), 0);
    for key in keys {
        let (ask, path) = mark.request(&key);
        let done = match client.ask::<Done>(ask, path).await {
            Ok(Done { done }) => done,
            Err(failure) if failure.exit == Exit::NOT_FOUND => false,
            Err(failure) => return Err(failure),
        };
        if remote.json {
            let line = output::json(&mark.json(&key, done)) + "\n";
            if output::stream(line).await? == Reader::Gone {
                return Ok(());
            }
        } else if done {
            output::print(mark.done(&key)).await?;
        }
        if !done && count == 1 {
            return Err(Failure::new(Exit::NOT_FOUND, mark.not_done(&key)));
        }
        if !done {
            failed += 1;
            stderr::note(mark.not_done(&key));
        }
    }
    match failed {
        0 => Ok(()),
        _ => Err(Failure::new(Exit::NOT_FOUND, format!("not done for {failed} of {count} keys"))),
    }
}

impl Mark {
    fn request(self, key: &str) -> (Ask, String) {
        let key = encode(key);
        match self {
            Self::Pin { min_replicas } => (Ask::Put, format!("v1/pins/{key}?min_replicas={min_replicas}")),
            Self::Unpin => (Ask::Delete, format!("v1/pins/{key}")),
            Self::Release => (Ask::Delete, format!("v1/values/{key}")),
        }
    }

    fn json(self, key: &str, done: bool) -> serde_json::Value {
        match self {
            Self::Pin { min_replicas } => json!({ "key": key, "pinned": done, "min_replicas": min_replicas }),
            Self::Unpin => json!({ "key": key, "unpinned": done }),
            Self::Release => json!({ "key": key, "released": done }),
        }
    }

    fn done(self, key: &str) -> String {
        match self {
            Self::Pin { min_replicas: 1 } => format!("Pinned {key:?}: at least 1 replica.\n"),
            Self::Pin { min_replicas } => format!("Pinned {key:?}: at least {min_replicas} replicas.\n"),
            Self::Unpin => format!("Unpinned {key:?}: the node still publishes it.\n"),
            Self::Release => format!("Released {key:?}: copies in the network live on until they expire.\n"),
        }
    }

    fn not_done(self, key: &str) -> String {
        match self {
            Self::Pin { .. } => format!("{key:?} is not published by this node, so it cannot be pinned"),
            Self::Unpin => format!("{key:?} was not pinned"),
            Self::Release => format!("{key:?} is not published by this node, so there is nothing to release"),
        }
    }
}
