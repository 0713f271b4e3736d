//! Compares the query vectors with some rows of a source, on every core that is free.
//!
//! ```text
//!  rows  │ piece │ piece │ piece │ piece │ …     whichever thread is ready takes the next one
//!            ▼       ▼       ▼
//!        lists of the first thread, of the second, … ──▶ merged
//! ```
//!
//! The nearest of some rows don't depend on the order in which they are offered (`nearest`), and the rank of a row depends
//! on the row and the query alone. So an answer is the same however the rows were divided.
//!
//! Must never: use a further core while another search needs it, or for lists that the memory of the read has no room for.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use futures::future::{try_join, try_join_all};

use super::{
    grouped::FoundRows,
    kernel::Kernel,
    nearest::HIT_BYTES,
    wanted::{SearchRound, Wanted},
};
use crate::{
    query::{
        QueryError, QueryLimits, SearchCores,
        interrupt::{Checkpoint, Interrupt},
        scan::Survivors,
        select::RowPlace,
    },
    storage::Vectors,
};

/// Bytes of vectors that are compared in about the time in which a byte of text is looked at.
const BYTES_PER_UNIT: usize = 8;
/// Estimated memory of the nearest rows of a query before there is one.
pub(super) const QUERY_BYTES: u64 = 128;

/// Rows of a source that are to be compared with every query.
pub(super) struct Comparison {
    wanted: Arc<Wanted>,
    batch: Arc<Survivors>,
    /// Positions in the batch.
    rows: Range<usize>,
    vectors: Arc<[Vectors]>,
    /// The place of the first row of each of them.
    starts: Vec<u64>,
    piece_rows: usize,
    /// The first row that no thread has taken.
    next: AtomicUsize,
}

impl Comparison {
    /// `vectors` are those from place `start` on. They have those of the `rows`.
    pub(super) fn new(
        wanted: Arc<Wanted>,
        batch: Arc<Survivors>,
        rows: Range<usize>,
        start: u64,
        vectors: Arc<[Vectors]>,
        piece_bytes: usize,
    ) -> Self {
        let ends = vectors.iter().scan(start, |end, vectors| {
            *end += vectors.len() as u64;
            Some(*end)
        });
        let starts = std::iter::once(start).chain(ends).take(vectors.len()).collect();
        let width = vectors.first().map_or(1, Vectors::width);
        let piece_rows = (piece_bytes / width.max(1)).max(1);
        let next = AtomicUsize::new(rows.start);
        Self { wanted, batch, rows, vectors, starts, piece_rows, next }
    }

    /// Compares all rows, and puts those that are among the nearest into the lists.
    pub(super) async fn run(
        self,
        mut nearest: Vec<FoundRows>,
        limits: &QueryLimits,
        interrupt: &Interrupt,
        round: &SearchRound,
    ) -> Result<Vec<FoundRows>, QueryError> {
        let cores = &limits.cores;
        let this = Arc::new(self);
        let core = cores.begin();
        let most = this.most_helpers(cores, round);
        let lists_bytes = this.wanted.lists_bytes(this.rows.len(), round);
        let helpers = (0..most).map_while(|_| Some((cores.begin_on_free()?, limits.lend(lists_bytes).ok()?)));
        let helpers: Vec<_> = helpers.collect();
        let others = helpers.into_iter().map(|(core, memory)| {
            let (this, mut nearest) = (Arc::clone(&this), this.wanted.places(round));
            async move {
                let work = move |checkpoint: &Checkpoint| {
                    let _core = core;
                    this.take_pieces(&mut nearest, checkpoint)?;
                    Ok(nearest)
                };
                Ok((interrupt.blocking(work).await?, memory))
            }
        });
        let others: Vec<_> = others.collect();
        let own = interrupt.blocking(move |checkpoint| {
            let _core = core;
            this.take_pieces(&mut nearest, checkpoint)?;
            Ok(nearest)
        });
        let (own, others) = try_join(own, try_join_all(others)).await?;
        let (others, _memory): (Vec<_>, Vec<_>) = others.into_iter().unzip();
        merged(own, others, interrupt).await
    }

