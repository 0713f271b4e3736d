//! The errors of rows, and the codes they have in Milvus.

use crate::{
    error::{Classify, ErrorKind},
    wire::{proto::common, status::Code},
};

/// Rows that can't be accepted, or columns that can't be sent. The text names the field, the value and the limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The shape of the request: missing, unknown or repeated fields, types, counts, lengths, ranges.
    #[error("{0}")]
    Parameter(String),
    /// Errors that Milvus finds only later: vectors of the wrong length, values that are not numbers, keys that are taken.
    #[error("{0}")]
    Value(String),
    /// A stored cell that does not decode.
    #[error("cell {row} of field {field} can't be decoded: {reason}")]
    Cell { field: String, row: usize, reason: String },
    /// A column that does not match the schema: a defect.
    #[error("column of field {field}: {reason}")]
    Column { field: String, reason: String },
}

impl RowError {
    /// Milvus' code for this error.
    pub fn code(&self) -> Code {
        match self {
            Self::Parameter(_) => Code::PARAMETER_INVALID,
            Self::Value(_) | Self::Cell { .. } | Self::Column { .. } => Code::UNEXPECTED,
        }
    }

    /// The answer for a Milvus client.
    pub fn status(&self) -> common::Status {
        self.code().with(self)
    }
}

impl Classify for RowError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Parameter(_) | Self::Value(_) => ErrorKind::Invalid,
            Self::Cell { .. } => ErrorKind::Corrupt,
            Self::Column { .. } => ErrorKind::Internal,
        }
    }
}
