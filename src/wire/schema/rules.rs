//! The rules of Milvus for definitions, with its texts.
//!
//! The order of the checks decides which of several faults a client is told, so it must not change.

use std::collections::HashSet;

use super::error::{SchemaError, invalid};
use crate::{
    config::LimitsConfig,
    model::{DataType, Field, Scalar, name::check_name, properties},
    wire::{proto::schema as proto, status},
};

/// Name of the hidden field that holds keys outside the schema.
pub const DYNAMIC_FIELD: &str = "$meta";
/// Names of the system fields, which no field of a user may have.
const RESERVED: [&str; 3] = ["RowID", "Timestamp", DYNAMIC_FIELD];

/// `in_schema` is the name in the schema, which a request repeats.
pub(super) fn check_collection_name(name: &str, in_schema: &str, limits: &LimitsConfig) -> Result<(), SchemaError> {
    check_name("collection name", name, limits.max_name_length)
        .map_err(|bad| SchemaError::Name(status::bad_name(&bad)))?;
    if in_schema != name {
        let text = format!("Invalid collection name: {name} differs from schema.name {in_schema}");
        return Err(SchemaError::Name(text));
    }
    Ok(())
}

/// One shard unless the client asks for more.
pub(super) fn shards(asked: i32, limits: &LimitsConfig) -> Result<u32, SchemaError> {
    let max = limits.max_shards;
    match u32::try_from(asked) {
        Ok(0) | Err(_) => Ok(1),
        Ok(n) if n > max => Err(invalid(format!("shards_num {n} exceeds the limit of {max} (proxy.maxShardNum)"))),
        Ok(n) => Ok(n),
    }
}

/// Number of numbered partitions: only with a partition key, and then always.
pub(super) fn partitions(
    asked: i64,
    has_partition_key: bool,
    limits: &LimitsConfig,
) -> Result<Option<u32>, SchemaError> {
    match (has_partition_key, asked) {
        (false, 0) => Ok(None),
        (false, n) => Err(invalid(format!("num_partitions {n} needs a field that is the partition key"))),
        (true, 0) => Ok(Some(limits.default_partition_count)),
        (true, n) => match u32::try_from(n) {
            Ok(count) if count as usize <= limits.max_partitions => Ok(Some(count)),
            _ => Err(invalid(format!(
                "num_partitions {n} is outside 1..={} (rootCoord.maxPartitionNum)",
                limits.max_partitions
            ))),
        },
    }
}

/// Rules about the schema as a whole, before its fields are converted.
pub(super) fn check_collection(schema: &proto::CollectionSchema, limits: &LimitsConfig) -> Result<(), SchemaError> {
    refuse_newer_features(schema)?;
    check_description("the collection", &schema.description)?;
    if schema.fields.len() > limits.max_fields as usize {
        let (n, max) = (schema.fields.len(), limits.max_fields);
        return Err(invalid(format!("{n} fields exceed the limit of {max} (proxy.maxFieldNum)")));
    }
    let mut names = HashSet::new();
    if let Some(field) = schema.fields.iter().find(|field| !names.insert(field.name.as_str())) {
        return Err(invalid(format!("duplicated field name: {}", field.name)));
    }
    Ok(())
}

/// One primary key, and at most one field of each other role. Returns the position of the primary key.
pub(super) fn check_roles(fields: &[Field]) -> Result<usize, SchemaError> {
    let primary = one_primary_key(fields)?;
    one_at_most(fields, |f| f.data_type.is_vector(), "vector field")?;
    one_at_most(fields, |f| f.is_partition_key, "partition key")?;
    one_at_most(fields, |f| f.is_clustering_key, "clustering key")?;
    Ok(primary)
}

pub(super) fn check_description(of: &str, text: &str) -> Result<(), SchemaError> {
    let (bytes, most) = (text.len(), properties::MAX_VALUE_BYTES);
    if bytes > most {
        return Err(SchemaError::Length(format!("the description of {of} has {bytes} bytes, the limit is {most}")));
    }
    Ok(())
}

fn refuse_newer_features(schema: &proto::CollectionSchema) -> Result<(), SchemaError> {
    if let Some(function) = schema.functions.first() {
        return Err(invalid(format!("functions are not supported: {}", function.name)));
    }
    if let Some(field) = schema.struct_array_fields.first() {
        return Err(invalid(format!("struct array fields are not supported: {}", field.name)));
    }
    if !schema.external_source.is_empty() {
        return Err(invalid("external collections are not supported".to_owned()));
    }
    if schema.enable_namespace {
        return Err(invalid("namespaces are not supported".to_owned()));
    }
    for field in &schema.fields {
        let name = &field.name;
        let feature = match field {
            f if f.nullable => "nullable",
            f if f.default_value.is_some() => "default_value",
            f if f.is_function_output => "is_function_output",
            f if !f.external_field.is_empty() => "external_field",
            _ => continue,
        };
        return Err(invalid(format!("{feature} is not supported: field {name}")));
    }
    Ok(())
}

fn one_primary_key(fields: &[Field]) -> Result<usize, SchemaError> {
    one_at_most(fields, |f| f.is_primary_key, "primary key")?;
    let primary = fields.iter().position(|f| f.is_primary_key);
    primary.ok_or_else(|| invalid("primary key is not specified".to_owned()))
}

