//! Rows of a source that one search compares with its query vectors.
//!
//! Must never: know of threads.

use std::{ops::Range, sync::Arc};

use super::super::{
    grouped::FoundRows,
    kernel::Kernel,
    nearest::HIT_BYTES,
    wanted::{SearchRound, Wanted},
};
use crate::{
    query::{QueryError, interrupt::Checkpoint, scan::Survivors, select::RowPlace},
    storage::Vectors,
};

/// Bytes of vectors that are compared in about the time in which a byte of text is looked at.
const BYTES_PER_UNIT: usize = 8;
/// Estimated memory of the nearest rows of a query before there is one.
pub(in crate::query::search) const QUERY_BYTES: u64 = 128;

/// Rows of a source that are to be compared with every query.
pub(in crate::query::search) struct Comparison {
    wanted: Arc<Wanted>,
    round: Arc<SearchRound>,
    batch: Arc<Survivors>,
    /// Positions in the batch.
    rows: Range<usize>,
    vectors: Arc<[Vectors]>,
    /// The place of the first row of each of them.
    starts: Vec<u64>,
}

impl Comparison {
    /// `vectors` are those from place `start` on. They have those of the `rows`, which are positions in the batch.
    pub(in crate::query::search) fn new(
        (wanted, round): (Arc<Wanted>, Arc<SearchRound>),
        (batch, rows): (Arc<Survivors>, Range<usize>),
        (start, vectors): (u64, Arc<[Vectors]>),
    ) -> Self {
        let ends = vectors.iter().scan(start, |end, vectors| {
            *end += vectors.len() as u64;
            Some(*end)
        });
        let starts = std::iter::once(start).chain(ends).take(vectors.len()).collect();
        Self { wanted, round, batch, rows, vectors, starts }
    }

    pub(super) fn vectors(&self) -> &Arc<[Vectors]> {
        &self.vectors
    }

    /// Bytes of the vector of a row.
    pub(super) fn width(&self) -> usize {
        self.vectors.first().map_or(1, Vectors::width).max(1)
    }

    /// Number of the rows.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn queries(&self) -> usize {
        self.wanted.search.queries.len()
    }

    /// From the place of the first row to the one behind the last row.
    pub(super) fn span(&self) -> Range<u64> {
        let places = self.batch.places.get(self.rows.clone()).unwrap_or_default();
        places.first().zip(places.last()).map_or(0..0, |(first, last)| *first..last + 1)
    }

    /// Empty lists for the rows that a thread finds.
    pub(super) fn lists(&self) -> Vec<FoundRows> {
        self.wanted.places(&self.round)
    }

    /// Rows that the lists of one thread have together in the end. Rows that are as near as the last one of a page don't
    /// count.
    pub(super) fn list_rows(&self) -> usize {
        match &*self.round {
            SearchRound::First => self.wanted.most.saturating_mul(self.queries()),
            SearchRound::Members { groups, size } => {
                let groups: usize = groups.iter().map(Vec::len).sum();
                groups.saturating_mul(usize::try_from(*size).unwrap_or(usize::MAX))
            }
        }
    }

    /// Memory of the lists of one thread, at most.
    pub(super) fn lists_bytes(&self) -> u64 {
        let all = self.len().saturating_mul(self.queries());
        let hits = if self.wanted.search.page.is_some() { all } else { all.min(self.list_rows()) };
        self.wanted.lists(&self.round) as u64 * QUERY_BYTES + hits as u64 * HIT_BYTES
    }

    pub(super) fn kernels(&self) -> Vec<Kernel<'_>> {
        let search = &self.wanted.search;
        (0..self.queries()).map(|query| Kernel::new(search.metric, &search.queries, query)).collect()
    }

    /// Compares the rows at some places, and puts those that are among the nearest into the lists.
    ///
    /// # Errors
    /// [`QueryError::Cancelled`].
    pub(super) fn compare(
        &self,
        places: &Range<u64>,
        kernels: &[Kernel<'_>],
        nearest: &mut [FoundRows],
        checkpoint: &Checkpoint,
    ) -> Result<(), QueryError> {
        let Survivors { source, places: all, keys: Some(keys), times, groups, .. } = &*self.batch else {
            return Ok(());
        };
        let mine = all.get(self.rows.clone()).unwrap_or_default();
        let position = |end: u64| self.rows.start + mine.partition_point(|place| *place < end);
        let (mut at, end) = (position(places.start), position(places.end));
        let first = self.starts.partition_point(|start| *start <= places.start).saturating_sub(1);
        for (start, vectors) in self.starts.iter().zip(&*self.vectors).skip(first) {
            if at >= end {
                break;
            }
            let behind = start + vectors.len() as u64;
            let upto = at + all[at..end].partition_point(|place| *place < behind);
            for (kernel, nearest) in kernels.iter().zip(nearest.iter_mut()) {
                checkpoint.spend((upto - at) * vectors.width() / BYTES_PER_UNIT)?;
                for row in at..upto {
                    let place = all[row];
                    let rank = kernel.rank(vectors, (place - start) as usize);
                    let in_range = self.wanted.ranks.as_ref().is_none_or(|ranks| ranks.contains(&rank));
                    if in_range && nearest.may_take(rank) {
                        let place = RowPlace { ts: times[row], source: *source, row: place };
                        nearest.offer(rank, place, keys, groups.as_ref(), row);
                    }
                }
            }
            at = upto;
        }
        Ok(())
    }
}
