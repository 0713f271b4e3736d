//! Columns as `FieldData`, and keys as `IDs`, for the answers of Query and Search.
//!
//! The member for the type is always set, also for zero rows: SDKs raise on a `FieldData` without one, and on an answer
//! without any `FieldData`.

use std::collections::HashSet;

use arrow_array::types::{Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, BinaryArray, cast::AsArray};
use bytes::Bytes;
use prost::Message;

use super::error::{RowError, defect};
use crate::{
    json,
    model::{DataType, Field},
    wire::proto::schema::{
        self as proto, FieldData, IDs, ScalarField, field_data, i_ds, scalar_field::Data, vector_field,
    },
};

/// Name of the field that answers `count(*)`.
pub const COUNT: &str = "count(*)";

/// Encodes a column for clients. The column must have the field's arrow type.
pub fn field_data(field: &Field, column: &ArrayRef) -> Result<FieldData, RowError> {
    if *column.data_type() != field.arrow_type() {
        let reason = format!("{} instead of {}", column.data_type(), field.arrow_type());
        return Err(defect(field, reason));
    }
    let data = match field.data_type {
        DataType::FloatVector | DataType::BinaryVector => field_data::Field::Vectors(vectors(field, column)),
        _ => field_data::Field::Scalars(ScalarField { data: Some(scalars(field, column)?) }),
    };
    Ok(with_data(field, data))
}

/// Encodes the dynamic field with only the named keys of each object. Copies keys and values as text, so that they stay as
/// the client wrote them.
pub fn dynamic_keys(field: &Field, column: &ArrayRef, keys: &[String]) -> Result<FieldData, RowError> {
    let Some(column) = column.as_binary_opt::<i32>() else {
        let reason = format!("{} instead of Binary", column.data_type());
        return Err(defect(field, reason));
    };
    let wanted: HashSet<&str> = keys.iter().map(String::as_str).collect();
    let pick = |(row, cell): (usize, &[u8])| {
        pick_keys(cell, &wanted).map_err(|reason| RowError::Cell { field: field.name.clone(), row, reason })
    };
    let data = column.iter().flatten().enumerate().map(pick).collect::<Result<_, _>>()?;
    let data = Data::JsonData(proto::JsonArray { data });
    Ok(with_data(field, field_data::Field::Scalars(ScalarField { data: Some(data) })))
}

/// The answer to `count(*)`.
pub fn count(rows: u64) -> FieldData {
    let data = Data::LongData(proto::LongArray { data: vec![i64::try_from(rows).unwrap_or(i64::MAX)] });
    FieldData {
        r#type: DataType::Int64.number(),
        field_name: COUNT.to_owned(),
        field: Some(field_data::Field::Scalars(ScalarField { data: Some(data) })),
        ..Default::default()
    }
}

/// Primary keys.
pub fn ids(field: &Field, column: &ArrayRef) -> Result<IDs, RowError> {
    let id_field = if let Some(keys) = column.as_primitive_opt::<Int64Type>() {
        i_ds::IdField::IntId(proto::LongArray { data: keys.values().to_vec() })
    } else if let Some(keys) = column.as_string_opt::<i32>() {
        i_ds::IdField::StrId(proto::StringArray { data: keys.iter().flatten().map(str::to_owned).collect() })
    } else {
        let reason = format!("{} can't be a primary key", column.data_type());
        return Err(defect(field, reason));
    };
    Ok(IDs { id_field: Some(id_field) })
}

fn with_data(field: &Field, data: field_data::Field) -> FieldData {
    FieldData {
        r#type: field.data_type.number(),
        field_name: field.name.clone(),
        field: Some(data),
        field_id: field.id.0,
        is_dynamic: field.is_dynamic,
        valid_data: Vec::new(),
    }
}

