//! The nouns: ids, timestamps, schemas, segments, plans, jobs.
//!
//! Values only. Nothing here does IO, reads a clock or knows a wire format.

pub mod binlog;
pub mod collection;
pub mod controls;
pub mod delete;
pub mod group;
pub mod ids;
pub mod job;
pub mod log;
pub mod mark;
pub mod name;
pub mod pk;
pub mod plan;
pub mod properties;
pub mod scalar;
pub mod schema;
pub mod segment;
pub mod traffic;
pub mod ts;

pub use binlog::{LogFile, SegmentLogs};
pub use collection::{Collection, Database, IndexDef, Partition};
pub use controls::{Controls, Pause, Pauses};
pub use delete::Delete;
pub use group::{Channel, Group};
pub use ids::{CollectionId, FieldId, JobId, LogId, LogIds, Lsn, PartitionId, PlanId, SegmentId};
pub use job::{Job, JobCounts, JobState, Terms, Trigger};
pub use log::WriteAheadLog;
pub use mark::{Mark, Marks};
pub use pk::{PkRange, PrimaryKey};
pub use plan::{FailureKind, Plan, PlanInput, PlanKind, PlanReason, PlanState, Progress};
pub use scalar::{ClusterRange, Scalar};
pub use schema::{CollectionSchema, DataType, Field};
pub use segment::{Segment, SegmentLevel, SegmentState};
pub use traffic::Traffic;
pub use ts::Timestamp;
