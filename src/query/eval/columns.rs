//! Typed access to the columns of a batch, and to the cells of JSON and array columns.

use arrow_array::{
    Array, ArrowPrimitiveType, BinaryArray, BooleanArray, PrimitiveArray, RecordBatch, StringArray, cast::AsArray,
};

use super::array::ArrayCell;
use crate::{
    json,
    query::{
        QueryError,
        expr::{Step, bound::FieldRef},
        interrupt::Checkpoint,
    },
};

/// The value at the end of the path in a row; none if there is none.
pub(super) fn json_cell<'c>(
    cells: &'c BinaryArray,
    row: usize,
    path: &[Step],
    checkpoint: &Checkpoint,
) -> Result<Option<json::Value<'c>>, QueryError> {
    let cell = cells.value(row);
    checkpoint.spend(cell.len())?;
    Ok(json::find(cell, path))
}

/// The array in a row.
pub(super) fn array_cell(
    field: &FieldRef,
    cells: &BinaryArray,
    row: usize,
    checkpoint: &Checkpoint,
) -> Result<ArrayCell, QueryError> {
    let cell = cells.value(row);
    checkpoint.spend(cell.len())?;
    ArrayCell::read(cell).map_err(|error| QueryError::Corrupt { field: field.id, reason: error.to_string() })
}

fn column<'b>(field: &FieldRef, batch: &'b RecordBatch) -> Result<&'b dyn Array, QueryError> {
    batch.column_by_name(&field.column).map(|column| column.as_ref()).ok_or_else(|| missing(field))
}

fn missing(field: &FieldRef) -> QueryError {
    QueryError::Batch { field: field.id, wanted: field.kind.name().to_owned() }
}

pub(super) fn primitive<'b, T: ArrowPrimitiveType>(
    field: &FieldRef,
    batch: &'b RecordBatch,
) -> Result<&'b PrimitiveArray<T>, QueryError> {
    column(field, batch)?.as_primitive_opt().ok_or_else(|| missing(field))
}

pub(super) fn bools<'b>(field: &FieldRef, batch: &'b RecordBatch) -> Result<&'b BooleanArray, QueryError> {
    column(field, batch)?.as_boolean_opt().ok_or_else(|| missing(field))
}

pub(super) fn strings<'b>(field: &FieldRef, batch: &'b RecordBatch) -> Result<&'b StringArray, QueryError> {
    column(field, batch)?.as_string_opt().ok_or_else(|| missing(field))
}

pub(super) fn binary<'b>(field: &FieldRef, batch: &'b RecordBatch) -> Result<&'b BinaryArray, QueryError> {
    column(field, batch)?.as_binary_opt().ok_or_else(|| missing(field))
}
