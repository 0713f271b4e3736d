//! The cores of the process, and how many of them searches compute on.
//!
//! A search may use a second core while it is free. With as many searches as cores each of them stays on one, because
//! dividing costs a little and gains nothing then.
//!
//! Must never: let a search wait for a core.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Bytes of stored vectors that are compared with every query before the next ones are: they stay in the processor's cache.
const PIECE_BYTES: usize = 128 << 10;
/// A further core costs some ten microseconds, as much as comparing a piece takes. It should have several.
const PIECES_EACH: usize = 8;

/// A look over so many bytes is worth waiting for others: some fifty microseconds, several times what the waiting costs.
const SHARED_BYTES: usize = 1 << 20;

/// Rows are compared in the time that merging one row of a list takes, at least.
const ROWS_PER_MERGED: usize = 8;

/// The cores that all searches share. Clones share them too.
#[derive(Debug, Clone)]
pub struct SearchCores {
    count: usize,
    /// Threads that compare vectors, also those beyond the cores.
    busy: Arc<AtomicUsize>,
    pub(super) piece_bytes: usize,
    pub(super) pieces_each: usize,
    /// Searches that compare as many bytes of the same vectors do it together.
    pub(super) shared_bytes: usize,
    pub(super) rows_per_merged: usize,
}

/// A core that a search computes on. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct BusyCore(Arc<AtomicUsize>);

impl SearchCores {
    pub fn new(count: usize) -> Self {
        let (piece_bytes, pieces_each, rows_per_merged) = (PIECE_BYTES, PIECES_EACH, ROWS_PER_MERGED);
        Self { count, busy: Arc::default(), piece_bytes, pieces_each, shared_bytes: SHARED_BYTES, rows_per_merged }
    }

    /// The same cores for searches that divide even a few rows, and compare them together.
    #[cfg(test)]
    pub(super) fn with_pieces_of(self, piece_bytes: usize) -> Self {
        Self { piece_bytes, pieces_each: 1, shared_bytes: 0, rows_per_merged: 0, ..self }
    }

    /// Cores on which no search computes now.
    pub(super) fn free(&self) -> usize {
        self.count.saturating_sub(self.busy.load(Relaxed))
    }

    /// Counts a core for work that begins in any case.
    pub(super) fn begin(&self) -> BusyCore {
        self.busy.fetch_add(1, Relaxed);
        BusyCore(Arc::clone(&self.busy))
    }

    /// A core, if one is free.
    pub(super) fn begin_on_free(&self) -> Option<BusyCore> {
        let next = |busy: usize| (busy < self.count).then_some(busy + 1);
        self.busy.fetch_update(Relaxed, Relaxed, next).ok().map(|_| BusyCore(Arc::clone(&self.busy)))
    }
}

/// One core: nothing is divided.
impl Default for SearchCores {
    fn default() -> Self {
        Self::new(1)
    }
}

impl Drop for BusyCore {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_cores_only_while_one_is_free() {
        let cores = SearchCores::new(2);
        let first = cores.begin();
        let second = cores.clone().begin_on_free();
        assert!(second.is_some() && cores.begin_on_free().is_none());
        assert_eq!(cores.free(), 0);
        // Work that begins in any case counts beyond the cores.
        let third = cores.begin();
        drop(first);
        assert!(cores.begin_on_free().is_none());
        drop((second, third));
        assert_eq!(cores.free(), 2);
    }
}
