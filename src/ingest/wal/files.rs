//! The files of the log as its writer sees them: a directory, or a fake that fails on purpose.

use std::io::{self, IoSlice};

use super::identity::LogIdentity;
use crate::model::Lsn;

/// Where log files are made and removed: a directory, or a fake that fails.
pub trait WalFiles: Send {
    /// An empty file for frames from `first` on. Its directory entry is durable when this returns.
    fn create(&mut self, first: Lsn) -> io::Result<Box<dyn WalFile>>;
    /// Removes a file; absent is fine.
    fn remove(&mut self, first: Lsn) -> io::Result<()>;
    /// Stores the owner and the outer files of the log, durably.
    fn note(&mut self, identity: &LogIdentity) -> io::Result<()>;
}

/// A log file that is being written.
pub trait WalFile: Send {
    /// Writes all slices at the end. After an error any part of them may be in the file.
    fn append(&mut self, slices: &mut [IoSlice<'_>]) -> io::Result<()>;
    /// Makes everything appended durable.
    fn sync(&mut self) -> io::Result<()>;
}
