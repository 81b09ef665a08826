//! A disk in memory that fails, loses power and is damaged as a test wants it.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::{Database, DatabaseError, StorageBackend};

use crate::persist::medium::{Medium, builder};
use crate::protocol::entropy::{Entropy, SeededEntropy};

/// A disk: all clones are the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct TestMedium(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    /// What is safe from a power cut, and what was written since.
    synced: Vec<u8>,
    since: Vec<Written>,
    /// Writes, syncs and changes of length so far.
    operations: u64,
    /// The operation that fails.
    fails_at: Option<u64>,
    /// Whether everything that changes it fails.
    full: bool,
    /// Whether the next read does.
    misreads: bool,
}

#[derive(Debug, Clone)]
enum Written {
    Length(usize),
    Bytes(usize, Vec<u8>),
}

impl Written {
    fn apply(self, bytes: &mut Vec<u8>) {
        match self {
            Written::Length(len) => bytes.resize(len, 0),
            Written::Bytes(at, data) => {
                // What it went into may not have got its length.
                bytes.resize(bytes.len().max(at + data.len()), 0);
                bytes[at..at + data.len()].copy_from_slice(&data);
            }
        }
    }
}

impl State {
    fn operation(&mut self) -> io::Result<()> {
        self.operations += 1;
        if self.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if self.fails_at == Some(self.operations) {
            return Err(io::Error::other("the test wants it"));
        }
        Ok(())
    }
}

impl TestMedium {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// The `n`-th write, sync or change of length from now on fails, and none after it.
    pub(super) fn fail_at(&self, n: u64) {
        let mut state = self.state();
        state.fails_at = Some(state.operations + n);
    }

    pub(super) fn operations(&self) -> u64 {
        self.state().operations
    }

    /// The next read fails as where nothing is, and none after it.
    pub(super) fn misread(&self) {
        self.state().misreads = true;
    }

    pub(super) fn is_full(&self, full: bool) {
        self.state().full = full;
    }

    /// A copy of it as it is now.
    pub(super) fn copy(&self) -> Self {
        Self::of(self.bytes())
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.state().bytes.clone()
    }

    fn of(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(State { synced: bytes.clone(), bytes, ..State::default() })))
    }

    /// A copy of it as after a power cut: of what was written since the last sync some is there and some is not.
    pub(super) fn after_a_power_cut(&self, entropy: &mut SeededEntropy) -> Self {
        let state = self.state();
        let mut bytes = state.synced.clone();
        for written in state.since.iter().cloned() {
            if entropy.below(2) == 0 {
                written.apply(&mut bytes);
            }
        }
        Self::of(bytes)
    }

    /// Does `harm` to its bytes.
    pub(super) fn damage(&self, harm: impl FnOnce(&mut Vec<u8>)) {
        harm(&mut self.state().bytes);
    }
}

impl Medium for TestMedium {
    fn view(&mut self) -> Result<Option<Box<dyn StorageBackend>>, DatabaseError> {
        Ok((self.len()? > 0).then(|| Box::new(self.clone()) as _))
    }

    fn open(&mut self, checked: bool) -> Result<Database, DatabaseError> {
        builder(checked).create_with_backend(self.clone())
    }

    fn set_aside(&mut self) -> io::Result<String> {
        let mut state = self.state();
        state.bytes.clear();
        state.synced.clear();
        state.since.clear();
        Ok("elsewhere".to_owned())
    }
}

impl StorageBackend for TestMedium {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        if std::mem::take(&mut state.misreads) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        let bytes = at.checked_add(out.len()).and_then(|end| state.bytes.get(at..end));
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state();
        state.operation()?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        if len > 1 << 30 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.bytes.resize(len, 0);
        state.since.push(Written::Length(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state();
        state.operation()?;
        for written in std::mem::take(&mut state.since) {
            written.apply(&mut state.synced);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.operation()?;
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        let end =
            at.checked_add(data.len()).filter(|end| *end <= state.bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        state.bytes[at..end].copy_from_slice(data);
        state.since.push(Written::Bytes(at, data.to_vec()));
        Ok(())
    }
}
