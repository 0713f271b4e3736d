//! The write-ahead log: one for the whole process, a directory of files `<first position>.log`, and a file that says
//! whose log it is and which of them there have to be (`identity`).
//!
//! Bytes only: what a record means is the business of `state`. One thread writes (`log_thread`); [`replay`] reads when
//! the process starts. It must never report a frame as durable before a sync that covers it has returned, never sync
//! twice after an error, and never skip a frame that was durable once.
//!
//! # A frame
//! Little-endian, one after the other, no padding, the n-th has position n (counted over all files from 1):
//!
//! ```text
//!  0  magic "DCW1"
//!  4  crc32c of the header from byte 8 to its end
//!  8  kind (u32)                        what the body says: `record`
//! 12  number of parts (u32)
//! 16  position (u64)                    one more than the frame before
//! 24  timestamp (u64)                   greater than that of the frame before
//! 32  durable position (u64)            the newest position known durable when this frame was written
//! 40  bytes of the preamble (u32)
//! 44  crc32c of the body (u32)
//! 48  per part: segment (i64), rows (u32), bytes (u32)
//!     ── body ──
//!     preamble                          kind-specific: `record`
//!     parts in order                    each an Arrow IPC stream of one record batch
//! ```
//!
//! The body is made and summed up by the caller before the frame has a position, a timestamp or segments; those are in
//! the header, which has its own sum. So the log thread never touches the bytes of rows.
//!
//! # What a reader concludes
//! A file is rolled only after a sync, so every file but the last is whole: a frame there that is not right means lost
//! rows, and start-up is refused. In the last file the first bad frame usually is a write that a crash tore, and it is
//! cut off with what follows, because nothing there was acknowledged. Unless a later frame in the file proves otherwise:
//! its *durable position* reaching the bad frame says that the bad one was acknowledged, and start-up is refused.

pub(super) mod disk;
pub(super) mod frame;
pub(super) mod identity;
pub(super) mod record;
pub(super) mod replay;
pub(super) mod writer;

#[cfg(test)]
mod tests;

pub(super) use disk::DiskFiles;
pub(super) use frame::{Header, Part};
pub(super) use identity::{Identity, Owner};
pub(super) use record::{Control, EncodedRecord, MAX_BODY_BYTES, Preamble, decode_rows};
pub use replay::TornTail;
pub(super) use replay::{Frame, Replayed, replay};
pub(super) use writer::LogWriter;

use std::io::{self, IoSlice};

use crate::model::Lsn;

/// Where log files are made and removed: a directory, or a fake that fails.
pub(super) trait LogFiles: Send {
    /// An empty file for frames from `first` on. Its directory entry is durable when this returns.
    fn create(&mut self, first: Lsn) -> io::Result<Box<dyn LogFile>>;
    /// Removes a file; absent is fine.
    fn remove(&mut self, first: Lsn) -> io::Result<()>;
    /// Notes whose log it is and which files there have to be, durably.
    fn note(&mut self, identity: &Identity) -> io::Result<()>;
}

/// A log file that is being written.
pub(super) trait LogFile: Send {
    /// Writes all slices at the end. After an error any part of them may be in the file.
    fn append(&mut self, slices: &mut [IoSlice<'_>]) -> io::Result<()>;
    /// Makes everything appended durable.
    fn sync(&mut self) -> io::Result<()>;
}
