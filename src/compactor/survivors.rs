//! The surviving rows of a part, array by array, as a batch is decoded.

use arrow_array::{Array, ArrayRef};
use tokio_util::sync::CancellationToken;

use super::{
    CompactError,
    cut::BatchPart,
    inputs::{InputColumn, OpenLog},
    selection::{Keep, Selection},
};

/// Where in the survivors of a batch the rows of a part are.
pub(super) struct PartCursor {
    first: usize,
    last: usize,
    passed: usize,
}

impl PartCursor {
    pub(super) fn of(part: &BatchPart) -> Self {
        Self { first: part.kept.start as usize, last: part.kept.end as usize, passed: 0 }
    }

    /// The rows of the batch's next array that belong to the part, and which of them survive; None if there are none.
    pub(super) fn take(
        &mut self,
        selection: &Selection,
        row: usize,
        array: &ArrayRef,
    ) -> Result<Option<(Keep, ArrayRef)>, CompactError> {
        let Self { first, last, passed } = *self;
        let keep = selection.keep.slice(row, array.len());
        let here = keep.count(array.len());
        let (from, to) = (first.clamp(passed, passed + here) - passed, last.clamp(passed, passed + here) - passed);
        self.passed += here;
        if from == to {
            return Ok(None);
        }
        if to - from == here {
            return Ok(Some((keep, array.clone())));
        }
        Ok(Some((Keep::All, keep.apply(array)?.slice(from, to - from))))
    }
}

/// Hands over the decoded arrays of a batch, each with the rows of it that belong to the part.
pub(super) fn survivors(
    column: &InputColumn,
    log: &OpenLog,
    selections: &[Selection],
    part: &BatchPart,
    stop: &CancellationToken,
    mut each: impl FnMut(Keep, &ArrayRef) -> Result<(), CompactError>,
) -> Result<(), CompactError> {
    let Some(selection) = selections.get(part.batch) else {
        return Err(CompactError::Internal(format!("batch {} was not examined", part.batch)));
    };
    // Rows before the part are not decoded. They count as passed.
    let mut cursor = PartCursor { passed: part.kept.start as usize, ..PartCursor::of(part) };
    let rows = selection.rows_of(&part.kept, column.file.rows);
    column.scan_rows(log, rows, stop, |row, array| match cursor.take(selection, row, array)? {
        Some((keep, rows)) => each(keep, &rows),
        None => Ok(()),
    })
}
