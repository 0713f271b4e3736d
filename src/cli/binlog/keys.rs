//! Whether the statistics of a segment have all of its keys. A delete goes to the segments whose statistics may have its key,
//! so a row with another key would survive it.

use std::{fs::File, sync::Arc};

use arrow_array::{ArrayRef, cast::AsArray as _, types::Int64Type};

use super::{
    files::{FileRange, FoundFile},
    look::read_stats,
};
use crate::{
    binlog::{InsertLog, LogBytes, PkStats},
    model::PrimaryKey,
};

/// Rows that are decoded at once.
const BATCH_ROWS: usize = 8192;

/// Compares the keys in the insert logs of a segment with its statistics. Both must be readable. Says nothing about a segment
/// without statistics: its logs may lie elsewhere.
pub(super) fn check(stats: &[&FoundFile], logs: &[&FoundFile]) -> Result<(), String> {
    let mut known = Vec::new();
    for found in stats {
        known.extend(read_stats(found)?);
    }
    let Some(field) = known.first().map(|stats| stats.field) else { return Ok(()) };
    for found in logs.iter().filter(|found| found.object.and_then(|object| object.field()) == Some(field)) {
        let file = File::open(&found.path).map_err(|e| e.to_string())?;
        let bytes = file.metadata().map_err(|e| e.to_string())?.len();
        let log = InsertLog::open(LogBytes::in_store(Arc::new(FileRange(file)), bytes)).map_err(|e| e.to_string())?;
        let field = log.field().map_err(|e| e.to_string())?;
        for column in log.read(&field, BATCH_ROWS).map_err(|e| e.to_string())? {
            if let Some(key) = missing(&column.map_err(|e| e.to_string())?, &known) {
                return Err(format!("key {key} of {} is not in the statistics of its segment", found.path.display()));
            }
        }
    }
    Ok(())
}

/// The first key of a column that no statistics have.
fn missing(column: &ArrayRef, known: &[PkStats]) -> Option<PrimaryKey> {
    let is_missing = |key: &PrimaryKey| !known.iter().any(|stats| stats.may_contain(key));
    if let Some(keys) = column.as_primitive_opt::<Int64Type>() {
        return keys.values().iter().map(|key| PrimaryKey::Int(*key)).find(is_missing);
    }
    let keys = column.as_string_opt::<i32>()?;
    keys.iter().flatten().map(|key| PrimaryKey::Str(key.into())).find(is_missing)
}
