//! Errors of the write path, each with a kind that tells the caller what to do.
//!
//! Never keeps the bytes of a request; texts name the field, the value and the limit, or the file and the offset.

use std::path::PathBuf;

use uuid::Uuid;

use crate::{
    error::{Classify, ErrorKind},
    ids::IdError,
    model::{CollectionId, Lsn},
};

/// Error of a part that ingest calls and does not own (catalog, object store): its kind, and its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FlushError {
    pub kind: ErrorKind,
    pub message: String,
}

impl FlushError {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Keeps kind and text of another module's error.
    pub fn of(error: &(impl Classify + std::fmt::Display)) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}

impl From<tokio::task::JoinError> for FlushError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::new(ErrorKind::Internal, format!("work ended early: {error}"))
    }
}

impl Classify for FlushError {
    fn kind(&self) -> ErrorKind {
        self.kind
    }
}

/// The missing part of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogLoss {
    #[error("the catalog knows of a log, and there is none")]
    Absent,
    #[error("the file that names the log is missing")]
    Unnamed,
    #[error("found log {log} of catalog {catalog}")]
    Foreign { log: Uuid, catalog: Uuid },
    #[error("the oldest file, which begins at position {expected}, is missing: the first one begins at {found}")]
    NoOldest { expected: Lsn, found: Lsn },
    #[error(
        "the newest file, which begins at position {expected} or later, is missing: the last one begins at {found}"
    )]
    NoNewest { expected: Lsn, found: Lsn },
    #[error("the log ends at position {last} but the catalog mentions {mentioned}: its newest files are missing")]
    Behind { last: Lsn, mentioned: Lsn },
}

#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error("write to collection {collection} has neither rows nor deletes")]
    Empty { collection: CollectionId },
    #[error("rows for collection {collection} don't fit its schema: {detail}")]
    Schema { collection: CollectionId, detail: String },
    #[error("write of {bytes} bytes exceeds the limit of {limit} bytes")]
    TooLarge { bytes: u64, limit: u64 },
    /// Growing segments hold too much and flushing them fails, so waiting would not help.
    #[error(
        "unflushed rows hold {bytes} bytes, limit {limit} (datacoord.ingest.memoryLimit), and flushing fails: {cause}"
    )]
    MemoryFull { bytes: u64, limit: u64, cause: String },
    /// A write or a sync of the log failed; nothing more is accepted until a restart has read the log back.
    #[error("the write-ahead log failed and takes no more writes until a restart: {cause}")]
    LogFailed { cause: String },
    #[error("the write path has been stopped")]
    Stopped,
    #[error("can't {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{} is corrupt at offset {offset}: {detail}", path.display())]
    Corrupt { path: PathBuf, offset: u64, detail: String },
    /// An operator accepts the loss by repeating `name`: that of the log, or of its catalog if the log has none.
    #[error(
        "{loss}: {} is not the write-ahead log that belongs to this catalog, and acknowledged rows would be absent; put \
         its folder back, or, to begin a new log without what only the old one has, set datacoord.wal.acceptLoss to {name}",
        dir.display()
    )]
    LogLost { loss: LogLoss, dir: PathBuf, name: Uuid },
    #[error(transparent)]
    Ids(#[from] IdError),
    #[error("deletes of collection {collection} on channel {channel}: {refusal}")]
    Deltas { collection: CollectionId, channel: String, refusal: FlushError },
    #[error("{0}")]
    Internal(String),
}

impl From<tokio::task::JoinError> for IngestError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl Classify for IngestError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Empty { .. } | Self::Schema { .. } | Self::TooLarge { .. } => ErrorKind::Invalid,
            Self::MemoryFull { .. } => ErrorKind::Exhausted,
            // A restart reads the log back and goes on, so the same call may succeed later.
            Self::LogFailed { .. } | Self::Stopped | Self::Io { .. } => ErrorKind::Transient,
            Self::Corrupt { .. } | Self::LogLost { .. } => ErrorKind::Corrupt,
            Self::Ids(error) => error.kind(),
            Self::Deltas { refusal, .. } => refusal.kind,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }
}
