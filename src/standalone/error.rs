//! What can go wrong in a call that a client makes of the whole process.

use super::NameError;
use crate::{
    coordinator::CoordinatorError,
    error::{Classify, ErrorKind},
    fence::Fenced,
    ids::IdError,
    ingest::IngestError,
    model::properties::PropertyError,
    query::QueryError,
};

/// Errors of [`super::Standalone`]. A variant that a client causes carries what the answer has to name; the edge picks
/// the wire code.
#[derive(Debug, thiserror::Error)]
pub enum StandaloneError {
    #[error("database not found[database={0}]")]
    DatabaseNotFound(String),
    #[error("collection not found[database={database}][collection={collection}]")]
    CollectionNotFound { database: String, collection: String },
    #[error("partition not found[partition={0}]")]
    PartitionNotFound(String),
    /// A name that a call may not have, for another reason than the first two.
    #[error(transparent)]
    Name(NameError),
    #[error("index not found[index={0}]")]
    IndexNotFound(String),
    #[error("collection not loaded[collection={0}]")]
    NotLoaded(String),
    /// A property or parameter that can't be stored.
    #[error(transparent)]
    Property(#[from] PropertyError),
    /// A wrong parameter.
    #[error("{0}")]
    Invalid(String),
    /// A well-formed request that the rules refuse.
    #[error("{0}")]
    Rejected(String),
    #[error(transparent)]
    Ingest(#[from] IngestError),
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Coordinator(#[from] CoordinatorError),
    /// A defect: something that the program itself guarantees did not hold.
    #[error("internal: {0}")]
    Internal(String),
}

impl From<NameError> for StandaloneError {
    /// A missing database or collection has one variant, whichever call looked for it.
    fn from(error: NameError) -> Self {
        match error {
            NameError::DatabaseNotFound(database) => Self::DatabaseNotFound(database),
            NameError::CollectionNotFound { database, collection } => Self::CollectionNotFound { database, collection },
            other => Self::Name(other),
        }
    }
}

impl From<IdError> for StandaloneError {
    fn from(error: IdError) -> Self {
        Self::Coordinator(error.into())
    }
}

impl From<Fenced> for StandaloneError {
    fn from(error: Fenced) -> Self {
        Self::Coordinator(error.into())
    }
}

impl Classify for StandaloneError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::DatabaseNotFound(_)
            | Self::CollectionNotFound { .. }
            | Self::PartitionNotFound(_)
            | Self::IndexNotFound(_) => ErrorKind::NotFound,
            Self::Name(e) => e.kind(),
            Self::Property(e) => e.kind(),
            Self::Rejected(_) => ErrorKind::Conflict,
            Self::NotLoaded(_) => ErrorKind::Precondition,
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::Ingest(e) => e.kind(),
            Self::Query(e) => e.kind(),
            Self::Coordinator(e) => e.kind(),
            Self::Internal(_) => ErrorKind::Internal,
        }
    }
}
