//! One column of a request as an arrow array. Numbers and vectors are moved.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, Float32Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int64Array, StringArray,
};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use prost::Message;

use super::{
    checks::{check_cell, check_json, check_lengths, finite, narrow},
    error::{RowError, count, data_name, defect, mismatch, too_large, type_name},
};
use crate::{
    config::LimitsConfig,
    model::{CollectionSchema, DataType, Field},
    wire::proto::schema::{self as proto, FieldData, ScalarField, field_data, scalar_field::Data, vector_field},
};

#[cfg(target_endian = "big")]
compile_error!("vectors are stored little-endian and taken over from requests as they lie in memory");

/// The column of a field, with `rows` values.
pub(super) fn column(
    schema: &CollectionSchema,
    field: &Field,
    data: FieldData,
    rows: usize,
    limits: &LimitsConfig,
) -> Result<ArrayRef, RowError> {
    if data.r#type != field.data_type.number() {
        let sent = type_name(data.r#type);
        return Err(mismatch(field, &format!("type {sent}")));
    }
    if data.valid_data.contains(&false) {
        return Err(RowError::Parameter(format!("null values are not supported: field {}", field.name)));
    }
    match data.field {
        Some(field_data::Field::Scalars(ScalarField { data: Some(data) })) => {
            scalars(schema, field, data, rows, limits)
        }
        Some(field_data::Field::Vectors(proto::VectorField { data: Some(data), .. })) => vectors(field, data, rows),
        _ => Err(mismatch(field, "no data")),
    }
}

fn scalars(
    schema: &CollectionSchema,
    field: &Field,
    data: Data,
    rows: usize,
    limits: &LimitsConfig,
) -> Result<ArrayRef, RowError> {
    Ok(match (field.data_type, data) {
        (DataType::Bool, Data::BoolData(a)) => {
            count(field, a.data.len(), rows)?;
            Arc::new(BooleanArray::from(a.data))
        }
        (DataType::Int8, Data::IntData(a)) => {
            count(field, a.data.len(), rows)?;
            Arc::new(Int8Array::from(narrow::<i8>(&a.data)?))
        }
        (DataType::Int16, Data::IntData(a)) => {
            count(field, a.data.len(), rows)?;
            Arc::new(Int16Array::from(narrow::<i16>(&a.data)?))
        }
        (DataType::Int32, Data::IntData(a)) => {
            count(field, a.data.len(), rows)?;
            Arc::new(Int32Array::from(a.data))
        }
        (DataType::Int64, Data::LongData(a)) => {
            count(field, a.data.len(), rows)?;
            Arc::new(Int64Array::from(a.data))
        }
        (DataType::Float, Data::FloatData(a)) => {
            count(field, a.data.len(), rows)?;
            Arc::new(Float32Array::from(a.data))
        }
        (DataType::Double, Data::DoubleData(a)) => {
            count(field, a.data.len(), rows)?;
            Arc::new(Float64Array::from(a.data))
        }
        (DataType::VarChar, Data::StringData(a)) => {
            count(field, a.data.len(), rows)?;
            strings(field, &a.data)?
        }
        (DataType::Json, Data::JsonData(a)) => {
            count(field, a.data.len(), rows)?;
            for (row, text) in a.data.iter().enumerate() {
                check_json(schema, field, row, text, limits)?;
            }
            binary(field, a.data.iter().map(AsRef::as_ref))?
        }
        (DataType::Array, Data::ArrayData(a)) => {
            count(field, a.data.len(), rows)?;
            arrays(field, a.data)?
        }
        (_, other) => return Err(mismatch(field, data_name(&other))),
    })
}

fn vectors(field: &Field, data: vector_field::Data, rows: usize) -> Result<ArrayRef, RowError> {
    let dim = field.dim.unwrap_or(0).max(1) as usize;
    let buffer = match (field.data_type, data) {
        (DataType::FloatVector, vector_field::Data::FloatVector(a)) => {
            let length = a.data.len();
            if length % dim != 0 {
                let text = format!("the length({length}) of float data should divide the dim({dim})");
                return Err(RowError::Value(text));
            }
            count(field, length / dim, rows)?;
            finite(&a.data)?;
            Buffer::from_vec(a.data)
        }
        (DataType::BinaryVector, vector_field::Data::BinaryVector(bytes)) => {
            let bits = bytes.len() * 8;
            if bits % dim != 0 {
                let text = format!("the num({bits}) of all bits should divide the dim({dim})");
                return Err(RowError::Value(text));
            }
            count(field, bits / dim, rows)?;
            Buffer::from(bytes)
        }
        _ => return Err(mismatch(field, "another kind of vector")),
    };
    let width = i32::try_from(field.vector_bytes()).map_err(|_| too_large(field))?;
    let array = FixedSizeBinaryArray::try_new(width, buffer, None);
    Ok(Arc::new(array.map_err(|e| defect(field, e))?))
}

fn strings(field: &Field, values: &[String]) -> Result<ArrayRef, RowError> {
    check_lengths(field, values)?;
    let (offsets, bytes) = concatenate(field, values.iter().map(String::as_bytes))?;
    let array = StringArray::try_new(offsets, bytes, None);
    Ok(Arc::new(array.map_err(|e| defect(field, e))?))
}

/// Values of any bytes.
pub(super) fn binary<'a>(field: &Field, values: impl Iterator<Item = &'a [u8]> + Clone) -> Result<ArrayRef, RowError> {
    let (offsets, bytes) = concatenate(field, values)?;
    let array = BinaryArray::try_new(offsets, bytes, None);
    Ok(Arc::new(array.map_err(|e| defect(field, e))?))
}

/// Offsets have 32 bits in this format, and arrow panics beyond them, so the sum is checked first.
fn concatenate<'a>(
    field: &Field,
    values: impl Iterator<Item = &'a [u8]> + Clone,
) -> Result<(OffsetBuffer<i32>, Buffer), RowError> {
    let total: usize = values.clone().map(<[u8]>::len).sum();
    if i32::try_from(total).is_err() {
        return Err(too_large(field));
    }
    let offsets = OffsetBuffer::from_lengths(values.clone().map(<[u8]>::len));
    let mut bytes = Vec::with_capacity(total);
    values.for_each(|value| bytes.extend_from_slice(value));
    Ok((offsets, Buffer::from_vec(bytes)))
}

/// Encodes each cell as one `ScalarField` message of the element's type.
fn arrays(field: &Field, cells: Vec<ScalarField>) -> Result<ArrayRef, RowError> {
    let mut ends = Vec::with_capacity(cells.len());
    let mut bytes = Vec::new();
    for (row, cell) in cells.into_iter().enumerate() {
        let cell = ScalarField { data: Some(check_cell(field, row, cell.data)?) };
        cell.encode(&mut bytes).map_err(|e| defect(field, e))?;
        ends.push(i32::try_from(bytes.len()).map_err(|_| too_large(field))?);
    }
    let offsets: Vec<i32> = std::iter::once(0).chain(ends).collect();
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let array = BinaryArray::try_new(offsets, Buffer::from_vec(bytes), None);
    Ok(Arc::new(array.map_err(|e| defect(field, e))?))
}
