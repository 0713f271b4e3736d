//! Requests for collections of one shape, `id` → `value` with a small vector, and readers of their answers.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use datacoord::wire::proto::{
    common::Status,
    milvus::{milvus_service_client::MilvusServiceClient, *},
    schema::{DataType, FieldData},
};
use tonic::transport::Channel;

use crate::{kit::rpc, searches};

pub type Client = MilvusServiceClient<Channel>;

pub const DIM: usize = 8;
/// Most rows of the answer to a [`query`], and of one page of [`read`]; the server refuses more than 16,384.
pub const PAGE: usize = 10_000;

/// # Errors
/// The server's status, unless it is success.
pub fn check(status: Option<Status>, what: &str) -> Result<()> {
    let status = status.unwrap_or_default();
    ensure!(status.code == 0, "{what}: {status:?}");
    Ok(())
}

/// Creates a collection and loads it, so that it can be queried and searched.
///
/// # Errors
/// The server's.
pub async fn make(client: &mut Client, collection: &str) -> Result<()> {
    make_with(client, rpc::indexing(collection, "vec")).await
}

/// The same with a graph.
///
/// # Errors
/// The server's.
pub async fn make_with_graph(client: &mut Client, collection: &str) -> Result<()> {
    let params = [("index_type", "HNSW"), ("metric_type", "L2"), ("params", r#"{"M": 16, "efConstruction": 100}"#)];
    make_with(client, CreateIndexRequest { extra_params: rpc::pairs(&params), ..rpc::indexing(collection, "vec") })
        .await
}

async fn make_with(client: &mut Client, index: CreateIndexRequest) -> Result<()> {
    let collection = &index.collection_name.clone();
    let value = rpc::field("value", DataType::Int64, &[]);
    let fields = vec![rpc::id_field(), value, rpc::vector_field("vec", DIM)];
    let create = CreateCollectionRequest { shards_num: 2, ..rpc::creation(collection, fields) };
    check(Some(client.create_collection(create).await?.into_inner()), "create")?;
    check(Some(client.create_index(index).await?.into_inner()), "index")?;
    check(Some(client.load_collection(rpc::loading(collection)).await?.into_inner()), "load")
}

fn columns(rows: &[(i64, i64)]) -> Vec<FieldData> {
    let vectors = rows.iter().flat_map(|(key, value)| searches::vector(*key, *value)).collect();
    vec![
        rpc::longs("id", rows.iter().map(|r| r.0).collect()),
        rpc::longs("value", rows.iter().map(|r| r.1).collect()),
        rpc::vectors("vec", DIM, vectors),
    ]
}

pub fn insert(collection: &str, rows: &[(i64, i64)]) -> InsertRequest {
    rpc::insertion(collection, rows.len(), columns(rows))
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
        query_params: vec![rpc::pair("limit", PAGE)],
        ..Default::default()
    }
}

/// The rows of an answer to [`query`].
///
/// # Errors
/// The server's error; a key that occurs twice.
pub fn rows(answer: &QueryResults) -> Result<BTreeMap<i64, i64>> {
    check(answer.status.clone(), "query")?;
    let column = |name: &str| rpc::longs_of(&answer.fields_data, name);
    let (ids, values) = (column("id"), column("value"));
    ensure!(ids.len() == values.len(), "columns of different length");
    let mut found = BTreeMap::new();
    for (id, value) in ids.iter().zip(values) {
        ensure!(found.insert(*id, *value).is_none(), "key {id} is there twice");
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
    Ok(rpc::longs_of(&answer.fields_data, "count(*)").first().copied().unwrap_or_default())
}

/// Flushes and compacts, and waits for the end. Returns the job's id.
///
/// # Errors
/// The server's error; a plan that failed or timed out.
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
