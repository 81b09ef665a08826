//! A read-only overlay: a medium that can be read, while writes go no further than memory. redb writes whenever it opens a
//! file; so one is read before a byte of it changes, and also where there is no room to write.

use std::collections::BTreeMap;
use std::io;
use std::ops::{Bound, Range};
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::{BackendError, StorageBackend};

/// What is copied when a byte of it is written.
const PAGE: u64 = 4_096;

/// The first bytes of redb's files.
const MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";
/// Where in a file the two slots for a commit begin, with the version of the file's format each.
const COMMITS: [usize; 2] = [64, 192];
/// The format that this version of redb writes, and the latest that it reads.
const FORMAT: u8 = 3;

/// The format of the file, if it is a later one. redb itself takes such a file for a damaged one. It has to be in both slots:
/// a flipped bit is no later version.
pub(super) fn later_format(backend: &dyn StorageBackend) -> io::Result<Option<u8>> {
    let mut header = [0; COMMITS[1] + 1];
    if backend.len()? < header.len() as u64 {
        return Ok(None);
    }
    backend.read(0, &mut header)?;
    let [first, second] = COMMITS.map(|at| header[at]);
    Ok((header.starts_with(MAGIC) && first == second && first > FORMAT).then_some(first))
}

/// A medium, and what was written over it.
#[derive(Debug)]
pub(super) struct Overlay {
    beneath: Box<dyn StorageBackend>,
    above: Mutex<Above>,
}

/// What was written. It is little: an overlay is dropped once the file is opened for writing.
#[derive(Debug)]
struct Above {
    len: u64,
    /// So much of what is beneath is still visible.
    visible: u64,
    /// By number.
    pages: BTreeMap<u64, Box<[u8; PAGE as usize]>>,
}

impl Above {
    /// `len` bytes at `offset` in parts that lie in one page each: the number of the page, where in it the part begins, and
    /// the part itself.
    fn parts(&self, offset: u64, len: usize) -> io::Result<impl Iterator<Item = (u64, usize, Range<usize>)> + use<>> {
        let end = offset.checked_add(len as u64).filter(|end| *end <= self.len).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok((offset / PAGE..end.div_ceil(PAGE)).map(move |number| {
            let (from, to) = (offset.max(number * PAGE), end.min((number + 1) * PAGE));
            (number, (from % PAGE) as usize, (from - offset) as usize..(to - offset) as usize)
        }))
    }
}

impl Overlay {
    pub(super) fn over(beneath: Box<dyn StorageBackend>) -> io::Result<Self> {
        let len = beneath.len()?;
        Ok(Self { beneath, above: Mutex::new(Above { len, visible: len, pages: BTreeMap::new() }) })
    }

    fn above(&self) -> MutexGuard<'_, Above> {
        // A page is there as a whole or not at all.
        self.above.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what is visible beneath, and zeroes beyond it.
    fn read_beneath(&self, offset: u64, out: &mut [u8], visible: u64) -> io::Result<()> {
        let there = visible.saturating_sub(offset).min(out.len() as u64) as usize;
        out[there..].fill(0);
        if there > 0 { self.beneath.read(offset, &mut out[..there]) } else { Ok(()) }
    }
}

/// Locks go to the medium: another process could change what is being read.
macro_rules! locks {
    ($($name:ident: $outcome:ty),*) => {
        $(fn $name(&self, start: Bound<u64>, end: Bound<u64>) -> Result<$outcome, BackendError> {
            self.beneath.$name(start, end)
        })*
    };
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.above().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let above = self.above();
        let parts = above.parts(offset, out.len())?;
        self.read_beneath(offset, out, above.visible)?;
        for (number, at, part) in parts {
            if let Some(page) = above.pages.get(&number) {
                let len = part.len();
                out[part].copy_from_slice(&page[at..at + len]);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut above = self.above();
        if len < above.len {
            // What is cut off comes back as zeroes.
            above.pages.split_off(&len.div_ceil(PAGE));
            if let Some(page) = above.pages.get_mut(&(len / PAGE)) {
                page[(len % PAGE) as usize..].fill(0);
            }
            above.visible = above.visible.min(len);
        }
        above.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut above = self.above();
        for (number, at, part) in above.parts(offset, data.len())? {
            let mut page = match above.pages.remove(&number) {
                Some(page) => page,
                None => {
                    let mut page = Box::new([0; PAGE as usize]);
                    self.read_beneath(number * PAGE, &mut page[..], above.visible)?;
                    page
                }
            };
            page[at..at + part.len()].copy_from_slice(&data[part]);
            above.pages.insert(number, page);
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.beneath.close()
    }

    locks! {
        try_lock_range: bool, try_lock_shared_range: bool, query_lock_range: bool,
        lock_range: (), lock_shared_range: (), unlock_range: ()
    }
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;
    use crate::protocol::entropy::{Entropy, SeededEntropy};

    /// Ten pages and a half of numbers.
    fn beneath() -> (Vec<u8>, Box<dyn StorageBackend>) {
        let bytes: Vec<u8> = (0..PAGE * 21 / 2).map(|at| (at / 7) as u8).collect();
        let backend = InMemoryBackend::new();
        backend.set_len(bytes.len() as u64).unwrap();
        backend.write(0, &bytes).unwrap();
        (bytes, Box::new(backend))
    }

    #[test]
    fn what_is_written_is_read_again_as_from_any_medium() {
        let (mut model, backend) = beneath();
        let (overlay, mut entropy) = (Overlay::over(backend).unwrap(), SeededEntropy::new(1));
        for _ in 0..2_000 {
            let at = entropy.below(model.len() as u64 + 100) as usize;
            let mut bytes = vec![0; entropy.below(10_000) as usize];
            let end = at + bytes.len();
            match entropy.below(8) {
                0 => {
                    let len = entropy.below(20 * PAGE) as usize;
                    model.resize(len, 0);
                    overlay.set_len(len as u64).unwrap();
                }
                1..4 => {
                    entropy.fill(&mut bytes);
                    let written = overlay.write(at as u64, &bytes);
                    assert_eq!(written.is_ok(), end <= model.len());
                    if written.is_ok() {
                        model[at..end].copy_from_slice(&bytes);
                    }
                }
                _ => {
                    let read = overlay.read(at as u64, &mut bytes);
                    assert_eq!(read.ok().map(|()| &bytes[..]), model.get(at..end));
                }
            }
            assert_eq!(overlay.len().unwrap(), model.len() as u64);
        }
    }

    #[test]
    fn whatever_is_written_the_medium_stays_as_it_is() {
        let (bytes, backend) = beneath();
        let overlay = Overlay::over(backend).unwrap();
        overlay.write(PAGE - 1, &[0xff; PAGE as usize + 2]).unwrap();
        overlay.set_len(1).unwrap();
        overlay.sync_data().unwrap();
        let mut found = vec![0; bytes.len()];
        overlay.beneath.read(0, &mut found).unwrap();
        assert_eq!(found, bytes);
    }
}
