//! Reads the log back: every frame in order, up to the end or a torn tail.
//!
//! Must never skip a frame and go on, and never hand over rows that are not durable: the last file is synced before the
//! caller may act on its frames.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use arrow_buffer::{Buffer, MutableBuffer};

use super::{
    super::error::IngestError,
    disk,
    frame::{FIXED_BYTES, FrameHeader, MAGIC},
    identity::sync_dir,
    record::MAX_BODY_BYTES,
};
use crate::{
    fault::{self, Planted},
    model::{Lsn, Timestamp},
};

/// A frame whose sums are right.
pub(in crate::ingest) struct Frame {
    pub(in crate::ingest) header: FrameHeader,
    pub(in crate::ingest) preamble: Vec<u8>,
    /// One aligned allocation per part, so that rows kept from one don't hold the memory of the others.
    pub(in crate::ingest) parts: Vec<Buffer>,
    /// Bytes of the log in front of this frame.
    pub(in crate::ingest) log_offset: u64,
}

/// The bytes cut off the end of the log: a write that a crash interrupted, never acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    pub file: PathBuf,
    /// Where the first bad frame began.
    pub offset: u64,
    pub dropped_bytes: u64,
    pub reason: &'static str,
}

/// A file that is not written any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ingest) struct ClosedFile {
    pub(in crate::ingest) first: Lsn,
    pub(in crate::ingest) last: Lsn,
    pub(in crate::ingest) bytes: u64,
}

/// The log after it was read.
#[derive(Debug)]
pub(in crate::ingest) struct Replayed {
    /// Files that hold frames, oldest first.
    pub(in crate::ingest) files: Vec<ClosedFile>,
    /// The position after the last frame, or of the first one if there is no log.
    pub(in crate::ingest) next: Lsn,
    pub(in crate::ingest) last_ts: Timestamp,
    pub(in crate::ingest) frames: u64,
    pub(in crate::ingest) torn: Option<TornTail>,
}

/// Reads all frames of the log in `dir`, which is made if it does not exist. An error of `visit` is a text that says why a
/// frame with right sums makes no sense.
pub(in crate::ingest) fn replay(
    dir: &Path,
    mut visit: impl FnMut(Frame) -> Result<(), String>,
) -> Result<Replayed, IngestError> {
    std::fs::create_dir_all(dir).map_err(io_error("create", dir))?;
    if let Some(parent) = dir.parent().filter(|p| !p.as_os_str().is_empty()) {
        sync_dir(parent).map_err(io_error("sync", parent))?;
    }
    let names = disk::list(dir).map_err(io_error("list", dir))?;
    let mut out = Replayed {
        files: Vec::new(),
        next: names.first().copied().unwrap_or(Lsn(1)),
        last_ts: Timestamp::ZERO,
        frames: 0,
        torn: None,
    };
    let mut log_offset = 0;
    for (n, first) in names.iter().enumerate() {
        let path = disk::path(dir, *first);
        if *first != out.next {
            let detail = format!("its frames begin at position {first}, the log before it ends before {}", out.next);
            return Err(IngestError::Corrupt { path, offset: 0, detail });
        }
        let bytes = read_file(&path, n + 1 == names.len(), log_offset, &mut out, &mut visit)?;
        log_offset += bytes;
        if out.next > *first {
            out.files.push(ClosedFile { first: *first, last: Lsn(out.next.0 - 1), bytes });
        }
    }
    Ok(out)
}

