//! One look over vectors, for one search or several, on every core that is free.
//!
//! Must never: use a further core while another search needs it, or for lists that the memory of a read has no room for; end
//! for one search because another one was given up.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use futures::future::{try_join, try_join_all};

use super::{super::grouped::FoundRows, rows::Comparison};
use crate::{
    background::blocking,
    fault::{self, Planted},
    memory::Lent,
    query::{
        QueryError, QueryLimits, SearchCores,
        interrupt::{Checkpoint, Interrupt},
    },
};

/// A search that takes part.
pub(in crate::query::search) struct ComparingSearch {
    pub(in crate::query::search) comparison: Comparison,
    pub(in crate::query::search) limits: QueryLimits,
    pub(in crate::query::search) interrupt: Interrupt,
}

/// Rows that were found for one search: the lists of each thread. Those beyond the first have their memory.
pub(super) struct ThreadLists {
    own: Vec<FoundRows>,
    others: Vec<(Vec<FoundRows>, Option<Lent>)>,
}

impl ThreadLists {
    pub(super) async fn merged(self, interrupt: &Interrupt) -> Result<Vec<FoundRows>, QueryError> {
        let (others, _memory): (Vec<_>, Vec<_>) = self.others.into_iter().unzip();
        merged(self.own, others, interrupt).await
    }
}

/// The lists of one thread for each search; the error of a search that was given up.
type SearchLists = Vec<Result<Vec<FoundRows>, QueryError>>;

pub(super) struct JointComparison {
    searches: Vec<ComparingSearch>,
    places: Range<u64>,
    piece_places: u64,
    /// The first place that no thread has taken.
    next: AtomicU64,
}

impl JointComparison {
    /// The searches have rows of the same vectors.
    pub(super) fn of(searches: Vec<ComparingSearch>, piece_bytes: usize) -> Self {
        let spans = searches.iter().map(|search| search.comparison.span()).filter(|span| !span.is_empty());
        let places = spans.reduce(|all, span| all.start.min(span.start)..all.end.max(span.end)).unwrap_or(0..0);
        let rows = searches.iter().map(|search| search.comparison.len()).max().unwrap_or(0).max(1);
        let width = searches.first().map_or(1, |search| search.comparison.width());
        // A search for one row in ten gets pieces of ten times as many places.
        let places_per_row = (places.end - places.start) / rows as u64;
        let piece_rows = (piece_bytes / width).max(1) as u64;
        let next = AtomicU64::new(places.start);
        Self { searches, places, piece_places: piece_rows.saturating_mul(places_per_row.max(1)), next }
    }

    /// Compares all rows. `own` are the lists that each search has so far, in the order of the searches, as the answer is.
    ///
    /// # Errors
    /// A thread has ended without an answer.
    pub(super) async fn run(
        self,
        own: Vec<Vec<FoundRows>>,
        cores: &SearchCores,
    ) -> Result<Vec<Result<ThreadLists, QueryError>>, QueryError> {
        let this = Arc::new(self);
        let core = cores.begin();
        let helpers = (0..this.most_helpers(cores)).map_while(|_| Some((cores.begin_on_free()?, this.lend()?)));
        let helpers: Vec<_> = helpers.collect();
        let on_thread = |core, mut lists: SearchLists| {
            let this = Arc::clone(&this);
            blocking(move || {
                let _core = core;
                this.take_pieces(&mut lists);
                Ok::<_, QueryError>(lists)
            })
        };
        let others = helpers.into_iter().map(|(core, memory)| {
            let lists = this.searches.iter().map(|search| Ok(search.comparison.lists())).collect();
            let found = on_thread(core, lists);
            async move { Ok((found.await?, memory)) }
        });
        let others: Vec<_> = others.collect();
        let own = on_thread(core, own.into_iter().map(Ok).collect());
        let (own, others) = try_join(own, try_join_all(others)).await?;
        let mut found: Vec<Result<ThreadLists, QueryError>> =
            own.into_iter().map(|own| Ok(ThreadLists { own: own?, others: Vec::new() })).collect();
        for (lists, memory) in others {
            for ((found, lists), memory) in found.iter_mut().zip(lists).zip(memory) {
                match (&mut *found, lists) {
                    (Ok(found), Ok(lists)) => found.others.push((lists, memory)),
                    (Ok(_), Err(error)) => *found = Err(error),
                    (Err(_), _) => {}
                }
            }
        }
        Ok(found)
    }

    /// Further threads that gain more time than merging their lists costs.
    fn most_helpers(&self, cores: &SearchCores) -> usize {
        let helpers = self.searches.iter().map(|ComparingSearch { comparison, .. }| {
            let piece_rows = (cores.piece_bytes / comparison.width()).max(1);
            let pieces = comparison.len().div_ceil(piece_rows).saturating_mul(comparison.queries());
            let ranks = comparison.len().saturating_mul(comparison.queries());
            let merged = comparison.list_rows().saturating_mul(cores.rows_per_merged).max(1);
            // The first thread has its share of the pieces, too.
            (pieces / cores.pieces_each.max(1)).saturating_sub(1).min(ranks / merged)
        });
        helpers.min().unwrap_or(0)
    }

    /// Memory of every search for the lists of one more thread.
    fn lend(&self) -> Option<Vec<Option<Lent>>> {
        let lend = |search: &ComparingSearch| search.limits.lend(search.comparison.lists_bytes()).ok();
        self.searches.iter().map(lend).collect()
    }

    /// Compares the next pieces until none is left.
    pub(super) fn take_pieces(&self, lists: &mut SearchLists) {
        let mut comparing: Vec<_> = self
            .searches
            .iter()
            .take(if fault::planted(Planted::OtherSearchUnseen) { 1 } else { usize::MAX })
            .zip(lists)
            .map(|(search, found)| {
                (&search.comparison, search.comparison.kernels(), search.interrupt.checkpoint(), found)
            })
            .collect();
        for (.., checkpoint, found) in &mut comparing {
            if let Err(error) = checkpoint.spend(0) {
                **found = Err(error);
            }
        }
        while comparing.iter().any(|(.., found)| found.is_ok()) {
            let Some(piece) = self.take_piece() else { break };
            for (comparison, kernels, checkpoint, found) in &mut comparing {
                if let Ok(nearest) = found
                    && let Err(error) = comparison.compare(&piece, kernels, nearest, checkpoint)
                {
                    **found = Err(error);
                }
            }
        }
    }

    pub(super) fn take_piece(&self) -> Option<Range<u64>> {
        let from = self.next.fetch_add(self.piece_places, Relaxed);
        (from < self.places.end).then(|| from..self.places.end.min(from.saturating_add(self.piece_places)))
    }
}

/// The nearest rows of several parts of a search.
pub(in crate::query::search) async fn merged(
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
