//! Where the surviving rows of one column of a piece go: filtered, put in order if they have to be, and encoded.
//!
//! Must never: write the rows of a piece in another order than its [`PieceShape`] says. It is the same for all columns.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType as Arrow;
use parking_lot::Mutex;

use super::{CompactError, inputs::step, order::Rearranged, selection::Keep};
use crate::{
    binlog::{Encoded, InsertLogWriter, LogIds, PkStatsBuilder},
    config::BinlogConfig,
    model::{Field, Timestamp},
};

/// Surviving vectors are written straight from the decoded page while the runs of survivors are at least this long on
/// average; shorter ones are gathered first.
const RUN_BYTES: usize = 4096;

/// Shared by all columns of a piece.
pub(super) struct PieceShape {
    pub(super) ts_from: Timestamp,
    pub(super) ts_to: Timestamp,
    pub(super) order: Option<Vec<u32>>,
}

pub(super) fn add_keys(keys: &Mutex<PkStatsBuilder>, field: &Field, column: &ArrayRef) -> Result<(), CompactError> {
    keys.lock().add_column(column).map_err(|source| CompactError::Encode { field: field.id, source })
}

/// Where the surviving rows of one column of a piece go.
pub(super) struct Sink {
    field: Field,
    writer: InsertLogWriter,
    keys: Option<Arc<Mutex<PkStatsBuilder>>>,
    /// All rows, if they have to be put in order.
    held: Option<Vec<ArrayRef>>,
}

impl Sink {
    /// Nothing written yet. `keys`: told of every row, if this is the column of keys; `room`: bytes of the object, about.
    pub(super) fn new(
        ids: LogIds,
        field: &Field,
        config: &BinlogConfig,
        keys: Option<Arc<Mutex<PkStatsBuilder>>>,
        shape: &PieceShape,
        room: u64,
    ) -> Result<Self, CompactError> {
        let mut writer = InsertLogWriter::new(ids, field, config)
            .map_err(|source| CompactError::Encode { field: field.id, source })?;
        writer.reserve(room as usize);
        Ok(Self { field: field.clone(), writer, keys, held: shape.order.is_some().then(Vec::new) })
    }

    /// Takes the rows of `array` that are kept.
    pub(super) fn write(&mut self, keep: Keep, array: &ArrayRef) -> Result<(), CompactError> {
        if let Some(runs) = self.runs(&keep, array) {
            for (start, end) in runs {
                self.encode(&array.slice(start, end - start))?;
            }
            return Ok(());
        }
        let rows = keep.apply(array)?;
        if let Some(keys) = &self.keys {
            add_keys(keys, &self.field, &rows)?;
        }
        match &mut self.held {
            Some(held) => held.push(rows),
            None => self.encode(&rows)?,
        }
        Ok(())
    }

    /// Runs of surviving vectors, if writing them one by one is cheaper than gathering them first.
    fn runs(&self, keep: &Keep, array: &ArrayRef) -> Option<Vec<(usize, usize)>> {
        let (Keep::Some(bits), Arrow::FixedSizeBinary(width), None) = (keep, array.data_type(), &self.held) else {
            return None;
        };
        let runs: Vec<(usize, usize)> = bits.set_slices().collect();
        let bytes = bits.count_set_bits() * usize::try_from(*width).unwrap_or(0);
        (bytes >= runs.len() * RUN_BYTES).then_some(runs)
    }

    fn encode(&mut self, rows: &ArrayRef) -> Result<(), CompactError> {
        self.writer.write(rows).map_err(|source| CompactError::Encode { field: self.field.id, source })
    }

    /// The object, its rows in the order of the piece.
    pub(super) fn finish(mut self, shape: &PieceShape, now_ms: u64) -> Result<Encoded, CompactError> {
        if let (Some(held), Some(order)) = (self.held.take(), &shape.order) {
            let bytes: usize = held.iter().map(|rows| rows.get_buffer_memory_size()).sum();
            for rows in Rearranged::new(&held, order, step(bytes as u64, order.len() as u64)) {
                self.encode(&rows?)?;
            }
        }
        self.writer
            .finish(shape.ts_from, shape.ts_to, now_ms)
            .map_err(|source| CompactError::Encode { field: self.field.id, source })
    }
}
