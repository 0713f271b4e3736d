//! The values that go to a worker and come back. Their wire form is that of their serde implementations.
//!
//! Must never: hold a pointer, a callback or a handle.

use serde::{Deserialize, Serialize};

use crate::{
    compactor::{CompactionOutcome, CompactionTask, IndexOutcome, IndexTask},
    error::{Classify, ErrorKind},
    model::PlanId,
};

/// One piece of work: everything that a worker needs to know, as values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "a task is moved a few times in its life, and most are compactions")]
pub enum Task {
    Compaction(CompactionTask),
    /// In a box: it is larger than the other one.
    Index(Box<IndexTask>),
}

impl Task {
    pub fn plan(&self) -> PlanId {
        match self {
            Self::Compaction(task) => task.plan.id,
            Self::Index(task) => task.plan.id,
        }
    }
}

/// Result of a task of the same kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskOutcome {
    Compaction(CompactionOutcome),
    Index(IndexOutcome),
}

/// Why an execution failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct WorkerError {
    pub kind: ErrorKind,
    /// Lower case, no full stop; names the object and the offset where there is one.
    pub message: String,
}

impl Classify for WorkerError {
    fn kind(&self) -> ErrorKind {
        self.kind
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        compactor::{CompactionInput, OutputSegment},
        kit::model as fixture,
        model::{
            Channel, ClusterRange, CollectionId, CollectionSchema, DataType, Field, FieldId, Group, JobId, LogFile,
            LogId, PartitionId, PkRange, Plan, PlanInput, PlanKind, PlanReason, PlanState, PrimaryKey, Scalar, Segment,
            SegmentId, SegmentLevel, SegmentLogs, Timestamp,
        },
    };

    fn log(id: i64) -> LogFile {
        LogFile {
            id: LogId(id),
            rows: 3,
            ts_from: Timestamp(1),
            ts_to: Timestamp(u64::MAX),
            bytes: 30,
            memory_bytes: 24,
            checksum: Some(u32::MAX),
        }
    }

    fn logs() -> SegmentLogs {
        SegmentLogs {
            insert: vec![(FieldId(0), vec![log(1), log(2)]), (FieldId(100), vec![log(3), log(4)])],
            stats: vec![(FieldId(100), vec![log(5)])],
            delta: vec![LogFile { checksum: None, ..log(6) }],
        }
    }

    fn ranges() -> (PkRange, ClusterRange) {
        let mut clusters = ClusterRange::of(FieldId(101), Scalar::Float(f64::NEG_INFINITY));
        clusters.extend(Scalar::Float(f64::NAN));
        let keys = PkRange { min: PrimaryKey::Str("a\"".into()), max: PrimaryKey::Str("é".into()) };
        (keys, clusters)
    }

    fn task() -> Task {
        let group = Group { collection: CollectionId(1), partition: PartitionId(2), channel: Channel::new("c_1v0") };
        let key = Field {
            description: "ключ".into(),
            type_params: vec![("max_length".into(), "64".into())],
            ..fixture::key(100, "key", DataType::VarChar)
        };
        let (pk_range, cluster_range) = ranges();
        let segment = Segment {
            level: SegmentLevel::L2,
            pk_range: Some(pk_range),
            cluster_range: Some(Box::new(cluster_range)),
            compaction_from: [SegmentId(8), SegmentId(9)].into(),
            version: 7,
            ..Segment::new(SegmentId(i64::MAX), Arc::new(group.clone()))
        };
        let plan = Plan {
            id: PlanId(4),
            job: JobId(5),
            group,
            kind: PlanKind::Clustering,
            reason: PlanReason::ManualMerge,
            inputs: vec![PlanInput { segment: segment.id, rows: 3, bytes: 90, delta_rows: 1 }],
            keep_deletes_after: Timestamp::MAX,
            ttl: Some(std::time::Duration::new(1, 5)),
            max_output_bytes: u64::MAX,
            created_at_ms: 0,
            attempts: 1,
            state: PlanState::Executing { started_at_ms: 0 },
        };
        let schema = CollectionSchema {
            name: "c".into(),
            description: String::new(),
            enable_dynamic_field: true,
            fields: vec![key],
            primary: 0,
        };
        let inputs = vec![CompactionInput { segment, logs: logs() }];
        Task::Compaction(CompactionTask {
            plan,
            schema: Arc::new(schema),
            inputs,
            now_ms: 1,
            ids: 10..i64::MAX,
            max_outputs: u64::MAX,
        })
    }

    #[test]
    fn a_task_survives_the_wire() {
        let sent = serde_json::to_string(&task()).unwrap();
        assert!(sent.starts_with("{\"compaction\":{\"plan\":"), "{sent}");
        let received: Task = serde_json::from_str(&sent).unwrap();
        assert_eq!(received, task());
        assert_eq!(received.plan(), PlanId(4));
    }

    #[test]
    fn an_outcome_survives_the_wire() {
        let (pk_range, cluster_range) = ranges();
        let output = OutputSegment {
            id: SegmentId(11),
            logs: logs(),
            rows: 6,
            pk_range: Some(pk_range),
            cluster_range: Some(cluster_range),
        };
        let outcome = TaskOutcome::Compaction(CompactionOutcome {
            outputs: vec![output],
            rows_in: 9,
            rows_deleted: 2,
            rows_expired: 1,
            expired_before: Timestamp(17),
            rows_out: 6,
            bytes_read: u64::MAX,
            bytes_written: 5,
            consumed_deltas: vec![(SegmentId(3), LogId(6))],
        });
        let sent = serde_json::to_string(&outcome).unwrap();
        assert_eq!(serde_json::from_str::<TaskOutcome>(&sent).unwrap(), outcome);
    }
}
