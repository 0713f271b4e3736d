//! What can go wrong when the coordinator is asked for something.

use super::{NameError, ownership::OwnershipError};
use crate::{
    error::{Classify, ErrorKind},
    fence::Fenced,
    ids::IdError,
    ingest::IngestError,
    meta::MetaError,
    model::{CollectionId, JobId, PlanId, SegmentId, properties::PropertyError},
    planner::{Lapsed, Violation},
    query::QueryError,
    scheduler::IllegalTransition,
    storage::StorageError,
};

/// Errors of [`super::Coordinator`]. The variants that users cause carry what the answer has to name; which wire code
/// each one becomes is the edge's business.
#[derive(Debug, thiserror::Error)]
pub enum CoordinatorError {
    #[error("database not found[database={0}]")]
    DatabaseNotFound(String),
    #[error("collection not found[database={database}][collection={collection}]")]
    CollectionNotFound { database: String, collection: String },
    #[error("collection not found[collection={0}]")]
    CollectionIdNotFound(CollectionId),
    #[error("partition not found[partition={0}]")]
    PartitionNotFound(String),
    /// A name that a call may not have, for another reason than the two above.
    #[error(transparent)]
    Name(NameError),
    #[error("index not found[index={0}]")]
    IndexNotFound(String),
    #[error("collection not loaded[collection={0}]")]
    NotLoaded(String),
    #[error("compaction job {0} is not known: it never was, or its history has been dropped")]
    JobNotFound(JobId),
    #[error("plan {0} is not known")]
    PlanNotFound(PlanId),
    #[error("segment {0} is not known: it never was, or it has been compacted and collected")]
    SegmentNotFound(SegmentId),
    #[error("compaction disabled: dataCoord.enableCompaction is false")]
    CompactionDisabled,
    #[error("the server is stopping")]
    Stopping,
    /// A property or parameter that can't be stored.
    #[error(transparent)]
    Property(#[from] PropertyError),
    /// A change of the catalog panicked, with this text.
    #[error(
        "a change of the catalog died ({0}): memory may be behind the catalog, no other change is begun until a restart"
    )]
    StepDied(String),
    /// A wrong parameter.
    #[error("{0}")]
    Invalid(String),
    /// A request that is well formed and refused all the same.
    #[error("{0}")]
    Rejected(String),
    /// The store is another one's, or can't be asked whose it is.
    #[error(transparent)]
    Ownership(#[from] OwnershipError),
    /// This process may not write any more.
    #[error(transparent)]
    Fenced(#[from] Fenced),
    #[error(transparent)]
    Ids(#[from] IdError),
    #[error(transparent)]
    Ingest(#[from] IngestError),
    #[error(transparent)]
    Meta(#[from] MetaError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A plan does not fit the segments as they are now.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// A term that the plan was made on does not hold any more.
    #[error(transparent)]
    Lapsed(#[from] Lapsed),
    #[error(transparent)]
    Transition(#[from] IllegalTransition),
    /// A defect: something that the program itself guarantees did not hold.
    #[error("internal: {0}")]
    Internal(String),
}

impl From<NameError> for CoordinatorError {
    /// What is not there has one variant, whichever call looked for it.
    fn from(error: NameError) -> Self {
        match error {
            NameError::DatabaseNotFound(database) => Self::DatabaseNotFound(database),
            NameError::CollectionNotFound { database, collection } => Self::CollectionNotFound { database, collection },
            other => Self::Name(other),
        }
    }
}

impl From<tokio::task::JoinError> for CoordinatorError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl Classify for CoordinatorError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::DatabaseNotFound(_)
            | Self::CollectionNotFound { .. }
            | Self::CollectionIdNotFound(_)
            | Self::PartitionNotFound(_)
            | Self::IndexNotFound(_)
            | Self::JobNotFound(_)
            | Self::PlanNotFound(_)
            | Self::SegmentNotFound(_) => ErrorKind::NotFound,
            Self::Name(e) => e.kind(),
            Self::Property(e) => e.kind(),
            Self::Rejected(_) => ErrorKind::Conflict,
            Self::NotLoaded(_) | Self::CompactionDisabled => ErrorKind::Precondition,
            Self::Stopping => ErrorKind::Transient,
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::Ownership(e) => e.kind(),
            Self::Fenced(e) => e.kind(),
            Self::Ids(e) => e.kind(),
            Self::Ingest(e) => e.kind(),
            Self::Meta(e) => e.kind(),
            Self::Storage(e) => e.kind(),
            Self::Query(e) => e.kind(),
            Self::Violation(e) => e.kind(),
            Self::Lapsed(e) => e.kind(),
            Self::Transition(e) => e.kind(),
            Self::StepDied(_) | Self::Internal(_) => ErrorKind::Internal,
        }
    }
}
