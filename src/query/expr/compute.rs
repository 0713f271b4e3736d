//! Arithmetic over the rows of a batch.
//!
//! Integers are computed in 64 bits whatever the field's width; a result that does not fit, or a division by zero, is
//! no value. Nothing wraps.

use arrow::{
    array::{ArrowPrimitiveType, RecordBatch},
    datatypes::{Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type},
};

use super::{
    ast::ArithmeticOp,
    bound::{FieldRef, Num, Number, Source},
    eval::{array_cell, binary, number_of, primitive},
    json,
    value::Elements,
};
use crate::{model::DataType, query::QueryError};

/// The number of each row; None where there is none.
pub(super) fn numbers(number: &Number, batch: &RecordBatch) -> Result<Vec<Option<Num>>, QueryError> {
    match number {
        Number::Constant(value) => Ok(vec![Some(*value); batch.num_rows()]),
        Number::Value(source) => values(source, batch),
        Number::Length(source) => lengths(source, batch),
        Number::Negate(inner) => {
            let mut results = numbers(inner, batch)?;
            for result in &mut results {
                *result = match *result {
                    Some(Num::Int(v)) => v.checked_neg().map(Num::Int),
                    Some(Num::Float(v)) => Some(Num::Float(-v)),
                    None => None,
                };
            }
            Ok(results)
        }
        Number::Arithmetic(op, left, right) => {
            let mut results = numbers(left, batch)?;
            for (result, right) in results.iter_mut().zip(numbers(right, batch)?) {
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
            ArithmeticOp::Modulo => a.checked_rem(b),
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

fn values(source: &Source, batch: &RecordBatch) -> Result<Vec<Option<Num>>, QueryError> {
    match source {
        Source::Field(field) => match field.kind {
            DataType::Int8 => ints::<Int8Type>(field, batch),
            DataType::Int16 => ints::<Int16Type>(field, batch),
            DataType::Int32 => ints::<Int32Type>(field, batch),
            DataType::Int64 => ints::<Int64Type>(field, batch),
            DataType::Float => floats::<Float32Type>(field, batch),
            DataType::Double => floats::<Float64Type>(field, batch),
            _ => Err(QueryError::Batch { field: field.id, wanted: "a number".to_owned() }),
        },
        Source::Json(field, path) => {
            let cells = binary(field, batch)?;
            let number = |bytes| json::lookup(bytes, path).as_ref().and_then(json::scalar).and_then(number_of);
            Ok(cells.iter().map(|cell| cell.and_then(number)).collect())
        }
        Source::Element(field, index, _) => {
            let cells = binary(field, batch)?;
            cells
                .iter()
                .map(|cell| Ok(array_cell(field, cell.unwrap_or_default())?.get(*index).and_then(number_of)))
                .collect()
        }
    }
}

fn lengths(source: &Source, batch: &RecordBatch) -> Result<Vec<Option<Num>>, QueryError> {
    let number = |length: usize| Some(Num::Int(length as i64));
    match source {
        Source::Json(field, path) => {
            let length = |bytes| match json::lookup(bytes, path) {
                Some(serde_json::Value::Array(list)) => list.len(),
                _ => 0,
            };
            Ok(binary(field, batch)?.iter().map(|cell| number(cell.map_or(0, length))).collect())
        }
        Source::Field(field) | Source::Element(field, ..) => binary(field, batch)?
            .iter()
            .map(|cell| Ok(number(array_cell(field, cell.unwrap_or_default())?.len())))
            .collect(),
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
