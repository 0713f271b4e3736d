//! The figures a user notices, measured over gRPC against any server that speaks Milvus' protocol.
//!
//! `cargo bench --bench server -- --endpoint HOST:PORT [--pid PID] [--case NAME …] [--label NAME]`; `tools/bench.sh`
//! starts the servers and runs it against datacoord and, when asked, stock Milvus 2.3.5. Prints one JSON line a figure.
//!
//! Requests of the insert cases are encoded beforehand: the client's encoding is not the server's speed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BufMut, Bytes};
use datacoord::wire::proto::{
    common::{ConsistencyLevel, KeyValuePair, Status},
    milvus::{milvus_service_client::MilvusServiceClient, *},
    schema::{
        CollectionSchema, DataType, FieldData, FieldSchema, FloatArray, LongArray, ScalarField, VectorField,
        field_data, scalar_field, vector_field,
    },
};
use prost::Message;
use tonic::{
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};

const UNLIMITED: usize = usize::MAX;

struct Options {
    endpoint: String,
    pid: Option<u32>,
    cases: Vec<String>,
    label: String,
}

impl Options {
    fn parse() -> Result<Self> {
        let mut options =
            Self { endpoint: "127.0.0.1:19530".into(), pid: None, cases: Vec::new(), label: "datacoord".into() };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--endpoint" => options.endpoint = value()?,
                "--pid" => options.pid = Some(value()?.parse()?),
                "--case" => options.cases.push(value()?),
                "--label" => options.label = value()?,
                // `cargo bench` adds it.
                "--bench" => {}
                other => bail!("unknown argument {other}"),
            }
        }
        Ok(options)
    }

    fn wants(&self, case: &str) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|c| c == case)
    }

    fn report(&self, figure: &str, value: f64, unit: &str) {
        println!(
            "{}",
            serde_json::json!({"server": self.label, "figure": figure, "value": (value * 1000.0).round() / 1000.0, "unit": unit})
        );
    }

    /// Largest resident size the server ever had, in MB; 0 without a pid.
    fn peak_mb(&self) -> f64 {
        let Some(pid) = self.pid else { return 0.0 };
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse()?;
    let server = Server::connect(&options.endpoint).await?;
    if options.wants("flush") {
        server.flush_small(&options).await?;
    }
    if options.wants("compact-small") {
        server.compact(&options, "compact_10k_rows", 128, &[1000; 10]).await?;
    }
    if options.wants("state") {
        server.state_calls(&options).await?;
    }
    if options.wants("insert") {
        server.insert_rate(&options, "insert_29MB", 9_600, 40).await?;
        server.insert_rate(&options, "insert_300kB", 98, 2_000).await?;
    }
    if options.wants("compact-large") {
        // 4 segments of 128 MiB of 768-d vectors.
        server.compact(&options, "compact_512MB", 768, &[43_690; 4]).await?;
        options.report("peak_memory", options.peak_mb(), "MB");
    }
    Ok(())
}

#[derive(Clone)]
struct Server {
    endpoint: String,
    client: MilvusServiceClient<Channel>,
}

fn check(status: Option<Status>, what: &str) -> Result<()> {
    let status = status.unwrap_or_default();
    #[allow(deprecated)]
    let failed = status.code != 0 || status.error_code != 0;
    ensure!(!failed, "{what}: {status:?}");
    Ok(())
}

async fn channel(endpoint: &str) -> Result<Channel> {
    Ok(Channel::from_shared(format!("http://{endpoint}"))?
        .initial_stream_window_size(Some(8 << 20))
        .initial_connection_window_size(Some(16 << 20))
        .connect()
        .await?)
}

