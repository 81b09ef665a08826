//! The memory of payloads that have left, for further ones: to allocate as much takes longer than to write it.

/// Payloads whose memory is kept: as many as the datagrams that are read, and so answered, at once.
const MAX_SPARE: usize = 32;
/// The bytes of a payload that is kept at most. An answer with 20 peers takes half of that.
const LONGEST_SPARE: usize = 5_000;

/// At most [`MAX_SPARE`] payloads, of at most [`LONGEST_SPARE`] bytes each.
#[derive(Debug, Default)]
pub(super) struct Spare(Vec<Vec<u8>>);

impl Spare {
    /// Memory to write a payload into, whose content means nothing any more.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_default()
    }

    /// All that is kept, for a transport to add to.
    pub(super) fn lend(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.0)
    }

    /// Keeps of these payloads what the bounds permit.
    pub(super) fn keep(&mut self, mut payloads: Vec<Vec<u8>>) {
        payloads.retain(|payload| payload.capacity() <= LONGEST_SPARE);
        payloads.truncate(MAX_SPARE);
        // Thousands may have left at once.
        if payloads.capacity() > 4 * MAX_SPARE {
            payloads.shrink_to(MAX_SPARE);
        }
        self.0 = payloads;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_no_more_and_no_longer_payloads_than_its_bounds_permit() {
        let mut spare = Spare::default();
        let of = |len: usize| Vec::<u8>::with_capacity(len);
        spare.keep([60_000, 100, LONGEST_SPARE + 1, LONGEST_SPARE].map(of).into());
        let mut lens = [(); 3].map(|()| spare.take().capacity());
        lens.sort_unstable();
        assert_eq!(lens, [0, 100, LONGEST_SPARE]);

        spare.keep((0..4_096).map(|_| of(2_000)).collect());
        assert_eq!(spare.0.len(), MAX_SPARE);
        assert!(spare.0.capacity() <= 4 * MAX_SPARE, "{}", spare.0.capacity());
        let mut lent = spare.lend();
        assert_eq!((lent.len(), spare.take().capacity()), (MAX_SPARE, 0));
        lent.push(of(10));
        spare.keep(lent);
        assert_eq!(spare.0.len(), MAX_SPARE);
    }
}