/// The caller has checked the column's type.
fn scalars(field: &Field, column: &ArrayRef) -> Result<Data, RowError> {
    Ok(match field.data_type {
        DataType::Bool => Data::BoolData(proto::BoolArray { data: column.as_boolean().values().iter().collect() }),
        DataType::Int8 => {
            let values = column.as_primitive::<Int8Type>().values();
            Data::IntData(proto::IntArray { data: values.iter().copied().map(i32::from).collect() })
        }
        DataType::Int16 => {
            let values = column.as_primitive::<Int16Type>().values();
            Data::IntData(proto::IntArray { data: values.iter().copied().map(i32::from).collect() })
        }
        DataType::Int32 => {
            Data::IntData(proto::IntArray { data: column.as_primitive::<Int32Type>().values().to_vec() })
        }
        DataType::Int64 => {
            Data::LongData(proto::LongArray { data: column.as_primitive::<Int64Type>().values().to_vec() })
        }
        DataType::Float => {
            Data::FloatData(proto::FloatArray { data: column.as_primitive::<Float32Type>().values().to_vec() })
        }
        DataType::Double => {
            Data::DoubleData(proto::DoubleArray { data: column.as_primitive::<Float64Type>().values().to_vec() })
        }
        DataType::VarChar => {
            let values = column.as_string::<i32>().iter().flatten();
            Data::StringData(proto::StringArray { data: values.map(str::to_owned).collect() })
        }
        DataType::Json => Data::JsonData(proto::JsonArray { data: cells(column.as_binary()).collect() }),
        DataType::Array => {
            let element_type = field.element_type.map_or(0, DataType::number);
            let decode = |(row, cell)| {
                ScalarField::decode(cell).map_err(|e| RowError::Cell {
                    field: field.name.clone(),
                    row,
                    reason: e.to_string(),
                })
            };
            let data = cells(column.as_binary()).enumerate().map(decode).collect::<Result<_, _>>()?;
            Data::ArrayData(proto::ArrayArray { data, element_type })
        }
        DataType::FloatVector | DataType::BinaryVector => {
            return Err(defect(field, "a vector is no scalar"));
        }
    })
}

/// The cells of a column, which share one copy of it.
fn cells(column: &BinaryArray) -> impl Iterator<Item = Bytes> + '_ {
    let offsets = column.value_offsets();
    let first = offsets.first().map_or(0, |o| *o as usize);
    let last = offsets.last().map_or(0, |o| *o as usize);
    let all = Bytes::copy_from_slice(column.value_data().get(first..last).unwrap_or(&[]));
    let ends = offsets.iter().skip(1).map(move |o| *o as usize - first);
    ends.scan(0, move |start, end| Some(all.slice(std::mem::replace(start, end)..end)))
}

fn vectors(field: &Field, column: &ArrayRef) -> proto::VectorField {
    let column = column.as_fixed_size_binary();
    let bytes = column.value_data();
    let data = match field.data_type {
        DataType::BinaryVector => vector_field::Data::BinaryVector(Bytes::copy_from_slice(bytes)),
        _ => {
            let (numbers, _) = bytes.as_chunks::<4>();
            let data = numbers.iter().map(|n| f32::from_le_bytes(*n)).collect();
            vector_field::Data::FloatVector(proto::FloatArray { data })
        }
    };
    proto::VectorField { dim: i64::from(field.dim.unwrap_or(0)), data: Some(data) }
}

/// The wanted members of an object as the text spells them; the first of equal keys.
fn pick_keys(cell: &[u8], wanted: &HashSet<&str>) -> Result<Bytes, String> {
    let members = json::find(cell, &[]).and_then(json::Value::members);
    let members = members.ok_or_else(|| "it is not a JSON object".to_owned())?;
    let mut seen = HashSet::new();
    let mut out = vec![b'{'];
    for (key, value) in members {
        let name = key.decode();
        if !wanted.contains(name.as_ref()) || !seen.insert(name) {
            continue;
        }
        if out.len() > 1 {
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(key.raw());
        out.extend_from_slice(b"\":");
        out.extend_from_slice(value.raw());
    }
    out.push(b'}');
    Ok(out.into())
}
