//! The rules that single values must keep: numbers finite and in their range, lengths, JSON, cells of arrays.

use super::{
    error::{RowError, data_name},
    values::scalars_in,
};
use crate::{
    config::LimitsConfig,
    json,
    model::{CollectionSchema, DataType, Field},
    wire::{
        proto::schema::{self as proto, scalar_field::Data},
        schema::DYNAMIC_FIELD,
    },
};

/// Refuses NaN and infinite numbers.
pub(super) fn finite(values: &[f32]) -> Result<(), RowError> {
    // The loop over a chunk has no exit, so it compiles to vector instructions.
    const CHUNK: usize = 4096;
    let is_bad = |chunk: &[f32]| chunk.iter().fold(false, |bad, v| bad | !v.is_finite());
    let Some(bad) = values.chunks(CHUNK).position(is_bad) else { return Ok(()) };
    let value = match values.iter().skip(bad * CHUNK).copied().find(|v| !v.is_finite()).unwrap_or(f32::NAN) {
        f32::INFINITY => "+Inf".to_owned(),
        f32::NEG_INFINITY => "-Inf".to_owned(),
        other => other.to_string(),
    };
    Err(RowError::Value(format!("value '{value}' is not a number or infinity")))
}

/// Numbers of a narrower type, which clients send with 32 bits.
pub(super) fn narrow<T: TryFrom<i32> + IntegerRange>(values: &[i32]) -> Result<Vec<T>, RowError> {
    let convert = |(row, value): (usize, &i32)| T::try_from(*value).map_err(|_| out_of_range::<T>(row, *value));
    values.iter().enumerate().map(convert).collect()
}

/// Range of a narrow integer, for messages.
pub(super) trait IntegerRange {
    const RANGE: (i32, i32);
}

impl IntegerRange for i8 {
    const RANGE: (i32, i32) = (i8::MIN as i32, i8::MAX as i32);
}

impl IntegerRange for i16 {
    const RANGE: (i32, i32) = (i16::MIN as i32, i16::MAX as i32);
}

fn out_of_range<T: IntegerRange>(row: usize, value: i32) -> RowError {
    let (min, max) = T::RANGE;
    RowError::Parameter(format!(
        "the {row}th element ({value}) out of range: [{min}, {max}]: invalid parameter[expected=integer doesn't \
         overflow][actual=out of range]"
    ))
}

/// Refuses texts that are longer than the field's `max_length` in bytes.
pub(super) fn check_lengths(field: &Field, values: &[String]) -> Result<(), RowError> {
    let max = field.max_length.unwrap_or(0) as usize;
    match values.iter().enumerate().find(|(_, text)| text.len() > max) {
        None => Ok(()),
        Some((row, text)) => {
            let length = text.len();
            let text = format!(
                "the length ({length}) of {row}th string exceeds max length ({max}): invalid parameter[expected=valid \
                 length string][actual=string length exceeds max length]"
            );
            Err(RowError::Parameter(text))
        }
    }
}

/// Checks JSON values. The dynamic field must hold objects whose keys are not those of fields. Values are stored as they
/// were sent, so all accepted text must be readable: [`json`] decides both.
pub(super) fn check_json(
    schema: &CollectionSchema,
    field: &Field,
    row: usize,
    bytes: &[u8],
    limits: &LimitsConfig,
) -> Result<(), RowError> {
    let (name, length, max) = (&field.name, bytes.len(), limits.max_json_bytes);
    if length > max {
        let text = format!(
            "the length ({length}) of json field ({name}) exceeds max length ({max}, common.JSONMaxLength): row {row}"
        );
        return Err(RowError::Parameter(text));
    }
    let invalid = |why: String| RowError::Parameter(format!("row {row} of json field ({name}) is invalid: {why}"));
    let text = std::str::from_utf8(bytes).map_err(|e| invalid(e.to_string()))?;
    if !field.is_dynamic {
        return json::check(text).map_err(|e| invalid(e.to_string()));
    }
    let mut taken = None;
    json::check_object(text, |key| {
        if schema.field(&key).is_some() {
            taken = Some(key.into_owned());
        }
    })
    .map_err(|e| invalid(e.to_string()))?;
    match taken {
        None => Ok(()),
        Some(key) if key == DYNAMIC_FIELD => Err(RowError::Value(format!("cannot set json key to: {key}"))),
        Some(key) => {
            let text = format!("dynamic field name cannot include the static field name: {key}: row {row}");
            Err(RowError::Value(text))
        }
    }
}

/// A cell without data is an empty array; the schema gives its type.
pub(super) fn check_cell(field: &Field, row: usize, data: Option<Data>) -> Result<Data, RowError> {
    let element = field.element_type.unwrap_or(DataType::Int64);
    let data = data.unwrap_or_else(|| empty_cell(element));
    match (element, &data) {
        (DataType::Int8, Data::IntData(a)) => {
            narrow::<i8>(&a.data)?;
        }
        (DataType::Int16, Data::IntData(a)) => {
            narrow::<i16>(&a.data)?;
        }
        (DataType::VarChar, Data::StringData(a)) => check_lengths(field, &a.data)?,
        (DataType::Bool, Data::BoolData(_))
        | (DataType::Int32, Data::IntData(_))
        | (DataType::Int64, Data::LongData(_))
        | (DataType::Float, Data::FloatData(_))
        | (DataType::Double, Data::DoubleData(_)) => {}
        _ => {
            let (name, sent) = (&field.name, data_name(&data));
            let text = format!("row {row} of field {name} should be an array of {}, not {sent}", element.name());
            return Err(RowError::Parameter(text));
        }
    }
    let length = scalars_in(&data);
    let max = field.max_capacity.unwrap_or(0) as usize;
    if length > max {
        let text = format!(
            "the length ({length}) of {row}th array exceeds max capacity ({max}): invalid parameter[expected=valid \
             length array][actual=array length exceeds max capacity]"
        );
        return Err(RowError::Parameter(text));
    }
    Ok(data)
}

fn empty_cell(element: DataType) -> Data {
    match element {
        DataType::Bool => Data::BoolData(proto::BoolArray::default()),
        DataType::Int8 | DataType::Int16 | DataType::Int32 => Data::IntData(proto::IntArray::default()),
        DataType::Float => Data::FloatData(proto::FloatArray::default()),
        DataType::Double => Data::DoubleData(proto::DoubleArray::default()),
        DataType::VarChar => Data::StringData(proto::StringArray::default()),
        _ => Data::LongData(proto::LongArray::default()),
    }
}
