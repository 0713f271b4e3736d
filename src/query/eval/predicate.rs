//! Predicates over the rows of a batch.

use arrow_array::{
    Array, ArrowPrimitiveType, BooleanArray, PrimitiveArray, RecordBatch,
    types::{Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type},
};
use arrow_buffer::BooleanBuffer;

use super::{
    array::ArrayCell,
    columns::{array_cell, binary, bools, json_cell, primitive, strings},
    numbers::numbers,
};
use crate::{
    json,
    model::DataType,
    query::{
        QueryError,
        expr::{
            CompareOp, Literal, Step,
            bound::{BoundExpr, ContainsMode, FieldRef, Predicate, Test, ValueSource},
            value::{ListKey, ListKeys, RowValue},
        },
        interrupt::Checkpoint,
    },
};

impl BoundExpr {
    /// One bit per row of `batch`: true if it matches. Never null.
    ///
    /// The batch needs the columns of [`BoundExpr::fields`], named and typed as in `CollectionSchema::arrow_schema`.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<BooleanArray, QueryError> {
        Ok(BooleanArray::new(self.evaluate_until(batch, &Checkpoint::none())?, None))
    }

    /// As [`BoundExpr::evaluate`], with checkpoints. The batch should be small: some parts have no checkpoint inside it.
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
        Predicate::Test(ValueSource::Field(field), test) => test_field(field, test, batch, checkpoint),
        Predicate::Test(ValueSource::Json(field, path), test) => {
            let absent = matches!(test, Test::Compare(CompareOp::Ne, _));
            json_rows(field, path, batch, checkpoint, |found| {
                let scalar = found.and_then(json::Value::scalar);
                scalar.and_then(|scalar| test.accepts(&RowValue::from(scalar))).unwrap_or(absent)
            })
        }
        Predicate::Test(ValueSource::Element(field, index, _), test) => array_rows(field, batch, checkpoint, |cell| {
            cell.get(*index).and_then(|value| test.accepts(&value)).unwrap_or(false)
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

/// Integers are widened, so a constant outside the field's range compares correctly.
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

/// One loop per operator without a branch inside, so that the compiler can vectorise it.
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

/// Runs `test` on the value at the end of the path in each row.
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

fn array_rows(
    field: &FieldRef,
    batch: &RecordBatch,
    checkpoint: &Checkpoint,
    test: impl Fn(&ArrayCell) -> bool,
) -> Result<BooleanBuffer, QueryError> {
    let cells = binary(field, batch)?;
    (0..cells.len()).map(|i| Ok(test(&array_cell(field, cells, i, checkpoint)?))).collect()
}

/// Runs `test` on each row's list: an array, or a JSON list at the end of the path. False for a row without a list.
fn lists(
    source: &ValueSource,
    levels: usize,
    batch: &RecordBatch,
    checkpoint: &Checkpoint,
    test: impl Fn(ListKeys<'_, '_>) -> bool,
) -> Result<BooleanBuffer, QueryError> {
    match source {
        ValueSource::Json(field, path) => json_rows(field, path, batch, checkpoint, |found| {
            let elements = found.and_then(json::Value::elements);
            elements.is_some_and(|elements| test(&mut elements.map(|element| ListKey::json(element, levels))))
        }),
        ValueSource::Field(field) | ValueSource::Element(field, ..) => {
            array_rows(field, batch, checkpoint, |cell| test(&mut cell.keys()))
        }
    }
}
