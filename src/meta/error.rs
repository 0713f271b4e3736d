//! Errors of metadata. Never hold a value that could be secret: keys only.

use crate::{
    error::{Classify, ErrorKind},
    fence::Fenced,
};

/// Cloneable, because one failed group commit is the answer to many transactions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetaError {
    #[error("metadata file {file} is in use by another process")]
    InUse { file: String },
    #[error("metadata file {file} can't be opened: {reason}")]
    Open { file: String, reason: String, kind: ErrorKind },
    #[error(
        "metadata file {file} is damaged: {reason}; put it back from a backup (docs/operations.md, \
         \"A damaged catalog\")"
    )]
    Damaged { file: String, reason: String },
    #[error("key {key} is not as the transaction expects it")]
    Conflict { key: String },
    #[error("epoch {ours} is over: another coordinator has taken the metadata store")]
    Fenced { ours: u64 },
    /// This process may not write any more, even if its epoch is the newest.
    #[error(transparent)]
    Superseded(#[from] Fenced),
    /// Another stored record says that the key must exist.
    #[error("key {key} does not exist")]
    NotFound { key: String },
    #[error("key {key} can't be read: {reason}")]
    Corrupt { key: String, reason: String },
    #[error("value for key {key} can't be written: {reason}")]
    Encode { key: String, reason: String },
    #[error("transaction with {guards} guards and {operations} operations exceeds the limit of {limit}")]
    TooLarge { guards: usize, operations: usize, limit: usize },
    #[error("key {key} is written twice in a transaction")]
    Overlap { key: String },
    #[error("metadata store failed to {action}: {reason}")]
    Store { action: &'static str, reason: String, kind: ErrorKind },
    #[error("metadata store is closed")]
    Closed,
}

impl MetaError {
    /// Whether the change of a transaction that failed so may be stored all the same, now or after a restart.
    pub fn may_have_happened(&self) -> bool {
        matches!(self, Self::Store { .. } | Self::Damaged { .. })
    }
}

impl From<tokio::task::JoinError> for MetaError {
    /// Only reads run on other threads of the runtime.
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Store { action: "read", reason: error.to_string(), kind: ErrorKind::Internal }
    }
}

impl Classify for MetaError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::InUse { .. } => ErrorKind::Precondition,
            Self::Open { kind, .. } | Self::Store { kind, .. } => *kind,
            Self::Conflict { .. } => ErrorKind::Conflict,
            Self::Fenced { .. } | Self::Superseded(_) => ErrorKind::Fenced,
            Self::NotFound { .. } | Self::Corrupt { .. } | Self::Damaged { .. } => ErrorKind::Corrupt,
            Self::Encode { .. } | Self::TooLarge { .. } | Self::Overlap { .. } => ErrorKind::Internal,
            Self::Closed => ErrorKind::Cancelled,
        }
    }
}
