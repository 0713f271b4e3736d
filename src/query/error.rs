//! What can go wrong with a read.

use super::expr::ExprError;
use crate::{
    error::{Classify, ErrorKind},
    model::FieldId,
};

#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error(transparent)]
    Expr(#[from] ExprError),
    #[error("field {field} is not in collection {collection}")]
    UnknownField { field: FieldId, collection: String },
    #[error("invalid max query result window, (offset+limit) should be in range [1, {max}], but got {got}")]
    Window { got: u64, max: u64 },
    #[error("the answer has more than {max} {what}, narrow the filter or give a limit")]
    TooLarge { what: &'static str, max: u64 },
    #[error("field {field} of a stored row can't be read: {reason}")]
    Corrupt { field: FieldId, reason: String },
    /// A source failed; it knows better than this layer what a caller can do.
    #[error("{0}")]
    Source(Box<dyn SourceFailure>),
    #[error("a batch of rows has no column {field} of type {wanted}")]
    Batch { field: FieldId, wanted: String },
    #[error("a batch of rows can't be put together: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    #[error("a reader ended without an answer: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// An error of whatever a source reads from.
pub trait SourceFailure: std::error::Error + Classify + Send + Sync {}

impl<E: std::error::Error + Classify + Send + Sync> SourceFailure for E {}

impl QueryError {
    /// Wraps a source's own error.
    pub fn source<E: SourceFailure + 'static>(error: E) -> Self {
        Self::Source(Box::new(error))
    }
}

impl Classify for QueryError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Expr(error) => error.kind(),
            Self::UnknownField { .. } | Self::Window { .. } => ErrorKind::Invalid,
            Self::TooLarge { .. } => ErrorKind::Exhausted,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Source(error) => error.kind(),
            Self::Batch { .. } | Self::Arrow(_) => ErrorKind::Internal,
            Self::Task(error) if error.is_cancelled() => ErrorKind::Cancelled,
            Self::Task(_) => ErrorKind::Internal,
        }
    }
}
