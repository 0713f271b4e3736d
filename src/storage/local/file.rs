//! Files written and read in small system calls, so that no call keeps a core for long.

use std::{
    fs::File,
    io::{self, Read, Write},
    ops::Range,
    os::fd::AsRawFd,
    path::Path,
};

use super::direct::Direct;

/// Bytes that one system call moves. The kernel may keep the core for a whole call, however urgent other threads are: a
/// call of 60 MB would delay a client's request by 10 ms.
const CALL_BYTES: usize = 256 << 10;
/// Bytes after which the kernel is asked to begin writing. A sync that still has 16 MB to write keeps the core for up to
/// 4 ms; a sync that only waits for the disk does not keep it at all.
const BEGIN_BYTES: u64 = 1 << 20;

/// Writes a file that is empty at first. The disk gets the bytes while more are written. The caller must call `finish`.
pub(super) enum FileWriter<'a> {
    Direct(Direct<'a>),
    ThroughCache {
        file: &'a File,
        written: u64,
        /// The part of `written` that the disk has been given.
        begun: u64,
    },
}

impl<'a> FileWriter<'a> {
    pub(super) fn through_cache(file: &'a File) -> Self {
        Self::ThroughCache { file, written: 0, begun: 0 }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for part in bytes.chunks(CALL_BYTES) {
            match self {
                Self::Direct(direct) => direct.write(part)?,
                Self::ThroughCache { file, .. } => file.write_all(part)?,
            }
            self.wrote(part.len() as u64);
        }
        Ok(())
    }

    /// Appends up to `bytes` of another file from its current position; returns how many there were.
    pub(super) fn append(&mut self, source: &File, bytes: u64) -> io::Result<u64> {
        let mut done = 0;
        while done < bytes {
            let most = (bytes - done).min(CALL_BYTES as u64);
            let copied = match self {
                Self::Direct(direct) => direct.append(source, most as usize)? as u64,
                // The kernel copies without user memory where the file system allows it.
                Self::ThroughCache { file, .. } => io::copy(&mut Read::take(source, most), file)?,
            };
            if copied == 0 {
                break;
            }
            done += copied;
            self.wrote(copied);
        }
        Ok(done)
    }

    fn wrote(&mut self, bytes: u64) {
        let Self::ThroughCache { file, written, begun } = self else { return };
        *written += bytes;
        if *written - *begun >= BEGIN_BYTES {
            begin_to_sync(file, *begun..*written);
            *begun = *written;
        }
    }

    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Self::Direct(direct) => direct.finish(),
            Self::ThroughCache { .. } => Ok(()),
        }
    }
}

/// Asks the kernel to begin writing a part of a file to the disk, without waiting. Errors need no check here: the later
/// sync writes the rest and reports an error of the disk, which only a call that waits would consume.
fn begin_to_sync(file: &File, part: Range<u64>) {
    #[cfg(target_os = "linux")]
    if let (Ok(at), Ok(bytes)) = (i64::try_from(part.start), i64::try_from(part.end - part.start)) {
        // SAFETY: a system call that takes numbers and no memory; the descriptor is open for as long as `file` is borrowed.
        unsafe { libc::sync_file_range(file.as_raw_fd(), at, bytes, libc::SYNC_FILE_RANGE_WRITE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, part);
}

/// Reads into one allocation of the file's size.
pub(super) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    read_on(&file, bytes)
}

/// Reads the next bytes of a file, fewer at its end, into one allocation that is not zeroed first.
pub(super) fn read_on(file: &File, bytes: u64) -> io::Result<Vec<u8>> {
    let mut read = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
    loop {
        let left = bytes - read.len() as u64;
        if Read::take(file, left.min(CALL_BYTES as u64)).read_to_end(&mut read)? == 0 {
            return Ok(read);
        }
    }
}
