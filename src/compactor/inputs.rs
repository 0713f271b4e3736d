//! The inputs of a plan as a list of batches, and how one column of one batch is read.
//!
//! Must never: trust the log lists. Every field has to have equally many logs with equal numbers of rows, and an
//! object has to hold as many rows as its log says.

use std::{ops::Range, sync::Arc};

use arrow_array::{Array, ArrayRef, cast::AsArray, types::Int64Type};
use tokio_util::sync::CancellationToken;

use super::{
    CompactError, CompactionTask,
    cut::{BatchSize, share},
    selection::Selection,
};
use crate::{
    background::let_others_go_first,
    binlog::{BinlogError, ColumnReader, InsertLog, LogIds},
    model::{DataType, Field, FieldId, LogFile, Timestamp},
    storage::{Fetched, LogPath, RangedObject, StoredObject},
};

/// Bytes of decoded rows that are handled at once. They fit into a core's cache.
const STEP_BYTES: u64 = 512 * 1024;

/// Lengths inside a log are signed 32-bit numbers. Sums of smaller numbers can't overflow 64 bits.
const FORMAT_LIMIT: u64 = i32::MAX as u64;

/// Upper bound on a column's decoded size for logs below [`FORMAT_LIMIT`].
const MEMORY_LIMIT: u64 = 1 << 40;

/// One insert log per stored field, all with the same rows.
#[derive(Debug)]
pub(super) struct Batch {
    ids: LogIds,
    pub(super) rows: u64,
    /// In the order of [`Inputs::fields`].
    files: Vec<LogFile>,
    /// Of the rows, as the metadata says; 0 if it does not.
    pub(super) ts_from: Timestamp,
    pub(super) ts_to: Timestamp,
}

#[derive(Debug)]
pub(super) struct DeltaLog {
    ids: LogIds,
    pub(super) file: LogFile,
}

#[derive(Debug)]
pub(super) struct Inputs {
    /// Stored fields, ascending by id.
    pub(super) fields: Vec<Field>,
    /// Position of the primary key in `fields`.
    pub(super) key: usize,
    pub(super) batches: Vec<Batch>,
    pub(super) deltas: Vec<DeltaLog>,
}

impl Inputs {
    /// RowID and Timestamp have the smallest ids, so they come first.
    pub(super) const ROW_ID: usize = 0;
    pub(super) const TIMESTAMP: usize = 1;

    /// Fails if the task's inputs are not those of its plan, or a segment's log lists do not fit together.
    pub(super) fn open(task: &CompactionTask) -> Result<Self, CompactError> {
        let planned = task.plan.input_ids();
        if planned.len() != task.inputs.len() || !planned.eq(task.inputs.iter().map(|i| i.segment.id)) {
            return Err(CompactError::Internal(format!("plan {}: task has other inputs than the plan", task.plan.id)));
        }
        let fields = task.schema.stored_fields();
        let position = |id: FieldId| fields.iter().position(|f| f.id == id);
        let key = task.schema.fields.iter().find(|f| f.is_primary_key).and_then(|f| position(f.id));
        let (Some(key), Some(Self::ROW_ID), Some(Self::TIMESTAMP)) =
            (key, position(FieldId::ROW_ID), position(FieldId::TIMESTAMP))
        else {
            return Err(CompactError::Internal(format!("plan {}: schema without a primary key", task.plan.id)));
        };
        let mut inputs = Self { fields, key, batches: Vec::new(), deltas: Vec::new() };
        for input in &task.inputs {
            let ids = input.segment.log_ids();
            if *input.segment.group != task.plan.group {
                let what = format!("plan {}: segment {} is of another group", task.plan.id, ids.segment);
                return Err(CompactError::Internal(what));
            }
            for number in 0..input.logs.batches() {
                inputs.batches.push(Self::batch(&inputs.fields, ids, input, number)?);
            }
            // Fewer batches than another field has would lose that one's rows unseen.
            for field in &inputs.fields {
                let (logs, batches) = (input.logs.field(field.id).len(), input.logs.batches());
                if logs != batches {
                    let what = format!("has {logs} insert logs, others have {batches}");
                    return Err(CompactError::Logs { segment: ids.segment, field: field.id, what });
                }
            }
            inputs.deltas.extend(input.logs.delta.iter().map(|file| DeltaLog { ids, file: file.clone() }));
        }
        Ok(inputs)
    }

