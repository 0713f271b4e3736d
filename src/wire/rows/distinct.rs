//! The keys of an upsert, each of which may occur once.

use std::{collections::HashMap, hash::Hash};

use arrow_array::{RecordBatch, cast::AsArray, types::Int64Type};

use super::error::{RowError, defect};
use crate::model::Field;

/// All rows of a request have the same timestamp, so of two rows with one key neither could replace the other.
pub(super) fn check_distinct(key: &Field, rows: &RecordBatch) -> Result<(), RowError> {
    let keys = rows.column_by_name(&key.column_name()).ok_or_else(|| defect(key, "is missing"))?;
    let twice = if let Some(keys) = keys.as_primitive_opt::<Int64Type>() {
        first_repeated(keys.values().iter()).map(|(rows, key)| (rows, key.to_string()))
    } else if let Some(keys) = keys.as_string_opt::<i32>() {
        first_repeated(keys.iter().flatten()).map(|(rows, key)| (rows, shown(key)))
    } else {
        return Err(defect(key, "is of no type that keys have"));
    };
    match twice {
        None => Ok(()),
        Some(((first, second), value)) => Err(RowError::Parameter(format!(
            "duplicate primary keys are not allowed in the same batch: field {}, value {value}, rows {first} and {second}",
            key.name
        ))),
    }
}

/// The first value that occurs twice, with its two rows. The map's hash has a random secret, so a client can't choose values
/// that make this slow.
fn first_repeated<K: Eq + Hash + Copy>(mut values: impl Iterator<Item = K>) -> Option<((usize, usize), K)> {
    let mut seen = HashMap::new();
    let mut row = 0;
    values.find_map(|value| {
        let before = seen.insert(value, row);
        row += 1;
        before.map(|first| ((first, row - 1), value))
    })
}

/// A value for an error's text; only the beginning of a long one.
fn shown(text: &str) -> String {
    const MOST: usize = 100;
    let mut beginning: String = text.chars().take(MOST).collect();
    if beginning.len() < text.len() {
        beginning.push_str(&format!("… ({} bytes)", text.len()));
    }
    beginning
}
