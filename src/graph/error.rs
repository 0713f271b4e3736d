//! Why a graph can't be built or opened.

use crate::error::{Classify, ErrorKind};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// The engine gave up; mostly for memory.
    #[error("the index engine: {0}")]
    Engine(String),
    /// The bytes are those of another graph.
    #[error("an index of {found} where {expected} was written")]
    Other { expected: String, found: String },
}

impl Classify for GraphError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Engine(_) => ErrorKind::Exhausted,
            Self::Other { .. } => ErrorKind::Corrupt,
        }
    }
}

impl GraphError {
    pub(super) fn engine(error: impl std::error::Error) -> Self {
        Self::Engine(error.to_string())
    }
}
