//! Errors of the calls that a client makes of the whole process.

use crate::{
    coordinator::CoordinatorError,
    error::{Classify, ErrorKind},
    fence::Fenced,
    ids::IdError,
    ingest::IngestError,
    model::{LoadError, RequestError, properties::PropertyError},
    query::QueryError,
};

/// Errors of [`super::Standalone`]. They carry no wire code and no words for clients: `wire::status` has those.
#[derive(Debug, thiserror::Error)]
pub enum StandaloneError {
    /// A client's mistake.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A property or parameter that can't be stored.
    #[error(transparent)]
    Property(#[from] PropertyError),
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

impl StandaloneError {
    /// The client's mistake behind the error, if it is one.
    pub fn request(&self) -> Option<&RequestError> {
        match self {
            Self::Request(error) => Some(error),
            Self::Coordinator(error) => error.request(),
            Self::Query(QueryError::Request(error)) => Some(error),
            _ => None,
        }
    }
}

impl From<LoadError> for StandaloneError {
    fn from(error: LoadError) -> Self {
        Self::Request(error.into())
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
            Self::Request(e) => e.kind(),
            Self::Property(e) => e.kind(),
            Self::Ingest(e) => e.kind(),
            Self::Query(e) => e.kind(),
            Self::Coordinator(e) => e.kind(),
            Self::Internal(_) => ErrorKind::Internal,
        }
    }
}
