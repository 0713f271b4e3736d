use std::{sync::Arc, time::Duration};

use arrow_array::{ArrayRef, FixedSizeBinaryArray, Int64Array, RecordBatch};
use futures::TryStreamExt;

use super::*;
use crate::{
    clock::ManualClock,
    compactor::{CompactionInput, CompactionTask, IndexTask, Throttle},
    config::{BinlogConfig, WorkerConfig},
    graph::GraphShape,
    kit::model as fixture,
    model::{
        Channel, CollectionId, CollectionSchema, DataType, FieldId, Group, JobId, LogId, Metric, PartitionId, Plan,
        PlanId, PlanInput, PlanKind, PlanReason, PlanState, Segment, SegmentId, Timestamp,
    },
    scheduler::worker::conformance::{WorkerBench, conformance},
    storage::{LogPath, SegmentStore, SegmentTarget, StatsLayout, write_segment},
};

const ROWS: i64 = 100;

fn schema() -> Arc<CollectionSchema> {
    Arc::new(fixture::schema("c", vec![fixture::key(100, "key", DataType::Int64)]))
}

/// Two segments in a store, and a worker that merges them.
struct LocalBench {
    store: SegmentStore,
    worker: LocalWorker,
    task: CompactionTask,
}

impl LocalBench {
    async fn new() -> Self {
        Self::throttled(0).await
    }

    /// The clock stands still: with a limit, a merge waits for ever after its first bytes.
    async fn throttled(bytes_per_second: u64) -> Self {
        let store = SegmentStore::in_memory();
        let schema = schema();
        let group = Group { collection: CollectionId(1), partition: PartitionId(2), channel: Channel::new("c_1v0") };
        let mut log = 100;
        let mut inputs = Vec::new();
        for id in [3, 4] {
            let mut log_ids = || {
                log += 1;
                Ok(LogId(log))
            };
            let target = SegmentTarget {
                ids: group.log_ids(SegmentId(id)),
                schema: &schema,
                stats: StatsLayout::Flushed,
                config: &BinlogConfig::default(),
                written_at_ms: 1,
            };
            let written = write_segment(&store, &target, [rows(&schema, id * 1000)].into_iter(), &[], &mut log_ids);
            let logs = written.await.unwrap().logs;
            let mut segment = Segment { version: 1, ..Segment::new(SegmentId(id), Arc::new(group.clone())) };
            segment.summarise(&logs);
            inputs.push(CompactionInput { segment, logs });
        }
        let of = |input: &CompactionInput| PlanInput {
            segment: input.segment.id,
            rows: input.segment.rows,
            bytes: input.segment.insert_bytes,
            delta_rows: 0,
        };
        let plan = Plan {
            id: PlanId(7),
            job: JobId(8),
            group,
            kind: PlanKind::Mix,
            reason: PlanReason::ManualMerge,
            inputs: inputs.iter().map(of).collect(),
            keep_deletes_after: Timestamp::MAX,
            ttl: None,
            max_output_bytes: 1 << 20,
            created_at_ms: 0,
            attempts: 1,
            state: PlanState::Executing { started_at_ms: 0 },
        };
        let task = CompactionTask { plan, schema, inputs, now_ms: 1, ids: 1000..2000, max_outputs: u64::MAX };
        let throttle = Throttle::new(Arc::new(ManualClock::at(1)), bytes_per_second);
        let compactor = Compactor::new(store.clone(), BinlogConfig::default(), &WorkerConfig::default());
        let worker = LocalWorker::new(Arc::new(compactor.throttled(Arc::new(throttle)))).unwrap();
        Self { store, worker, task }
    }
}

fn rows(schema: &CollectionSchema, from: i64) -> RecordBatch {
    let ints = |from: i64| Arc::new(Int64Array::from_iter_values(from..from + ROWS)) as ArrayRef;
    let ts = Timestamp::from_ms(1).0 as i64;
    RecordBatch::try_new(schema.arrow_schema(), vec![ints(from), ints(ts), ints(from)]).unwrap()
}

#[async_trait::async_trait]
impl WorkerBench for LocalBench {
    fn worker(&self) -> &dyn Worker {
        &self.worker
    }

    fn good(&self) -> Task {
        Task::Compaction(self.task.clone())
    }

    async fn damaged(&self) -> (Task, ErrorKind, String) {
        let input = &self.task.inputs[1];
        let path = LogPath::insert(input.segment.log_ids(), FieldId(100), input.logs.field(FieldId(100))[0].id);
        self.store.delete(&path).await.unwrap();
        // An object that a record names and that is missing is damage.
        (self.good(), ErrorKind::Corrupt, path.to_string())
    }

