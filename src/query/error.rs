//! Errors of reads.

use crate::{
    error::{Classify, ErrorKind},
    memory::Full,
    model::{FieldId, RequestError, SearchError},
    storage::StorageError,
};

#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error("field {field} is not in collection {collection}")]
    UnknownField { field: FieldId, collection: String },
    /// A client's mistake that Milvus has words for.
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("the answer has more than {max} {what}, narrow the filter or give a limit")]
    TooLarge { what: &'static str, max: u64 },
    /// The answer does not fit into the memory that other queries leave, or exceeds all of it.
    #[error("the query holds too much, narrow the filter or give a limit: {0}")]
    Memory(#[from] Full),
    #[error("field {field} of a stored row can't be read: {reason}")]
    Corrupt { field: FieldId, reason: String },
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("a source gave {got} rows of {wanted}")]
    Short { got: usize, wanted: usize },
    #[error("a batch of rows has no column {field} of type {wanted}")]
    Batch { field: FieldId, wanted: String },
    #[error("a batch of rows can't be put together: {0}")]
    Arrow(#[from] arrow_schema::ArrowError),
    #[error("the read was given up: its caller has gone, or the server is stopping")]
    Cancelled,
    /// The work of several searches has ended.
    #[error("the vectors were not compared: {0}")]
    Comparison(String),
    #[error("a reader ended without an answer: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl Classify for QueryError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownField { .. } => ErrorKind::Invalid,
            Self::Request(error) => error.kind(),
            Self::TooLarge { .. } => ErrorKind::Exhausted,
            Self::Memory(error) => error.kind(),
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Storage(error) => error.kind(),
            Self::Short { .. } => ErrorKind::Corrupt,
            Self::Batch { .. } | Self::Arrow(_) | Self::Comparison(_) => ErrorKind::Internal,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Task(error) if error.is_cancelled() => ErrorKind::Cancelled,
            Self::Task(_) => ErrorKind::Internal,
        }
    }
}

impl From<SearchError> for QueryError {
    fn from(error: SearchError) -> Self {
        Self::Request(error.into())
    }
}
