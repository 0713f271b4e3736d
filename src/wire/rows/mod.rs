//! Rows between requests and record batches: `insert` reads what clients send, `answer` writes what they get back.
//!
//! Columns are those of `CollectionSchema::arrow_schema`: named by field id, never null, vectors as fixed-size
//! little-endian bytes, array cells as serialised `ScalarField` messages. Numbers and vectors change hands without
//! being copied. Whatever a batch holds afterwards is valid for its schema: nothing behind this module checks a value
//! again.

pub mod answer;
pub mod insert;

use super::{proto::common, status::Code};
use crate::error::{Classify, ErrorKind};

/// Rows that can't be taken, or columns that can't be answered with. The text names the field, the value and the limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The shape of the request: missing, unknown or repeated fields, types, counts, lengths, ranges.
    #[error("{0}")]
    Parameter(String),
    /// What Milvus finds only later: vectors that don't divide, values that are no numbers, keys that are taken.
    #[error("{0}")]
    Value(String),
    /// A stored cell that does not decode.
    #[error("cell {row} of field {field} can't be decoded: {reason}")]
    Cell { field: String, row: usize, reason: String },
    /// A column that is not what the schema says: a defect.
    #[error("column of field {field}: {reason}")]
    Column { field: String, reason: String },
}

impl RowError {
    /// The numbers this error has in Milvus.
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

#[cfg(test)]
mod tests;
