//! The errors of redb, which differ by call, as one type, and their translation into [`MetaError`].

use ::redb::{CommitError, DatabaseError, SetDurabilityError, StorageError, TableError, TransactionError};

use crate::{error::ErrorKind, meta::MetaError};

/// Why a call of the library failed.
#[derive(Debug)]
pub(super) enum RedbFailure {
    Storage(StorageError),
    /// The bytes that were read are not those that were written.
    Damaged(String),
    /// An older release wrote the file.
    Unchecked,
    Other(String),
}

impl From<StorageError> for RedbFailure {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<TransactionError> for RedbFailure {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::Storage(error) => Self::Storage(error),
            other => Self::Other(other.to_string()),
        }
    }
}

impl From<TableError> for RedbFailure {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Storage(error) => Self::Storage(error),
            other => Self::Other(other.to_string()),
        }
    }
}

impl From<CommitError> for RedbFailure {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Storage(error) => Self::Storage(error),
            other => Self::Other(other.to_string()),
        }
    }
}

impl From<SetDurabilityError> for RedbFailure {
    fn from(error: SetDurabilityError) -> Self {
        Self::Other(error.to_string())
    }
}

pub(super) fn storage_kind(error: &StorageError) -> ErrorKind {
    match error {
        StorageError::Corrupted(_) => ErrorKind::Corrupt,
        StorageError::Io(e) if matches!(e.kind(), std::io::ErrorKind::StorageFull) => ErrorKind::Exhausted,
        StorageError::Io(_) | StorageError::PreviousIo => ErrorKind::Transient,
        _ => ErrorKind::Internal,
    }
}

pub(super) fn open_error(file: &str, error: DatabaseError) -> MetaError {
    let file = file.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen => MetaError::InUse { file },
        DatabaseError::Storage(StorageError::Corrupted(reason)) => MetaError::Damaged { file, reason },
        DatabaseError::Storage(error) => {
            MetaError::Open { file, reason: error.to_string(), kind: storage_kind(&error) }
        }
        other => MetaError::Open { file, reason: other.to_string(), kind: ErrorKind::Precondition },
    }
}
