//! A stored schema as a client sees it.

use super::defaults;
use crate::{
    model::{CollectionSchema, DataType, Field},
    wire::proto::{common, schema as proto},
};

/// The schema of DescribeCollection. Leaves out the dynamic field, because clients would take it for one of the user's.
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
        default_value: field.default_value.as_ref().map(defaults::described),
        ..Default::default()
    }
}

/// Pairs for a message, in order.
fn key_values<'a>(list: impl IntoIterator<Item = &'a (String, String)>) -> Vec<common::KeyValuePair> {
    list.into_iter().map(|(key, value)| common::KeyValuePair { key: key.clone(), value: value.clone() }).collect()
}