    fn batch(
        fields: &[Field],
        ids: LogIds,
        input: &super::CompactionInput,
        number: usize,
    ) -> Result<Batch, CompactError> {
        let files = fields.iter().map(|field| {
            let file = input.logs.field(field.id).get(number).ok_or_else(|| CompactError::Logs {
                segment: ids.segment,
                field: field.id,
                what: format!("has no insert log number {number}"),
            })?;
            // A hint for cuts and budgets, worth no error.
            Ok::<_, CompactError>(LogFile { memory_bytes: file.memory_bytes.min(MEMORY_LIMIT), ..file.clone() })
        });
        let files: Vec<LogFile> = files.collect::<Result<_, CompactError>>()?;
        let rows = files.first().map_or(0, |f| f.rows);
        if let Some((field, file)) = fields.iter().zip(&files).find(|(_, file)| file.rows != rows) {
            let what = format!("has {} rows in insert log {}, others have {rows}", file.rows, file.id);
            return Err(CompactError::Logs { segment: ids.segment, field: field.id, what });
        }
        for (field, file) in fields.iter().zip(&files) {
            let sizes = [(file.rows, "rows"), (file.bytes, "bytes")];
            if let Some((value, unit)) = sizes.into_iter().find(|(value, _)| *value > FORMAT_LIMIT) {
                let what = format!("has an insert log of {value} {unit}, the format's limit is {FORMAT_LIMIT}");
                return Err(CompactError::Logs { segment: ids.segment, field: field.id, what });
            }
        }
        let (ts_from, ts_to) =
            files.get(Self::TIMESTAMP).map_or((Timestamp::ZERO, Timestamp::ZERO), |f| (f.ts_from, f.ts_to));
        Ok(Batch { ids, rows, files, ts_from, ts_to })
    }

    pub(super) fn rows(&self) -> u64 {
        self.batches.iter().map(|b| b.rows).sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.batches.iter().map(Batch::bytes).sum()
    }

    pub(super) fn key_type(&self) -> DataType {
        self.fields.get(self.key).map_or(DataType::Int64, |f| f.data_type)
    }

    /// Positions of the fields that the first pass reads.
    pub(super) fn narrow(&self) -> [usize; 3] {
        [Self::ROW_ID, Self::TIMESTAMP, self.key]
    }

    /// One column of one batch, not read yet.
    pub(super) fn column(&self, batch: usize, field: usize) -> Result<InputColumn, CompactError> {
        let found = self.batches.get(batch).and_then(|b| Some((b, b.files.get(field)?, self.fields.get(field)?)));
        let Some((batch, file, field)) = found else {
            return Err(CompactError::Internal(format!("no column {field} of batch {batch}")));
        };
        Ok(InputColumn {
            path: LogPath::insert(batch.ids, field.id, file.id),
            field: field.clone(),
            file: file.clone(),
        })
    }
}

impl Batch {
    /// Bytes of all objects.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.bytes).sum()
    }

    pub(super) fn file_bytes(&self, field: usize) -> u64 {
        self.files.get(field).map_or(0, |f| f.bytes)
    }

    pub(super) fn file_memory_bytes(&self, field: usize) -> u64 {
        self.files.get(field).map_or(0, |f| f.memory_bytes.max(f.bytes))
    }

    /// Sizes for the cuts. Without sizes in memory in the metadata, those of the objects count. If several ranges share a
    /// batch, each counts the part that its survivors make up.
    pub(super) fn size(&self, selection: &Selection) -> BatchSize {
        let part = |total: u64| match selection.survivors {
            0 => total,
            survivors => share(total, survivors, &(0..selection.kept)),
        };
        let memory: u64 = self.files.iter().map(|f| if f.memory_bytes == 0 { f.bytes } else { f.memory_bytes }).sum();
        BatchSize {
            rows: part(self.rows),
            kept: selection.kept,
            memory_bytes: part(memory),
            object_bytes: part(self.bytes()),
            copyable: selection.readable
                && selection.kept == self.rows
                && selection.row_ids.is_some_and(|ids| ids.ascending),
        }
    }
}

impl DeltaLog {
    pub(super) fn path(&self) -> LogPath {
        LogPath::delta(self.ids, self.file.id)
    }

    pub(super) fn object(&self) -> StoredObject {
        StoredObject::delta(self.ids, &self.file)
    }
}

/// An opened insert log, and where its bytes come from if they are not in memory.
#[derive(Clone)]
pub(super) struct OpenLog {
    pub(super) log: InsertLog,
    object: Option<Arc<RangedObject>>,
}

/// An insert log with its metadata.
#[derive(Debug, Clone)]
pub(super) struct InputColumn {
    pub(super) path: LogPath,
    pub(super) field: Field,
    pub(super) file: LogFile,
}

impl InputColumn {
    pub(super) fn object(&self) -> StoredObject {
        StoredObject { path: self.path, bytes: self.file.bytes, checksum: self.file.checksum }
    }

    /// Rows to decode at once.
    pub(super) fn step(&self) -> usize {
        step(self.file.memory_bytes.max(self.file.bytes), self.file.rows)
    }

    pub(super) fn corrupt(&self, source: BinlogError) -> CompactError {
        CompactError::Object { object: self.path.to_string(), source }
    }

    pub(super) fn mismatch(&self, what: impl Into<String>) -> CompactError {
        CompactError::Mismatch { object: self.path.to_string(), what: what.into() }
    }

