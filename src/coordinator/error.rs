//! What can go wrong when the coordinator is asked for something.

use super::{WritePathError, ownership::OwnershipError};
use crate::{
    error::{Classify, ErrorKind},
    fence::Fenced,
    ids::IdError,
    meta::MetaError,
    model::{CollectionId, JobId, PlanId, SegmentId},
    planner::{Lapsed, Violation},
    scheduler::IllegalTransition,
    storage::StorageError,
};

/// Errors of [`super::Coordinator`]. The variants that users cause carry what the answer has to name; which wire code
/// each one becomes is the edge's business.
#[derive(Debug, thiserror::Error)]
pub enum CoordinatorError {
    #[error("collection not found[collection={0}]")]
    CollectionIdNotFound(CollectionId),
    #[error("partition not found[partition={0}]")]
    PartitionNotFound(String),
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
    WritePath(#[from] WritePathError),
    #[error(transparent)]
    Meta(#[from] MetaError),
    #[error(transparent)]
    Storage(#[from] StorageError),
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

impl From<tokio::task::JoinError> for CoordinatorError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl Classify for CoordinatorError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::CollectionIdNotFound(_)
            | Self::PartitionNotFound(_)
            | Self::JobNotFound(_)
            | Self::PlanNotFound(_)
            | Self::SegmentNotFound(_) => ErrorKind::NotFound,
            Self::Rejected(_) => ErrorKind::Conflict,
            Self::CompactionDisabled => ErrorKind::Precondition,
            Self::Stopping => ErrorKind::Transient,
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::Ownership(e) => e.kind(),
            Self::Fenced(e) => e.kind(),
            Self::Ids(e) => e.kind(),
            Self::WritePath(e) => e.kind(),
            Self::Meta(e) => e.kind(),
            Self::Storage(e) => e.kind(),
            Self::Violation(e) => e.kind(),
            Self::Lapsed(e) => e.kind(),
            Self::Transition(e) => e.kind(),
            Self::StepDied(_) | Self::Internal(_) => ErrorKind::Internal,
        }
    }
}
