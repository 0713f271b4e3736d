//! The calls that a measurement is made of, against any server that speaks Milvus' protocol.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, ensure};
use datacoord::wire::proto::{
    common::{ConsistencyLevel, KeyValuePair, Status},
    milvus::{milvus_service_client::MilvusServiceClient, *},
};
use prost::Message;
use tonic::transport::Channel;

use crate::shape::Shape;

pub const UNLIMITED: usize = usize::MAX;
/// Bytes of one insert request at most.
const REQUEST_BYTES: usize = 29 << 20;

#[derive(Clone)]
pub struct Server {
    pub endpoint: String,
    /// Of the server, to read its memory.
    pid: Option<u32>,
    client: MilvusServiceClient<Channel>,
}

/// Time and memory of one compaction.
pub struct Compacted {
    pub flush_seconds: f64,
    pub seconds: f64,
    /// The times of the state calls that were made meanwhile, one after the other.
    pub state_ms: Vec<f64>,
    pub memory_mb: Option<Memory>,
}

/// Resident memory of the server in MB.
#[derive(Clone, Copy)]
pub struct Memory {
    /// When the compaction was asked for.
    pub before: f64,
    /// At most until then: while rows were inserted and flushed.
    pub filled: f64,
    /// At most from then on until it was completed.
    pub most: f64,
}

impl Memory {
    pub fn most_of(self, other: Self) -> Self {
        Self {
            before: self.before.max(other.before),
            filled: self.filled.max(other.filled),
            most: self.most.max(other.most),
        }
    }
}

pub fn check(status: Option<Status>, what: &str) -> Result<()> {
    let status = status.unwrap_or_default();
    #[allow(deprecated, reason = "servers before 2.3 set the older code alone")]
    let failed = status.code != 0 || status.error_code != 0;
    ensure!(!failed, "{what}: {status:?}");
    Ok(())
}

pub async fn channel(endpoint: &str) -> Result<Channel> {
    Ok(Channel::from_shared(format!("http://{endpoint}"))?
        .initial_stream_window_size(Some(8 << 20))
        .initial_connection_window_size(Some(16 << 20))
        .connect()
        .await?)
}

