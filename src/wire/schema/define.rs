//! A request to create a collection becomes a definition in our own types.

use prost::Message;

use super::{
    error::{SchemaError, invalid},
    rules,
};
use crate::{
    config::LimitsConfig,
    model::{CollectionSchema, DataType, Field, FieldId},
    wire::proto::{common, milvus, schema as proto},
};

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
    let schema = proto::CollectionSchema::decode(request.schema.as_slice())
        .map_err(|e| invalid(format!("schema can't be parsed: {e}")))?;
    rules::check_collection_name(&request.collection_name, &schema.name, limits)?;
    let shards = rules::shards(request.shards_num, limits)?;
    let schema = collection_schema(schema, limits)?;
    let has_partition_key = schema.partition_key().is_some();
    let partitions = rules::partitions(request.num_partitions, has_partition_key, limits)?;
    Ok(CollectionDefinition { schema, shards, partitions })
}

fn collection_schema(schema: proto::CollectionSchema, limits: &LimitsConfig) -> Result<CollectionSchema, SchemaError> {
    rules::check_collection(&schema, limits)?;
    let ids = (FieldId::FIRST_USER.0..).map(FieldId);
    let mut fields = schema
        .fields
        .into_iter()
        .zip(ids)
        .map(|(field, id)| field_schema(field, id, limits))
        .collect::<Result<Vec<_>, _>>()?;
    let primary = rules::check_roles(&fields)?;
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

fn field_schema(field: proto::FieldSchema, id: FieldId, limits: &LimitsConfig) -> Result<Field, SchemaError> {
    rules::check_field_name(&field, limits)?;
    let data_type = data_type(field.data_type, "data type", &field.name)?;
    let element_type = match data_type {
        DataType::Array => Some(data_type_of_elements(field.element_type, &field.name)?),
        _ => None,
    };
    rules::check_keys(&field, data_type)?;
    rules::check_description(&format!("field {}", field.name), &field.description)?;
    let (type_params, index_params) = (pairs(field.type_params), pairs(field.index_params));
    rules::check_params(&type_params, &index_params)?;
    let sizes = rules::sizes(&field.name, data_type, element_type, &type_params, limits)?;
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
        type_params,
        index_params,
    })
}

fn dynamic_field(id: FieldId) -> Field {
    Field {
        id,
        name: rules::DYNAMIC_FIELD.to_owned(),
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

fn data_type_of_elements(number: i32, field: &str) -> Result<DataType, SchemaError> {
    let element = data_type(number, "element type", field)?;
    rules::check_element_type(element, field)?;
    Ok(element)
}

fn pairs(list: Vec<common::KeyValuePair>) -> Vec<(String, String)> {
    list.into_iter().map(|pair| (pair.key, pair.value)).collect()
}