    async fn objects(&self) -> Vec<String> {
        objects(&self.store).await
    }
}

/// Names of all objects, sorted.
async fn objects(store: &SegmentStore) -> Vec<String> {
    let listed: Vec<_> = store.list("").try_collect().await.unwrap();
    let mut names: Vec<String> = listed.into_iter().map(|object| object.path.to_string()).collect();
    names.sort();
    names
}

conformance!(LocalBench::new(), LocalBench::throttled(1));

/// The same for a build of an index.
mod builds {
    use super::*;

    const VECTOR: FieldId = FieldId(101);

    /// A segment of vectors in a store, and a worker that builds their index.
    struct BuildBench {
        store: SegmentStore,
        worker: LocalWorker,
        task: IndexTask,
    }

    impl BuildBench {
        async fn new() -> Self {
            Self::throttled(0).await
        }

        async fn throttled(bytes_per_second: u64) -> Self {
            let store = SegmentStore::in_memory();
            let fields = vec![fixture::key(100, "key", DataType::Int64), fixture::vector(VECTOR.0, "vector", 4)];
            let schema = Arc::new(fixture::schema("c", fields));
            let group =
                Group { collection: CollectionId(1), partition: PartitionId(2), channel: Channel::new("c_1v0") };
            let ints = |from: i64| Arc::new(Int64Array::from_iter_values(from..from + ROWS)) as ArrayRef;
            let vectors = (0..ROWS).map(|row| [row as f32; 4].map(f32::to_le_bytes).concat());
            let vectors = Arc::new(FixedSizeBinaryArray::try_from_iter(vectors).unwrap()) as ArrayRef;
            let rows = RecordBatch::try_new(schema.arrow_schema(), vec![ints(1), ints(1), ints(1), vectors]).unwrap();
            let target = SegmentTarget {
                ids: group.log_ids(SegmentId(3)),
                schema: &schema,
                stats: StatsLayout::Flushed,
                config: &BinlogConfig::default(),
                written_at_ms: 1,
            };
            let mut next = 100;
            let mut log_ids = || {
                next += 1;
                Ok(LogId(next))
            };
            let logs = write_segment(&store, &target, [rows].into_iter(), &[], &mut log_ids).await.unwrap().logs;
            let mut segment = Segment { version: 1, ..Segment::new(SegmentId(3), Arc::new(group.clone())) };
            segment.summarise(&logs);
            let plan = Plan {
                kind: PlanKind::Index,
                reason: PlanReason::NoIndex { index: 9, field: VECTOR, rows: 100, threshold: 10 },
                attempts: 1,
                ..fixture::plan(7, 8, group, vec![fixture::input(&segment)])
            };
            let shape = GraphShape { metric: Metric::L2, dim: 4, links: 8, width: 40 };
            let task = IndexTask { plan, schema, segment, logs, index: 9, field: VECTOR, shape };
            let throttle = Throttle::new(Arc::new(ManualClock::at(1)), bytes_per_second);
            let compactor = Compactor::new(store.clone(), BinlogConfig::default(), &WorkerConfig::default());
            let worker = LocalWorker::new(Arc::new(compactor.throttled(Arc::new(throttle)))).unwrap();
            Self { store, worker, task }
        }
    }

    #[async_trait::async_trait]
    impl WorkerBench for BuildBench {
        fn worker(&self) -> &dyn Worker {
            &self.worker
        }

        fn good(&self) -> Task {
            Task::Index(Box::new(self.task.clone()))
        }

        async fn damaged(&self) -> (Task, ErrorKind, String) {
            let path = LogPath::insert(self.task.segment.log_ids(), VECTOR, self.task.logs.field(VECTOR)[0].id);
            self.store.delete(&path).await.unwrap();
            (self.good(), ErrorKind::Corrupt, path.to_string())
        }

        async fn objects(&self) -> Vec<String> {
            objects(&self.store).await
        }
    }

    conformance!(BuildBench::new(), BuildBench::throttled(1));
}

#[tokio::test]
async fn a_dropped_execution_lets_go_of_the_store() {
    let bench = LocalBench::new().await;
    let before = Arc::strong_count(&bench.worker.compactor);
    let (reports, _) = watch::channel(ProgressReport::default());
    drop(bench.worker.start(bench.good(), reports, CancellationToken::new()));
    tokio::time::timeout(Duration::from_secs(60), bench.worker.rest_ended()).await.unwrap();
    assert_eq!(Arc::strong_count(&bench.worker.compactor), before, "the catalog behind it can be opened again");
}
