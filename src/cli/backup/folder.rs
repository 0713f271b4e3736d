//! The folder of a backup.
//!
//! | file | holds |
//! |---|---|
//! | `manifest.json` | what else is there, with sizes and checksums; written last, so a folder without it is no backup |
//! | `catalog` | records, in the server's own form |
//! | `log/N` | the file of the log that begins with position N |
//! | `objects.txt` | a line for each object: checksum (`-`: none), bytes, name |
//! | `files/…` | the objects under their names, unless they were left out |
//!
//! Checksums are CRC-32C. Must never give a path outside of the folder.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use crate::{
    cli::exit::{CommandFailure, Exit},
    storage::LogPath,
};

/// The form of the folder. A greater number is of a later release.
pub(super) const FORMAT: u32 = 1;
/// A longer manifest is not one of ours: it has a line for each file of the log.
const MAX_MANIFEST_BYTES: u64 = 16 << 20;
/// A longer line of `objects.txt` is damage.
const MAX_LINE_BYTES: u64 = 1024;
/// Bytes that are read at once.
const BUFFER_BYTES: usize = 256 << 10;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    /// Of the server that was backed up.
    pub(super) version: String,
    /// Milliseconds since 1970.
    pub(super) at_ms: i64,
    pub(super) segments: i64,
    pub(super) with_objects: bool,
    pub(super) objects: u64,
    pub(super) object_bytes: u64,
    pub(super) catalog: Sum,
    pub(super) names: Sum,
    pub(super) log: Vec<LogSum>,
}

/// The size of a file and the checksum of its bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sum {
    pub(super) bytes: u64,
    pub(super) checksum: u32,
}

impl Sum {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.checksum = crc32c::crc32c_append(self.checksum, bytes);
    }
}

/// A file of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LogSum {
    pub(super) first: u64,
    #[serde(flatten)]
    pub(super) sum: Sum,
}

/// A line of `objects.txt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ObjectLine {
    pub(super) path: LogPath,
    pub(super) bytes: u64,
    pub(super) checksum: Option<u32>,
}

impl ObjectLine {
    pub(super) fn text(&self) -> String {
        let checksum = self.checksum.map_or_else(|| "-".to_owned(), |checksum| format!("{checksum:08x}"));
        format!("{checksum} {} {}\n", self.bytes, self.path)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let checksum = match words.next()? {
            "-" => None,
            text => Some(u32::from_str_radix(text, 16).ok()?),
        };
        let bytes = words.next()?.parse().ok()?;
        let path = words.next()?.parse().ok()?;
        words.next().is_none().then_some(Self { path, bytes, checksum })
    }
}

/// A folder that is, or becomes, a backup.
#[derive(Debug, Clone)]
pub(super) struct BackupFolder(pub(super) PathBuf);

impl BackupFolder {
    pub(super) fn manifest(&self) -> PathBuf {
        self.0.join("manifest.json")
    }

    pub(super) fn catalog(&self) -> PathBuf {
        self.0.join("catalog")
    }

    pub(super) fn log(&self, first: u64) -> PathBuf {
        self.0.join("log").join(first.to_string())
    }

    pub(super) fn names(&self) -> PathBuf {
        self.0.join("objects.txt")
    }

    pub(super) fn object(&self, path: &LogPath) -> PathBuf {
        // The text of a path has words and numbers alone.
        self.0.join("files").join(path.to_string())
    }

    /// Reads the manifest.
    pub(super) fn read_manifest(&self) -> anyhow::Result<Manifest> {
        let path = self.manifest();
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                bail!("{} is no complete backup: it has no manifest.json, which is written last", self.0.display())
            }
            opened => opened.with_context(|| path.display().to_string())?,
        };
        let manifest: Manifest = serde_json::from_reader(file.take(MAX_MANIFEST_BYTES))
            .map_err(|error| damaged(&path, &error.to_string()))?;
        if manifest.format != FORMAT {
            bail!("{} has form {}, this program reads {FORMAT}", path.display(), manifest.format);
        }
        Ok(manifest)
    }

    /// The lines of `objects.txt`. An error ends them.
    pub(super) fn lines(&self) -> anyhow::Result<impl Iterator<Item = anyhow::Result<ObjectLine>> + use<>> {
        let path = self.names();
        let mut file = BufReader::new(File::open(&path).with_context(|| path.display().to_string())?);
        Ok(std::iter::from_fn(move || {
            let mut line = String::new();
            match (&mut file).take(MAX_LINE_BYTES).read_line(&mut line) {
                Ok(0) => None,
                Ok(_) => Some(ObjectLine::parse(line.trim_end()).ok_or_else(|| damaged(&path, "a line can't be read"))),
                Err(error) => Some(Err(anyhow::Error::new(error).context(path.display().to_string()))),
            }
        }))
    }
}

/// Compares a file with its sum.
pub(super) fn compare(path: &Path, expected: Sum) -> anyhow::Result<()> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damaged(path, "it is missing")),
        opened => opened.with_context(|| path.display().to_string())?,
    };
    let (mut found, mut buffer) = (Sum::default(), vec![0; BUFFER_BYTES]);
    loop {
        let read = file.read(&mut buffer).with_context(|| path.display().to_string())?;
        if read == 0 {
            break;
        }
        found.add(buffer.get(..read).unwrap_or_default());
    }
    if found.bytes != expected.bytes {
        return Err(damaged(path, &format!("{} bytes expected, {} found", expected.bytes, found.bytes)));
    }
    if found.checksum != expected.checksum {
        let (expected, found) = (expected.checksum, found.checksum);
        return Err(damaged(path, &format!("checksum {expected:08x} expected, {found:08x} found")));
    }
    Ok(())
}

/// The error of a file that is not as it was written.
pub(super) fn damaged(path: &Path, what: &str) -> anyhow::Error {
    CommandFailure::error(Exit::Damaged, format!("{} is damaged: {what}", path.display()))
}
