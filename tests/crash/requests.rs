//! Requests of the tests' one shape of collection, `id` → `value` with a small vector, and what their answers say.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use datacoord::wire::proto::{
    common::{KeyValuePair, Status},
    milvus::{milvus_service_client::MilvusServiceClient, *},
    schema::{
        CollectionSchema, DataType, FieldData, FieldSchema, FloatArray, LongArray, ScalarField, VectorField,
        field_data, scalar_field, vector_field,
    },
};
use prost::Message;
use tonic::transport::Channel;

pub type Client = MilvusServiceClient<Channel>;

const DIM: usize = 8;
/// Rows of one page of [`read`]; the server refuses more than 16,384.
const PAGE: usize = 10_000;

/// # Errors
/// What the server says, if it is not "done".
pub fn check(status: Option<Status>, what: &str) -> Result<()> {
    let status = status.unwrap_or_default();
    ensure!(status.code == 0, "{what}: {status:?}");
    Ok(())
}

pub fn create(collection: &str) -> CreateCollectionRequest {
    let field = |name: &str, data_type: DataType| FieldSchema {
        name: name.into(),
        data_type: data_type.into(),
        is_primary_key: name == "id",
        type_params: if data_type == DataType::FloatVector {
            vec![KeyValuePair { key: "dim".into(), value: DIM.to_string() }]
        } else {
            Vec::new()
        },
        ..Default::default()
    };
    let schema = CollectionSchema {
        name: collection.into(),
        fields: vec![
            field("id", DataType::Int64),
            field("value", DataType::Int64),
            field("vec", DataType::FloatVector),
        ],
        ..Default::default()
    };
    CreateCollectionRequest {
        collection_name: collection.into(),
        schema: schema.encode_to_vec(),
        shards_num: 2,
        ..Default::default()
    }
}

fn columns(rows: &[(i64, i64)]) -> Vec<FieldData> {
    let longs = |name: &str, data: Vec<i64>| FieldData {
        r#type: DataType::Int64.into(),
        field_name: name.into(),
        field: Some(field_data::Field::Scalars(ScalarField {
            data: Some(scalar_field::Data::LongData(LongArray { data })),
        })),
        ..Default::default()
    };
    let vectors = FieldData {
        r#type: DataType::FloatVector.into(),
        field_name: "vec".into(),
        field: Some(field_data::Field::Vectors(VectorField {
            dim: DIM as i64,
            data: Some(vector_field::Data::FloatVector(FloatArray {
                data: rows.iter().flat_map(|(key, _)| vec![*key as f32; DIM]).collect(),
            })),
        })),
        ..Default::default()
    };
    vec![longs("id", rows.iter().map(|r| r.0).collect()), longs("value", rows.iter().map(|r| r.1).collect()), vectors]
}

pub fn insert(collection: &str, rows: &[(i64, i64)]) -> InsertRequest {
    InsertRequest {
        collection_name: collection.into(),
        num_rows: rows.len() as u32,
        fields_data: columns(rows),
        ..Default::default()
    }
}

pub fn upsert(collection: &str, rows: &[(i64, i64)]) -> UpsertRequest {
    UpsertRequest {
        collection_name: collection.into(),
        num_rows: rows.len() as u32,
        fields_data: columns(rows),
        ..Default::default()
    }
}

pub fn delete(collection: &str, filter: String) -> DeleteRequest {
    DeleteRequest { collection_name: collection.into(), expr: filter, ..Default::default() }
}

/// The filter that names these keys.
pub fn keys_filter(keys: &[i64]) -> String {
    format!("id in [{}]", keys.iter().map(i64::to_string).collect::<Vec<_>>().join(","))
}

pub fn flush(collection: &str) -> FlushRequest {
    FlushRequest { collection_names: vec![collection.into()], ..Default::default() }
}

pub fn compact(collection: &str) -> ManualCompactionRequest {
    ManualCompactionRequest { collection_name: collection.into(), ..Default::default() }
}

/// Rows that match, at most one page, in no particular order.
pub fn query(collection: &str, filter: String) -> QueryRequest {
    QueryRequest {
        collection_name: collection.into(),
        expr: filter,
        output_fields: vec!["id".into(), "value".into()],
        query_params: vec![KeyValuePair { key: "limit".into(), value: PAGE.to_string() }],
        ..Default::default()
    }
}

/// The rows of an answer to [`query`].
///
/// # Errors
/// What the server says; a key that is there twice.
pub fn rows(answer: &QueryResults) -> Result<BTreeMap<i64, i64>> {
    check(answer.status.clone(), "query")?;
    let (ids, values) = (column(answer, "id"), column(answer, "value"));
    ensure!(ids.len() == values.len(), "columns of different length");
    let mut found = BTreeMap::new();
    for (id, value) in ids.into_iter().zip(values) {
        ensure!(found.insert(id, value).is_none(), "key {id} is there twice");
    }
    Ok(found)
}

/// Every row whose key is in the range, page by page along the key.
pub async fn read(client: &mut Client, collection: &str, keys: std::ops::Range<i64>) -> Result<BTreeMap<i64, i64>> {
    let mut found = BTreeMap::new();
    let mut from = keys.start;
    loop {
        let page =
            rows(&client.query(query(collection, format!("id >= {from} and id < {}", keys.end))).await?.into_inner())?;
        let Some((last, _)) = page.last_key_value() else { return Ok(found) };
        from = last + 1;
        found.extend(page);
    }
}

pub async fn count(client: &mut Client, collection: &str) -> Result<i64> {
    let request = QueryRequest {
        collection_name: collection.into(),
        expr: "id >= 0".into(),
        output_fields: vec!["count(*)".into()],
        ..Default::default()
    };
    let answer = client.query(request).await?.into_inner();
    check(answer.status.clone(), "count")?;
    Ok(column(&answer, "count(*)").first().copied().unwrap_or_default())
}

/// Flushes and compacts, and waits for the end. Returns the job's id.
///
/// # Errors
/// What the server says; a plan that failed or timed out.
pub async fn compact_to_the_end(client: &mut Client, collection: &str) -> Result<i64> {
    check(client.flush(flush(collection)).await?.into_inner().status, "flush")?;
    let answer = client.manual_compaction(compact(collection)).await?.into_inner();
    check(answer.status, "compact")?;
    loop {
        let request = GetCompactionStateRequest { compaction_id: answer.compaction_id };
        let state = client.get_compaction_state(request).await?.into_inner();
        check(state.status.clone(), "state")?;
        if state.state == 2 {
            ensure!(state.failed_plan_no == 0 && state.timeout_plan_no == 0, "plans failed: {state:?}");
            return Ok(answer.compaction_id);
        }
        tokio::task::yield_now().await;
    }
}

fn column(answer: &QueryResults, name: &str) -> Vec<i64> {
    let field = answer.fields_data.iter().find(|f| f.field_name == name);
    match field.and_then(|f| f.field.as_ref()) {
        Some(field_data::Field::Scalars(s)) => match &s.data {
            Some(scalar_field::Data::LongData(l)) => l.data.clone(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}
