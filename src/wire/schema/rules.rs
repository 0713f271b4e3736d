//! The rules of Milvus for definitions, with its texts.
//!
//! The order of the checks decides which of several faults a client is told, so it must not change.

use std::collections::HashSet;

use super::{
    defaults,
    error::{SchemaError, invalid},
    sizes::sizes,
};
use crate::{
    config::LimitsConfig,
    model::{
        DataType, Scalar,
        name::{NameKind, check_name},
        properties,
    },
    wire::proto::{milvus, schema as proto},
};

/// Name of the hidden field that holds keys outside the schema.
pub const DYNAMIC_FIELD: &str = "$meta";
/// Names of the system fields, which no field of a user may have.
const RESERVED: [&str; 3] = ["RowID", "Timestamp", DYNAMIC_FIELD];

/// The checks of a request before its schema is converted. Fields are known to have a type that Milvus 2.3 has, and the
/// primary key is one of them, when this succeeds.
pub(super) fn check(
    request: &milvus::CreateCollectionRequest,
    schema: &proto::CollectionSchema,
    limits: &LimitsConfig,
) -> Result<(), SchemaError> {
    refuse_newer_features(schema)?;
    if i64::from(request.shards_num) > i64::from(limits.max_shards) {
        return Err(invalid(format!("maximum shards's number should be limited to {}", limits.max_shards)));
    }
    if schema.fields.len() > limits.max_fields as usize {
        return Err(invalid(format!("maximum field's number should be limited to {}", limits.max_fields)));
    }
    check_name(NameKind::Collection, &schema.name, limits.max_name_length)?;
    let mut names = HashSet::new();
    if !schema.fields.iter().all(|field| names.insert(field.name.as_str())) {
        return Err(invalid("duplicated field name"));
    }
    check_primary_key(&schema.fields)?;
    if schema.fields.iter().any(|field| field.is_dynamic) {
        return Err(invalid("cannot explicitly set a field as a dynamic field"));
    }
    check_auto_id(&schema.fields)?;
    schema.fields.iter().try_for_each(check_types)?;
    check_partition_key(&schema.fields, request.num_partitions)?;
    for field in &schema.fields {
        check_name(NameKind::Field, &field.name, limits.max_name_length)?;
        sizes(&schema.name, field, limits)?;
    }
    let is_vector =
        |field: &&proto::FieldSchema| DataType::from_number(field.data_type).is_some_and(DataType::is_vector);
    if let Some((a, b)) = two(&schema.fields, is_vector) {
        return Err(invalid(format!("multiple vector fields is not supported, fields name: {a}, {b}")));
    }
    check_clustering_key(&schema.fields)?;
    if request.collection_name != schema.name {
        return Err(SchemaError::Parameter(format!(
            "collection name = {}, schema.Name={}: invalid parameter[expected=collection name matches schema name]\
             [actual=don't match]",
            request.collection_name, schema.name
        )));
    }
    for field in &schema.fields {
        defaults::check(&schema.name, field, limits)?;
    }
    if schema.fields.iter().any(|field| RESERVED.contains(&field.name.as_str())) {
        let [row_id, timestamp, dynamic] = RESERVED;
        return Err(SchemaError::Parameter(format!(
            "schema contains system field: {row_id}, {timestamp}, {dynamic}: invalid parameter[expected=schema don't \
             contains system field][actual=contains]"
        )));
    }
    check_texts(schema)
}

/// One shard unless the client asks for more.
pub(super) fn shards(asked: i32) -> u32 {
    u32::try_from(asked).unwrap_or(0).max(1)
}

/// Number of numbered partitions: only with a partition key, and then always.
pub(super) fn partitions(
    request: &milvus::CreateCollectionRequest,
    has_partition_key: bool,
    limits: &LimitsConfig,
) -> Result<Option<u32>, SchemaError> {
    let most = limits.max_partitions;
    match (has_partition_key, request.num_partitions) {
        (false, _) => Ok(None),
        (true, 0) => Ok(Some(limits.default_partition_count)),
        (true, asked) => match u32::try_from(asked) {
            Ok(count) if count as usize <= most => Ok(Some(count)),
            _ => Err(invalid(format!(
                "partition number ({asked}) exceeds max configuration ({most}), collection: {}",
                request.collection_name
            ))),
        },
    }
}

/// The names of the first two fields for which this is true.
fn two(fields: &[proto::FieldSchema], which: impl Fn(&&proto::FieldSchema) -> bool) -> Option<(&str, &str)> {
    let mut matching = fields.iter().filter(which).map(|field| field.name.as_str());
    Some((matching.next()?, matching.next()?))
}

fn check_primary_key(fields: &[proto::FieldSchema]) -> Result<(), SchemaError> {
    let mut first = None;
    for field in fields.iter().filter(|field| field.is_primary_key) {
        if let Some(first) = first {
            return Err(invalid(format!("there are more than one primary key, field name = {first}, {}", field.name)));
        }
        if !is_key_type(field) {
            return Err(invalid("the data type of primary key should be Int64 or VarChar"));
        }
        first = Some(&field.name);
    }
    first.map(|_| ()).ok_or_else(|| invalid("primary key is not specified"))
}

