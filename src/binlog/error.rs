//! Errors of decoding stored bytes and of encoding.

use crate::{
    error::{Classify, ErrorKind},
    model::FieldId,
};

/// An error of the codec, without the name of the object: the caller adds it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BinlogError {
    /// Stored bytes that can't be right. `offset` counts from the start of the object.
    #[error("corrupt at byte {offset}: {what}")]
    Corrupt { offset: u64, what: String },
    /// A column whose type is not that of the field.
    #[error("field {field}: column has type {actual}, field needs {expected}")]
    ColumnType { field: FieldId, expected: String, actual: String },
    /// Milvus 2.3 has no nulls.
    #[error("field {field}: column has {nulls} nulls, field allows none")]
    Nulls { field: FieldId, nulls: usize },
    /// A log without rows, which readers refuse.
    #[error("field {field}: a log needs at least one row")]
    Empty { field: FieldId },
    /// A time range that contains 0 or descends, which readers refuse.
    #[error("field {field}: time range {from} to {to} must be non-zero and ascending")]
    TimeRange { field: FieldId, from: u64, to: u64 },
    /// A log too long for the 32-bit signed lengths inside the file.
    #[error("field {field}: log of {bytes} bytes exceeds the limit of {limit}")]
    TooLarge { field: FieldId, bytes: u64, limit: u64 },
    /// A payload that Milvus' readers might refuse, so it must not be copied unchanged.
    #[error("payload can't be copied unchanged: {0}")]
    NotCopyable(String),
    /// An error of the parquet or zstd library while encoding.
    #[error("field {field}: encoding failed: {what}")]
    Encode { field: FieldId, what: String },
}

impl BinlogError {
    pub(super) fn corrupt(offset: usize, what: impl Into<String>) -> Self {
        Self::Corrupt { offset: offset as u64, what: what.into() }
    }
}

impl Classify for BinlogError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::ColumnType { .. } | Self::Nulls { .. } | Self::Empty { .. } | Self::TimeRange { .. } => {
                ErrorKind::Invalid
            }
            Self::TooLarge { .. } => ErrorKind::Exhausted,
            Self::NotCopyable(_) => ErrorKind::Precondition,
            Self::Encode { .. } => ErrorKind::Internal,
        }
    }
}
