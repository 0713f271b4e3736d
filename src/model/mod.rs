//! The nouns: ids, timestamps, schemas, segments, plans, jobs.
//!
//! Values only. Must never do IO, read a clock or know a wire format.
//!
//! Some are stored as JSON: there a field added later needs a `#[serde(default)]`, and none is ever renamed.

pub mod access;
pub mod access_error;
pub mod binlog;
pub mod collection;
pub mod controls;
pub mod default_value;
pub mod group;
pub mod ids;
pub mod index;
pub mod job;
pub mod load_error;
pub mod mark;
pub mod metric;
pub mod name;
pub mod pk;
pub mod plan;
pub mod properties;
pub mod request_error;
pub mod resource_group_error;
pub mod scalar;
pub mod schema;
pub mod search_error;
pub mod segment;
pub mod segment_index;
pub mod ts;
pub mod wal;
pub mod write_stats;

pub use access::{Grant, Granted, ObjectType, PasswordHash, Privilege, Role, RoleId, User};
pub use access_error::{AccessError, AccessRefusal};
pub use binlog::{LogFile, SegmentLogs};
pub use collection::{Collection, Database, IndexDef, Partition};
pub use controls::{Controls, Pause, Pauses};
pub use default_value::DefaultValue;
pub use group::{Channel, Group};
pub use ids::{CollectionId, FieldId, JobId, LogId, LogIds, Lsn, PartitionId, PlanId, SegmentId};
pub use index::{IndexDefinition, IndexFault, IndexKind};
pub use job::{Job, JobCounts, JobState, Terms, Trigger};
pub use load_error::LoadError;
pub use mark::{Mark, Marks};
pub use metric::Metric;
pub use pk::{Delete, PkRange, PrimaryKey};
pub use plan::{FailureKind, Plan, PlanInput, PlanKind, PlanReason, PlanState, Progress, ProgressReport};
pub use request_error::RequestError;
pub use resource_group_error::{RESOURCE_GROUP, ResourceGroupError};
pub use scalar::{ClusterRange, Scalar};
pub use schema::{CollectionSchema, DataType, Field};
pub use search_error::{IndexParamError, SearchError};
pub use segment::{Segment, SegmentLevel, SegmentState};
pub use segment_index::{IndexPart, SegmentIndex};
pub use ts::Timestamp;
pub use wal::WriteAheadLog;
pub use write_stats::WriteStats;
