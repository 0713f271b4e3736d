//! Collection schemas: what a client may define, and how it is described back.
//!
//! Rules and limits are those of Milvus 2.3.5 (specification: sdk-wire a.2 and c), so that what is described is exactly
//! what is enforced. Features of later releases that would change how rows are stored or read are refused by name;
//! settings that change nothing here (memory mapping, unknown type parameters) are let through, and type and index
//! parameters are described as they came.

use std::collections::HashSet;

use prost::Message;

use super::{
    proto::{common, milvus, schema as proto},
    status::Code,
};
use crate::{
    config::LimitsConfig,
    error::{Classify, ErrorKind},
    model::{CollectionSchema, DataType, Field, FieldId, Scalar, name::check_name, properties},
};

/// Name of the hidden field that holds keys outside the schema.
pub const DYNAMIC_FIELD: &str = "$meta";
/// Names of the system fields, which no field of a user may have.
const RESERVED: [&str; 3] = ["RowID", "Timestamp", DYNAMIC_FIELD];

/// A definition that can't be used, now or later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Bad or mismatched names of the collection.
    #[error("{0}")]
    Name(String),
    /// A length of text outside its limits, also of a description or a parameter.
    #[error("{0}")]
    Length(String),
    /// Everything else.
    #[error("{0}")]
    Definition(String),
}

impl SchemaError {
    /// The numbers this error has in Milvus: names and lengths are invalid parameters, all else is an unexpected error.
    pub fn code(&self) -> Code {
        match self {
            Self::Name(_) | Self::Length(_) => Code::PARAMETER_INVALID,
            Self::Definition(_) => Code::UNEXPECTED,
        }
    }

    /// The answer for a Milvus client.
    pub fn status(&self) -> common::Status {
        self.code().with(self)
    }
}

impl Classify for SchemaError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// A collection that may be created.
#[derive(Debug, Clone, PartialEq)]
pub struct NewCollection {
    pub schema: CollectionSchema,
    /// At least one.
    pub shards: u32,
    /// Number of numbered partitions: set exactly when there is a partition key.
    pub partitions: Option<u32>,
}

/// Checks and converts a definition. Field ids are given from 100 upwards in the order of the fields, whatever ids the
/// client sent; the dynamic field comes last.
pub fn new_collection(
    request: &milvus::CreateCollectionRequest,
    limits: &LimitsConfig,
) -> Result<NewCollection, SchemaError> {
    let schema = proto::CollectionSchema::decode(request.schema.as_slice())
        .map_err(|e| invalid(format!("schema can't be parsed: {e}")))?;
    check_name("collection name", &request.collection_name, limits.max_name_length).map_err(SchemaError::Name)?;
    if schema.name != request.collection_name {
        let (name, other) = (&request.collection_name, &schema.name);
        return Err(SchemaError::Name(format!("Invalid collection name: {name} differs from schema.name {other}")));
    }
    let max = limits.max_shards;
    let shards = match u32::try_from(request.shards_num) {
        Ok(0) | Err(_) => 1,
        Ok(n) if n > max => return Err(invalid(format!("shards_num {n} exceeds the limit of {max}"))),
        Ok(n) => n,
    };
    let schema = collection_schema(schema, limits)?;
    let partitions = partitions(request.num_partitions, &schema, limits)?;
    Ok(NewCollection { schema, shards, partitions })
}

fn partitions(asked: i64, schema: &CollectionSchema, limits: &LimitsConfig) -> Result<Option<u32>, SchemaError> {
    match (schema.partition_key(), asked) {
        (None, 0) => Ok(None),
        (None, n) => Err(invalid(format!("num_partitions {n} needs a field that is the partition key"))),
        (Some(_), 0) => Ok(Some(limits.default_partition_count)),
        (Some(_), n) => match u32::try_from(n) {
            Ok(count) if count as usize <= limits.max_partitions => Ok(Some(count)),
            _ => Err(invalid(format!("num_partitions {n} is outside 1..={}", limits.max_partitions))),
        },
    }
}

fn collection_schema(schema: proto::CollectionSchema, limits: &LimitsConfig) -> Result<CollectionSchema, SchemaError> {
    refuse_newer_features(&schema)?;
    check_description("the collection", &schema.description)?;
    if schema.fields.len() > limits.max_fields as usize {
        let (n, max) = (schema.fields.len(), limits.max_fields);
        return Err(invalid(format!("{n} fields exceed the limit of {max}")));
    }
    let mut names = HashSet::new();
    if let Some(field) = schema.fields.iter().find(|field| !names.insert(field.name.as_str())) {
        return Err(invalid(format!("duplicated field name: {}", field.name)));
    }
    let ids = (FieldId::FIRST_USER.0..).map(FieldId);
    let mut fields = schema
        .fields
        .into_iter()
        .zip(ids)
        .map(|(field, id)| field_schema(field, id, limits))
        .collect::<Result<Vec<_>, _>>()?;
    let primary = one_primary_key(&fields)?;
    one_at_most(&fields, |f| f.data_type.is_vector(), "vector field")?;
    one_at_most(&fields, |f| f.is_partition_key, "partition key")?;
    one_at_most(&fields, |f| f.is_clustering_key, "clustering key")?;
    if schema.enable_dynamic_field {
        fields.push(dynamic_field(FieldId(FieldId::FIRST_USER.0 + fields.len() as i64)));
    }
    Ok(CollectionSchema {
        name: schema.name,
        description: schema.description,
        enable_dynamic_field: schema.enable_dynamic_field,
        fields,
        primary,
    })
}

