//! The log as of one moment, for a backup, and a log that is made from one.
//!
//! A cut holds the files open: what it names stays readable after the log has shrunk. Must never hand over a byte behind
//! the last durable frame of its moment.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use uuid::Uuid;

use super::{
    super::error::IngestError,
    disk,
    identity::{self, LogIdentity, LogOwner, sync_dir},
    writer::LogWriter,
};
use crate::{
    ids,
    model::{Lsn, WriteAheadLog},
};

/// The files of a log as of one moment, oldest first.
#[derive(Debug)]
pub struct LogCut {
    files: Vec<CutFile>,
}

#[derive(Debug)]
struct CutFile {
    first: Lsn,
    bytes: u64,
    file: File,
    path: PathBuf,
}

impl LogCut {
    pub(in crate::ingest) fn open(dir: &Path, writer: &LogWriter) -> Result<Self, IngestError> {
        let open = |(first, bytes)| -> Result<CutFile, IngestError> {
            let path = disk::path(dir, first);
            let failed = |source| IngestError::Io { action: "open", path: path.clone(), source };
            let file = File::open(&path).map_err(failed)?;
            Ok(CutFile { first, bytes, file, path })
        };
        Ok(Self { files: writer.files().into_iter().map(open).collect::<Result<_, _>>()? })
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// First position and bytes of the file with this number, counted from 0.
    pub fn file(&self, number: usize) -> Option<(Lsn, u64)> {
        self.files.get(number).map(|file| (file.first, file.bytes))
    }

    /// At most `most` bytes of a file from an offset. Blocks.
    ///
    /// # Errors
    /// The file can't be read, or is shorter than it was.
    pub fn read(&self, number: usize, at: u64, most: usize) -> Result<Vec<u8>, IngestError> {
        let Some(file) = self.files.get(number) else { return Ok(Vec::new()) };
        let left = usize::try_from(file.bytes.saturating_sub(at)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; left.min(most)];
        let failed = |source| IngestError::Io { action: "read", path: file.path.clone(), source };
        file.file.read_exact_at(&mut bytes, at).map_err(failed)?;
        Ok(bytes)
    }
}

/// A log that is made from the files of a cut.
#[derive(Debug)]
pub struct RestoredLog {
    dir: PathBuf,
    files: Vec<Lsn>,
}

impl RestoredLog {
    /// Makes the folder.
    ///
    /// # Errors
    /// It is there already, or can't be made.
    pub fn create(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir(&dir)?;
        Ok(Self { dir, files: Vec::new() })
    }

    /// Adds the next file; files come in the order of the cut. Blocks.
    pub fn add(&mut self, first: Lsn, mut bytes: impl io::Read) -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(disk::path(&self.dir, first))?;
        io::copy(&mut bytes, &mut file)?;
        file.flush()?;
        file.sync_all()?;
        self.files.push(first);
        Ok(())
    }

    /// Gives the log a name of its own and the catalog that its rows belong to. Returns what the catalog has to note.
    pub fn finish(self, catalog: Uuid) -> io::Result<WriteAheadLog> {
        let (Some(oldest), Some(newest)) = (self.files.first().copied(), self.files.last().copied()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the backup has no file of the log"));
        };
        let log = ids::unique_name();
        identity::write(&self.dir, &LogIdentity { owner: LogOwner { catalog, log }, oldest, newest })?;
        sync_dir(&self.dir)?;
        Ok(WriteAheadLog { id: log, newest })
    }
}