impl Server {
    /// Waits until the server answers that it is healthy: stock takes some 20 s.
    async fn connect(endpoint: &str) -> Result<Self> {
        let begun = Instant::now();
        loop {
            if let Ok(channel) = channel(endpoint).await {
                let mut client = MilvusServiceClient::new(channel)
                    .max_encoding_message_size(UNLIMITED)
                    .max_decoding_message_size(UNLIMITED);
                let health = client.check_health(CheckHealthRequest {}).await;
                if health.is_ok_and(|h| h.into_inner().is_healthy) {
                    return Ok(Self { endpoint: endpoint.to_owned(), client });
                }
            }
            ensure!(begun.elapsed() < Duration::from_secs(120), "{endpoint} is not healthy after two minutes");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn client(&self) -> MilvusServiceClient<Channel> {
        self.client.clone()
    }

    async fn create(&self, name: &str, dim: usize) -> Result<()> {
        let drop = DropCollectionRequest { collection_name: name.into(), ..Default::default() };
        check(Some(self.client().drop_collection(drop).await?.into_inner()), "drop")?;
        let schema = CollectionSchema {
            name: name.into(),
            fields: vec![
                FieldSchema {
                    name: "id".into(),
                    is_primary_key: true,
                    data_type: DataType::Int64.into(),
                    ..Default::default()
                },
                FieldSchema {
                    name: "vec".into(),
                    data_type: DataType::FloatVector.into(),
                    type_params: vec![KeyValuePair { key: "dim".into(), value: dim.to_string() }],
                    ..Default::default()
                },
            ],
            ..Default::default()
        };
        let create = CreateCollectionRequest {
            collection_name: name.into(),
            schema: schema.encode_to_vec(),
            shards_num: 1,
            consistency_level: ConsistencyLevel::Bounded.into(),
            properties: vec![KeyValuePair { key: "collection.autocompaction.enabled".into(), value: "false".into() }],
            ..Default::default()
        };
        check(Some(self.client().create_collection(create).await?.into_inner()), "create")?;
        let index = CreateIndexRequest {
            collection_name: name.into(),
            field_name: "vec".into(),
            extra_params: [("index_type", "FLAT"), ("metric_type", "L2"), ("params", "{}")]
                .map(|(k, v)| KeyValuePair { key: k.into(), value: v.into() })
                .into(),
            ..Default::default()
        };
        check(Some(self.client().create_index(index).await?.into_inner()), "index")
    }

    async fn flush(&self, name: &str) -> Result<()> {
        let flush = FlushRequest { collection_names: vec![name.into()], ..Default::default() };
        let sealed = self.client().flush(flush).await?.into_inner();
        check(sealed.status.clone(), "flush")?;
        let request = GetFlushStateRequest {
            segment_i_ds: sealed.coll_seg_i_ds.into_iter().filter_map(|s| s.value).flat_map(|ids| ids.data).collect(),
            flush_ts: sealed.coll_flush_ts.first().map_or(0, |entry| entry.value),
            collection_name: name.into(),
            ..Default::default()
        };
        loop {
            let state = self.client().get_flush_state(request.clone()).await?.into_inner();
            check(state.status, "flush state")?;
            if state.flushed {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// insert 1,000 rows of 128 floats, flush: the flush alone, median of ten.
    async fn flush_small(&self, options: &Options) -> Result<()> {
        let name = "bench_flush";
        self.create(name, 128).await?;
        let mut times = Vec::new();
        for round in 0..10 {
            self.insert(name, 128, round * 1000, 1000).await?;
            let start = Instant::now();
            self.flush(name).await?;
            times.push(start.elapsed());
        }
        times.sort();
        options.report("flush_1000_rows_median", times[times.len() / 2].as_secs_f64() * 1000.0, "ms");
        Ok(())
    }

    async fn insert(&self, name: &str, dim: usize, first: i64, rows: usize) -> Result<()> {
        let request = insert_request(name, dim, first, rows);
        check(self.client().insert(request).await?.into_inner().status, "insert")
    }

    /// Segments of these many rows, every tenth row deleted, one manual compaction.
    async fn compact(&self, options: &Options, figure: &str, dim: usize, segments: &[usize]) -> Result<()> {
        let name = "bench_compact";
        self.create(name, dim).await?;
        let per_request = (29 << 20) / (dim * 4);
        let mut next = 0;
        let mut flushes = Vec::new();
        for rows in segments {
            let end = next + *rows as i64;
            while next < end {
                let count = per_request.min((end - next) as usize);
                self.insert(name, dim, next, count).await?;
                next += count as i64;
            }
            let start = Instant::now();
            self.flush(name).await?;
            flushes.push(start.elapsed().as_secs_f64());
        }
        options.report(
            &format!("{figure}_flush_of_one_segment"),
            flushes.iter().sum::<f64>() / flushes.len() as f64,
            "s",
        );
        self.wait_indexed(name, next).await?;
        let doomed: Vec<i64> = (0..next).step_by(10).collect();
        for chunk in doomed.chunks(8_000) {
            let list = chunk.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
            let delete =
                DeleteRequest { collection_name: name.into(), expr: format!("id in [{list}]"), ..Default::default() };
            check(self.client().delete(delete).await?.into_inner().status, "delete")?;
        }
        self.flush(name).await?;
        // Stock writes the delta logs a little after the flush has been answered; its own tests wait the same way.
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.wait_indexed(name, next).await?;
        let describe = DescribeCollectionRequest { collection_name: name.into(), ..Default::default() };
        let collection_id = self.client().describe_collection(describe).await?.into_inner().collection_id;
        let start = Instant::now();
        let job = self
            .client()
            .manual_compaction(ManualCompactionRequest { collection_id, ..Default::default() })
            .await?
            .into_inner();
        check(job.status, "compact")?;
        loop {
            let request = GetCompactionStateRequest { compaction_id: job.compaction_id };
            let state = self.client().get_compaction_state(request).await?.into_inner();
            check(state.status, "state")?;
            if state.state == 2 {
                ensure!(state.completed_plan_no >= 1, "nothing was compacted");
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        options.report(figure, start.elapsed().as_secs_f64(), "s");
        let statistics = GetCollectionStatisticsRequest { collection_name: name.into(), ..Default::default() };
        let rows = self.client().get_collection_statistics(statistics).await?.into_inner().stats;
        let left = rows.iter().find(|p| p.key == "row_count").map(|p| p.value.clone()).unwrap_or_default();
        ensure!(left == (next - doomed.len() as i64).to_string(), "{left} rows are left of {next}");
        Ok(())
    }

    async fn wait_indexed(&self, name: &str, rows: i64) -> Result<()> {
        loop {
            let request = DescribeIndexRequest { collection_name: name.into(), ..Default::default() };
            let answer = self.client().describe_index(request).await?.into_inner();
            check(answer.status, "index state")?;
            if answer.index_descriptions.iter().all(|i| i.state == 3 && i.indexed_rows >= rows) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Requests of this many rows of 768 floats, four in flight on as many connections.
    async fn insert_rate(&self, options: &Options, figure: &str, rows: usize, requests: u64) -> Result<()> {
        let name = "bench_insert";
        self.create(name, 768).await?;
        let encoded: Vec<Bytes> =
            (0..8).map(|i| Bytes::from(insert_request(name, 768, i * rows as i64, rows).encode_to_vec())).collect();
        let encoded = Arc::new(encoded);
        let sent = Arc::new(AtomicU64::new(0));
        let bytes = Arc::new(AtomicU64::new(0));
        let mut tasks = Vec::new();
        let start = Instant::now();
        for _ in 0..4 {
            let channel = channel(&self.endpoint).await?;
            let (encoded, sent, bytes) = (Arc::clone(&encoded), Arc::clone(&sent), Arc::clone(&bytes));
            tasks.push(tokio::spawn(async move {
                let mut grpc = Grpc::new(channel).max_encoding_message_size(UNLIMITED);
                let mut times = Vec::new();
                loop {
                    let turn = sent.fetch_add(1, Ordering::Relaxed);
                    if turn >= requests {
                        return anyhow::Ok(times);
                    }
                    let body = encoded[turn as usize % encoded.len()].clone();
                    bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
                    let begun = Instant::now();
                    grpc.ready().await?;
                    let path = http::uri::PathAndQuery::from_static("/milvus.proto.milvus.MilvusService/Insert");
                    let answer: tonic::Response<MutationResult> =
                        grpc.unary(tonic::Request::new(body), path, RawCodec).await?;
                    check(answer.into_inner().status, "insert")?;
                    times.push(begun.elapsed());
                }
            }));
        }
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await??);
        }
        let seconds = start.elapsed().as_secs_f64();
        times.sort();
        options.report(figure, bytes.load(Ordering::Relaxed) as f64 / 1e6 / seconds, "MB/s");
        options.report(&format!("{figure}_p50"), times[times.len() / 2].as_secs_f64() * 1000.0, "ms");
        let drop = DropCollectionRequest { collection_name: name.into(), ..Default::default() };
        check(Some(self.client().drop_collection(drop).await?.into_inner()), "drop")
    }

    /// GetCompactionState on four connections with fifty calls in flight each, for three seconds.
    async fn state_calls(&self, options: &Options) -> Result<()> {
        let name = "bench_state";
        self.create(name, 8).await?;
        self.insert(name, 8, 0, 100).await?;
        self.flush(name).await?;
        let describe = DescribeCollectionRequest { collection_name: name.into(), ..Default::default() };
        let collection_id = self.client().describe_collection(describe).await?.into_inner().collection_id;
        let job = ManualCompactionRequest { collection_id, ..Default::default() };
        let compaction_id = self.client().manual_compaction(job).await?.into_inner().compaction_id;
        let stop = Arc::new(AtomicBool::new(false));
        let calls = Arc::new(AtomicU64::new(0));
        let mut tasks = Vec::new();
        for _ in 0..4 {
            let client = MilvusServiceClient::new(channel(&self.endpoint).await?);
            for _ in 0..50 {
                let (mut client, stop, calls) = (client.clone(), Arc::clone(&stop), Arc::clone(&calls));
                tasks.push(tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        client.get_compaction_state(GetCompactionStateRequest { compaction_id }).await?;
                        calls.fetch_add(1, Ordering::Relaxed);
                    }
                    anyhow::Ok(())
                }));
            }
        }
        let start = Instant::now();
        tokio::time::sleep(Duration::from_secs(3)).await;
        let rate = calls.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        for task in tasks {
            task.await??;
        }
        options.report("state_calls", rate, "1/s");
        Ok(())
    }
}

/// Rows with keys from `first` and vectors that don't compress, as embeddings don't.
fn insert_request(name: &str, dim: usize, first: i64, rows: usize) -> InsertRequest {
    let mut state = first as u64 ^ 0x9E37_79B9_7F4A_7C15;
    let floats = (0..rows * dim)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        })
        .collect();
    let ids = ScalarField {
        data: Some(scalar_field::Data::LongData(LongArray { data: (first..first + rows as i64).collect() })),
    };
    let vectors =
        VectorField { dim: dim as i64, data: Some(vector_field::Data::FloatVector(FloatArray { data: floats })) };
    InsertRequest {
        collection_name: name.into(),
        fields_data: vec![
            FieldData {
                r#type: DataType::Int64.into(),
                field_name: "id".into(),
                field: Some(field_data::Field::Scalars(ids)),
                ..Default::default()
            },
            FieldData {
                r#type: DataType::FloatVector.into(),
                field_name: "vec".into(),
                field: Some(field_data::Field::Vectors(vectors)),
                ..Default::default()
            },
        ],
        num_rows: rows as u32,
        ..Default::default()
    }
}

/// Sends bytes as they are and decodes the answer as usual.
#[derive(Clone, Copy)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = MutationResult;
    type Encoder = RawEncoder;
    type Decoder = AnswerDecoder;

    fn encoder(&mut self) -> RawEncoder {
        RawEncoder
    }

    fn decoder(&mut self) -> AnswerDecoder {
        AnswerDecoder
    }
}

struct RawEncoder;

impl Encoder for RawEncoder {
    type Item = Bytes;
    type Error = tonic::Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        into.reserve(item.len());
        into.put(item);
        Ok(())
    }
}

struct AnswerDecoder;

impl Decoder for AnswerDecoder {
    type Item = MutationResult;
    type Error = tonic::Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<MutationResult>, tonic::Status> {
        let bytes = from.copy_to_bytes(from.remaining());
        MutationResult::decode(bytes).map(Some).map_err(|e| tonic::Status::internal(e.to_string()))
    }
}
