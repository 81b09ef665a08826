//! What an error says: its own text and its source's, each once.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use kademlia_dynamic::causes::Causes;
use kademlia_dynamic::protocol::config::Config;
use kademlia_dynamic::protocol::id::NodeId;
use kademlia_dynamic::protocol::peer::Peer;
use kademlia_dynamic::protocol::store::StoreError;

use super::super::limits::Limit;
use super::super::outcome::{BootstrapOutcome, ContactFailure, Error, FailedContact};
use super::super::supervision::StopReason;

/// The variants of [`Error`], by number; a new one is not compiled without a place here and in [`each`].
fn number(error: &Error) -> usize {
    match error {
        Error::Config(_) => 0,
        Error::Resolve { .. } => 1,
        Error::Bind { .. } => 2,
        Error::PortInUse { .. } => 3,
        Error::Thread(_) => 4,
        Error::Limit(_) => 5,
        Error::NoArbiter => 6,
        Error::KeyTooLong { .. } => 7,
        Error::ValueTooLarge { .. } => 8,
        Error::AnswerTooLarge { .. } => 9,
        Error::NotPublished { .. } => 10,
        Error::UnsupportedValue { .. } => 11,
        Error::NotJoined { .. } => 12,
        Error::NoneAnswered { .. } => 13,
        Error::Silent { .. } => 14,
        Error::Contact(_) => 15,
        Error::Busy { .. } => 16,
        Error::Store(_) => 17,
        Error::Interrupted => 18,
        Error::TookTooLong(_) => 19,
        Error::Stopped(_) => 20,
    }
}

/// Each error, and how many sources it has one behind the other.
fn each() -> Vec<(Error, usize)> {
    let addr = "192.0.2.1:8000".parse().unwrap();
    let holder = Peer::new(NodeId::ZERO, addr);
    let contact = FailedContact { contact: "a:1".into(), addresses: Vec::new(), reason: ContactFailure::NotAsked };
    let failed = BootstrapOutcome { failed: vec![contact.clone()], ..BootstrapOutcome::default() };
    let disk = || Box::new(io::Error::other("no room"));
    vec![
        (Error::Config(Config::builder().k(0).build().unwrap_err()), 0),
        (Error::Resolve { addr: "a:1".into(), reason: "no such name".into() }, 0),
        (Error::Bind { addr, source: io::ErrorKind::PermissionDenied.into() }, 1),
        (Error::PortInUse { addr }, 0),
        (Error::Thread(io::ErrorKind::OutOfMemory.into()), 1),
        (Error::Limit(Limit::Threads("Resource temporarily unavailable".into())), 1),
        (Error::NoArbiter, 0),
        (Error::KeyTooLong { len: 2, max: 1 }, 0),
        (Error::ValueTooLarge { len: 2, max: 1 }, 0),
        (Error::AnswerTooLarge { encoded: 2, max: 1 }, 0),
        (Error::NotPublished { key: "k".into() }, 0),
        (Error::UnsupportedValue { holder }, 0),
        (Error::NotJoined { outcome: Box::new(failed) }, 0),
        (Error::NoneAnswered { asked: 1 }, 0),
        (Error::Silent { addr, within: Duration::from_secs(2) }, 0),
        (Error::Contact(Box::new(contact)), 0),
        (Error::Busy { what: "lookups", limit: 1 }, 0),
        (Error::Store(StoreError::Failed { doing: "writing to disk", source: disk() }), 1),
        (Error::Store(StoreError::Ended), 0),
        (Error::Interrupted, 0),
        (Error::TookTooLong(Duration::from_secs(1)), 0),
        (Error::Stopped(StopReason::Asked), 0),
    ]
}

/// That `error` has so many sources, and that the whole of it says nothing twice.
fn check(error: &dyn StdError, sources: usize) {
    let (mut texts, mut next) = (vec![error.to_string()], error.source());
    while let Some(source) = next {
        texts.push(source.to_string());
        next = source.source();
    }
    assert_eq!(texts.len(), sources + 1, "{error:?}: {texts:?}");
    let whole = Causes(error).to_string();
    for text in &texts {
        assert_eq!((text.is_empty(), whole.matches(text.as_str()).count()), (false, 1), "{error:?}: {whole}");
    }
}

#[test]
fn every_error_has_its_source_and_prints_it_once() {
    let each = each();
    for (error, sources) in &each {
        check(error, *sources);
    }
    let mut numbers: Vec<usize> = each.iter().map(|(error, _)| number(error)).collect();
    numbers.dedup();
    assert_eq!(numbers, (0..=20).collect::<Vec<_>>(), "an error is left out");
    let whole = |number: usize| Causes(&each[number].0).to_string();
    assert_eq!(whole(2), "cannot bind 192.0.2.1:8000: permission denied");
    assert_eq!(whole(17), "the store failed while writing to disk: no room");
}

#[test]
fn every_error_of_a_text_that_is_no_peer_prints_once_what_is_wrong() {
    let id = NodeId::ZERO;
    for text in ["nobody", "nobody@127.0.0.1:1", &format!("{id}@localhost:1"), &format!("{id}@0.0.0.0:1")] {
        let error = text.parse::<Peer>().unwrap_err();
        check(&error, usize::from(text.contains("localhost")));
    }
}

#[cfg(feature = "persist")]
#[test]
fn every_error_of_a_store_on_disk_has_its_source_and_prints_it_once() {
    use kademlia_dynamic::persist::{Failure, OpenError};

    let folder = || std::path::PathBuf::from("/var/lib/node");
    let error = || io::Error::from(io::ErrorKind::PermissionDenied);
    for (error, sources) in [
        (OpenError::Folder { folder: folder(), source: error() }, 1),
        (OpenError::InUse { folder: folder() }, 0),
        (OpenError::LaterVersion { folder: folder() }, 0),
        (OpenError::Unusable { folder: folder(), failure: Failure::Damaged("no magic number".into()) }, 1),
        (OpenError::Unusable { folder: folder(), failure: Failure::Gone }, 1),
        (OpenError::Thread(error()), 1),
    ] {
        check(&error, sources);
    }
}