fn one_at_most(fields: &[Field], which: impl Fn(&Field) -> bool, what: &str) -> Result<(), SchemaError> {
    let mut matching = fields.iter().filter(|f| which(f));
    match (matching.next(), matching.next()) {
        (Some(a), Some(b)) => Err(invalid(format!("there is more than one {what}: {}, {}", a.name, b.name))),
        _ => Ok(()),
    }
}

pub(super) fn check_field_name(field: &proto::FieldSchema, limits: &LimitsConfig) -> Result<(), SchemaError> {
    let name = &field.name;
    check_name("field name", name, limits.max_name_length)
        .map_err(|bad| SchemaError::Definition(status::bad_name(&bad)))?;
    if RESERVED.contains(&name.as_str()) {
        return Err(invalid(format!("field name {name} is reserved for a system field")));
    }
    if field.is_dynamic {
        return Err(invalid(format!("cannot explicitly set a field as a dynamic field: {name}")));
    }
    Ok(())
}

/// An element is a scalar.
pub(super) fn check_element_type(element: DataType, field: &str) -> Result<(), SchemaError> {
    if element.is_vector() || matches!(element, DataType::Array | DataType::Json) {
        return Err(invalid(format!("element type {} is not supported: field {field}", element.name())));
    }
    Ok(())
}

/// Which types may be which keys.
pub(super) fn check_keys(field: &proto::FieldSchema, data_type: DataType) -> Result<(), SchemaError> {
    let name = &field.name;
    let is_key_type = matches!(data_type, DataType::Int64 | DataType::VarChar);
    if field.is_primary_key && !is_key_type {
        let other = data_type.name();
        return Err(invalid(format!("the data type of primary key should be Int64 or VarChar: {name} is {other}")));
    }
    if field.auto_id && !field.is_primary_key {
        return Err(invalid(format!("only the primary key can have autoID: {name}")));
    }
    if field.is_partition_key && !is_key_type {
        let other = data_type.name();
        return Err(invalid(format!("the data type of partition key should be Int64 or VarChar: {name} is {other}")));
    }
    if field.is_partition_key && field.is_primary_key {
        return Err(invalid(format!("the partition key can't be the primary key: {name}")));
    }
    if field.is_clustering_key && !Scalar::holds(data_type) {
        let other = data_type.name();
        return Err(invalid(format!(
            "the data type of clustering key should be Int8 to Int64, Float, Double or VarChar: {name} is {other}"
        )));
    }
    Ok(())
}

pub(super) fn check_params(
    type_params: &[(String, String)],
    index_params: &[(String, String)],
) -> Result<(), SchemaError> {
    for (what, params) in [("type params of a field", type_params), ("index params of a field", index_params)] {
        properties::check_sizes(what, params.iter().map(|(key, value)| (key, value)))
            .map_err(|e| SchemaError::Length(e.to_string()))?;
    }
    Ok(())
}

/// Sizes that the type parameters of a field give; each is set exactly when its type needs it.
pub(super) struct Sizes {
    pub(super) dim: Option<u32>,
    pub(super) max_length: Option<u32>,
    pub(super) max_capacity: Option<u32>,
}

/// Reads the sizes that a type needs. Sizes that it does not need are ignored.
pub(super) fn sizes(
    field: &str,
    data_type: DataType,
    element_type: Option<DataType>,
    type_params: &[(String, String)],
    limits: &LimitsConfig,
) -> Result<Sizes, SchemaError> {
    let number = |is_needed: bool, key: &str, most: Most| match is_needed {
        true => number_param(type_params, key, most, field).map(Some),
        false => Ok(None),
    };
    let dim = number(data_type.is_vector(), "dim", Most(limits.max_dimension, "proxy.maxDimension"))?;
    if let (DataType::BinaryVector, Some(bits)) = (data_type, dim)
        && bits % 8 != 0
    {
        return Err(invalid(format!("invalid dimension: {bits} of field {field} should be multiple of 8")));
    }
    let holds_strings = data_type == DataType::VarChar || element_type == Some(DataType::VarChar);
    let longest = Most(limits.max_varchar_length, "datacoord.limits.maxVarCharLength");
    let max_length = number(holds_strings, "max_length", longest)?;
    let largest = Most(limits.max_array_capacity, "datacoord.limits.maxArrayCapacity");
    let max_capacity = number(data_type == DataType::Array, "max_capacity", largest)?;
    Ok(Sizes { dim, max_length, max_capacity })
}

/// The largest value of a parameter, and the setting that it comes from.
#[derive(Clone, Copy)]
struct Most(u32, &'static str);

/// A parameter from 1 up to a limit.
fn number_param(params: &[(String, String)], key: &str, most: Most, field: &str) -> Result<u32, SchemaError> {
    let Most(max, setting) = most;
    let Some((_, text)) = params.iter().find(|(k, _)| k == key) else {
        return Err(invalid(format!("type param {key} should be specified for field {field}")));
    };
    let range = || {
        let reason = format!("invalid {key}: {text} of field {field} should be in range 1 ~ {max} ({setting})");
        if key == "max_length" { SchemaError::Length(reason) } else { SchemaError::Definition(reason) }
    };
    let number: u32 = text.trim().parse().map_err(|_| range())?;
    if number == 0 || number > max { Err(range()) } else { Ok(number) }
}
