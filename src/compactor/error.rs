//! Why a merge did not come to its end.

use crate::{
    binlog::BinlogError,
    error::{Classify, ErrorKind},
    model::{DataType, FieldId, PrimaryKey, SegmentId},
    storage::StorageError,
};

/// Errors of [`super::Compactor::run`]. Whatever it is, the inputs are untouched.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// The token was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The store did not do what was asked.
    #[error(transparent)]
    Store(#[from] StorageError),
    /// An object can't be decoded; the source says at which byte.
    #[error("{object}: {source}")]
    Object { object: String, source: BinlogError },
    /// An object decodes but is not what the metadata says.
    #[error("{object}: {what}")]
    Mismatch { object: String, what: String },
    /// A delta log of the other key type.
    #[error("{object}: delete of key {key}, but keys of the collection are {expected:?}")]
    KeyType { object: String, key: PrimaryKey, expected: DataType },
    /// A segment whose log lists do not fit together.
    #[error("segment {segment}: field {field} {what}")]
    Logs { segment: SegmentId, field: FieldId, what: String },
    /// The output of a field can't be encoded.
    #[error("output of field {field}: {source}")]
    Encode { field: FieldId, source: BinlogError },
    /// No id to name an output with.
    #[error("no id for an output: {message}")]
    Ids { kind: ErrorKind, message: String },
    /// A defect: the task contradicts itself, or a computation failed that can't.
    #[error("{0}")]
    Internal(String),
}

impl Classify for CompactError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Store(error) => error.kind(),
            Self::Object { .. } | Self::Mismatch { .. } | Self::KeyType { .. } | Self::Logs { .. } => {
                ErrorKind::Corrupt
            }
            Self::Encode { source, .. } => match source.kind() {
                // The rows came out of stored objects, nobody sent them: retrying or correcting a request won't help.
                ErrorKind::Invalid | ErrorKind::Precondition => ErrorKind::Internal,
                kind => kind,
            },
            Self::Ids { kind, .. } => *kind,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }
}

impl From<arrow::error::ArrowError> for CompactError {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Internal(format!("arrow: {error}"))
    }
}