impl Server {
    /// Waits until the server answers that it is healthy: stock takes some 20 s.
    pub async fn connect(endpoint: &str, pid: Option<u32>) -> Result<Self> {
        let begun = Instant::now();
        loop {
            if let Ok(channel) = channel(endpoint).await {
                let mut client = MilvusServiceClient::new(channel)
                    .max_encoding_message_size(UNLIMITED)
                    .max_decoding_message_size(UNLIMITED);
                let health = client.check_health(CheckHealthRequest {}).await;
                if health.is_ok_and(|h| h.into_inner().is_healthy) {
                    return Ok(Self { endpoint: endpoint.to_owned(), pid, client });
                }
            }
            ensure!(begun.elapsed() < Duration::from_secs(120), "{endpoint} is not healthy after two minutes");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Resets the kernel's record of the server's highest memory. Does nothing without a pid.
    pub fn forget_peak(&self) -> Result<()> {
        match self.pid {
            Some(pid) => Ok(std::fs::write(format!("/proc/{pid}/clear_refs"), "5")?),
            None => Ok(()),
        }
    }

    /// Resident memory of the server in MB, now and at most so far; None without a pid.
    pub fn memory_mb(&self) -> Option<(f64, f64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid?)).ok()?;
        let value = |key: &str| {
            let line = status.lines().find(|l| l.starts_with(key))?;
            line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kb| kb / 1024.0)
        };
        Some((value("VmRSS:")?, value("VmHWM:")?))
    }

    pub fn client(&self) -> MilvusServiceClient<Channel> {
        self.client.clone()
    }

    pub async fn create(&self, name: &str, shape: &Shape) -> Result<()> {
        self.drop(name).await?;
        let create = CreateCollectionRequest {
            collection_name: name.into(),
            schema: shape.schema(name).encode_to_vec(),
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
        check(Some(self.client().create_index(index).await?.into_inner()), "index")?;
        let load = LoadCollectionRequest { collection_name: name.into(), replica_number: 1, ..Default::default() };
        check(Some(self.client().load_collection(load).await?.into_inner()), "load")
    }

    pub async fn drop(&self, name: &str) -> Result<()> {
        let drop = DropCollectionRequest { collection_name: name.into(), ..Default::default() };
        check(Some(self.client().drop_collection(drop).await?.into_inner()), "drop")
    }

    pub async fn insert(&self, name: &str, shape: &Shape, first: i64, rows: usize) -> Result<()> {
        check(self.client().insert(shape.insert(name, first, rows)).await?.into_inner().status, "insert")
    }

    /// Flushes and waits until all is flushed; seconds.
    pub async fn flush(&self, name: &str) -> Result<f64> {
        let start = Instant::now();
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
                return Ok(start.elapsed().as_secs_f64());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn collection_id(&self, name: &str) -> Result<i64> {
        let describe = DescribeCollectionRequest { collection_name: name.into(), ..Default::default() };
        Ok(self.client().describe_collection(describe).await?.into_inner().collection_id)
    }

    /// Starts a manual compaction. Newer messages ask by name, older ones by id; the id is understood by all.
    pub async fn start_compaction(&self, name: &str) -> Result<i64> {
        let request = ManualCompactionRequest { collection_id: self.collection_id(name).await?, ..Default::default() };
        let job = self.client().manual_compaction(request).await?.into_inner();
        check(job.status, "compact")?;
        Ok(job.compaction_id)
    }

    /// Writes the segments of a shape, and deletes. Rows there were, and seconds of all flushes of rows.
    pub async fn fill(&self, name: &str, shape: &Shape) -> Result<(i64, f64)> {
        self.create(name, shape).await?;
        let per_request = (REQUEST_BYTES / shape.row_bytes()).max(1);
        let (mut next, mut flushing) = (0, 0.0);
        for rows in &shape.segments {
            let end = next + *rows as i64;
            while next < end {
                let count = per_request.min((end - next) as usize);
                self.insert(name, shape, next, count).await?;
                next += count as i64;
            }
            flushing += self.flush(name).await?;
        }
        self.wait_indexed(name, next).await?;
        for chunk in shape.doomed().chunks(8_000) {
            let list = chunk.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
            let delete =
                DeleteRequest { collection_name: name.into(), expr: format!("id in [{list}]"), ..Default::default() };
            check(self.client().delete(delete).await?.into_inner().status, "delete")?;
        }
        self.flush(name).await?;
        Ok((next, flushing))
    }

    /// Writes the segments of a shape, deletes, compacts once, and counts the rows that are left.
    pub async fn compact(&self, shape: &Shape) -> Result<Compacted> {
        let name = "bench_compact";
        let (rows, flushing) = self.fill(name, shape).await?;
        // Stock writes the delta logs a little after the flush has been answered, and then looks at its segments anew.
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.wait_indexed(name, rows).await?;
        let probe = Probe::start(self.clone())?;
        let before = self.memory_mb();
        self.forget_peak()?;
        let start = Instant::now();
        let job = self.start_compaction(name).await?;
        self.wait_compacted(job).await?;
        let seconds = start.elapsed().as_secs_f64();
        let memory_mb =
            before.zip(self.memory_mb()).map(|((before, filled), (_, most))| Memory { before, filled, most });
        let state_ms = probe.stop()?;
        let left = self.row_count(name).await?;
        ensure!(left == (rows - shape.doomed().len() as i64).to_string(), "{left} rows are left of {rows}");
        self.drop(name).await?;
        Ok(Compacted { flush_seconds: flushing / shape.segments.len() as f64, seconds, state_ms, memory_mb })
    }

    async fn row_count(&self, name: &str) -> Result<String> {
        let statistics = GetCollectionStatisticsRequest { collection_name: name.into(), ..Default::default() };
        let rows = self.client().get_collection_statistics(statistics).await?.into_inner().stats;
        Ok(rows.iter().find(|p| p.key == "row_count").map(|p| p.value.clone()).unwrap_or_default())
    }

    /// Waits until a job is completed; it must have had something to do.
    pub async fn wait_compacted(&self, job: i64) -> Result<()> {
        loop {
            let state = self.client().get_compaction_state(GetCompactionStateRequest { compaction_id: job }).await?;
            let state = state.into_inner();
            check(state.status, "state")?;
            if state.state == 2 {
                ensure!(state.completed_plan_no >= 1, "nothing was compacted");
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub async fn wait_indexed(&self, name: &str, rows: i64) -> Result<()> {
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
}

/// Asks for the state of a job that does not exist, again and again: the cheapest call there is, so its time
/// is the server's. Runs in a thread of its own, with the highest priority if it may (a superuser may): otherwise the time
/// would include the generator's own wait for a core that the merge keeps busy.
struct Probe {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Result<Vec<f64>>>,
}

/// Gives the current thread a real-time priority. Niceness is not enough: it does not interrupt a thread inside the
/// kernel, where a call can keep the core for a millisecond and more.
fn go_first() -> std::io::Result<()> {
    let lowest = libc::sched_param { sched_priority: 1 };
    // SAFETY: the call reads `lowest` and keeps nothing; 0 is the thread that calls.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const lowest) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

impl Probe {
    fn start(server: Server) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&stop);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let probe = async move {
            let mut client = MilvusServiceClient::new(channel(&server.endpoint).await?);
            let mut times = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                let begun = Instant::now();
                client.get_compaction_state(GetCompactionStateRequest { compaction_id: 1 }).await?;
                times.push(begun.elapsed().as_secs_f64() * 1000.0);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok(times)
        };
        let thread = std::thread::Builder::new().name("probe".to_owned()).spawn(move || {
            if let Err(error) = go_first() {
                eprintln!("the probe competes with the load generator and the server: {error}");
            }
            runtime.block_on(probe)
        })?;
        Ok(Self { stop, thread })
    }

    /// The time of each call, in ms.
    fn stop(self) -> Result<Vec<f64>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the probe ended early"))?
    }
}
