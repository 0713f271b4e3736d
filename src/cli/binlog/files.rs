//! Files below a path, and the bytes of one.

use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use bytes::Bytes;

use crate::{binlog::ReadRange, storage::LogPath};

/// A file, and the object that its place in a store makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundFile {
    pub(super) path: PathBuf,
    /// None if its path does not end like the name of a log.
    pub(super) object: Option<LogPath>,
}

/// Parts of the longest name of an object.
const MOST_PARTS: usize = 6;

impl FoundFile {
    fn at(path: PathBuf, place: &Path) -> Self {
        let parts: Vec<&str> = place.iter().filter_map(|part| part.to_str()).collect();
        let names = (0..parts.len()).rev().take(MOST_PARTS).filter_map(|at| parts.get(at..).map(|tail| tail.join("/")));
        Self { path, object: names.filter_map(|name| name.parse().ok()).next() }
    }
}

/// The file at a path, or all files below it, in the order of their names. Links to folders are not followed.
pub(super) fn below(path: &Path) -> anyhow::Result<Vec<FoundFile>> {
    let failed = |path: &Path| format!("reading {}", path.display());
    // The folders above tell which objects these are.
    let root = path.canonicalize().with_context(|| failed(path))?;
    let mut found = Vec::new();
    let mut open = vec![(path.to_owned(), root)];
    while let Some((path, place)) = open.pop() {
        if !place.is_dir() {
            found.push(FoundFile::at(path, &place));
            continue;
        }
        for entry in place.read_dir().with_context(|| failed(&path))? {
            let entry = entry.with_context(|| failed(&path))?;
            let kind = entry.file_type().with_context(|| failed(&entry.path()))?;
            let is_link_to_folder = kind.is_symlink() && entry.path().is_dir();
            if !is_link_to_folder {
                open.push((path.join(entry.file_name()), entry.path()));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// An open file that is read range by range, so that a log of any size needs little memory.
pub(super) struct FileRange(pub(super) File);

impl ReadRange for FileRange {
    fn read_range(&self, range: Range<u64>) -> io::Result<Bytes> {
        let len = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        self.0.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes.into())
    }
}
