//! Errors of calls about users.

use crate::{
    coordinator::CoordinatorError,
    error::{Classify, ErrorKind},
    ids::IdError,
    model::{AccessError, AccessRefusal},
};

/// Why a call about users failed. It carries no wire code and no words of Milvus: `wire::status` has those.
#[derive(Debug, thiserror::Error)]
pub enum AccessFailure {
    /// A client's mistake.
    #[error(transparent)]
    Mistake(#[from] AccessError),
    /// The caller is refused.
    #[error(transparent)]
    Refused(#[from] AccessRefusal),
    #[error(transparent)]
    Coordinator(#[from] CoordinatorError),
    /// A defect: something that the program itself guarantees did not hold.
    #[error("internal: {0}")]
    Internal(String),
}

impl From<IdError> for AccessFailure {
    fn from(error: IdError) -> Self {
        Self::Coordinator(error.into())
    }
}

impl Classify for AccessFailure {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Mistake(e) => e.kind(),
            Self::Refused(AccessRefusal::Busy | AccessRefusal::TooManyGuesses { .. }) => ErrorKind::Exhausted,
            Self::Refused(_) => ErrorKind::Precondition,
            Self::Coordinator(e) => e.kind(),
            Self::Internal(_) => ErrorKind::Internal,
        }
    }
}
