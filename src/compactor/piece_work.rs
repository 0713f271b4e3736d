//! One piece of an output: the state that its columns share, the memory that each takes, and the order of its rows.

use std::sync::{Arc, atomic::AtomicUsize};

use arrow_array::{cast::AsArray, types::Int64Type};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::{
    CompactError,
    cut::{BatchPart, Piece},
    inputs::{Batch, Inputs},
    merge_run::{MergeRun, SMALL_BYTES},
    order::{may_be_unordered, permutation},
    selection::{Keep, Selection},
    sink::PieceShape,
    survivors::survivors,
};
use crate::{
    binlog::{LogIds, PkStatsBuilder},
    model::Timestamp,
    storage::SPLICED_BYTES,
};

/// Bytes that one unit of decoding and encoding takes besides objects and written pages: pages that it reads,
/// arrays, compressors.
const CODEC_BYTES: u64 = 4 << 20;
/// Row ids, their positions, and the sorted pairs of both.
const ORDER_BYTES_PER_ROW: u64 = 8 + 4 + 16;
/// Selections of all batches, found by the first pass.
pub(super) type Selections = Arc<[Selection]>;

/// One piece of one output segment, with the state that its columns share.
pub(super) struct PieceWork {
    /// Position of the output, and of the piece in it.
    pub(super) output: usize,
    pub(super) number: usize,
    pub(super) piece: Piece,
    pub(super) ids: LogIds,
    pub(super) keys: Arc<Mutex<PkStatsBuilder>>,
    unordered: bool,
    /// The first column that needs it finds it.
    shape: OnceCell<Arc<PieceShape>>,
    pub(super) columns_left: AtomicUsize,
}

impl PieceWork {
    pub(super) fn new(
        (output, number): (usize, usize),
        piece: Piece,
        ids: LogIds,
        keys: Arc<Mutex<PkStatsBuilder>>,
        selections: &[Selection],
        columns: usize,
    ) -> Self {
        let unordered = may_be_unordered(&piece, selections);
        let columns_left = AtomicUsize::new(columns);
        Self { output, number, piece, ids, keys, unordered, shape: OnceCell::new(), columns_left }
    }

    /// The one part, if it is a whole batch as it stands in its objects.
    pub(super) fn copied(&self, selections: &[Selection]) -> Option<&BatchPart> {
        let [part] = self.piece.parts.as_slice() else { return None };
        let selection = selections.get(part.batch)?;
        let whole = selection.keep == Keep::All && part.kept == (0..selection.kept);
        (whole && selection.readable && !self.unordered).then_some(part)
    }

    /// Bytes that writing one field takes at most at once.
    pub(super) fn memory_bytes(
        &self,
        inputs: &Inputs,
        selections: &[Selection],
        field: usize,
        exec: &MergeRun<'_>,
    ) -> u64 {
        let (budget, page_bytes) = (exec.budget, exec.binlog.page_bytes);
        let files = || self.piece.parts.iter().filter_map(|p| Some((p, inputs.batches.get(p.batch)?)));
        let largest = files().map(|(_, batch)| batch.file_bytes(field)).max().unwrap_or(0);
        let written = self.written_bytes(inputs, selections, field);
        if self.copied(selections).is_some() {
            let looked_at = if field == inputs.key { largest } else { largest.min(SMALL_BYTES) };
            return budget.reading_bytes(looked_at) + largest.min(SMALL_BYTES) + SPLICED_BYTES + CODEC_BYTES;
        }
        let largest = budget.reading_bytes(largest);
        // Vectors are appended to the object page by page; other columns are held by the parquet writer until the end
        // and then copied.
        let vector = inputs.fields.get(field).is_some_and(|f| f.data_type.is_vector());
        let written = if vector { written } else { 2 * written };
        let rearranged = if self.unordered {
            let share = |(part, batch): (&BatchPart, &Batch)| portion(batch.file_memory_bytes(field), part, selections);
            files().map(share).sum::<u64>() + self.piece.rows * ORDER_BYTES_PER_ROW
        } else {
            0
        };
        // Rows that fill no page yet, and a page that is compressed.
        largest + written + rearranged + CODEC_BYTES + 2 * page_bytes
    }

    /// Bytes that the object of a field will probably have.
    pub(super) fn written_bytes(&self, inputs: &Inputs, selections: &[Selection], field: usize) -> u64 {
        let bytes = |part: &BatchPart| inputs.batches.get(part.batch).map_or(0, |batch| batch.file_bytes(field));
        self.piece.parts.iter().map(|part| portion(bytes(part), part, selections)).sum()
    }
}

/// Share of `total` that the rows of a part make up in their batch, dead rows included in the batch.
fn portion(total: u64, part: &BatchPart, selections: &[Selection]) -> u64 {
    let rows = selections.get(part.batch).map_or(0, |s| s.kept + s.deleted + s.expired);
    (u128::from(total) * u128::from(part.kept.end - part.kept.start) / u128::from(rows.max(1))) as u64
}

/// Time range and order of a piece.
pub(super) async fn shape(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    selections: &Selections,
    work: &PieceWork,
) -> Result<Arc<PieceShape>, CompactError> {
    let find = || async {
        // Of a part of a batch only the batch's range is known.
        let whole = |part: &BatchPart| selections.get(part.batch).filter(|s| part.kept == (0..s.kept));
        let ranges: Option<Vec<_>> =
            work.piece.parts.iter().map(|part| whole(part).map(|s| (s.ts_from, s.ts_to))).collect();
        let ranges = match ranges {
            Some(ranges) => ranges,
            None => values(exec, inputs, selections, work, Inputs::TIMESTAMP)
                .await?
                .into_iter()
                .map(|ts| (Timestamp(ts as u64), Timestamp(ts as u64)))
                .collect(),
        };
        let order = if work.unordered {
            let row_ids = values(exec, inputs, selections, work, Inputs::ROW_ID).await?;
            exec.cores.run(move || Ok(permutation(&row_ids))).await?
        } else {
            None
        };
        Ok(Arc::new(PieceShape {
            ts_from: ranges.iter().map(|(from, _)| *from).min().unwrap_or_default(),
            ts_to: ranges.iter().map(|(_, to)| *to).max().unwrap_or_default(),
            order,
        }))
    };
    work.shape.get_or_try_init(find).await.cloned()
}

/// The surviving values of an int64 column of a piece, in the order of its parts.
async fn values(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    selections: &Selections,
    work: &PieceWork,
    field: usize,
) -> Result<Vec<i64>, CompactError> {
    let mut values = Vec::new();
    for part in &work.piece.parts {
        let column = inputs.column(part.batch, field)?;
        let bytes = exec.fetch(column.object()).await?;
        let (stop, selections, part) = (exec.stop.clone(), selections.clone(), part.clone());
        values = exec
            .cores
            .run(move || {
                let log = column.open(bytes)?;
                survivors(&column, &log, &selections, &part, &stop, |keep, array| {
                    let rows = keep.apply(array)?;
                    let rows = rows.as_primitive_opt::<Int64Type>();
                    values.extend_from_slice(rows.ok_or_else(|| column.mismatch("is not an int64 column"))?.values());
                    Ok(())
                })?;
                Ok(values)
            })
            .await?;
    }
    Ok(values)
}
