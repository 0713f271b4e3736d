//! The calls of the demo: thin, and strict about every status. Times out rather than waiting for ever.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use prost::Message as _;
use tonic::transport::{Channel, Endpoint};

use super::books::{self, Book};
use crate::wire::proto::{
    common::{KeyValuePair, Status},
    datacoord::{
        self, CollectionRef, GetCompactionPlansRequest, ListSegmentsRequest, data_coord_client::DataCoordClient,
    },
    milvus::{
        CreateCollectionRequest, DeleteRequest, DescribeCollectionRequest, DropCollectionRequest, FlushRequest,
        GetCompactionStateRequest, GetCompactionStateResponse, GetFlushStateRequest, GetVersionRequest, InsertRequest,
        ManualCompactionRequest, QueryRequest, UpsertRequest, milvus_service_client::MilvusServiceClient,
    },
    schema::{CollectionSchema, FieldData},
};

/// A healthy server needs far less for anything the demo asks.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);
const COMPLETED: i32 = 2;
const COLLECTION_NOT_FOUND: i32 = 100;

pub(super) struct Client {
    milvus: MilvusServiceClient<Channel>,
    datacoord: DataCoordClient<Channel>,
}

/// Waits between two looks at another process, which has no other way to tell us.
pub(super) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Both of Milvus' codes must be zero.
fn succeeded(status: Option<Status>) -> anyhow::Result<()> {
    let status = status.unwrap_or_default();
    ensure!(status.code == 0 && status.error_code == 0, "code {}: {}", status.code, status.reason);
    Ok(())
}

/// Asks until the answer is there.
async fn poll<T, F: Future<Output = anyhow::Result<Option<T>>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> anyhow::Result<T> {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        ensure!(began.elapsed() < PATIENCE, "{what} took longer than {} s", PATIENCE.as_secs());
        pause(POLL).await;
    }
}

impl Client {
    pub(super) async fn connect(endpoint: &str) -> anyhow::Result<Self> {
        let channel = Endpoint::from_shared(format!("http://{endpoint}"))
            .with_context(|| format!("{endpoint} is not an address"))?
            .connect_timeout(Duration::from_secs(5))
            .timeout(PATIENCE)
            .connect()
            .await
            .with_context(|| format!("no server at {endpoint}: start one with `datacoord serve`"))?;
        Ok(Self { milvus: MilvusServiceClient::new(channel.clone()), datacoord: DataCoordClient::new(channel) })
    }

    pub(super) async fn version(&mut self) -> anyhow::Result<String> {
        let answer = self.milvus.get_version(GetVersionRequest::default()).await?.into_inner();
        succeeded(answer.status).context("GetVersion")?;
        Ok(answer.version)
    }

    /// Creates the collection; drops one that an earlier demo made, and refuses to touch any other of the name.
    pub(super) async fn recreate(
        &mut self,
        name: &str,
        description: &str,
        schema: &CollectionSchema,
    ) -> anyhow::Result<()> {
        let describe = DescribeCollectionRequest { collection_name: name.to_owned(), ..Default::default() };
        let existing = self.milvus.describe_collection(describe).await?.into_inner();
        let status = existing.status.unwrap_or_default();
        if status.code == 0 && status.error_code == 0 {
            let schema = existing.schema.unwrap_or_default();
            if schema.description != description {
                bail!("a collection {name} exists that this demo has not made: rename or drop it first");
            }
            let drop = DropCollectionRequest { collection_name: name.to_owned(), ..Default::default() };
            succeeded(Some(self.milvus.drop_collection(drop).await?.into_inner())).context("DropCollection")?;
        } else {
            ensure!(status.code == COLLECTION_NOT_FOUND, "DescribeCollection: code {}: {}", status.code, status.reason);
        }
        let off = KeyValuePair { key: crate::model::collection::AUTO_COMPACTION.to_owned(), value: "false".to_owned() };
        let create = CreateCollectionRequest {
            collection_name: name.to_owned(),
            schema: schema.encode_to_vec(),
            shards_num: 1,
            properties: vec![off],
            ..Default::default()
        };
        succeeded(Some(self.milvus.create_collection(create).await?.into_inner())).context("CreateCollection")
    }

    pub(super) async fn insert(&mut self, name: &str, books: Vec<Book>) -> anyhow::Result<()> {
        let rows = books.len();
        let request = InsertRequest {
            collection_name: name.to_owned(),
            num_rows: rows as u32,
            fields_data: books::columns(books),
            ..Default::default()
        };
        let answer = self.milvus.insert(request).await?.into_inner();
        succeeded(answer.status).context("Insert")?;
        ensure!(answer.insert_cnt == rows as i64, "Insert took {} of {rows} rows", answer.insert_cnt);
        Ok(())
    }

    pub(super) async fn upsert(&mut self, name: &str, books: Vec<Book>) -> anyhow::Result<()> {
        if books.is_empty() {
            return Ok(());
        }
        let rows = books.len();
        let request = UpsertRequest {
            collection_name: name.to_owned(),
            num_rows: rows as u32,
            fields_data: books::columns(books),
            ..Default::default()
        };
        let answer = self.milvus.upsert(request).await?.into_inner();
        succeeded(answer.status).context("Upsert")?;
        ensure!(answer.upsert_cnt == rows as i64, "Upsert took {} of {rows} rows", answer.upsert_cnt);
        Ok(())
    }

