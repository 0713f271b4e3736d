//! Default values of fields: the rules of Milvus for them, from messages and to messages.

use super::{error::SchemaError, sizes::sizes};
use crate::{
    config::LimitsConfig,
    model::{DataType, DefaultValue},
    wire::proto::schema::{self as proto, ValueField, value_field::Data},
};

/// None for a value of a kind that Milvus 2.3 does not have, and for none at all: a real server dies of both.
pub(super) fn value(message: ValueField) -> Option<DefaultValue> {
    Some(match message.data? {
        Data::BoolData(value) => DefaultValue::Bool(value),
        Data::IntData(value) => DefaultValue::Int(value),
        Data::LongData(value) => DefaultValue::Long(value),
        Data::FloatData(value) => DefaultValue::Float(value),
        Data::DoubleData(value) => DefaultValue::Double(value),
        Data::StringData(value) => DefaultValue::Text(value),
        Data::BytesData(_) | Data::TimestamptzData(_) | Data::DateData(_) | Data::TimeData(_) => return None,
    })
}

/// True if [`value`] can read it.
pub(super) fn is_known(message: &ValueField) -> bool {
    !matches!(
        message.data,
        None | Some(Data::BytesData(_) | Data::TimestamptzData(_) | Data::DateData(_) | Data::TimeData(_))
    )
}

pub(super) fn described(value: &DefaultValue) -> ValueField {
    let data = match value {
        DefaultValue::Bool(value) => Data::BoolData(*value),
        DefaultValue::Int(value) => Data::IntData(*value),
        DefaultValue::Long(value) => Data::LongData(*value),
        DefaultValue::Float(value) => Data::FloatData(*value),
        DefaultValue::Double(value) => Data::DoubleData(*value),
        DefaultValue::Text(value) => Data::StringData(value.clone()),
    };
    ValueField { data: Some(data) }
}

/// The kind of a default value must be that of its field, and the value within the field's limits. Any field may have one
/// here, the primary key too: inserts refuse that.
pub(super) fn check(collection: &str, field: &proto::FieldSchema, limits: &LimitsConfig) -> Result<(), SchemaError> {
    use DataType::{Bool, Double, Float, Int8, Int16, Int32, Int64, VarChar};
    let Some(value) = field.default_value.as_ref().and_then(|message| message.data.as_ref()) else { return Ok(()) };
    let (kind, types): (&str, &[DataType]) = match value {
        Data::BoolData(_) => ("Bool", &[Bool]),
        Data::IntData(_) => ("Int", &[Int8, Int16, Int32]),
        Data::LongData(_) => ("Int64", &[Int64]),
        Data::FloatData(_) => ("Float", &[Float]),
        Data::DoubleData(_) => ("Double", &[Double]),
        Data::StringData(_) => ("VarChar", &[VarChar]),
        // Refused before, by name.
        Data::BytesData(_) | Data::TimestamptzData(_) | Data::DateData(_) | Data::TimeData(_) => return Ok(()),
    };
    let data_type = DataType::from_number(field.data_type);
    if !data_type.is_some_and(|data_type| types.contains(&data_type)) {
        return Err(SchemaError::Parameter(format!(
            "default value type mismatches field schema type: invalid parameter[expected=DataType_{kind}][actual=not \
             match]"
        )));
    }
    match (value, data_type) {
        (Data::IntData(value), Some(Int8)) => within(*value, i8::MIN.into(), i8::MAX.into()),
        (Data::IntData(value), Some(Int16)) => within(*value, i16::MIN.into(), i16::MAX.into()),
        (Data::StringData(text), _) => {
            let (length, most) = (text.len(), sizes(collection, field, limits)?.max_length.unwrap_or(0));
            if length > most as usize {
                return Err(SchemaError::Parameter(format!(
                    "the length ({length}) of string exceeds max length ({most}): invalid parameter[expected=valid \
                     length string][actual=string length exceeds max length]"
                )));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn within(value: i32, least: i32, most: i32) -> Result<(), SchemaError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(SchemaError::Parameter(format!(
        "default value out of range: invalid parameter[{value} out of range {least} <= value <= {most}]"
    )))
}
