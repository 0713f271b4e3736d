//! The vectors of one source, read part by part and in order, no more than asked for.

use std::sync::Arc;

use futures::{
    TryStreamExt,
    stream::{self, BoxStream, StreamExt},
};

use crate::{
    memory::Spare,
    model::FieldId,
    query::{QueryError, RowSource},
    storage::Vectors,
};

/// Parts that are in memory are opened together, up to so many bytes: the searches of several clients then compare them
/// together, too. They stay in memory while they are open.
const MOST_KEPT_BYTES: u64 = 256 << 20;

/// The vectors of a source, read part by part.
pub(super) struct VectorParts<'s> {
    source: &'s dyn RowSource,
    rows: Vec<u64>,
    /// The current part, and the place of its first row.
    part: usize,
    start: u64,
    /// The current part and those that are open with it.
    vectors: Option<OpenParts>,
}

/// Some vectors of parts, those behind them, and the place of the first.
struct OpenParts {
    count: usize,
    start: u64,
    here: Arc<[Vectors]>,
    rest: BoxStream<'static, Result<Arc<[Vectors]>, QueryError>>,
}

impl<'s> VectorParts<'s> {
    pub(super) fn of(source: &'s dyn RowSource) -> Self {
        Self { rows: source.vector_parts(), source, part: 0, start: 0, vectors: None }
    }

    /// Goes to the part that has a place, or to the open ones, which are not before the current part.
    pub(super) fn find(&mut self, place: u64) -> Result<(), QueryError> {
        loop {
            let count = self.vectors.as_ref().map_or(1, |open| open.count);
            let Some(rows) = self.rows.get(self.part..self.part + count) else {
                return Err(QueryError::Short { got: self.start as usize, wanted: place as usize + 1 });
            };
            let end = self.start + rows.iter().sum::<u64>();
            if place < end {
                return Ok(());
            }
            (self.part, self.start, self.vectors) = (self.part + count, end, None);
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.vectors.is_some()
    }

    /// Opens the current part, and those behind it if all are in memory. See [`RowSource::vectors`].
    pub(super) fn open(&mut self, field: FieldId, spare: &Spare) {
        let mut bytes = 0;
        let kept = (self.part..self.rows.len()).map_while(|part| {
            let vectors = (bytes < MOST_KEPT_BYTES).then(|| self.source.kept_vectors(field, part)).flatten()?;
            bytes += vectors.iter().map(Vectors::bytes_in_memory).sum::<u64>();
            Some(vectors)
        });
        let kept: Vec<Arc<[Vectors]>> = kept.collect();
        let rest = match &kept[..] {
            [] => self.source.vectors(field, self.part, spare),
            parts => stream::iter([Ok(parts.iter().flat_map(|part| part.iter().cloned()).collect())]).boxed(),
        };
        self.vectors = Some(OpenParts { count: kept.len().max(1), start: self.start, here: Arc::new([]), rest });
    }

    /// The vectors around a place of the open parts, not before those that were returned last; and the place of the first.
    pub(super) async fn reach(&mut self, place: u64) -> Result<(u64, Arc<[Vectors]>), QueryError> {
        let short = |got: u64| QueryError::Short { got: got as usize, wanted: place as usize + 1 };
        let Some(open) = &mut self.vectors else { return Err(short(self.start)) };
        loop {
            let end = open.start + open.here.iter().map(|vectors| vectors.len() as u64).sum::<u64>();
            if place < end {
                return Ok((open.start, Arc::clone(&open.here)));
            }
            // First, so that they are not held twice.
            (open.start, open.here) = (end, Arc::new([]));
            open.here = open.rest.try_next().await?.ok_or_else(|| short(end))?;
        }
    }
}
