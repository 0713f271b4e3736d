//! The vectors of one source, read part by part and in order, no more than asked for.

use std::sync::Arc;

use futures::{TryStreamExt, stream::BoxStream};

use crate::{
    memory::Spare,
    model::FieldId,
    query::{QueryError, RowSource},
    storage::Vectors,
};

/// The vectors of a source, read part by part.
pub(super) struct VectorParts<'s> {
    source: &'s dyn RowSource,
    rows: Vec<u64>,
    /// The current part, and the place of its first row.
    part: usize,
    start: u64,
    /// The current part, if it is open.
    vectors: Option<OpenPart>,
}

/// Some vectors of a part, those behind them, and the place of the first.
struct OpenPart {
    start: u64,
    here: Arc<[Vectors]>,
    rest: BoxStream<'static, Result<Arc<[Vectors]>, QueryError>>,
}

impl<'s> VectorParts<'s> {
    pub(super) fn of(source: &'s dyn RowSource) -> Self {
        Self { rows: source.vector_parts(), source, part: 0, start: 0, vectors: None }
    }

    /// Goes to the part that has a place, which is not before the current part.
    pub(super) fn find(&mut self, place: u64) -> Result<(), QueryError> {
        loop {
            let Some(rows) = self.rows.get(self.part) else {
                return Err(QueryError::Short { got: self.start as usize, wanted: place as usize + 1 });
            };
            let end = self.start + rows;
            if place < end {
                return Ok(());
            }
            (self.part, self.start, self.vectors) = (self.part + 1, end, None);
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.vectors.is_some()
    }

    /// Opens the current part. See [`RowSource::vectors`].
    pub(super) fn open(&mut self, field: FieldId, spare: &Spare) {
        let rest = self.source.vectors(field, self.part, spare);
        self.vectors = Some(OpenPart { start: self.start, here: Arc::new([]), rest });
    }

    /// The vectors around a place of the open part, not before those that were returned last; and the place of the first.
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
