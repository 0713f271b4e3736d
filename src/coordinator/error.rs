//! Errors of the coordinator.

use std::time::Duration;

use uuid::Uuid;

use super::WritePathError;
use crate::{
    error::{Classify, ErrorKind},
    fence::Fenced,
    ids::IdError,
    meta::MetaError,
    model::{Mark, RequestError},
    planner::{Lapsed, Violation},
    scheduler::IllegalTransition,
    storage::StorageError,
};

/// Errors of [`super::Coordinator`]. They carry no wire code and no words of Milvus: `wire::status` has those.
#[derive(Debug, thiserror::Error)]
pub enum CoordinatorError {
    /// A client's mistake.
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("the server is stopping")]
    Stopping,
    /// A change of the catalog panicked, with this text, or has no answer.
    #[error(
        "a change of the catalog died ({0}): memory may be behind the catalog, no other change is begun until a restart"
    )]
    StepDied(String),
    /// A wrong parameter of a call that Milvus has no words for.
    #[error("{0}")]
    Invalid(String),
    /// An input of a plan that is not as the plan found it.
    #[error("{0}")]
    Rejected(String),
    /// The store belongs to another catalog, or its owner can't be read.
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

impl CoordinatorError {
    /// The client's mistake behind the error, if it is one.
    pub fn request(&self) -> Option<&RequestError> {
        match self {
            Self::Request(error) => Some(error),
            _ => None,
        }
    }
}

impl Classify for CoordinatorError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Request(e) => e.kind(),
            Self::Rejected(_) => ErrorKind::Conflict,
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

/// Why a start does not get the store, or a running server does not go on. Each text names a remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OwnershipError {
    #[error(
        "{place} was last taken by {found}, which this catalog ({ours}) has not written: another copy of it, or another \
         catalog, has run since, and each would collect the other's files. Stop that one and start the newest copy; or, \
         to give the store to this one and fence the other, start once with --take-over {}", found.name()
    )]
    Foreign { place: String, found: Mark, ours: Uuid },
    #[error(
        "{place} has no mark of an owner, though this catalog ({ours}) has segments there: a folder that is not mounted, \
         or another bucket? To go on with what is there, start once with --take-over {NO_MARK}"
    )]
    Missing { place: String, ours: Uuid },
    #[error(
        "{place} has a mark that can't be read ({text:?}): to replace it by that of this catalog ({ours}), start once \
         with --take-over {UNREADABLE}"
    )]
    Unreadable { place: String, text: String, ours: Uuid },
    #[error("{place} was taken by another start at the same time: {found}")]
    Raced { place: String, found: String },
    #[error("{place} has not answered within {} s (datacoord.storage.startTimeout)", after.as_secs())]
    Silent { place: String, after: Duration },
    #[error("{place} can't be asked whose it is: {error}")]
    Unreachable { place: String, error: String, kind: ErrorKind },
    /// While it runs. A folder that is away for a moment comes back.
    #[error("{place} has lost the mark of its owner: is its folder away?")]
    Lost { place: String },
}

/// How `--take-over` names a store without a mark, and one whose mark can't be read.
pub(super) const NO_MARK: &str = "none";
pub(super) const UNREADABLE: &str = "unreadable";

impl Classify for OwnershipError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Foreign { .. } | Self::Missing { .. } | Self::Unreadable { .. } | Self::Raced { .. } => {
                ErrorKind::Precondition
            }
            Self::Unreachable { kind, .. } => *kind,
            Self::Silent { .. } | Self::Lost { .. } => ErrorKind::Transient,
        }
    }
}
