//! The rows of a segment in the order of their ids, handed out piece by piece.
//!
//! Requests take their ids before they queue, and small chunks are merged in the order of their arrival, so ids ascend
//! almost, but not always. Chunks that only have to change places are handed out as they are; rows are copied where
//! chunks overlap, some megabytes at a time.
//!
//! Must never copy more at once: a segment that is being flushed is in memory already.

use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, cast::AsArray, types::Int64Type};
use arrow_schema::ArrowError;
use arrow_select::interleave::interleave_record_batch;

use super::chunk::Chunk;
use crate::model::FieldId;

/// Rows copied at a time have about this size.
const WINDOW_BYTES: u64 = 4 << 20;
/// And are at most this many.
const WINDOW_ROWS: u64 = 8_192;

/// A segment's rows, ascending by row id.
#[derive(Debug, Clone)]
pub struct RowsInOrder {
    /// In order: every id of one is smaller than every id of the next.
    stretches: Vec<Stretch>,
}

/// Chunks whose ids overlap, or one.
#[derive(Debug, Clone)]
struct Stretch {
    chunks: Vec<Arc<Chunk>>,
    /// It is one chunk, and its rows are in order.
    in_order: bool,
    /// Its largest id.
    last: i64,
}

impl RowsInOrder {
    pub(super) fn new(chunks: &[Arc<Chunk>]) -> Result<Self, ArrowError> {
        let mut runs = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let ids = row_ids(&chunk.batch)?.values();
            let (Some(first), Some(last)) = (ids.iter().min(), ids.iter().max()) else { continue };
            runs.push((*first, Stretch { chunks: vec![chunk.clone()], in_order: ids.is_sorted(), last: *last }));
        }
        runs.sort_by_key(|(first, _)| *first);
        let mut stretches: Vec<Stretch> = Vec::with_capacity(runs.len());
        for (first, run) in runs {
            match stretches.last_mut().filter(|before| before.last >= first) {
                Some(before) => {
                    before.chunks.extend(run.chunks);
                    before.in_order = false;
                    before.last = before.last.max(run.last);
                }
                None => stretches.push(run),
            }
        }
        Ok(Self { stretches })
    }

    pub fn rows(&self) -> u64 {
        self.stretches.iter().map(Stretch::rows).sum()
    }

    /// All rows. Overlapping chunks are copied when their turn comes.
    pub fn batches(&self) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> + Send + '_ {
        self.stretches.iter().flat_map(Stretch::batches)
    }
}

impl Stretch {
    fn rows(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.batch.num_rows() as u64).sum()
    }

    fn batches(&self) -> Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send + '_> {
        match self.chunks.as_slice() {
            [chunk] if self.in_order => Box::new(std::iter::once(Ok(chunk.batch.clone()))),
            _ => match self.places() {
                Ok(places) => Box::new(self.windows(places)),
                Err(error) => Box::new(std::iter::once(Err(error))),
            },
        }
    }

    /// Id, chunk and row of every row, ascending.
    fn places(&self) -> Result<Vec<(i64, u32, u32)>, ArrowError> {
        let mut places = Vec::with_capacity(self.rows() as usize);
        for (chunk, n) in self.chunks.iter().zip(0..) {
            places.extend(row_ids(&chunk.batch)?.values().iter().zip(0..).map(|(id, row)| (*id, n, row)));
        }
        places.sort_unstable();
        Ok(places)
    }

    fn windows(
        &self,
        places: Vec<(i64, u32, u32)>,
    ) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> + Send + '_ {
        let bytes: u64 = self.chunks.iter().map(|chunk| chunk.bytes).sum();
        let row_bytes = (bytes / self.rows().max(1)).max(1);
        let window = (WINDOW_BYTES / row_bytes).clamp(1, WINDOW_ROWS) as usize;
        let batches: Vec<&RecordBatch> = self.chunks.iter().map(|chunk| &chunk.batch).collect();
        let mut start = 0;
        std::iter::from_fn(move || {
            let rest = places.get(start..).filter(|rest| !rest.is_empty())?;
            let part = rest.iter().take(window).map(|(_, chunk, row)| (*chunk as usize, *row as usize));
            let part: Vec<(usize, usize)> = part.collect();
            start += part.len();
            Some(interleave_record_batch(&batches, &part))
        })
    }
}