    /// Parses header and footer; fails if the object is not the one that the metadata describes. CPU work: not for async
    /// threads.
    pub(super) fn open(&self, fetched: Fetched) -> Result<OpenLog, CompactError> {
        let (bytes, object) = fetched.open()?;
        let log = InsertLog::open(bytes).map_err(|e| self.unreadable(object.as_deref(), e))?;
        if log.rows() != self.file.rows {
            return Err(self.mismatch(format!("holds {} rows, metadata says {}", log.rows(), self.file.rows)));
        }
        Ok(OpenLog { log, object })
    }

    /// The values of an array of this column, which has to be of Int64.
    pub(super) fn int64s<'a>(&self, array: &'a ArrayRef) -> Result<&'a [i64], CompactError> {
        let array = array.as_primitive_opt::<Int64Type>().ok_or_else(|| self.mismatch("is not an int64 column"))?;
        Ok(array.values())
    }

    /// The values of a column of Int64 from the first row on, to be read beside another column.
    pub(super) fn values<'a>(&'a self, open: &'a OpenLog) -> Result<ColumnValues<'a>, CompactError> {
        let object = open.object.as_deref();
        let arrays = open.log.read_rows(&self.field, self.step(), 0..self.file.rows);
        let arrays = arrays.map_err(|e| self.unreadable(object, e))?;
        Ok(ColumnValues { column: self, object, arrays, array: None, taken: 0, next: Vec::new() })
    }

    /// Damage, unless the store has not answered.
    fn unreadable(&self, object: Option<&RangedObject>, source: BinlogError) -> CompactError {
        match object.and_then(RangedObject::take_failure) {
            Some(failure) => CompactError::Store(failure),
            None => self.corrupt(source),
        }
    }

    /// Decodes the column and hands over its arrays, each with the row it begins at. CPU work: not for async threads.
    pub(super) fn scan(
        &self,
        open: &OpenLog,
        stop: &CancellationToken,
        each: impl FnMut(usize, &ArrayRef) -> Result<(), CompactError>,
    ) -> Result<(), CompactError> {
        self.scan_rows(open, 0..self.file.rows, stop, each)
    }

    /// The same for some of the rows.
    pub(super) fn scan_rows(
        &self,
        open: &OpenLog,
        rows: Range<u64>,
        stop: &CancellationToken,
        mut each: impl FnMut(usize, &ArrayRef) -> Result<(), CompactError>,
    ) -> Result<(), CompactError> {
        let object = open.object.as_deref();
        let (mut next, end) = (rows.start as usize, rows.end as usize);
        let arrays = open.log.read_rows(&self.field, self.step(), rows);
        for array in arrays.map_err(|e| self.unreadable(object, e))? {
            if stop.is_cancelled() {
                return Err(CompactError::Cancelled);
            }
            let array = array.map_err(|e| self.unreadable(object, e))?;
            let until = next.saturating_add(array.len());
            if until > end {
                return Err(self.mismatch(format!("decodes to {until} rows or more, metadata says {end}")));
            }
            let_others_go_first();
            each(next, &array)?;
            next = until;
            let_others_go_first();
        }
        if next != end {
            return Err(self.mismatch(format!("decodes to {next} rows, metadata says {end}")));
        }
        Ok(())
    }
}

/// Values of a column, taken as many at a time as another column has rows.
pub(super) struct ColumnValues<'a> {
    column: &'a InputColumn,
    object: Option<&'a RangedObject>,
    arrays: ColumnReader,
    array: Option<ArrayRef>,
    /// Values of `array` that are taken.
    taken: usize,
    next: Vec<i64>,
}

impl ColumnValues<'_> {
    /// The next `rows` values, which have to be there.
    pub(super) fn next(&mut self, rows: usize) -> Result<&[i64], CompactError> {
        self.next.clear();
        while self.next.len() < rows {
            let values = self.array.as_ref().map_or(Ok(&[][..]), |array| self.column.int64s(array))?;
            let rest = values.get(self.taken..).unwrap_or_default();
            if rest.is_empty() {
                let array = self.arrays.next().ok_or_else(|| self.column.mismatch("has too few rows"))?;
                self.array = Some(array.map_err(|e| self.column.unreadable(self.object, e))?);
                self.taken = 0;
                continue;
            }
            let count = rest.len().min(rows - self.next.len());
            self.next.extend_from_slice(&rest[..count]);
            self.taken += count;
        }
        Ok(&self.next)
    }
}

/// Rows that make up about [`STEP_BYTES`] if `rows` take `bytes`.
pub(super) fn step(bytes: u64, rows: u64) -> usize {
    (STEP_BYTES / (bytes / rows.max(1)).max(1)).clamp(64, 64 * 1024) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_the_width_of_rows() {
        assert_eq!(
            [step(8_000, 1000), step(3_072_000, 1000), step(131_072_000, 1000), step(0, 0)],
            [65536, 170, 64, 65536]
        );
    }
}
