//! A medium that is looked at: whatever is there can be read, and whatever is written goes no further than memory. redb writes
//! whenever it opens a file; so one is read before a byte of it changes, and also where there is no room to write.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::{BackendError, StorageBackend};

/// What is copied when a byte of it is written.
const PAGE: usize = 4_096;

/// What redb's files begin with.
const MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";
/// Where in it the two places for a commit begin, with the version of the file's format each.
const COMMITS: [usize; 2] = [64, 192];
/// The format that this version of redb writes, and the latest that it reads.
const FORMAT: u8 = 3;

/// The format of the file, if it is a later one. redb itself takes such a file for a damaged one. It has to stand in both
/// places: a flipped bit is no later version.
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
pub(super) struct Looking {
    beneath: Box<dyn StorageBackend>,
    above: Mutex<Above>,
}

/// What was written: little, for a look ends where writing begins.
#[derive(Debug)]
struct Above {
    len: u64,
    /// So much of what is beneath is still seen.
    seen: u64,
    /// By number.
    pages: BTreeMap<u64, Box<[u8; PAGE]>>,
}

/// The number of the page at `offset`, the place in it, and how much of `len` bytes it takes.
fn place(offset: u64, len: usize) -> (u64, usize, usize) {
    let at = (offset % PAGE as u64) as usize;
    (offset / PAGE as u64, at, len.min(PAGE - at))
}

impl Looking {
    pub(super) fn at(beneath: Box<dyn StorageBackend>) -> io::Result<Self> {
        let len = beneath.len()?;
        Ok(Self { beneath, above: Mutex::new(Above { len, seen: len, pages: BTreeMap::new() }) })
    }

    fn above(&self) -> MutexGuard<'_, Above> {
        // A page is there as a whole or not at all.
        self.above.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Page `number` as it is beneath: zeroes where nothing is.
    fn page_beneath(&self, number: u64, seen: u64) -> io::Result<Box<[u8; PAGE]>> {
        let mut page = Box::new([0; PAGE]);
        let start = number * PAGE as u64;
        let there = seen.saturating_sub(start).min(PAGE as u64) as usize;
        if there > 0 {
            self.beneath.read(start, &mut page[..there])?;
        }
        Ok(page)
    }
}

impl StorageBackend for Looking {
    fn len(&self) -> io::Result<u64> {
        Ok(self.above().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let above = self.above();
        let end = offset.checked_add(out.len() as u64).filter(|end| *end <= above.len);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let pages = offset / PAGE as u64..end.div_ceil(PAGE as u64);
        if end <= above.seen && above.pages.range(pages).next().is_none() {
            return self.beneath.read(offset, out);
        }
        let (mut offset, mut out) = (offset, out);
        while !out.is_empty() {
            let (number, at, some) = place(offset, out.len());
            let (now, rest) = out.split_at_mut(some);
            match above.pages.get(&number) {
                Some(page) => now.copy_from_slice(&page[at..at + some]),
                None => now.copy_from_slice(&self.page_beneath(number, above.seen)?[at..at + some]),
            }
            (offset, out) = (offset + some as u64, rest);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut above = self.above();
        if len < above.len {
            // What is cut off comes back as zeroes.
            let (number, at, _) = place(len, 0);
            above.pages.split_off(&len.div_ceil(PAGE as u64));
            if let Some(page) = above.pages.get_mut(&number) {
                page[at..].fill(0);
            }
            above.seen = above.seen.min(len);
        }
        above.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut above = self.above();
        if offset.checked_add(data.len() as u64).is_none_or(|end| end > above.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (mut offset, mut data) = (offset, data);
        while !data.is_empty() {
            let (number, at, some) = place(offset, data.len());
            if !above.pages.contains_key(&number) {
                let page = self.page_beneath(number, above.seen)?;
                above.pages.insert(number, page);
            }
            let (now, rest) = data.split_at(some);
            above.pages.entry(number).and_modify(|page| page[at..at + some].copy_from_slice(now));
            (offset, data) = (offset + some as u64, rest);
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.beneath.close()
    }

    // Another process is kept away as by whoever writes: it could change what is being read.

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.beneath.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.beneath.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.beneath.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.beneath.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.beneath.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.beneath.query_lock_range(start, end)
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
        let (looking, mut entropy) = (Looking::at(backend).unwrap(), SeededEntropy::new(1));
        for _ in 0..2_000 {
            let at = entropy.below(model.len() as u64 + 100) as usize;
            let mut bytes = vec![0; entropy.below(10_000) as usize];
            let end = at + bytes.len();
            match entropy.below(8) {
                0 => {
                    let len = entropy.below(20 * PAGE as u64) as usize;
                    model.resize(len, 0);
                    looking.set_len(len as u64).unwrap();
                }
                1..4 => {
                    entropy.fill(&mut bytes);
                    let written = looking.write(at as u64, &bytes);
                    assert_eq!(written.is_ok(), end <= model.len());
                    if written.is_ok() {
                        model[at..end].copy_from_slice(&bytes);
                    }
                }
                _ => {
                    let read = looking.read(at as u64, &mut bytes);
                    assert_eq!(read.ok().map(|()| &bytes[..]), model.get(at..end));
                }
            }
            assert_eq!(looking.len().unwrap(), model.len() as u64);
        }
    }

    #[test]
    fn whatever_is_written_the_medium_stays_as_it_is() {
        let (bytes, backend) = beneath();
        let looking = Looking::at(backend).unwrap();
        looking.write(PAGE as u64 - 1, &[0xff; PAGE + 2]).unwrap();
        looking.set_len(1).unwrap();
        looking.sync_data().unwrap();
        let mut found = vec![0; bytes.len()];
        looking.beneath.read(0, &mut found).unwrap();
        assert_eq!(found, bytes);
    }
}
