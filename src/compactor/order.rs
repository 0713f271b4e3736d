//! The order of rows inside a binlog: ascending by row id, all fields alike.
//!
//! Batches are merged by their smallest row id, so pieces are usually in order as they come and nothing is done. Where
//! they are not, one permutation per piece, made from its row ids, is applied to every field.
//!
//! Must never: apply different orders to the fields of one piece.

use arrow_array::ArrayRef;
use arrow_schema::ArrowError;

use super::{
    cut::{BatchPart, Piece},
    selection::Selection,
};
use crate::fault::{self, Planted};

/// True if the rows of a piece may be out of order. Judges by the ranges of the whole batches, so that a piece with a
/// part of a batch may be taken for unordered when it is not, never the other way round.
pub(super) fn may_be_unordered(piece: &Piece, selections: &[Selection]) -> bool {
    let ids = |part: &BatchPart| selections.get(part.batch).and_then(|s| s.row_ids);
    let ascending = piece.parts.iter().all(|part| ids(part).is_some_and(|ids| ids.ascending));
    let follows = |pair: &[BatchPart]| match pair {
        [a, b] => ids(a).zip(ids(b)).is_some_and(|(a, b)| a.max <= b.min),
        _ => false,
    };
    !ascending || !piece.parts.windows(2).all(follows)
}

/// Position in the input of each output row; None if the rows are in order already. Equal row ids keep their order.
pub(super) fn permutation(row_ids: &[i64]) -> Option<Vec<u32>> {
    if row_ids.is_sorted() {
        return None;
    }
    let mut order: Vec<(i64, u32)> = row_ids.iter().copied().zip(0..).collect();
    if fault::planted(Planted::MergeUnstable) {
        order.reverse();
        order.sort_by_key(|(id, _)| *id);
    } else {
        order.sort_unstable();
    }
    Some(order.into_iter().map(|(_, position)| position).collect())
}

/// Applies a permutation to a column that came in several arrays, `step` rows at a time.
pub(super) struct Rearranged<'a> {
    chunks: Vec<&'a dyn arrow_array::Array>,
    /// First row of each chunk.
    starts: Vec<u32>,
    order: std::slice::Chunks<'a, u32>,
}

impl<'a> Rearranged<'a> {
    pub(super) fn new(chunks: &'a [ArrayRef], order: &'a [u32], step: usize) -> Self {
        let starts = chunks
            .iter()
            .scan(0u32, |next, chunk| {
                let start = *next;
                *next = next.saturating_add(chunk.len() as u32);
                Some(start)
            })
            .collect();
        Self { chunks: chunks.iter().map(AsRef::as_ref).collect(), starts, order: order.chunks(step.max(1)) }
    }
}

impl Iterator for Rearranged<'_> {
    type Item = Result<ArrayRef, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = self.order.next()?;
        let locate = |row: &u32| {
            let chunk = self.starts.partition_point(|start| start <= row).saturating_sub(1);
            (chunk, (row - self.starts.get(chunk).copied().unwrap_or(0)) as usize)
        };
        let indices: Vec<(usize, usize)> = rows.iter().map(locate).collect();
        Some(arrow_select::interleave::interleave(&self.chunks, &indices))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Int64Array, StringArray, cast::AsArray, types::Int64Type};
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::{
        compactor::selection::{Keep, RowIds},
        model::Timestamp,
    };

    fn selection(ids: &[i64]) -> Selection {
        let mut row_ids = None;
        RowIds::extend(&mut row_ids, ids);
        Selection {
            keep: Keep::All,
            kept: ids.len() as u64,
            survivors: ids.len() as u64,
            deleted: 0,
            expired: 0,
            ts_from: Timestamp(1),
            ts_to: Timestamp(1),
            row_ids,
            readable: true,
        }
    }

    #[rstest]
    #[case::in_order([[1, 2], [3, 4]], false)]
    #[case::touching([[1, 3], [3, 4]], false)]
    #[case::inside_a_batch([[2, 1], [3, 4]], true)]
    #[case::between_batches([[1, 4], [3, 5]], true)]
    #[case::wrong_way_round([[3, 4], [1, 2]], true)]
    fn sees_disorder(#[case] batches: [[i64; 2]; 2], #[case] expected: bool) {
        let selections: Vec<Selection> = batches.iter().map(|ids| selection(ids)).collect();
        let parts =
            batches.iter().enumerate().map(|(batch, ids)| BatchPart { batch, kept: 0..ids.len() as u64 }).collect();
        assert_eq!(may_be_unordered(&Piece { parts, ..Piece::default() }, &selections), expected);
    }

    #[test]
    fn equal_row_ids_keep_their_order() {
        assert_eq!(permutation(&[3, 1, 3, 1]), Some(vec![1, 3, 0, 2]));
        assert_eq!(permutation(&[1, 1, 2]), None);
    }

    proptest! {
        #[test]
        fn fields_follow_the_row_ids(ids in prop::collection::vec(-50i64..50, 1..200), chunk in 1usize..40, step in 1usize..60) {
            let texts: Vec<String> = ids.iter().enumerate().map(|(row, id)| format!("{id}/{row:03}")).collect();
            let mut expected: Vec<(i64, usize)> = ids.iter().copied().zip(0..).collect();
            expected.sort();
            let order = permutation(&ids).unwrap_or((0..ids.len() as u32).collect());

            let id_chunks: Vec<ArrayRef> =
                ids.chunks(chunk).map(|c| Arc::new(Int64Array::from(c.to_vec())) as ArrayRef).collect();
            // The other field comes in chunks of another length.
            let text_chunks: Vec<ArrayRef> =
                texts.chunks(chunk + 3).map(|c| Arc::new(StringArray::from(c.to_vec())) as ArrayRef).collect();
            let mut got_ids = Vec::new();
            for array in Rearranged::new(&id_chunks, &order, step) {
                got_ids.extend_from_slice(array.unwrap().as_primitive::<Int64Type>().values());
            }
            let mut got_texts = Vec::new();
            for array in Rearranged::new(&text_chunks, &order, step) {
                got_texts.extend(array.unwrap().as_string::<i32>().iter().map(|t| t.unwrap().to_owned()));
            }
            prop_assert_eq!(got_ids, expected.iter().map(|(id, _)| *id).collect::<Vec<_>>());
            prop_assert_eq!(got_texts, expected.iter().map(|(_, row)| texts[*row].clone()).collect::<Vec<_>>());
        }
    }
}
