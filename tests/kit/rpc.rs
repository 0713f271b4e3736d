//! Requests of `milvus.proto` and their parts, as SDKs send them.

use datacoord::wire::proto::{
    common::KeyValuePair,
    milvus::{CreateCollectionRequest, CreateIndexRequest, InsertRequest, LoadCollectionRequest},
    schema::{
        CollectionSchema, DataType, FieldData, FieldSchema, FloatArray, LongArray, ScalarField, VectorField,
        field_data, scalar_field, vector_field,
    },
};
use prost::Message;

pub(crate) fn pair(key: &str, value: impl ToString) -> KeyValuePair {
    KeyValuePair { key: key.to_owned(), value: value.to_string() }
}

pub(crate) fn pairs(of: &[(&str, &str)]) -> Vec<KeyValuePair> {
    of.iter().map(|(key, value)| pair(key, value)).collect()
}

/// A field with its type parameters.
pub(crate) fn field(name: &str, data_type: DataType, params: &[(&str, &str)]) -> FieldSchema {
    FieldSchema { name: name.to_owned(), data_type: data_type.into(), type_params: pairs(params), ..Default::default() }
}

/// The key that most tests use: an Int64 named `id`.
pub(crate) fn id_field() -> FieldSchema {
    FieldSchema { is_primary_key: true, ..field("id", DataType::Int64, &[]) }
}

pub(crate) fn vector_field(name: &str, dim: usize) -> FieldSchema {
    field(name, DataType::FloatVector, &[("dim", &dim.to_string())])
}

pub(crate) fn schema(name: &str, fields: Vec<FieldSchema>) -> CollectionSchema {
    CollectionSchema { name: name.to_owned(), fields, ..Default::default() }
}

/// A request for a collection of one shard.
pub(crate) fn creation(name: &str, fields: Vec<FieldSchema>) -> CreateCollectionRequest {
    CreateCollectionRequest {
        collection_name: name.to_owned(),
        schema: schema(name, fields).encode_to_vec(),
        shards_num: 1,
        ..Default::default()
    }
}

/// A request for an index on a vector field, without which nothing can be loaded.
pub(crate) fn indexing(collection: &str, field: &str) -> CreateIndexRequest {
    CreateIndexRequest {
        collection_name: collection.to_owned(),
        field_name: field.to_owned(),
        extra_params: pairs(&[("index_type", "FLAT"), ("metric_type", "L2")]),
        ..Default::default()
    }
}

/// A request for a load, without which nothing can be queried.
pub(crate) fn loading(collection: &str) -> LoadCollectionRequest {
    LoadCollectionRequest { collection_name: collection.to_owned(), replica_number: 1, ..Default::default() }
}

/// A column of any scalar type.
pub(crate) fn scalars(name: &str, data_type: DataType, data: scalar_field::Data) -> FieldData {
    FieldData {
        r#type: data_type.into(),
        field_name: name.to_owned(),
        field: Some(field_data::Field::Scalars(ScalarField { data: Some(data) })),
        ..Default::default()
    }
}

/// A column of Int64.
pub(crate) fn longs(name: &str, data: Vec<i64>) -> FieldData {
    scalars(name, DataType::Int64, scalar_field::Data::LongData(LongArray { data }))
}

/// A column of float vectors, one after the other in `data`.
pub(crate) fn vectors(name: &str, dim: usize, data: Vec<f32>) -> FieldData {
    let data = Some(vector_field::Data::FloatVector(FloatArray { data }));
    FieldData {
        r#type: DataType::FloatVector.into(),
        field_name: name.to_owned(),
        field: Some(field_data::Field::Vectors(VectorField { dim: dim as i64, data })),
        ..Default::default()
    }
}

pub(crate) fn insertion(collection: &str, rows: usize, columns: Vec<FieldData>) -> InsertRequest {
    InsertRequest {
        collection_name: collection.to_owned(),
        num_rows: rows as u32,
        fields_data: columns,
        ..Default::default()
    }
}

/// The numbers of an Int64 column; none, if an answer has no such column.
pub(crate) fn longs_of<'a>(columns: &'a [FieldData], name: &str) -> &'a [i64] {
    match columns.iter().find(|column| column.field_name == name).and_then(|column| column.field.as_ref()) {
        Some(field_data::Field::Scalars(ScalarField { data: Some(scalar_field::Data::LongData(longs)) })) => {
            &longs.data
        }
        _ => &[],
    }
}
