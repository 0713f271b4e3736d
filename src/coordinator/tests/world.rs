//! A whole process over stores in memory, automatic compaction off, and short forms of common calls.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{ArrayRef, FixedSizeBinaryArray, Int64Array, RecordBatch};
use arrow_schema::{Field as ArrowField, Schema as ArrowSchema};
use prometheus::Registry;

use super::super::*;
use crate::{
    binlog::encode_delta,
    clock::SystemClock,
    config::{CompactionConfig, Config},
    kit::{filters, model as fixture},
    meta::{MetaStore, memory::MemoryStore},
    model::{
        CollectionSchema, DataType, Delete, Field, FieldId, Group, JobId, LogId, PartitionId, PlanState, PrimaryKey,
        Segment, SegmentId, SegmentLevel, SegmentLogs, Timestamp,
    },
    planner::Policy,
    standalone::{CollectionName, NewCollection, Rows, Standalone},
    storage::{LogPath, SegmentStore},
    telemetry::Metrics,
};

pub(super) const KEY: FieldId = FieldId(100);
pub(super) const CLUSTER: FieldId = FieldId(101);
pub(super) const VECTOR: FieldId = FieldId(102);
pub(super) const MIB: u64 = 1 << 20;

pub(super) fn schema(name: &str) -> CollectionSchema {
    let cluster = fixture::field(CLUSTER.0, "f101", DataType::Int64);
    let fields = vec![
        fixture::key(KEY.0, "f100", DataType::Int64),
        Field { is_clustering_key: true, ..cluster },
        fixture::vector(VECTOR.0, "f102", 64),
    ];
    fixture::schema(name, fields)
}

/// 256 bytes that can't be compressed.
pub(super) fn vector(key: i64) -> Vec<u8> {
    let mut state = key as u64;
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB).to_le_bytes()
    };
    (0..32).flat_map(|_| next()).collect()
}

/// The clustering key is spread over all rows in any order.
pub(super) fn cluster_value(key: i64) -> i64 {
    (key * 7919) % 10_007
}

pub(super) fn rows(keys: std::ops::Range<i64>) -> RecordBatch {
    let columns: Vec<(FieldId, ArrayRef)> = vec![
        (KEY, Arc::new(Int64Array::from_iter_values(keys.clone()))),
        (CLUSTER, Arc::new(Int64Array::from_iter_values(keys.clone().map(cluster_value)))),
        (VECTOR, Arc::new(FixedSizeBinaryArray::try_from_iter(keys.map(vector)).unwrap())),
    ];
    let fields: Vec<ArrowField> =
        columns.iter().map(|(id, c)| ArrowField::new(id.to_string(), c.data_type().clone(), false)).collect();
    RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns.into_iter().map(|(_, c)| c).collect()).unwrap()
}

/// The parts that outlive a restart.
pub(super) struct World {
    _folder: tempfile::TempDir,
    pub(super) meta: Arc<MemoryStore>,
    pub(super) store: SegmentStore,
    /// Of the next start.
    pub(super) config: Config,
}

impl World {
    /// Its metadata store has the limit of operations that etcd has.
    pub(super) fn new() -> Self {
        Self::with_max_operations(128)
    }

    pub(super) fn with_max_operations(limit: usize) -> Self {
        let (folder, meta) = (tempfile::tempdir().unwrap(), MemoryStore::with_max_operations(limit));
        let mut config = Config::default();
        config.server.data_dir = folder.path().to_owned();
        config.compaction = CompactionConfig { auto_enabled: false, max_segment_bytes: 4 * MIB, ..config.compaction };
        Self { _folder: folder, meta: Arc::new(meta), store: SegmentStore::in_memory(), config }
    }

    pub(super) async fn start(&self) -> Arc<Standalone> {
        self.start_over(self.meta.clone()).await
    }

