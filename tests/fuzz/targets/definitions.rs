//! Requests that are converted without a server: definitions of collections, and options of compactions.

use datacoord::{
    config::LimitsConfig,
    coordinator::CompactionOptions,
    wire::{
        proto::{
            datacoord::ManualCompactionRequest,
            milvus::{self, CreateCollectionRequest},
            schema::{CollectionSchema, DataType},
        },
        schema,
    },
};
use prost::Message as _;

use crate::kit::rpc;

/// Which request; the rest is its message.
pub(super) fn run(input: &[u8]) {
    let Some((kind, message)) = input.split_first() else { return };
    match kind % 4 {
        0 => {
            let Ok(request) = CreateCollectionRequest::decode(message) else { return };
            define(&request);
        }
        1 => {
            // The schema is bytes within the request: here it is the whole input.
            let Ok(schema) = CollectionSchema::decode(message) else { return };
            let (collection_name, schema) = (schema.name.clone(), schema.encode_to_vec());
            define(&CreateCollectionRequest { collection_name, schema, ..Default::default() });
        }
        2 => {
            let Ok(request) = milvus::ManualCompactionRequest::decode(message) else { return };
            let options = CompactionOptions {
                partition_id: request.partition_id,
                channel: request.channel,
                segment_ids: request.segment_ids,
                timetravel: request.timetravel,
                is_clustering: request.major_compaction,
                is_l0: request.l0_compaction,
                target_size_mb: request.target_size,
                ..CompactionOptions::default()
            };
            drop(options.parse());
        }
        _ => {
            let Ok(request) = ManualCompactionRequest::decode(message) else { return };
            let (priority, deadline_ms) = (request.priority, request.deadline_ms);
            drop(CompactionOptions { priority, deadline_ms, ..CompactionOptions::default() }.parse());
        }
    }
}

/// An accepted definition is within the limits, and its description defines it again.
fn define(request: &CreateCollectionRequest) {
    let limits = LimitsConfig::default();
    let Ok(definition) = schema::define(request, &limits) else { return };
    assert!((1..=limits.max_shards).contains(&definition.shards));
    assert!(definition.schema.fields.len() <= limits.max_fields as usize + 1);
    let fields = &definition.schema.fields;
    assert!(fields.get(definition.schema.primary).is_some_and(|field| field.is_primary_key));
    definition.schema.arrow_schema();
    let mut described = schema::describe(&definition.schema);
    // The dynamic field is described, and a client never defines it by itself.
    described.fields.retain(|field| !field.is_dynamic);
    let again = CreateCollectionRequest { schema: described.encode_to_vec(), ..request.clone() };
    let again = schema::define(&again, &limits).unwrap_or_else(|e| panic!("{e}: {described:?}"));
    assert_eq!(again.schema, definition.schema);
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let text = rpc::field("s", DataType::VarChar, &[("max_length", "64")]);
    let array = milvus_array();
    let fields = vec![rpc::id_field(), rpc::vector_field("v", 4), text, array];
    let creation = rpc::creation("book", fields.clone());
    let schema = CollectionSchema { enable_dynamic_field: true, ..rpc::schema("book", fields) };
    let merge = milvus::ManualCompactionRequest { collection_id: 1, target_size: 512, ..Default::default() };
    let ours = ManualCompactionRequest { priority: 7, deadline_ms: 9, ..Default::default() };
    vec![
        [&[0], &creation.encode_to_vec()[..]].concat(),
        [&[1], &schema.encode_to_vec()[..]].concat(),
        [&[2], &merge.encode_to_vec()[..]].concat(),
        [&[3], &ours.encode_to_vec()[..]].concat(),
    ]
}

fn milvus_array() -> datacoord::wire::proto::schema::FieldSchema {
    let params = [("max_capacity", "8"), ("max_length", "8")];
    datacoord::wire::proto::schema::FieldSchema {
        element_type: DataType::VarChar.into(),
        ..rpc::field("arr", DataType::Array, &params)
    }
}