fn check_auto_id(fields: &[proto::FieldSchema]) -> Result<(), SchemaError> {
    let mut first = None;
    for field in fields.iter().filter(|field| field.auto_id) {
        if let Some(first) = first {
            let name = &field.name;
            return Err(invalid(format!("only one field can speficy AutoID with true, field name = {first}, {name}")));
        }
        if !field.is_primary_key {
            return Err(invalid(format!(
                "only primary field can speficy AutoID with true, field name = {}",
                field.name
            )));
        }
        first = Some(&field.name);
    }
    Ok(())
}

fn check_partition_key(fields: &[proto::FieldSchema], asked: i64) -> Result<(), SchemaError> {
    let mut first = None;
    for field in fields.iter().filter(|field| field.is_partition_key) {
        if let Some(first) = first {
            return Err(invalid(format!(
                "there are more than one partition key, field name = {first}, {}",
                field.name
            )));
        }
        if field.is_primary_key {
            return Err(invalid("the partition key field must not be primary field"));
        }
        if !is_key_type(field) {
            return Err(invalid("the data type of partition key should be Int64 or VarChar"));
        }
        if asked < 0 {
            return Err(invalid("the specified partitions should be greater than 0 if partition key is used"));
        }
        first = Some(&field.name);
    }
    if first.is_none() && asked != 0 {
        return Err(invalid("num_partitions should only be specified with partition key field enabled"));
    }
    Ok(())
}

fn is_key_type(field: &proto::FieldSchema) -> bool {
    matches!(DataType::from_number(field.data_type), Some(DataType::Int64 | DataType::VarChar))
}

/// The name of a type in Milvus' protocol, or its number.
fn type_name(number: i32) -> String {
    proto::DataType::try_from(number).map_or_else(|_| number.to_string(), |t| t.as_str_name().to_owned())
}

const NONE: i32 = proto::DataType::None as i32;
const STRING: i32 = proto::DataType::String as i32;
const USE_VARCHAR: &str = "string data type not supported yet, please use VarChar type instead";

fn check_types(field: &proto::FieldSchema) -> Result<(), SchemaError> {
    let found = match field.data_type {
        STRING => return Err(invalid(USE_VARCHAR)),
        NONE => return Err(invalid("data type None is not valid")),
        number => DataType::from_number(number),
    };
    // Milvus 2.3 stores types of later releases, and can't read their rows.
    let Some(found) = found else {
        let name = type_name(field.data_type);
        return Err(invalid(format!("data type {name} is not supported: field {}", field.name)));
    };
    if found != DataType::Array {
        return Ok(());
    }
    match (field.element_type, DataType::from_number(field.element_type)) {
        (STRING, _) => Err(invalid(USE_VARCHAR)),
        (NONE, _) => Err(invalid("element data type None is not valid")),
        (_, Some(element)) if !element.is_vector() && !matches!(element, DataType::Array | DataType::Json) => Ok(()),
        (number, _) => Err(invalid(format!("element type {} is not supported", type_name(number)))),
    }
}

/// A role of later releases: one field at most, of a type that can be ordered.
fn check_clustering_key(fields: &[proto::FieldSchema]) -> Result<(), SchemaError> {
    if let Some((a, b)) = two(fields, |field| field.is_clustering_key) {
        return Err(invalid(format!("there is more than one clustering key: {a}, {b}")));
    }
    let key = fields.iter().find(|field| field.is_clustering_key);
    match key.and_then(|key| Some((&key.name, DataType::from_number(key.data_type)?))) {
        Some((name, other)) if !Scalar::holds(other) => Err(invalid(format!(
            "the data type of clustering key should be Int8 to Int64, Float, Double or VarChar: {name} is {}",
            other.name()
        ))),
        _ => Ok(()),
    }
}

/// Descriptions and parameters, which are stored as they come.
fn check_texts(schema: &proto::CollectionSchema) -> Result<(), SchemaError> {
    check_description("the collection", &schema.description)?;
    for field in &schema.fields {
        check_description(&format!("field {}", field.name), &field.description)?;
        for (what, params) in
            [("type params of a field", &field.type_params), ("index params of a field", &field.index_params)]
        {
            properties::check_sizes(what, params.iter().map(|pair| (&pair.key, &pair.value)))
                .map_err(|e| SchemaError::Parameter(e.to_string()))?;
        }
    }
    Ok(())
}

fn check_description(of: &str, text: &str) -> Result<(), SchemaError> {
    let (bytes, most) = (text.len(), properties::MAX_VALUE_BYTES);
    if bytes > most {
        return Err(SchemaError::Parameter(format!("the description of {of} has {bytes} bytes, the limit is {most}")));
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
            f if f.default_value.as_ref().is_some_and(|value| !defaults::is_known(value)) => "default_value",
            f if f.is_function_output => "is_function_output",
            f if !f.external_field.is_empty() => "external_field",
            _ => continue,
        };
        return Err(invalid(format!("{feature} is not supported: field {name}")));
    }
    Ok(())
}
