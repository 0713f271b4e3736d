//! A file that is written past the machine's cache of files.
//!
//! For what nobody will read soon: through the cache it would take the place of what is read, and the kernel would keep
//! a core from everybody else while it copies the bytes and again while it writes the pages back. Written directly they
//! cost a fifth of the processor's time, and a thread that waits for the disk sleeps.
//!
//! Must never: lose what a direct write refused, or report as written what is still in its buffer: whoever writes has to
//! call `finish`, and to sync.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use parking_lot::Mutex;

/// Of a descriptor whose writes go past the cache; where there are none it is an ordinary one.
#[cfg(target_os = "linux")]
const PAST_CACHE: i32 = libc::O_DIRECT;
#[cfg(not(target_os = "linux"))]
const PAST_CACHE: i32 = 0;

/// Written at once, and held meanwhile. A multiple of a block, and less than what the encoder of an object has given back
/// when the object is written, so that a merge has it in its budget.
const BUFFER_BYTES: usize = 512 << 10;
/// What direct writes have to begin at, in the file and in memory: the largest block of a disk in use.
const BLOCK_BYTES: usize = 4096;

/// Buffers that are kept at most while nobody writes.
const KEPT: usize = 4;

/// Memory of files that are being written, used again and again. Objects are written by ever other threads, and of a
/// buffer that each of them makes and frees an allocator keeps one for every thread.
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

/// A file that is empty at first.
pub(super) struct Direct<'a> {
    buffers: &'a Buffers,
    /// Through the cache: for the end, which fills no block, and for what is refused.
    file: &'a File,
    /// The same file; None: direct writes are refused.
    direct: Option<File>,
    memory: Vec<u8>,
    /// Where in `memory` a block begins.
    start: usize,
    /// Bytes from there on that are not written yet.
    held: usize,
    /// Bytes written.
    written: u64,
}

impl<'a> Direct<'a> {
    /// `path` is the file's. None: the file system has no direct writes.
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

    /// Takes the next bytes of another file, at most so many with one call; returns how many, 0 only at its end.
    pub(super) fn append(&mut self, mut source: &File, most: usize) -> io::Result<usize> {
        let room = self.room();
        let most = most.min(room.len());
        let bytes = loop {
            match source.read(&mut room[..most]) {
                // By a signal, before anything was read.
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.took(bytes)?;
        Ok(bytes)
    }

    /// Writes what is left.
    pub(super) fn finish(self) -> io::Result<()> {
        self.file.write_all_at(&self.memory[self.start..self.start + self.held], self.written)
    }

    /// Never empty.
    fn room(&mut self) -> &mut [u8] {
        &mut self.memory[self.start + self.held..self.start + BUFFER_BYTES]
    }

    /// So many bytes are in the room now.
    fn took(&mut self, bytes: usize) -> io::Result<()> {
        self.held += bytes;
        if self.held < BUFFER_BYTES {
            return Ok(());
        }
        let full = &self.memory[self.start..self.start + BUFFER_BYTES];
        if self.direct.as_ref().is_none_or(|direct| direct.write_all_at(full, self.written).is_err()) {
            // Whatever the reason was, the ordinary write has it too, or does not mind.
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
