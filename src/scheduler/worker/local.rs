//! Executes plans in this process, with the compactor.
//!
//! On threads of its own: a merge reads and writes as much as it computes, and all of that gives way to calls. Must never
//! let a merge run on a thread that answers clients.

use std::{io, sync::Arc};

use futures::{FutureExt, future::BoxFuture};
use tokio_util::sync::CancellationToken;

use super::{Execution, Observe, Worker, WorkerError};
use crate::{
    background::Background,
    compactor::{CompactError, CompactionTask, Compactor, ProgressCell},
    error::{Classify, ErrorKind},
    model::Progress,
};

/// Threads that begin reads and writes.
const THREADS: usize = 2;

/// The in-process worker. Its memory and cores are the compactor's, which bounds both over all plans. What a merge leaves
/// half-way when this is dropped is garbage.
pub struct LocalWorker {
    compactor: Arc<Compactor>,
    merges: Background,
}

impl LocalWorker {
    /// # Errors
    /// Threads that can't be started.
    pub fn new(compactor: Arc<Compactor>) -> io::Result<Self> {
        Ok(Self { compactor, merges: Background::new("merge-io", THREADS)? })
    }
}

impl Worker for LocalWorker {
    fn start(&self, task: CompactionTask, cancel: CancellationToken) -> Execution {
        let compactor = Arc::clone(&self.compactor);
        let progress = Arc::new(ProgressCell::new());
        let cell = Arc::clone(&progress);
        let merge = async move { compactor.run(&task, &cell, &cancel).await.map_err(WorkerError::from) };
        // Whoever drops the execution ends the merge.
        let merge = self.merges.spawn(merge);
        let done = async move {
            merge.await.unwrap_or_else(|error| {
                Err(WorkerError { kind: ErrorKind::Internal, message: format!("the merge ended early: {error}") })
            })
        };
        Execution { progress, done: done.boxed() }
    }

    fn rest_ended(&self) -> BoxFuture<'_, ()> {
        self.merges.idle().boxed()
    }
}

impl Observe for ProgressCell {
    fn progress(&self) -> Progress {
        self.snapshot()
    }

    fn beat(&self) -> u64 {
        ProgressCell::beat(self)
    }
}

impl From<CompactError> for WorkerError {
    fn from(error: CompactError) -> Self {
        Self { kind: error.kind(), message: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        compactor::{CompactionInput, OutputIds},
        config::{BinlogConfig, StorageConfig, StorageKind, WorkerConfig},
        error::ErrorKind,
        model::{
            Channel, CollectionId, CollectionSchema, DataType, Field, FieldId, Group, JobId, LogFile, LogId,
            PartitionId, Plan, PlanId, PlanInput, PlanKind, PlanReason, PlanState, Segment, SegmentId, SegmentLogs,
            Timestamp,
        },
        storage::SegmentStore,
    };

    struct NoIds;

    impl OutputIds for NoIds {
        fn next_segment(&self, _: PlanId) -> Result<SegmentId, CompactError> {
            Err(CompactError::Internal("no output is expected".into()))
        }

        fn next_log(&self) -> Result<LogId, CompactError> {
            Err(CompactError::Internal("no output is expected".into()))
        }
    }

    /// A worker over an empty store, and a task whose input has objects that are not there.
    fn worker_and_task(directory: &tempfile::TempDir) -> (LocalWorker, CompactionTask) {
        let kind = StorageKind::Local { root: Some(directory.path().to_owned()) };
        let store = SegmentStore::open(&StorageConfig { kind, ..StorageConfig::default() }, directory.path()).unwrap();
        let compactor = Compactor::new(store, BinlogConfig::default(), &WorkerConfig::default(), Arc::new(NoIds));
        let key = Field {
            id: FieldId(100),
            name: "key".into(),
            description: String::new(),
            data_type: DataType::Int64,
            element_type: None,
            is_primary_key: true,
            auto_id: false,
            is_dynamic: false,
            is_partition_key: false,
            is_clustering_key: false,
            dim: None,
            max_length: None,
            max_capacity: None,
            type_params: vec![],
            index_params: vec![],
        };
        let schema = Arc::new(CollectionSchema {
            name: "c".into(),
            description: String::new(),
            enable_dynamic_field: false,
            fields: vec![key],
            primary: 0,
        });
        let ts = Timestamp::from_ms(1);
        let log = |id| LogFile {
            id: LogId(id),
            rows: 3,
            ts_from: ts,
            ts_to: ts,
            bytes: 30,
            memory_bytes: 24,
            checksum: None,
        };
        let fields = [FieldId::ROW_ID, FieldId::TIMESTAMP, FieldId(100)];
        let logs = SegmentLogs {
            insert: fields.into_iter().zip(10..).map(|(field, id)| (field, vec![log(id)])).collect(),
            ..SegmentLogs::default()
        };
        let group = Group { collection: CollectionId(1), partition: PartitionId(2), channel: Channel::new("c_1v0") };
        let mut segment =
            Segment { ts_from: ts, ts_to: ts, version: 1, ..Segment::new(SegmentId(3), Arc::new(group.clone())) };
        segment.summarise(&logs);
        let plan = Plan {
            id: PlanId(4),
            job: JobId(5),
            group,
            kind: PlanKind::Single,
            reason: PlanReason::ManualMerge,
            inputs: vec![PlanInput { segment: segment.id, rows: 3, bytes: 90, delta_rows: 0 }],
            keep_deletes_after: Timestamp::MAX,
            ttl: None,
            max_output_bytes: 1 << 20,
            created_at_ms: 0,
            attempts: 1,
            state: PlanState::Executing { started_at_ms: 0 },
        };
        let inputs = vec![CompactionInput { segment, logs }];
        (LocalWorker::new(Arc::new(compactor)).unwrap(), CompactionTask { plan, schema, inputs, now_ms: 1 })
    }

    #[tokio::test]
    async fn an_error_keeps_its_kind_and_names_the_object() {
        let directory = tempfile::tempdir().unwrap();
        let (worker, task) = worker_and_task(&directory);
        let execution = worker.start(task, CancellationToken::new());
        let error = execution.done.await.unwrap_err();
        // An object that a record names and that is missing is damage.
        assert_eq!(error.kind, ErrorKind::Corrupt);
        assert!(error.message.contains("insert_log/1/2/3/"), "{error}");
        assert!(execution.progress.beat() > 0, "it moved before it failed");
        assert_eq!(execution.progress.progress().total_rows, 3);
    }

    #[tokio::test]
    async fn a_dropped_execution_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let (worker, task) = worker_and_task(&directory);
        let before = Arc::strong_count(&worker.compactor);
        drop(worker.start(task, CancellationToken::new()));
        worker.rest_ended().await;
        assert_eq!(Arc::strong_count(&worker.compactor), before, "the catalog behind it can be opened again");
    }

    #[tokio::test]
    async fn ends_when_it_is_told_to() {
        let directory = tempfile::tempdir().unwrap();
        let (worker, task) = worker_and_task(&directory);
        let cancel = CancellationToken::new();
        let execution = worker.start(task, cancel.clone());
        cancel.cancel();
        assert_eq!(execution.done.await.unwrap_err().kind, ErrorKind::Cancelled);
    }
}