    /// Further threads that gain more time than merging their lists costs.
    fn most_helpers(&self, cores: &SearchCores, round: &SearchRound) -> usize {
        let queries = self.wanted.search.queries.len();
        let pieces = self.rows.len().div_ceil(self.piece_rows).saturating_mul(queries);
        let ranks = self.rows.len().saturating_mul(queries);
        let merged = self.wanted.list_rows(round).saturating_mul(cores.rows_per_merged).max(1);
        // The first thread has its share of the pieces, too.
        (pieces / cores.pieces_each.max(1)).saturating_sub(1).min(ranks / merged)
    }

    /// Compares the next pieces until none is left.
    fn take_pieces(&self, nearest: &mut [FoundRows], checkpoint: &Checkpoint) -> Result<(), QueryError> {
        let search = &self.wanted.search;
        let kernels = (0..nearest.len()).map(|query| Kernel::new(search.metric, &search.queries, query));
        let kernels: Vec<Kernel<'_>> = kernels.collect();
        while let Some(piece) = self.take_piece() {
            self.compare(piece, &kernels, nearest, checkpoint)?;
        }
        Ok(())
    }

    fn take_piece(&self) -> Option<Range<usize>> {
        let from = self.next.fetch_add(self.piece_rows, Relaxed);
        (from < self.rows.end).then(|| from..self.rows.end.min(from + self.piece_rows))
    }

    fn compare(
        &self,
        piece: Range<usize>,
        kernels: &[Kernel<'_>],
        nearest: &mut [FoundRows],
        checkpoint: &Checkpoint,
    ) -> Result<(), QueryError> {
        let Survivors { source, places, keys: Some(keys), times, groups, .. } = &*self.batch else { return Ok(()) };
        let Some(first) = places.get(piece.start) else { return Ok(()) };
        let first = self.starts.partition_point(|start| start <= first).saturating_sub(1);
        let mut at = piece.start;
        for (start, vectors) in self.starts.iter().zip(&*self.vectors).skip(first) {
            if at >= piece.end {
                break;
            }
            let end = start + vectors.len() as u64;
            let upto = at + places[at..piece.end].partition_point(|place| *place < end);
            for (kernel, nearest) in kernels.iter().zip(nearest.iter_mut()) {
                checkpoint.spend((upto - at) * vectors.width() / BYTES_PER_UNIT)?;
                for row in at..upto {
                    let place = places[row];
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

impl Wanted {
    /// Rows that the lists of one thread have together in the end. Rows that are as near as the last one of a page don't
    /// count.
    fn list_rows(&self, round: &SearchRound) -> usize {
        match round {
            SearchRound::First => self.most.saturating_mul(self.search.queries.len()),
            SearchRound::Members { groups, size } => {
                let groups: usize = groups.iter().map(Vec::len).sum();
                groups.saturating_mul(usize::try_from(*size).unwrap_or(usize::MAX))
            }
        }
    }

    /// Memory of the lists of one thread that compares so many rows, at most.
    fn lists_bytes(&self, rows: usize, round: &SearchRound) -> u64 {
        let all = rows.saturating_mul(self.search.queries.len());
        let hits = if self.search.page.is_some() { all } else { all.min(self.list_rows(round)) };
        self.lists(round) as u64 * QUERY_BYTES + hits as u64 * HIT_BYTES
    }
}

/// The nearest rows of several parts of a search.
pub(super) async fn merged(
    mut first: Vec<FoundRows>,
    others: Vec<Vec<FoundRows>>,
    interrupt: &Interrupt,
) -> Result<Vec<FoundRows>, QueryError> {
    let hits = others.iter().flatten().map(FoundRows::len).sum();
    let merge = move |checkpoint: &Checkpoint| {
        for part in others {
            for (all, part) in first.iter_mut().zip(part) {
                // A thread that came late has an empty list.
                checkpoint.spend(1 + part.len())?;
                all.merge(part);
            }
        }
        Ok(first)
    };
    interrupt.sized(hits, merge).await
}

#[cfg(test)]
mod tests;
