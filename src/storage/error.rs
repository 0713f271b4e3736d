//! What can go wrong between a segment and its objects.

use std::{fmt::Write as _, io};

use crate::{
    binlog::BinlogError,
    error::{Classify, ErrorKind},
    fence::Fenced,
    model::FieldId,
};

/// Errors of the store, with the name of the object.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageError {
    /// The object is not there, in a store that is. Only what the catalog names is ever asked for, so this is damage.
    #[error("object {object} not found")]
    NotFound { object: String },
    /// The store did not answer, or failed in a way that may pass.
    #[error("{operation} of {object} failed: {what}")]
    Unavailable { operation: &'static str, object: String, what: String },
    /// The store refuses, and would again: permissions, credentials, settings.
    #[error("{operation} of {object} refused: {what}")]
    Refused { operation: &'static str, object: String, what: String },
    /// There is no such bucket.
    #[error("{place} does not exist: create it, or let minio.createBucket be true")]
    NoBucket { place: String },
    /// This process may not write any more.
    #[error(transparent)]
    Fenced(#[from] Fenced),
    /// The process is stopping and waits for no store.
    #[error("{operation} of {object} given up: the server is stopping")]
    Stopping { operation: &'static str, object: String },
    /// No room left.
    #[error("{operation} of {object}: no space left: {what}")]
    Full { operation: &'static str, object: String, what: String },
    /// The object was read, and its bytes can't be right.
    #[error("object {object}: {source}")]
    Object { object: String, source: BinlogError },
    /// The object was read, and it is not the one that was written.
    #[error("object {object} is damaged: checksum {expected:08x} expected, {found:08x} found")]
    Damaged { object: String, expected: u32, found: u32 },
    /// Rows can't be written as logs.
    #[error(transparent)]
    Encode(#[from] BinlogError),
    /// The logs of a segment contradict each other or the schema.
    #[error("segment {segment}, field {field}: {what}")]
    Segment { segment: i64, field: FieldId, what: String },
    /// Rows handed over for writing are not as they have to be.
    #[error("rows of segment {segment}: {what}")]
    Rows { segment: i64, what: String },
    /// No id for a new object.
    #[error("no log id: {what}")]
    LogId { what: String, kind: ErrorKind },
    /// A setting that no store can be built from.
    #[error("storage settings: {0}")]
    Settings(String),
    /// A task of the runtime ended without an answer.
    #[error("storage task ended early: {0}")]
    Task(String),
}

impl From<tokio::task::JoinError> for StorageError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Task(error.to_string())
    }
}

impl Classify for StorageError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::Corrupt,
            // A bucket that is away may be back tomorrow: what is in it is not gone.
            Self::Unavailable { .. } | Self::NoBucket { .. } => ErrorKind::Transient,
            Self::Refused { .. } => ErrorKind::Precondition,
            Self::Fenced(fenced) => fenced.kind(),
            Self::Stopping { .. } => ErrorKind::Cancelled,
            Self::Full { .. } => ErrorKind::Exhausted,
            Self::Object { source, .. } => source.kind(),
            Self::Encode(source) => source.kind(),
            Self::Segment { .. } | Self::Damaged { .. } => ErrorKind::Corrupt,
            Self::Rows { .. } | Self::Task(_) => ErrorKind::Internal,
            Self::LogId { kind, .. } => *kind,
            Self::Settings(_) => ErrorKind::Invalid,
        }
    }
}

impl StorageError {
    /// Files: whatever is not known to last counts as passing (a failing disk is retried and then reported).
    pub(super) fn of_io(operation: &'static str, object: &str, error: &io::Error) -> Self {
        let (object, what) = (object.to_owned(), error.to_string());
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound { object },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::Full { operation, object, what }
            }
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidFilename
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::NotADirectory => Self::Refused { operation, object, what },
            _ => Self::Unavailable { operation, object, what },
        }
    }

    /// Buckets: everything that the client library has no name for (connections, time-outs, server errors) counts as
    /// passing.
    pub(super) fn of_object_store(operation: &'static str, object: &str, error: object_store::Error) -> Self {
        use object_store::Error;
        let (object, what) = (object.to_owned(), causes(&error));
        match error {
            // The same code of HTTP, another thing: the bucket may be back tomorrow.
            Error::NotFound { .. } if what.contains("NoSuchBucket") => Self::Unavailable { operation, object, what },
            Error::NotFound { .. } => Self::NotFound { object },
            Error::InvalidPath { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::AlreadyExists { .. }
            | Error::Precondition { .. }
            | Error::NotModified { .. }
            | Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::UnknownConfigurationKey { .. } => Self::Refused { operation, object, what },
            _ => Self::Unavailable { operation, object, what },
        }
    }
}

/// An error with everything that caused it. The client library's texts end where the reason begins.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        // Many repeat what is below them.
        if !text.contains(&said) {
            // Writing to a text can't fail.
            let _ = write!(text, ": {said}");
        }
        next = cause.source();
    }
    text
}
