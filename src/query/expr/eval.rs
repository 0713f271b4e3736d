//! Bound expressions over record batches.
//!
//! Every answer is true or false, there is no third value. What is not there (a missing JSON key, a value of another
//! JSON type) fails every comparison except `!=`, which it passes, as in Milvus 2.3.5; `not` is the plain complement.
//! An index beyond the end of an array, and a computation that has no result (division by zero, overflow), fail every
//! comparison, `!=` too. Floats compare as IEEE numbers do: -0 equals 0, NaN equals nothing.

use arrow::{
    array::{Array, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, PrimitiveArray, RecordBatch, StringArray},
    buffer::BooleanBuffer,
    datatypes::{Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type},
};

use super::{
    array::ArrayCell,
    ast::{CompareOp, Literal, Step},
    bound::{BoundExpr, ContainsMode, FieldRef, Predicate, Source, Test},
    compute::numbers,
    value::{Key, ListKeys, Value},
};
use crate::{
    json,
    model::DataType,
    query::{QueryError, interrupt::Checkpoint},
};

impl BoundExpr {
    /// For each row of `batch` whether it matches; never null.
    ///
    /// The batch needs the columns of [`BoundExpr::fields`], named and typed as in `CollectionSchema::arrow_schema`.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<BooleanArray, QueryError> {
        Ok(BooleanArray::new(self.evaluate_until(batch, &Checkpoint::none())?, None))
    }

    /// As [`BoundExpr::evaluate`], of a batch that is small enough to be looked through between two checkpoints.
    pub(in crate::query) fn evaluate_until(
        &self,
        batch: &RecordBatch,
        checkpoint: &Checkpoint,
    ) -> Result<BooleanBuffer, QueryError> {
        evaluate(&self.root, batch, checkpoint)
    }
}

fn evaluate(predicate: &Predicate, batch: &RecordBatch, checkpoint: &Checkpoint) -> Result<BooleanBuffer, QueryError> {
    let rows = batch.num_rows();
    checkpoint.spend(rows)?;
    match predicate {
        Predicate::All(parts) => {
            let mut all = BooleanBuffer::new_set(rows);
            for part in parts {
                all = &all & &evaluate(part, batch, checkpoint)?;
                if all.count_set_bits() == 0 {
                    break;
                }
            }
            Ok(all)
        }
        Predicate::Any(parts) => {
            let mut any = BooleanBuffer::new_unset(rows);
            for part in parts {
                any = &any | &evaluate(part, batch, checkpoint)?;
            }
            Ok(any)
        }
        Predicate::Not(inner) => Ok(!&evaluate(inner, batch, checkpoint)?),
        Predicate::Test(Source::Field(field), test) => test_field(field, test, batch, checkpoint),
        Predicate::Test(Source::Json(field, path), test) => {
            let absent = matches!(test, Test::Compare(CompareOp::Ne, _));
            json_rows(field, path, batch, checkpoint, |found| {
                let scalar = found.and_then(json::Value::scalar);
                scalar.and_then(|scalar| Value::from(scalar).passes(test)).unwrap_or(absent)
            })
        }
        Predicate::Test(Source::Element(field, index, _), test) => array_rows(field, batch, checkpoint, |cell| {
            cell.get(*index).and_then(|value| value.passes(test)).unwrap_or(false)
        }),
        Predicate::Columns(left, op, right) => columns(left, *op, right, batch),
        Predicate::Numbers { left, op, right, single, absent } => {
            let (left, right) = (numbers(left, batch, checkpoint)?, numbers(right, batch, checkpoint)?);
            Ok(BooleanBuffer::collect_bool(rows, |i| match (left[i], right[i]) {
                (Some(a), Some(b)) if *single => op.holds((a.as_f64() as f32).partial_cmp(&(b.as_f64() as f32))),
                (Some(a), Some(b)) => op.holds(a.compare(b)),
                _ => *absent,
            }))
        }
        Predicate::List { source, equal, items } => {
            lists(source, items.levels(), batch, checkpoint, |list| items.equals(list) == *equal)
        }
        Predicate::Exists(field, path) => json_rows(field, path, batch, checkpoint, |found| found.is_some()),
        Predicate::Contains { source, mode, items } => {
            lists(source, items.levels(), batch, checkpoint, |list| match mode {
                ContainsMode::All => items.is_in(list),
                ContainsMode::Any => items.meets(list),
            })
        }
    }
}

fn test_field(
    field: &FieldRef,
    test: &Test,
    batch: &RecordBatch,
    checkpoint: &Checkpoint,
) -> Result<BooleanBuffer, QueryError> {
    match field.kind {
        DataType::Int8 => test_ints(primitive::<Int8Type>(field, batch)?, test),
        DataType::Int16 => test_ints(primitive::<Int16Type>(field, batch)?, test),
        DataType::Int32 => test_ints(primitive::<Int32Type>(field, batch)?, test),
        DataType::Int64 => test_ints(primitive::<Int64Type>(field, batch)?, test),
        DataType::Float => test_floats(primitive::<Float32Type>(field, batch)?, test),
        DataType::Double => test_floats(primitive::<Float64Type>(field, batch)?, test),
        DataType::Bool => {
            let values = bools(field, batch)?;
            match test {
                Test::Compare(op, Literal::Bool(wanted)) => {
                    Some(compare(values.len(), *op, |i| values.value(i), *wanted))
                }
                Test::In(set) => Some(BooleanBuffer::collect_bool(values.len(), |i| set.has_bool(values.value(i)))),
                _ => None,
            }
        }
        DataType::VarChar => {
            let values = strings(field, batch)?;
            match test {
                Test::Compare(op, Literal::Str(wanted)) => {
                    Some(compare(values.len(), *op, |i| values.value(i), wanted.as_str()))
                }
                Test::In(set) => {
                    Some(BooleanBuffer::collect_bool(values.len(), |i| set.strings.contains(values.value(i))))
                }
                Test::Like(pattern) => {
                    let matches = |i| {
                        let text = values.value(i);
                        checkpoint.spend(text.len())?;
                        Ok(pattern.matches(text))
                    };
                    Some((0..values.len()).map(matches).collect::<Result<_, QueryError>>()?)
                }
                _ => None,
            }
        }
        DataType::Array | DataType::Json | DataType::BinaryVector | DataType::FloatVector => None,
    }
    .ok_or_else(|| QueryError::Batch { field: field.id, wanted: "a scalar that the test fits".to_owned() })
}

