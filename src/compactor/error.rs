//! Why a merge failed.

use crate::{
    binlog::BinlogError,
    error::{Classify, ErrorKind},
    graph::GraphError,
    model::{DataType, FieldId, PrimaryKey, SegmentId},
    storage::StorageError,
};

/// Errors of [`super::Compactor::run`]. The inputs are untouched in every case.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// The token was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// A request to the store failed.
    #[error(transparent)]
    Store(#[from] StorageError),
    /// An object can't be decoded; the source says at which byte.
    #[error("{object}: {source}")]
    Object { object: String, source: BinlogError },
    /// An object decodes, but differs from its metadata.
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
    /// The outputs were cut more often than the reserved ids allow. Another attempt has more of them.
    #[error("the {reserved} ids that were reserved for the outputs are used up")]
    IdsUsedUp { reserved: i64 },
    /// The rows make more outputs than the commit takes. Told before an output is written, if the sizes of the inputs tell
    /// it.
    #[error("the rows make more than {limit} outputs of at most {max_bytes} bytes, and one commit takes no more")]
    TooManyOutputs { max_bytes: u64, limit: u64 },
    /// An index can't be built.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A defect: the task contradicts itself, or a computation failed that can't.
    #[error("{0}")]
    Internal(String),
}

impl Classify for CompactError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Store(error) => error.kind(),
            Self::IdsUsedUp { .. } => ErrorKind::Transient,
            // Another attempt would make as many.
            Self::TooManyOutputs { .. } => ErrorKind::Invalid,
            Self::Object { .. } | Self::Mismatch { .. } | Self::KeyType { .. } | Self::Logs { .. } => {
                ErrorKind::Corrupt
            }
            Self::Encode { source, .. } => match source.kind() {
                // The rows came out of stored objects: repeating or correcting a request can't help.
                ErrorKind::Invalid | ErrorKind::Precondition => ErrorKind::Internal,
                kind => kind,
            },
            Self::Graph(error) => error.kind(),
            Self::Internal(_) => ErrorKind::Internal,
        }
    }
}

impl From<arrow_schema::ArrowError> for CompactError {
    fn from(error: arrow_schema::ArrowError) -> Self {
        Self::Internal(format!("arrow: {error}"))
    }
}