fn row_ids(batch: &RecordBatch) -> Result<&Int64Array, ArrowError> {
    let ids = batch.column_by_name(&FieldId::ROW_ID.to_string()).and_then(|ids| ids.as_primitive_opt::<Int64Type>());
    ids.ok_or_else(|| ArrowError::SchemaError("rows have no row ids".to_owned()))
}

#[cfg(test)]
mod tests {
    use arrow_array::FixedSizeBinaryArray;
    use proptest::prelude::*;

    use super::*;
    use crate::model::Timestamp;

    const WIDTH: usize = 1024;

    /// A row's value says its id.
    fn chunk(ids: &[i64]) -> Arc<Chunk> {
        let values: Vec<u8> = ids.iter().flat_map(|id| [*id as u8; WIDTH]).collect();
        let values = FixedSizeBinaryArray::try_new(WIDTH as i32, values.into(), None).unwrap();
        let batch = RecordBatch::try_from_iter([
            (FieldId::ROW_ID.to_string(), Arc::new(Int64Array::from(ids.to_vec())) as _),
            ("100".to_owned(), Arc::new(values) as _),
        ]);
        let bytes = (ids.len() * (WIDTH + 8)) as u64;
        Arc::new(Chunk { batch: batch.unwrap(), ts_from: Timestamp::ZERO, ts_to: Timestamp::ZERO, bytes })
    }

    fn ids_of(batch: &RecordBatch) -> Vec<i64> {
        row_ids(batch).unwrap().values().to_vec()
    }

    #[test]
    fn only_chunks_that_overlap_are_copied() {
        let (first, left, right, last) = (chunk(&[1, 2]), chunk(&[10, 30]), chunk(&[20, 5]), chunk(&[40, 41]));
        let chunks = [last.clone(), right, first.clone(), left];
        let batches: Vec<_> = RowsInOrder::new(&chunks).unwrap().batches().map(Result::unwrap).collect();
        let ids: Vec<_> = batches.iter().map(ids_of).collect();
        assert_eq!(ids, [vec![1, 2], vec![5, 10, 20, 30], vec![40, 41]]);
        let memory = |batch: &RecordBatch| row_ids(batch).unwrap().values().inner().as_ptr();
        assert_eq!(memory(&batches[0]), memory(&first.batch));
        assert_eq!(memory(&batches[2]), memory(&last.batch));
    }

    #[test]
    fn rows_are_copied_a_window_at_a_time() {
        let rows = 3 * WINDOW_BYTES as i64 / WIDTH as i64;
        let (even, odd): (Vec<i64>, Vec<i64>) = (0..rows).partition(|id| id % 2 == 0);
        let ordered = RowsInOrder::new(&[chunk(&odd), chunk(&even)]).unwrap();
        let mut seen = Vec::new();
        for batch in ordered.batches().map(Result::unwrap) {
            let bytes = batch.num_rows() * (WIDTH + 8);
            assert!(bytes as u64 <= WINDOW_BYTES, "{bytes} bytes at once");
            seen.extend(ids_of(&batch));
        }
        assert!(seen.iter().copied().eq(0..rows));
    }

    proptest! {
        #[test]
        fn every_row_comes_once_in_order_and_whole(chunks in prop::collection::vec(
            prop::collection::vec(-50i64..50, 0..20), 0..12)) {
            let mut expected: Vec<i64> = chunks.iter().flatten().copied().collect();
            expected.sort_unstable();
            let chunks: Vec<_> = chunks.iter().map(|ids| chunk(ids)).collect();
            let ordered = RowsInOrder::new(&chunks).unwrap();
            prop_assert_eq!(ordered.rows(), expected.len() as u64);
            let mut seen = Vec::new();
            for batch in ordered.batches().map(Result::unwrap) {
                let values = batch.column(1).as_fixed_size_binary();
                let ids = ids_of(&batch);
                prop_assert!(ids.iter().zip(values.iter()).all(|(id, value)| value.unwrap() == [*id as u8; WIDTH]));
                seen.extend(ids);
            }
            prop_assert_eq!(seen, expected);
        }
    }
}