    /// Starts over a store that wraps [`Self::meta`].
    pub(super) async fn start_over(&self, meta: Arc<dyn MetaStore>) -> Arc<Standalone> {
        let parts = Parts {
            config: Arc::new(self.config.clone()),
            clock: Arc::new(SystemClock::new()),
            metrics: Arc::new(Metrics::new(Registry::new()).unwrap()),
            meta,
            store: self.store.clone(),
        };
        Standalone::start(parts).await.unwrap()
    }

    /// A process with an empty collection `c` of one channel.
    pub(super) async fn with_collection(&self, clustering_key: bool) -> (Arc<Standalone>, Arc<CollectionCell>) {
        let process = self.start().await;
        let cell = Self::collection(&process, clustering_key).await;
        (process, cell)
    }

    pub(super) async fn collection(process: &Standalone, clustering_key: bool) -> Arc<CollectionCell> {
        let mut schema = schema("c");
        schema.fields[1].is_clustering_key = clustering_key;
        let new = NewCollection {
            database: "default".to_owned(),
            schema,
            shards: 1,
            consistency_level: 0,
            properties: BTreeMap::new(),
            partitions: None,
        };
        process.create_collection(new).await.unwrap();
        cell(process)
    }
}

pub(super) fn cell(process: &Standalone) -> Arc<CollectionCell> {
    process.resolve(CollectionName::new("", "c")).unwrap()
}

impl Standalone {
    pub(super) async fn flushed(&self, cell: &Arc<CollectionCell>, partition: &str, keys: std::ops::Range<i64>) {
        self.insert(cell, partition, rows(keys)).await.unwrap();
        self.flush(cell).await.unwrap();
    }

    pub(super) async fn deleted(&self, cell: &Arc<CollectionCell>, expr: &str) {
        let expr = filters::compile(expr, &cell.meta().schema).unwrap().unwrap();
        self.delete(cell, None, &expr, None).await.unwrap();
        self.ingest().flush_deltas(cell.id).await.unwrap();
    }

    pub(super) async fn rows_of(&self, cell: &CollectionCell) -> u64 {
        self.count(cell, Rows::default()).await.unwrap()
    }

    /// Asks for a compaction and waits until all of its plans have completed.
    pub(super) async fn compacted(&self, cell: &Arc<CollectionCell>, scope: CompactionRequest) -> JobView {
        let job = self.coordinator().manual_compaction(cell, scope).await.unwrap().job;
        self.finished(job).await
    }

    pub(super) async fn finished(&self, job: JobId) -> JobView {
        loop {
            let view = self.coordinator().jobs().job(job).unwrap();
            if view.counts().is_finished() {
                let bad = view.plans.iter().find(|p| !matches!(p.state, PlanState::Completed { .. }));
                assert!(bad.is_none(), "{bad:?}");
                return view;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Puts an L0 segment into the catalog, as an import would.
    pub(super) async fn put_l0(&self, cell: &CollectionCell, partition: PartitionId, deletes: &[Delete]) -> SegmentId {
        let core = &self.coordinator().core;
        let id = SegmentId(core.ids.next().await.unwrap());
        let channel = cell.meta().channels[0].clone();
        let group = Arc::new(Group { collection: cell.id, partition, channel });
        let ids = group.log_ids(id);
        let log = LogId(core.ids.next().await.unwrap());
        let encoded = encode_delta(ids, deletes, &core.config.binlog, 1).unwrap();
        let file = encoded.log_file(log);
        core.store.put(&LogPath::delta(ids, log), encoded.bytes).await.unwrap();
        let logs = SegmentLogs { delta: vec![file], ..SegmentLogs::default() };
        let mut segment = Segment { level: SegmentLevel::L0, version: 1, ..Segment::new(id, group) };
        segment.summarise(&logs);
        let mut txn = core.catalog.txn();
        txn.put_segment_and_logs(&segment, &logs);
        core.catalog.commit(txn, (), || ()).await.unwrap();
        cell.fold([segment]);
        id
    }
}

pub(super) fn delete(key: i64, ts: Timestamp) -> Delete {
    Delete { key: PrimaryKey::Int(key), ts }
}

pub(super) fn asked(policy: Policy) -> CompactionRequest {
    CompactionRequest { policy, ..CompactionRequest::default() }
}