/// Reads one file; its bytes without a torn tail.
fn read_file(
    path: &Path,
    is_last: bool,
    log_offset: u64,
    out: &mut Replayed,
    visit: &mut impl FnMut(Frame) -> Result<(), String>,
) -> Result<u64, IngestError> {
    let file = File::open(path).map_err(io_error("open", path))?;
    let len = file.metadata().map_err(io_error("inspect", path))?.len();
    let mut reader = FrameReader { input: BufReader::with_capacity(1 << 16, file), offset: 0, len };
    let corrupt = |offset, detail: String| IngestError::Corrupt { path: path.to_owned(), offset, detail };
    loop {
        let offset = reader.offset;
        let frame = match reader.next().map_err(io_error("read", path))? {
            Ok(None) => break,
            Ok(Some(frame)) => frame,
            Err(reason) if !is_last => return Err(corrupt(offset, reason.to_owned())),
            Err(reason) => {
                if let Some(later) = acknowledged_after(path, offset, out.next).map_err(io_error("read", path))?
                    && !fault::planted(Planted::BrokenIsTorn)
                {
                    let detail = format!("{reason}, but the frame at offset {later} says that this one was durable");
                    return Err(corrupt(offset, detail));
                }
                out.torn = Some(TornTail { file: path.to_owned(), offset, dropped_bytes: len - offset, reason });
                break;
            }
        };
        let header = &frame.header;
        if header.lsn != out.next {
            return Err(corrupt(offset, format!("frame has position {}, expected {}", header.lsn, out.next)));
        }
        if header.ts <= out.last_ts {
            return Err(corrupt(offset, format!("timestamp {} is not after {}", header.ts, out.last_ts)));
        }
        (out.next, out.last_ts) = (Lsn(header.lsn.0 + 1), header.ts);
        out.frames += 1;
        visit(Frame { log_offset: log_offset + offset, ..frame }).map_err(|detail| corrupt(offset, detail))?;
    }
    let end = reader.offset;
    if is_last {
        // The frames may be in the page cache only. No reader may see them before they are durable.
        let file = OpenOptions::new().write(true).open(path).map_err(io_error("open", path))?;
        if end < len {
            file.set_len(end).map_err(io_error("truncate", path))?;
        }
        file.sync_all().map_err(io_error("sync", path))?;
    }
    Ok(end)
}

struct FrameReader {
    input: BufReader<File>,
    /// Where the next frame begins; stays at the first bad one.
    offset: u64,
    len: u64,
}

impl FrameReader {
    /// The next frame, None at the end of the file, or why there is none.
    fn next(&mut self) -> io::Result<Result<Option<Frame>, &'static str>> {
        let rest = self.len - self.offset;
        if rest == 0 {
            return Ok(Ok(None));
        }
        if rest < FIXED_BYTES as u64 {
            return Ok(Err("header is cut short"));
        }
        let mut header = vec![0; FIXED_BYTES];
        self.input.read_exact(&mut header)?;
        let announced = match FrameHeader::announced_bytes(&header) {
            Ok(bytes) if bytes as u64 > rest => return Ok(Err("header is cut short")),
            Ok(bytes) => bytes,
            Err(reason) => return Ok(Err(reason)),
        };
        header.resize(announced, 0);
        self.input.read_exact(header.get_mut(FIXED_BYTES..).unwrap_or(&mut []))?;
        let header = match FrameHeader::decode(&header) {
            Ok(header) => header,
            Err(reason) => return Ok(Err(reason)),
        };
        let body = header.body_bytes();
        if body > rest - announced as u64 || body > MAX_BODY_BYTES {
            return Ok(Err("body is cut short"));
        }
        let mut preamble = vec![0; header.preamble_bytes as usize];
        self.input.read_exact(&mut preamble)?;
        let mut crc = crc32c::crc32c(&preamble);
        let mut parts = Vec::with_capacity(header.parts.len());
        for part in &header.parts {
            let mut bytes = MutableBuffer::from_len_zeroed(part.bytes as usize);
            self.input.read_exact(bytes.as_slice_mut())?;
            crc = crc32c::crc32c_append(crc, bytes.as_slice());
            parts.push(bytes.into());
        }
        if crc != header.body_crc && !fault::planted(Planted::FrameUnchecked) {
            return Ok(Err("checksum of the body is wrong"));
        }
        self.offset += announced as u64 + body;
        Ok(Ok(Some(Frame { header, preamble, parts, log_offset: 0 })))
    }
}

/// Looks behind a bad frame for a later one which says that position `bad` was durable when it was written.
///
/// The bytes may hold anything a user inserted, so a header is believed only if its sum is right and its positions are
/// near `bad`.
fn acknowledged_after(path: &Path, offset: u64, bad: Lsn) -> io::Result<Option<u64>> {
    const NEAR: u64 = 1 << 24;
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut rest = Vec::new();
    file.read_to_end(&mut rest)?;
    let mut at = 1;
    while let Some(found) = rest.get(at..).and_then(|r| find(r, MAGIC)) {
        at += found;
        let header = rest.get(at..).and_then(|bytes| {
            let announced = FrameHeader::announced_bytes(bytes).ok()?;
            FrameHeader::decode(bytes.get(..announced)?).ok()
        });
        if let Some(header) = header
            && header.durable >= bad
            && header.lsn > header.durable
            && header.lsn.0 - bad.0 < NEAR
        {
            return Ok(Some(offset + at as u64));
        }
        at += 1;
    }
    Ok(None)
}

fn find(bytes: &[u8], pattern: [u8; 4]) -> Option<usize> {
    bytes.windows(4).position(|w| w == pattern)
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> IngestError {
    let path = path.to_owned();
    move |source| IngestError::Io { action, path, source }
}
