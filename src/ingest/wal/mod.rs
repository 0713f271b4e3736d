//! The write-ahead log: one for the whole process, a directory of files `<first position>.log`, and a file that names
//! its owner and the files that it must have (`identity`).
//!
//! Bytes only: `state` gives records their meaning. One thread writes (`log_thread`); [`replay`] reads when the process
//! starts. It must never report a frame as durable before a sync that covers it has returned, never sync twice after an
//! error, and never skip a frame that was durable once.
//!
//! # A frame
//! Little-endian, one after the other, no padding, the n-th has position n (counted over all files from 1):
//!
//! ```text
//!  0  magic "DCW1"
//!  4  crc32c of the header from byte 8 to its end
//!  8  kind (u32)                        kind of the record in the body: `record`
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
//! # Bad frames
//! A file is rolled only after a sync, so every file but the last is whole: a bad frame there means lost rows, and
//! start-up is refused. In the last file the first bad frame usually is a write that a crash tore. It is cut off with the
//! bytes behind it, because no such frame was acknowledged. If the *durable position* of a later frame in the file reaches
//! the bad one, the bad one was acknowledged, and start-up is refused.

pub(super) mod cut;
pub(super) mod disk;
pub(super) mod files;
pub(super) mod frame;
pub(super) mod identity;
pub(super) mod record;
pub(super) mod replay;
pub(super) mod writer;

#[cfg(test)]
mod tests;

pub use cut::{LogCut, RestoredLog};
pub use disk::DiskFiles;
pub use files::{WalFile, WalFiles};
pub(super) use frame::{FrameHeader, FramePart};
pub use identity::{KnownLog, LogIdentity, LogOwner};
pub(super) use record::{Control, EncodedRecord, MAX_BODY_BYTES, Preamble, decode_rows};
pub use replay::TornTail;
pub(super) use replay::{Frame, Replayed, replay};
pub(super) use writer::LogWriter;