/// Integers are widened, so that a constant outside the field's range has the plain answer.
fn test_ints<T>(values: &PrimitiveArray<T>, test: &Test) -> Option<BooleanBuffer>
where
    T: ArrowPrimitiveType,
    T::Native: Into<i64>,
{
    let values = values.values();
    match test {
        Test::Compare(op, Literal::Int(wanted)) => Some(compare(values.len(), *op, |i| values[i].into(), *wanted)),
        Test::In(set) => Some(BooleanBuffer::collect_bool(values.len(), |i| set.ints.contains(&values[i].into()))),
        _ => None,
    }
}

fn test_floats<T>(values: &PrimitiveArray<T>, test: &Test) -> Option<BooleanBuffer>
where
    T: ArrowPrimitiveType,
    T::Native: Into<f64>,
{
    let values = values.values();
    match test {
        Test::Compare(op, Literal::Float(wanted)) => Some(compare(values.len(), *op, |i| values[i].into(), *wanted)),
        Test::In(set) => Some(BooleanBuffer::collect_bool(values.len(), |i| set.has_float(values[i].into()))),
        _ => None,
    }
}

/// One loop per operator, without a branch inside, which the compiler can vectorise.
fn compare<T: PartialOrd + Copy>(rows: usize, op: CompareOp, get: impl Fn(usize) -> T, wanted: T) -> BooleanBuffer {
    match op {
        CompareOp::Eq => BooleanBuffer::collect_bool(rows, |i| get(i) == wanted),
        CompareOp::Ne => BooleanBuffer::collect_bool(rows, |i| get(i) != wanted),
        CompareOp::Lt => BooleanBuffer::collect_bool(rows, |i| get(i) < wanted),
        CompareOp::Le => BooleanBuffer::collect_bool(rows, |i| get(i) <= wanted),
        CompareOp::Gt => BooleanBuffer::collect_bool(rows, |i| get(i) > wanted),
        CompareOp::Ge => BooleanBuffer::collect_bool(rows, |i| get(i) >= wanted),
    }
}

fn columns(left: &FieldRef, op: CompareOp, right: &FieldRef, batch: &RecordBatch) -> Result<BooleanBuffer, QueryError> {
    let rows = batch.num_rows();
    if left.kind == DataType::Bool {
        let (left, right) = (bools(left, batch)?, bools(right, batch)?);
        return Ok(BooleanBuffer::collect_bool(rows, |i| op.holds(Some(left.value(i).cmp(&right.value(i))))));
    }
    let (left, right) = (strings(left, batch)?, strings(right, batch)?);
    Ok(BooleanBuffer::collect_bool(rows, |i| op.holds(Some(left.value(i).cmp(right.value(i))))))
}

/// Runs `test` on what the path reaches in each row.
fn json_rows(
    field: &FieldRef,
    path: &[Step],
    batch: &RecordBatch,
    checkpoint: &Checkpoint,
    test: impl Fn(Option<json::Value<'_>>) -> bool,
) -> Result<BooleanBuffer, QueryError> {
    let cells = binary(field, batch)?;
    (0..cells.len()).map(|i| Ok(test(json_cell(cells, i, path, checkpoint)?))).collect()
}

/// What the path reaches in a row.
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

fn array_rows(
    field: &FieldRef,
    batch: &RecordBatch,
    checkpoint: &Checkpoint,
    test: impl Fn(&ArrayCell) -> bool,
) -> Result<BooleanBuffer, QueryError> {
    let cells = binary(field, batch)?;
    (0..cells.len()).map(|i| Ok(test(&array_cell(field, cells, i, checkpoint)?))).collect()
}

/// Runs `test` on each row's list: an array, or a JSON list if the path reaches one. False where there is none.
fn lists(
    source: &Source,
    levels: usize,
    batch: &RecordBatch,
    checkpoint: &Checkpoint,
    test: impl Fn(ListKeys<'_, '_>) -> bool,
) -> Result<BooleanBuffer, QueryError> {
    match source {
        Source::Json(field, path) => json_rows(field, path, batch, checkpoint, |found| {
            let elements = found.and_then(json::Value::elements);
            elements.is_some_and(|elements| test(&mut elements.map(|element| Key::json(element, levels))))
        }),
        Source::Field(field) | Source::Element(field, ..) => {
            array_rows(field, batch, checkpoint, |cell| test(&mut cell.keys()))
        }
    }
}

/// The array of a row.
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

fn bools<'b>(field: &FieldRef, batch: &'b RecordBatch) -> Result<&'b BooleanArray, QueryError> {
    column(field, batch)?.as_boolean_opt().ok_or_else(|| missing(field))
}

fn strings<'b>(field: &FieldRef, batch: &'b RecordBatch) -> Result<&'b StringArray, QueryError> {
    column(field, batch)?.as_string_opt().ok_or_else(|| missing(field))
}

pub(super) fn binary<'b>(field: &FieldRef, batch: &'b RecordBatch) -> Result<&'b BinaryArray, QueryError> {
    column(field, batch)?.as_binary_opt().ok_or_else(|| missing(field))
}
