//! Arithmetic over the rows of a batch.
//!
//! Integers of any width are computed in 64 bits. A result that does not fit, or a division by zero, is no value. Must
//! never wrap.

use arrow_array::{
    ArrowPrimitiveType, RecordBatch,
    types::{Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type},
};

use super::columns::{array_cell, binary, json_cell, primitive};
use crate::{
    json,
    model::DataType,
    query::{
        QueryError,
        expr::{
            ArithmeticOp,
            bound::{FieldRef, Term, ValueSource},
            num::Num,
            value::RowValue,
        },
        interrupt::Checkpoint,
    },
};

/// One number per row; None for a row without one.
pub(super) fn numbers(
    number: &Term,
    batch: &RecordBatch,
    checkpoint: &Checkpoint,
) -> Result<Vec<Option<Num>>, QueryError> {
    checkpoint.spend(batch.num_rows())?;
    match number {
        Term::Constant(value) => Ok(vec![Some(*value); batch.num_rows()]),
        Term::Value(source) => values(source, batch, checkpoint),
        Term::Length(source) => lengths(source, batch, checkpoint),
        Term::Negate(inner) => {
            let mut results = numbers(inner, batch, checkpoint)?;
            for result in &mut results {
                *result = match *result {
                    Some(Num::Int(v)) => v.checked_neg().map(Num::Int),
                    Some(Num::Float(v)) => Some(Num::Float(-v)),
                    None => None,
                };
            }
            Ok(results)
        }
        Term::Arithmetic(op, left, right) => {
            let mut results = numbers(left, batch, checkpoint)?;
            for (result, right) in results.iter_mut().zip(numbers(right, batch, checkpoint)?) {
                *result = match (*result, right) {
                    (Some(a), Some(b)) => calculate(*op, a, b),
                    _ => None,
                };
            }
            Ok(results)
        }
    }
}

fn calculate(op: ArithmeticOp, left: Num, right: Num) -> Option<Num> {
    if let (Num::Int(a), Num::Int(b)) = (left, right) {
        return match op {
            ArithmeticOp::Add => a.checked_add(b),
            ArithmeticOp::Subtract => a.checked_sub(b),
            ArithmeticOp::Multiply => a.checked_mul(b),
            ArithmeticOp::Divide => a.checked_div(b),
            // `checked_rem` would refuse the smallest integer by -1, whose remainder is 0.
            ArithmeticOp::Modulo => (b != 0).then(|| a.wrapping_rem(b)),
            ArithmeticOp::Power => None,
        }
        .map(Num::Int);
    }
    let (a, b) = (left.as_f64(), right.as_f64());
    let value = match op {
        ArithmeticOp::Add => a + b,
        ArithmeticOp::Subtract => a - b,
        ArithmeticOp::Multiply => a * b,
        ArithmeticOp::Divide if b != 0.0 => a / b,
        ArithmeticOp::Modulo if b != 0.0 => a % b,
        ArithmeticOp::Divide | ArithmeticOp::Modulo | ArithmeticOp::Power => return None,
    };
    Some(Num::Float(value))
}

fn values(source: &ValueSource, batch: &RecordBatch, checkpoint: &Checkpoint) -> Result<Vec<Option<Num>>, QueryError> {
    match source {
        ValueSource::Field(field) => match field.kind {
            DataType::Int8 => ints::<Int8Type>(field, batch),
            DataType::Int16 => ints::<Int16Type>(field, batch),
            DataType::Int32 => ints::<Int32Type>(field, batch),
            DataType::Int64 => ints::<Int64Type>(field, batch),
            DataType::Float => floats::<Float32Type>(field, batch),
            DataType::Double => floats::<Float64Type>(field, batch),
            _ => Err(QueryError::Batch { field: field.id, wanted: "a number".to_owned() }),
        },
        ValueSource::Json(field, path) => {
            let cells = binary(field, batch)?;
            let number = |found: json::Value<'_>| found.scalar().and_then(|scalar| RowValue::from(scalar).number());
            (0..batch.num_rows()).map(|i| Ok(json_cell(cells, i, path, checkpoint)?.and_then(number))).collect()
        }
        ValueSource::Element(field, index, _) => {
            let cells = binary(field, batch)?;
            let number = |i| Ok(array_cell(field, cells, i, checkpoint)?.get(*index).and_then(RowValue::number));
            (0..batch.num_rows()).map(number).collect()
        }
    }
}

fn lengths(source: &ValueSource, batch: &RecordBatch, checkpoint: &Checkpoint) -> Result<Vec<Option<Num>>, QueryError> {
    let number = |length: usize| Some(Num::Int(length as i64));
    let rows = 0..batch.num_rows();
    match source {
        ValueSource::Json(field, path) => {
            let cells = binary(field, batch)?;
            let length = |found: json::Value<'_>| found.elements().map_or(0, Iterator::count);
            rows.map(|i| Ok(number(json_cell(cells, i, path, checkpoint)?.map_or(0, length)))).collect()
        }
        ValueSource::Field(field) | ValueSource::Element(field, ..) => {
            let cells = binary(field, batch)?;
            rows.map(|i| Ok(number(array_cell(field, cells, i, checkpoint)?.len()))).collect()
        }
    }
}

fn ints<T>(field: &FieldRef, batch: &RecordBatch) -> Result<Vec<Option<Num>>, QueryError>
where
    T: ArrowPrimitiveType,
    T::Native: Into<i64>,
{
    Ok(primitive::<T>(field, batch)?.values().iter().map(|v| Some(Num::Int((*v).into()))).collect())
}

fn floats<T>(field: &FieldRef, batch: &RecordBatch) -> Result<Vec<Option<Num>>, QueryError>
where
    T: ArrowPrimitiveType,
    T::Native: Into<f64>,
{
    Ok(primitive::<T>(field, batch)?.values().iter().map(|v| Some(Num::Float((*v).into()))).collect())
}