fn check_description(of: &str, text: &str) -> Result<(), SchemaError> {
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

fn field_schema(field: proto::FieldSchema, id: FieldId, limits: &LimitsConfig) -> Result<Field, SchemaError> {
    let name = field.name;
    check_name("field name", &name, limits.max_name_length).map_err(SchemaError::Definition)?;
    if RESERVED.contains(&name.as_str()) {
        return Err(invalid(format!("field name {name} is reserved for a system field")));
    }
    if field.is_dynamic {
        return Err(invalid(format!("cannot explicitly set a field as a dynamic field: {name}")));
    }
    let data_type = data_type(field.data_type, "data type", &name)?;
    let element_type = match data_type {
        DataType::Array => Some(element_type(field.element_type, &name)?),
        _ => None,
    };
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
    check_description(&format!("field {name}"), &field.description)?;
    let (type_params, index_params) = (pairs(field.type_params), pairs(field.index_params));
    for (what, params) in [("type params of a field", &type_params), ("index params of a field", &index_params)] {
        properties::check_sizes(what, params.iter().map(|(key, value)| (key, value)))
            .map_err(|e| SchemaError::Length(e.to_string()))?;
    }
    let holds_strings = data_type == DataType::VarChar || element_type == Some(DataType::VarChar);
    let number = |key: &str, max: u32| number_param(&type_params, key, max, &name);
    let dim = if data_type.is_vector() { Some(number("dim", limits.max_dimension)?) } else { None };
    if let (DataType::BinaryVector, Some(bits)) = (data_type, dim)
        && bits % 8 != 0
    {
        return Err(invalid(format!("invalid dimension: {bits} of field {name} should be multiple of 8")));
    }
    let max_length = if holds_strings { Some(number("max_length", limits.max_varchar_length)?) } else { None };
    let is_array = data_type == DataType::Array;
    let max_capacity = if is_array { Some(number("max_capacity", limits.max_array_capacity)?) } else { None };
    Ok(Field {
        id,
        name,
        description: field.description,
        data_type,
        element_type,
        is_primary_key: field.is_primary_key,
        auto_id: field.auto_id,
        is_partition_key: field.is_partition_key,
        is_clustering_key: field.is_clustering_key,
        is_dynamic: false,
        dim,
        max_length,
        max_capacity,
        type_params,
        index_params,
    })
}

fn dynamic_field(id: FieldId) -> Field {
    Field {
        id,
        name: DYNAMIC_FIELD.to_owned(),
        description: "dynamic schema".to_owned(),
        data_type: DataType::Json,
        element_type: None,
        is_primary_key: false,
        auto_id: false,
        is_partition_key: false,
        is_clustering_key: false,
        is_dynamic: true,
        dim: None,
        max_length: None,
        max_capacity: None,
        type_params: Vec::new(),
        index_params: Vec::new(),
    }
}

fn data_type(number: i32, what: &str, field: &str) -> Result<DataType, SchemaError> {
    DataType::from_number(number).ok_or_else(|| {
        let name =
            proto::DataType::try_from(number).map_or_else(|_| number.to_string(), |t| t.as_str_name().to_owned());
        invalid(format!("{what} {name} is not supported: field {field}"))
    })
}

fn element_type(number: i32, field: &str) -> Result<DataType, SchemaError> {
    let element = data_type(number, "element type", field)?;
    if element.is_vector() || matches!(element, DataType::Array | DataType::Json) {
        return Err(invalid(format!("element type {} is not supported: field {field}", element.name())));
    }
    Ok(element)
}

/// A parameter between 1 and `max`.
fn number_param(params: &[(String, String)], key: &str, max: u32, field: &str) -> Result<u32, SchemaError> {
    let Some((_, text)) = params.iter().find(|(k, _)| k == key) else {
        return Err(invalid(format!("type param {key} should be specified for field {field}")));
    };
    let range = || {
        let reason = format!("invalid {key}: {text} of field {field} should be in range 1 ~ {max}");
        if key == "max_length" { SchemaError::Length(reason) } else { SchemaError::Definition(reason) }
    };
    let number: u32 = text.trim().parse().map_err(|_| range())?;
    if number == 0 || number > max { Err(range()) } else { Ok(number) }
}

/// The schema of DescribeCollection: without the dynamic field, which clients would take for one of the user's.
pub fn describe(schema: &CollectionSchema) -> proto::CollectionSchema {
    let fields = schema.fields.iter().filter(|field| !field.is_dynamic).map(describe_field);
    proto::CollectionSchema {
        name: schema.name.clone(),
        description: schema.description.clone(),
        fields: fields.collect(),
        enable_dynamic_field: schema.enable_dynamic_field,
        ..Default::default()
    }
}

fn describe_field(field: &Field) -> proto::FieldSchema {
    proto::FieldSchema {
        field_id: field.id.0,
        name: field.name.clone(),
        is_primary_key: field.is_primary_key,
        description: field.description.clone(),
        data_type: field.data_type.number(),
        type_params: key_values(&field.type_params),
        index_params: key_values(&field.index_params),
        auto_id: field.auto_id,
        element_type: field.element_type.map_or(0, DataType::number),
        is_partition_key: field.is_partition_key,
        is_clustering_key: field.is_clustering_key,
        ..Default::default()
    }
}

/// Pairs of a message, in order.
pub fn pairs(list: Vec<common::KeyValuePair>) -> Vec<(String, String)> {
    list.into_iter().map(|pair| (pair.key, pair.value)).collect()
}

/// Pairs for a message, in order.
pub fn key_values<'a>(list: impl IntoIterator<Item = &'a (String, String)>) -> Vec<common::KeyValuePair> {
    list.into_iter().map(|(key, value)| common::KeyValuePair { key: key.clone(), value: value.clone() }).collect()
}

fn invalid(text: String) -> SchemaError {
    SchemaError::Definition(text)
}

#[cfg(test)]
mod tests;
