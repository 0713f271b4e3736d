//! A request to create a collection becomes a definition in our own types.

use prost::Message;

use super::{
    defaults,
    error::{SchemaError, invalid},
    rules, sizes,
};
use crate::{
    config::LimitsConfig,
    model::{CollectionSchema, DataType, Field, FieldId},
    wire::{
        footprint,
        proto::{common, milvus, schema as proto},
    },
};

const SCHEMA: &str = ".milvus.proto.schema.CollectionSchema";

/// A checked definition: the collection may be created unless its name is taken.
#[derive(Debug, Clone, PartialEq)]
pub struct CollectionDefinition {
    pub schema: CollectionSchema,
    /// At least one.
    pub shards: u32,
    /// Number of numbered partitions: set exactly when there is a partition key.
    pub partitions: Option<u32>,
}

/// Checks and converts a definition. Fields get ids from 100 upwards in their order; ids that the client sent are ignored.
/// The dynamic field comes last.
pub fn define(
    request: &milvus::CreateCollectionRequest,
    limits: &LimitsConfig,
) -> Result<CollectionDefinition, SchemaError> {
    let schema = parse(&request.schema)?;
    rules::check(request, &schema, limits)?;
    let schema = collection_schema(schema, limits)?;
    let has_partition_key = schema.partition_key().is_some();
    let partitions = rules::partitions(request, has_partition_key, limits)?;
    Ok(CollectionDefinition { schema, shards: rules::shards(request.shards_num), partitions })
}

/// The schema in a request. The memory that it takes was admitted with the request, if it is a message; one that is none
/// must not reach the decoder, which could make more of it than was counted.
fn parse(bytes: &[u8]) -> Result<proto::CollectionSchema, SchemaError> {
    let unreadable = |why: String| invalid(format!("schema can't be parsed: {why}"));
    let shape = footprint::shape_of(SCHEMA).ok_or_else(|| unreadable(format!("{SCHEMA} is not known")))?;
    footprint::decoded_bytes(shape, bytes).map_err(|fault| unreadable(fault.to_string()))?;
    proto::CollectionSchema::decode(bytes).map_err(|error| unreadable(error.to_string()))
}

/// For a schema that the rules allow.
fn collection_schema(schema: proto::CollectionSchema, limits: &LimitsConfig) -> Result<CollectionSchema, SchemaError> {
    let ids = (FieldId::FIRST_USER.0..).map(FieldId);
    let mut fields = schema
        .fields
        .into_iter()
        .zip(ids)
        .map(|(field, id)| field_schema(&schema.name, field, id, limits))
        .collect::<Result<Vec<_>, _>>()?;
    let primary = fields.iter().position(|field| field.is_primary_key);
    if schema.enable_dynamic_field {
        fields.push(dynamic_field(FieldId(FieldId::FIRST_USER.0 + fields.len() as i64)));
    }
    Ok(CollectionSchema {
        name: schema.name,
        description: schema.description,
        enable_dynamic_field: schema.enable_dynamic_field,
        fields,
        primary: primary.ok_or_else(|| invalid("primary key is not specified"))?,
    })
}

fn field_schema(
    collection: &str,
    field: proto::FieldSchema,
    id: FieldId,
    limits: &LimitsConfig,
) -> Result<Field, SchemaError> {
    let sizes = sizes::sizes(collection, &field, limits)?;
    let data_type = data_type(field.data_type, &field.name)?;
    let element_type = match data_type {
        DataType::Array => Some(self::data_type(field.element_type, &field.name)?),
        _ => None,
    };
    Ok(Field {
        id,
        name: field.name,
        description: field.description,
        data_type,
        element_type,
        is_primary_key: field.is_primary_key,
        auto_id: field.auto_id,
        is_partition_key: field.is_partition_key,
        is_clustering_key: field.is_clustering_key,
        is_dynamic: false,
        dim: sizes.dim,
        max_length: sizes.max_length,
        max_capacity: sizes.max_capacity,
        type_params: pairs(field.type_params),
        index_params: pairs(field.index_params),
        default_value: field.default_value.and_then(defaults::value),
    })
}

fn dynamic_field(id: FieldId) -> Field {
    let field = Field::new(id, rules::DYNAMIC_FIELD, DataType::Json);
    Field { is_dynamic: true, description: "dynamic schema".to_owned(), ..field }
}

fn data_type(number: i32, field: &str) -> Result<DataType, SchemaError> {
    DataType::from_number(number).ok_or_else(|| invalid(format!("data type {number} is not supported: field {field}")))
}

fn pairs(list: Vec<common::KeyValuePair>) -> Vec<(String, String)> {
    list.into_iter().map(|pair| (pair.key, pair.value)).collect()
}
