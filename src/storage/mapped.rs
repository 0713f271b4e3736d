//! Large bytes in a file instead of in memory: the kernel keeps as many of their pages as it has room for.
//!
//! The file loses its name before it is mapped, so nobody can open, change or shorten it, and nothing is left of it when
//! the process ends. Must never: map a file that has a name.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use memmap2::Mmap;

use super::error::StorageError;

/// A folder on a local disk for such files.
#[derive(Debug, Clone)]
pub struct MappedFolder(PathBuf);

impl MappedFolder {
    /// Makes the folder if it is missing.
    ///
    /// # Errors
    /// No file can be made there.
    pub fn open(folder: &Path) -> Result<Self, StorageError> {
        let made = std::fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder).map(|_| ()));
        made.map_err(|error| {
            StorageError::Settings(format!("queryNode.mmapDirPath: no file in {}: {error}", folder.display()))
        })?;
        Ok(Self(folder.to_owned()))
    }

    /// The same bytes, mapped. Writes to the disk.
    ///
    /// # Errors
    /// The disk is full or does not answer.
    pub fn hold(&self, bytes: &[u8]) -> Result<Bytes, StorageError> {
        let held = || {
            let mut file = tempfile::tempfile_in(&self.0)?;
            file.write_all(bytes)?;
            // SAFETY: the file has no name (`tempfile` removes it, or never gives it one), and this handle is dropped
            // here, so nobody can change or shorten it while it is mapped.
            let map = unsafe { Mmap::map(&file)? };
            Ok(Bytes::from_owner(map))
        };
        held().map_err(|error: io::Error| {
            let (object, what) = (self.0.display().to_string(), error.to_string());
            StorageError::Full { operation: "map into", object, what }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_held_without_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let mapped = MappedFolder::open(&folder.path().join("made")).unwrap();
        let bytes: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        let held = mapped.hold(&bytes).unwrap();
        assert_eq!(held, bytes);
        assert_eq!(std::fs::read_dir(folder.path().join("made")).unwrap().count(), 0);
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let address = format!("{:x}-", held.as_ptr() as usize);
        let line = maps.lines().find(|line| line.starts_with(&address)).unwrap();
        assert!(line.ends_with("(deleted)"), "{line}");
        assert_eq!(mapped.hold(&[]).unwrap(), Bytes::new());
    }

    #[test]
    fn a_folder_that_takes_no_files_is_refused_with_its_key() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = MappedFolder::open(&file.path().join("below")).unwrap_err().to_string();
        assert!(refused.contains("queryNode.mmapDirPath") && refused.contains("below"), "{refused}");
    }
}
