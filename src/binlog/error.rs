//! What can be wrong with bytes, or with what a caller wants written as bytes.

use crate::{
    error::{Classify, ErrorKind},
    model::FieldId,
};

/// Errors of the codec. It does no IO: whoever knows the object's name adds it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BinlogError {
    /// Stored bytes that can't be right; `offset` counts from the start of the object.
    #[error("corrupt at byte {offset}: {what}")]
    Corrupt { offset: u64, what: String },
    /// A column that is not of the field's type.
    #[error("field {field}: column has type {actual}, field needs {expected}")]
    ColumnType { field: FieldId, expected: String, actual: String },
    /// Milvus 2.3 has no nulls.
    #[error("field {field}: column has {nulls} nulls, field allows none")]
    Nulls { field: FieldId, nulls: usize },
    /// Readers refuse logs without rows.
    #[error("field {field}: a log needs at least one row")]
    Empty { field: FieldId },
    /// Readers refuse a time range with a zero.
    #[error("field {field}: time range {from} to {to} must be non-zero and ascending")]
    TimeRange { field: FieldId, from: u64, to: u64 },
    /// Lengths inside the file are 32-bit signed.
    #[error("field {field}: log of {bytes} bytes exceeds the limit of {limit}")]
    TooLarge { field: FieldId, bytes: u64, limit: u64 },
    /// A payload that Milvus' readers might refuse, so it can't be copied as it is.
    #[error("payload can't be copied unchanged: {0}")]
    NotCopyable(String),
    /// The parquet or zstd library refused to encode.
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
