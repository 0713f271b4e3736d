//! Errors of reading and writing the objects of segments.

use std::{fmt::Write as _, io};

use crate::{
    binlog::BinlogError,
    error::{Classify, ErrorKind},
    fence::Fenced,
    model::FieldId,
};

/// An error of the store. Names the object.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageError {
    /// The store works, and the object is missing. Only objects that the catalog names are read, so this is damage.
    #[error("object {object} not found")]
    NotFound { object: String },
    /// The store did not answer, or its failure may pass.
    #[error("{operation} of {object} failed: {what}")]
    Unavailable { operation: &'static str, object: String, what: String },
    /// The store refuses, and a retry would not help: permissions, credentials, settings.
    #[error("{operation} of {object} refused: {what}")]
    Refused { operation: &'static str, object: String, what: String },
    /// The bucket does not exist.
    #[error("{place} does not exist: create it, or let minio.createBucket be true")]
    NoBucket { place: String },
    /// This process may not write any more.
    #[error(transparent)]
    Fenced(#[from] Fenced),
    /// The process is stopping and no longer waits for the store.
    #[error("{operation} of {object} given up: the server is stopping")]
    Stopping { operation: &'static str, object: String },
    /// The disk or bucket is full.
    #[error("{operation} of {object}: no space left: {what}")]
    Full { operation: &'static str, object: String, what: String },
    /// The bytes of the object can't be decoded.
    #[error("object {object}: {source}")]
    Object { object: String, source: BinlogError },
    /// The bytes of the object do not match its checksum.
    #[error("object {object} is damaged: checksum {expected:08x} expected, {found:08x} found")]
    Damaged { object: String, expected: u32, found: u32 },
    /// Rows or deletes can't be encoded.
    #[error(transparent)]
    Encode(#[from] BinlogError),
    /// The logs of a segment contradict each other or the schema.
    #[error("segment {segment}, field {field}: {what}")]
    Segment { segment: i64, field: FieldId, what: String },
    /// Rows to be written have the wrong columns or order.
    #[error("rows of segment {segment}: {what}")]
    Rows { segment: i64, what: String },
    /// There is no id for a new object.
    #[error("no log id: {what}")]
    LogId { what: String, kind: ErrorKind },
    /// No store can be built from the settings.
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
            // A missing bucket may come back with its objects, so it is not damage.
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
    /// Converts an error of a file. Errors that are not known to be permanent count as transient: a failing disk is retried
    /// and then reported.
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

    /// Changes the part of the text that others have written.
    pub(super) fn with_text(mut self, change: impl FnOnce(String) -> String) -> Self {
        if let Self::Unavailable { what, .. } | Self::Refused { what, .. } | Self::Full { what, .. } = &mut self {
            *what = change(std::mem::take(what));
        }
        self
    }

    /// Converts an error of a bucket. Errors without a name in the client library (connections, time-outs, server errors)
    /// count as transient.
    pub(super) fn of_object_store(operation: &'static str, object: &str, error: object_store::Error) -> Self {
        use object_store::Error;
        let (object, what) = (object.to_owned(), causes(&error));
        match error {
            // A missing bucket has the same HTTP code as a missing object, but may come back.
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

/// The text of an error with all its causes. The client library's own texts leave the causes out.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        // Many errors repeat the text of their cause.
        if !text.contains(&said) {
            // Writing to a `String` can't fail.
            let _ = write!(text, ": {said}");
        }
        next = cause.source();
    }
    text
}
