//! Dimensions, lengths and capacities: the numbers in the type parameters of a field.

use std::num::{IntErrorKind, ParseIntError};

use super::error::{SchemaError, invalid};
use crate::{config::LimitsConfig, model::DataType, wire::proto::schema as proto};

/// Sizes that the type parameters of a field give; each is set exactly when its type needs it.
pub(super) struct Sizes {
    pub(super) dim: Option<u32>,
    pub(super) max_length: Option<u32>,
    pub(super) max_capacity: Option<u32>,
}

/// Reads the sizes that a type needs. Sizes that it does not need are ignored.
pub(super) fn sizes(collection: &str, field: &proto::FieldSchema, limits: &LimitsConfig) -> Result<Sizes, SchemaError> {
    let mut sizes = Sizes { dim: None, max_length: None, max_capacity: None };
    let data_type = DataType::from_number(field.data_type);
    if data_type.is_some_and(DataType::is_vector) {
        sizes.dim = Some(dimension(field, limits.max_dimension)?);
    }
    let is_varchar = |number: i32| DataType::from_number(number) == Some(DataType::VarChar);
    let is_array = data_type == Some(DataType::Array);
    if is_varchar(field.data_type) || (is_array && is_varchar(field.element_type)) {
        let most = limits.max_varchar_length;
        let text = param(field, "max_length").ok_or_else(|| {
            invalid(format!("type param(max_length) should be specified for varChar field of collection {collection}"))
        })?;
        let range = || {
            SchemaError::Parameter(format!(
                "the maximum length specified for a VarChar should be in (0, {most}]: invalid parameter"
            ))
        };
        sizes.max_length = Some(within(go_integer(text).map_err(invalid)?, most).ok_or_else(range)?);
    }
    if is_array {
        let most = limits.max_array_capacity;
        let text = param(field, "max_capacity").ok_or_else(|| {
            invalid(format!("type param(max_capacity) should be specified for array field of collection {collection}"))
        })?;
        let number = go_integer(text).map_err(|_| invalid("the value of max_capacity must be an integer"))?;
        let range = || invalid(format!("the maximum capacity specified for a Array should be in (0, {most}]"));
        sizes.max_capacity = Some(within(number, most).ok_or_else(range)?);
    }
    Ok(sizes)
}

fn dimension(field: &proto::FieldSchema, most: u32) -> Result<u32, SchemaError> {
    let text = param(field, "dim").ok_or_else(|| {
        invalid("dimension is not defined in field type params, check type param `dim` for vector field")
    })?;
    let number = go_integer(text).map_err(invalid)?;
    let range = || invalid(format!("invalid dimension: {number}. should be in range 1 ~ {most}"));
    let dim = within(number, most).ok_or_else(range)?;
    if DataType::from_number(field.data_type) == Some(DataType::BinaryVector) && !dim.is_multiple_of(8) {
        // Milvus' text ends with a space.
        return Err(invalid(format!("invalid dimension: {dim}. should be multiple of 8. ")));
    }
    Ok(dim)
}

fn param<'a>(field: &'a proto::FieldSchema, key: &str) -> Option<&'a str> {
    field.type_params.iter().find(|pair| pair.key == key).map(|pair| pair.value.as_str())
}

/// From 1 up to a limit.
fn within(number: i64, most: u32) -> Option<u32> {
    u32::try_from(number).ok().filter(|number| (1..=most).contains(number))
}

/// A whole number as Milvus reads it. The error is its text.
fn go_integer(text: &str) -> Result<i64, String> {
    text.parse().map_err(|error: ParseIntError| {
        let why = match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.ParseInt: parsing {text:?}: {why}")
    })
}