    pub(super) async fn delete(&mut self, name: &str, keys: &[i64]) -> anyhow::Result<()> {
        let request = DeleteRequest { collection_name: name.to_owned(), expr: one_of(keys), ..Default::default() };
        let answer = self.milvus.delete(request).await?.into_inner();
        succeeded(answer.status).context("Delete")
    }

    /// Flushes and waits until all is flushed, as every SDK does.
    pub(super) async fn flush(&mut self, name: &str) -> anyhow::Result<()> {
        let request = FlushRequest { collection_names: vec![name.to_owned()], ..Default::default() };
        let answer = self.milvus.flush(request).await?.into_inner();
        succeeded(answer.status).context("Flush")?;
        let segments = answer.coll_seg_i_ds.into_iter().filter_map(|entry| entry.value).flat_map(|ids| ids.data);
        let segments = segments.collect::<Vec<_>>();
        let flush_ts = answer.coll_flush_ts.first().map_or(0, |entry| entry.value);
        let request = GetFlushStateRequest {
            segment_i_ds: segments,
            flush_ts,
            collection_name: name.to_owned(),
            ..Default::default()
        };
        poll("the flush", || {
            let (mut milvus, request) = (self.milvus.clone(), request.clone());
            async move {
                let answer = milvus.get_flush_state(request).await?.into_inner();
                succeeded(answer.status).context("GetFlushState")?;
                Ok(answer.flushed.then_some(()))
            }
        })
        .await
    }

    /// Starts a compaction of the collection; its id.
    pub(super) async fn compact(&mut self, name: &str) -> anyhow::Result<i64> {
        let request = ManualCompactionRequest { collection_name: name.to_owned(), ..Default::default() };
        let answer = self.milvus.manual_compaction(request).await?.into_inner();
        succeeded(answer.status).context("ManualCompaction")?;
        Ok(answer.compaction_id)
    }

    /// Follows a compaction to its end.
    pub(super) async fn wait_compacted(&mut self, job: i64) -> anyhow::Result<GetCompactionStateResponse> {
        poll("the compaction", || {
            let mut milvus = self.milvus.clone();
            async move {
                let request = GetCompactionStateRequest { compaction_id: job };
                let answer = milvus.get_compaction_state(request).await?.into_inner();
                succeeded(answer.status.clone()).context("GetCompactionState")?;
                Ok((answer.state == COMPLETED).then_some(answer))
            }
        })
        .await
    }

    pub(super) async fn plans(&mut self, job: i64) -> anyhow::Result<Vec<datacoord::Plan>> {
        let request = GetCompactionPlansRequest { job_id: job };
        Ok(self.datacoord.get_compaction_plans(request).await.context("GetCompactionPlans")?.into_inner().plans)
    }

    pub(super) async fn segments(&mut self, name: &str) -> anyhow::Result<Vec<datacoord::Segment>> {
        let collection = CollectionRef { collection_name: name.to_owned(), ..Default::default() };
        let request = ListSegmentsRequest { collection: Some(collection), include_dropped: false };
        Ok(self.datacoord.list_segments(request).await.context("ListSegments")?.into_inner().segments)
    }

    pub(super) async fn count(&mut self, name: &str) -> anyhow::Result<i64> {
        let columns = self.query(name, String::new(), &["count(*)"]).await?;
        match books::longs(&columns, "count(*)") {
            Some([count]) => Ok(*count),
            other => bail!("count(*) answered {other:?}"),
        }
    }

    /// Keys from `from` up to, not including, `to`.
    pub(super) async fn keys(&mut self, name: &str, from: i64, to: i64) -> anyhow::Result<Vec<i64>> {
        let columns = self.query(name, format!("id >= {from} and id < {to}"), &["id"]).await?;
        Ok(books::longs(&columns, "id").context("the answer has no column id")?.to_vec())
    }

    pub(super) async fn rows(&mut self, name: &str, keys: &[i64]) -> anyhow::Result<Vec<Book>> {
        let columns = self.query(name, one_of(keys), &["id", "title", "vector"]).await?;
        books::from_columns(&columns).context("the answer does not have the columns id, title and vector")
    }

    async fn query(&mut self, name: &str, expr: String, output: &[&str]) -> anyhow::Result<Vec<FieldData>> {
        let request = QueryRequest {
            collection_name: name.to_owned(),
            expr,
            output_fields: output.iter().map(|field| (*field).to_owned()).collect(),
            ..Default::default()
        };
        let answer = self.milvus.query(request).await?.into_inner();
        succeeded(answer.status).context("Query")?;
        Ok(answer.fields_data)
    }
}

/// `id in [1, 2, 3]`
fn one_of(keys: &[i64]) -> String {
    format!("id in [{}]", keys.iter().map(i64::to_string).collect::<Vec<_>>().join(", "))
}
