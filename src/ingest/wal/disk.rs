//! Log files in a directory. Names are the position of the first frame, 20 digits, so that they sort.
//!
//! Must never leave a directory entry to chance: creating and removing a file sync the directory.

use std::{
    fs::{File, OpenOptions},
    io::{self, IoSlice, Write},
    path::{Path, PathBuf},
};

use super::{
    files::{WalFile, WalFiles},
    identity::{self, LogIdentity, sync_dir},
};
use crate::model::Lsn;

const SUFFIX: &str = "log";

/// The files of the log in a directory.
pub struct DiskFiles {
    dir: PathBuf,
}

impl DiskFiles {
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }
}

impl WalFiles for DiskFiles {
    fn create(&mut self, first: Lsn) -> io::Result<Box<dyn WalFile>> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path(&self.dir, first))?;
        sync_dir(&self.dir)?;
        Ok(Box::new(DiskFile { file }))
    }

    fn remove(&mut self, first: Lsn) -> io::Result<()> {
        match std::fs::remove_file(path(&self.dir, first)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            // Files go oldest first. If a crash brought back an older one without a newer one, the log would have a gap
            // and be refused.
            _ => sync_dir(&self.dir),
        }
    }

    fn note(&mut self, identity: &LogIdentity) -> io::Result<()> {
        identity::write(&self.dir, identity)
    }
}

struct DiskFile {
    file: File,
}

impl WalFile for DiskFile {
    fn append(&mut self, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            match self.file.write_vectored(slices) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut slices, written),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// The file whose first frame has this position.
pub(in crate::ingest) fn path(dir: &Path, first: Lsn) -> PathBuf {
    dir.join(format!("{:020}.{SUFFIX}", first.0))
}

/// Positions of the first frames of all log files, ascending; none in a folder that does not exist. Other files are left
/// out.
pub(in crate::ingest) fn list(dir: &Path) -> io::Result<Vec<Lsn>> {
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let name = PathBuf::from(entry?.file_name());
        if name.extension().is_some_and(|e| e == SUFFIX)
            && let Some(first) = name.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse().ok())
        {
            found.push(Lsn(first));
        }
    }
    found.sort_unstable();
    Ok(found)
}
