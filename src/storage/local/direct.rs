//! Writes a file directly to the disk, past the page cache.
//!
//! For objects that will not be read soon. Through the page cache they would displace pages that are read, and the kernel
//! would keep a core busy while it copies the bytes and again while it writes the pages back. Direct writes take a fifth of
//! that processor time, and a thread that waits for the disk sleeps.
//!
//! Must never: lose bytes that a direct write refused. Bytes in the buffer are not in the file: the caller must call
//! `finish` and sync.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use parking_lot::Mutex;

/// Flag of a descriptor that bypasses the page cache; 0 on systems without such descriptors.
#[cfg(target_os = "linux")]
const PAST_CACHE: i32 = libc::O_DIRECT;
#[cfg(not(target_os = "linux"))]
const PAST_CACHE: i32 = 0;

/// Bytes of one direct write. A multiple of a block. Smaller than the memory that an encoder has released before its object
/// is written, so that a merge's budget covers the buffer.
const BUFFER_BYTES: usize = 512 << 10;
/// Alignment of direct writes, in the file and in memory: the largest block size of disks in use.
const BLOCK_BYTES: usize = 4096;

/// Most buffers kept between writes.
const KEPT: usize = 4;

/// Pool of write buffers. Short-lived threads write the objects, and the allocator would retain a freed buffer for each of
/// them.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    free: Mutex<Vec<Vec<u8>>>,
}

impl Buffers {
    fn take(&self) -> Vec<u8> {
        let free = self.free.lock().pop();
        free.unwrap_or_else(|| vec![0; BUFFER_BYTES + BLOCK_BYTES])
    }

    fn give_back(&self, memory: Vec<u8>) {
        let mut free = self.free.lock();
        if free.len() < KEPT {
            free.push(memory);
        }
    }
}

/// Writes a file that is empty at first.
pub(super) struct Direct<'a> {
    buffers: &'a Buffers,
    /// Goes through the page cache: for the end, which fills no block, and for writes that are refused.
    file: &'a File,
    /// The same file, opened for direct writes. `None` once a direct write was refused.
    direct: Option<File>,
    memory: Vec<u8>,
    /// Offset in `memory` at which a block begins.
    start: usize,
    /// Bytes behind `start` that are not written yet.
    held: usize,
    /// Bytes written.
    written: u64,
}

impl<'a> Direct<'a> {
    /// `path` is the path of `file`. `None`: the file system refuses descriptors for direct writes.
    pub(super) fn open(buffers: &'a Buffers, file: &'a File, path: &Path) -> Option<Self> {
        let direct = OpenOptions::new().write(true).custom_flags(PAST_CACHE).open(path).ok()?;
        Some(Self::over(buffers, file, direct))
    }

    /// `direct` is the same file as `file`, opened anew.
    pub(super) fn over(buffers: &'a Buffers, file: &'a File, direct: File) -> Self {
        let memory = buffers.take();
        let start = memory.as_ptr().align_offset(BLOCK_BYTES).min(BLOCK_BYTES);
        Self { buffers, file, direct: Some(direct), memory, start, held: 0, written: 0 }
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = self.room();
            let (now, rest) = bytes.split_at(bytes.len().min(room.len()));
            room[..now.len()].copy_from_slice(now);
            self.took(now.len())?;
            bytes = rest;
        }
        Ok(())
    }

    /// Appends up to `most` bytes of another file with one read; returns how many, 0 only at its end.
    pub(super) fn append(&mut self, mut source: &File, most: usize) -> io::Result<usize> {
        let room = self.room();
        let most = most.min(room.len());
        let bytes = loop {
            match source.read(&mut room[..most]) {
                // A signal came before any byte was read.
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.took(bytes)?;
        Ok(bytes)
    }

    /// Writes the rest of the buffer.
    pub(super) fn finish(self) -> io::Result<()> {
        self.file.write_all_at(&self.memory[self.start..self.start + self.held], self.written)
    }

    /// The free part of the buffer; never empty.
    fn room(&mut self) -> &mut [u8] {
        &mut self.memory[self.start + self.held..self.start + BUFFER_BYTES]
    }

    /// Counts bytes that were put into `room`; writes the buffer when it is full.
    fn took(&mut self, bytes: usize) -> io::Result<()> {
        self.held += bytes;
        if self.held < BUFFER_BYTES {
            return Ok(());
        }
        let full = &self.memory[self.start..self.start + BUFFER_BYTES];
        if self.direct.as_ref().is_none_or(|direct| direct.write_all_at(full, self.written).is_err()) {
            // An ordinary write either succeeds or reports the same error.
            self.direct = None;
            self.file.write_all_at(full, self.written)?;
        }
        self.written += BUFFER_BYTES as u64;
        self.held = 0;
        Ok(())
    }
}

impl Drop for Direct<'_> {
    fn drop(&mut self) {
        self.buffers.give_back(std::mem::take(&mut self.memory));
    }
}
