//! Objects as files below a directory.
//!
//! `put` and `copy` make an object durable (P3) in three steps. They write and sync a file under a name outside the
//! namespace, rename it, and sync its directory and every directory above it up to the root, because any of them may be
//! new. They do not remember which directories were synced before: two writers and a crash between them would make that
//! memory wrong, and syncing a clean directory is cheap. Files of one `put` share the directory syncs.
//!
//! Must never: give a file its name before its bytes are on the disk.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{
    TryStreamExt,
    stream::{self, BoxStream, StreamExt},
};
use object_store::{ObjectStore, local::LocalFileSystem};
use tokio::runtime::Handle;

use self::{
    direct::{Buffers, Direct},
    file::{FileWriter, read_file, read_on},
};
use super::{
    backend::{Listed, Object, StorageBackend, Swapped},
    error::StorageError,
    pace::{Pace, in_parts, spans},
};

use crate::background::{blocking, wait_in};

mod direct;
mod file;

#[cfg(test)]
mod tests;

/// Smaller objects are always written through the page cache: a second descriptor and a buffer cost more than they save.
const DIRECT_FROM: u64 = 2 << 20;
/// Folder of files that have no name yet. It is on the same file system as the objects, because renaming needs that.
const STAGING: &str = ".staging";
/// Files and directories synced at once: the file system's journal commits them together.
const SYNC_CONCURRENCY: usize = 16;
/// Objects of one `put`: enough for all objects of a flush to share the directory syncs.
const BATCH: usize = 256;
/// A delete may remove a directory between its creation and its use; the rename is then tried again.
const RENAME_ATTEMPTS: usize = 8;

#[derive(Debug, Clone)]
pub(super) struct LocalFiles {
    root: Arc<Path>,
    /// Used for listings only.
    lister: LocalFileSystem,
    /// Makes staging names unique within this process. The exclusive open keeps other processes apart.
    next_staged: Arc<AtomicU64>,
    buffers: Arc<Buffers>,
    /// Syncs and renames in their order, for the test of durability: only a loss of power shows them otherwise.
    #[cfg(test)]
    pub(super) steps: Arc<parking_lot::Mutex<Vec<DurableStep>>>,
}

/// A step that durability depends on.
#[cfg(test)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DurableStep {
    Synced(PathBuf),
    Named(PathBuf),
}

impl LocalFiles {
    /// Opens a directory; creates it if it is missing.
    pub(super) fn open(root: &Path) -> Result<Self, StorageError> {
        let shown = root.display().to_string();
        let failed = |e: &io::Error| StorageError::of_io("open", &shown, e);
        let missing = root.ancestors().take_while(|dir| !dir.exists() && !dir.as_os_str().is_empty()).count();
        fs::create_dir_all(root.join(STAGING)).map_err(|e| failed(&e))?;
        let root = root.canonicalize().map_err(|e| failed(&e))?;
        for dir in root.ancestors().take(missing + 1) {
            File::open(dir).and_then(|dir| dir.sync_all()).map_err(|e| failed(&e))?;
        }
        let lister =
            LocalFileSystem::new_with_prefix(&root).map_err(|e| StorageError::of_object_store("open", &shown, e))?;
        Ok(Self {
            root: root.into(),
            lister,
            next_staged: Arc::default(),
            buffers: Arc::default(),
            #[cfg(test)]
            steps: Arc::default(),
        })
    }

    /// Converts an error. When the staging folder is missing too, the whole store is unavailable (its folder is gone, or
    /// its disk is not mounted): the object is not reported as missing, and nothing may be created there.
    fn failed(&self, operation: &'static str, object: &str, error: &io::Error) -> StorageError {
        if error.kind() == io::ErrorKind::NotFound && !self.staging().is_dir() {
            let what = format!("the store's folder {} is not there", self.root.display());
            return StorageError::Unavailable { operation, object: object.to_owned(), what };
        }
        StorageError::of_io(operation, object, error)
    }

    /// Syncs an open file or directory.
    fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
        file.sync_all().map_err(|e| io::Error::new(e.kind(), format!("sync of {}: {e}", path.display())))?;
        #[cfg(test)]
        self.steps.lock().push(DurableStep::Synced(path.to_path_buf()));
        Ok(())
    }

    /// Renames a staged file to its name and replaces any file of that name.
    fn rename(&self, staged: &Path, target: &Path) -> io::Result<()> {
        fs::rename(staged, target)?;
        #[cfg(test)]
        self.steps.lock().push(DurableStep::Named(target.to_path_buf()));
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn staging(&self) -> PathBuf {
        self.root.join(STAGING)
    }

    fn next_staging_path(&self) -> PathBuf {
        self.staging().join(self.next_staged.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Creates a file outside the namespace.
    fn stage(&self) -> io::Result<(File, PathBuf)> {
        loop {
            let path = self.next_staging_path();
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok((file, path)),
                // Left by an earlier process.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Writes and syncs one object outside the namespace.
    fn write_staged<E>(
        &self,
        failed: impl Fn(io::Error) -> E,
        write: impl FnOnce(&File, &Path) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        let (file, path) = self.stage().map_err(&failed)?;
        match write(&file, &path).and_then(|()| self.sync(&file, &path).map_err(&failed)) {
            Ok(()) => Ok(path),
            Err(e) => {
                let _ = fs::remove_file(&path);
                Err(e)
            }
        }
    }

    /// Writes and syncs one object outside the namespace, waiting for its pace before each part. Blocks; must run on a
    /// blocking thread of the runtime.
    fn write_at_pace(&self, object: &Object) -> Result<PathBuf, StorageError> {
        let runtime = Handle::current();
        let failed = |e: io::Error| self.failed("put", &object.name, &e);
        self.write_staged(failed, |file, path| {
            let wait = |pace: &dyn Pace, bytes| wait_in(&runtime, pace.take(bytes));
            let directly = !object.read_soon && object.size() >= DIRECT_FROM;
            let direct = if directly { Direct::open(&self.buffers, file, path) } else { None };
            let mut writing = direct.map_or_else(|| FileWriter::through_cache(file), FileWriter::Direct);
            in_parts(&object.pace, &object.bytes, wait, |part| writing.write(&part).map_err(failed))?;
            if let Some(rest) = &object.rest {
                let failed = |e: io::Error| self.failed("copy", &rest.name, &e);
                let mut source = File::open(self.path(&rest.name)).map_err(failed)?;
                let mut at = source.seek(SeekFrom::Start(rest.range.start)).map_err(failed)?;
                // A copied byte counts twice: it is read and written.
                let wait = |pace: &dyn Pace, bytes| wait(pace, 2 * bytes);
                spans(&object.pace, rest.range.end - at, wait, |bytes| {
                    at += writing.append(&source, bytes).map_err(failed)?;
                    Ok(())
                })?;
                if at < rest.range.end {
                    return Err(rest.ends_at(at));
                }
            }
            writing.finish().map_err(failed)
        })
    }

    /// Stages a copy. Files never change, so a hard link is enough; a file system without hard links gets a second file.
    fn copy_staged(&self, from: &Path) -> io::Result<PathBuf> {
        loop {
            let path = self.next_staging_path();
            match fs::hard_link(from, &path) {
                Ok(()) => {
                    self.sync(&File::open(&path)?, &path)?;
                    return Ok(path);
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(e),
                Err(_) => {
                    let source = File::open(from)?;
                    return self.write_staged(
                        |e| e,
                        |file, _| {
                            let mut writing = FileWriter::through_cache(file);
                            writing.append(&source, u64::MAX)?;
                            writing.finish()
                        },
                    );
                }
            }
        }
    }

    /// Renames a staged file to its name; returns its new directory.
    fn publish(&self, staged: &Path, name: &str) -> io::Result<PathBuf> {
        let target = self.path(name);
        let dir = target.parent().unwrap_or(&self.root).to_path_buf();
        let mut attempt = 1;
        loop {
            match fs::create_dir_all(&dir).and_then(|()| self.rename(staged, &target)) {
                // A delete removed the folder after it was created or found.
                Err(e)
                    if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists)
                        && attempt < RENAME_ATTEMPTS =>
                {
                    attempt += 1;
                }
                Err(e) => {
                    let _ = fs::remove_file(staged);
                    return Err(e);
                }
                Ok(()) => {
                    // Renaming onto a hard link of the same file does nothing, so a repeated copy leaves the staged name.
                    let _ = fs::remove_file(staged);
                    return Ok(dir);
                }
            }
        }
    }

    /// Syncs directories and all directories above them up to the root, each once.
    async fn sync_dirs(&self, dirs: impl IntoIterator<Item = PathBuf>) -> Result<(), StorageError> {
        let mut all = BTreeSet::new();
        for dir in dirs {
            let below_root = dir.ancestors().take_while(|a| a.starts_with(&self.root));
            all.extend(below_root.map(Path::to_path_buf));
        }
        let syncs = all.into_iter().map(|dir| async move {
            let files = self.clone();
            blocking(move || match File::open(&dir).and_then(|file| files.sync(&file, &dir)) {
                Ok(()) => Ok(()),
                Err(e) => Err(files.failed("sync", &dir.display().to_string(), &e)),
            })
            .await
        });
        stream::iter(syncs).buffer_unordered(SYNC_CONCURRENCY).try_collect().await
    }

    /// Removes the directories above a deleted object that are empty now. A directory that another writer fills meanwhile
    /// can't be removed; a writer that finds its directory gone creates it again.
    fn prune(&self, deleted: &Path) {
        for dir in deleted.ancestors().skip(1).take_while(|dir| **dir != *self.root && dir.starts_with(&self.root)) {
            if fs::remove_dir(dir).is_err() {
                return;
            }
        }
    }
}

#[async_trait]
impl StorageBackend for LocalFiles {
    async fn get(&self, name: &str) -> Result<Bytes, StorageError> {
        let (files, path, name) = (self.clone(), self.path(name), name.to_owned());
        blocking(move || read_file(&path).map(Bytes::from).map_err(|e| files.failed("get", &name, &e))).await
    }

    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, StorageError> {
        let (files, path, name) = (self.clone(), self.path(name), name.to_owned());
        blocking(move || {
            let read = File::open(path).and_then(|mut file| {
                file.seek(SeekFrom::Start(range.start))?;
                match read_on(&file, range.end - range.start)? {
                    bytes if bytes.len() as u64 == range.end - range.start => Ok(Bytes::from(bytes)),
                    bytes => {
                        let what = format!("ends {} bytes after {}", bytes.len(), range.start);
                        Err(io::Error::new(io::ErrorKind::UnexpectedEof, what))
                    }
                }
            });
            read.map_err(|e| files.failed("get", &name, &e))
        })
        .await
    }

    async fn size(&self, name: &str) -> Result<u64, StorageError> {
        let (files, path, name) = (self.clone(), self.path(name), name.to_owned());
        blocking(move || fs::metadata(path).map(|m| m.len()).map_err(|e| files.failed("size", &name, &e))).await
    }

    async fn put(&self, objects: &[Object]) -> Result<(), StorageError> {
        let writes = objects.iter().cloned().map(|object| {
            let files = self.clone();
            async move { blocking(move || Ok::<_, StorageError>((files.write_at_pace(&object)?, object.name))).await }
        });
        let mut writes = stream::iter(writes).buffer_unordered(SYNC_CONCURRENCY);
        let mut staged = Vec::with_capacity(objects.len());
        let mut failure = None;
        // Continues after a failure, so that every staged file is known and can be removed.
        while let Some(written) = writes.next().await {
            match written {
                Ok(file) => staged.push(file),
                Err(e) => failure = Some(e),
            }
        }
        drop(writes);
        let files = self.clone();
        let dirs = blocking(move || {
            if let Some(failure) = failure {
                staged.iter().for_each(|(path, _)| drop(fs::remove_file(path)));
                return Err(failure);
            }
            let mut dirs = BTreeSet::new();
            for (path, name) in &staged {
                dirs.insert(files.publish(path, name).map_err(|e| files.failed("put", name, &e))?);
            }
            Ok(dirs)
        })
        .await?;
        self.sync_dirs(dirs).await
    }

    fn batch(&self) -> usize {
        BATCH
    }

    async fn swap(&self, name: &str, expected: Option<Bytes>, next: Bytes) -> Result<Swapped, StorageError> {
        let (files, name) = (self.clone(), name.to_owned());
        blocking(move || {
            let failed = |e: io::Error| files.failed("swap", &name, &e);
            // Locks the folder itself: no lock file is left behind, and closing the descriptor releases it.
            let root = File::open(&files.root).map_err(failed)?;
            if let Err(error) = root.lock() {
                tracing::warn!(%error, folder = %files.root.display(), "the folder can't be locked: two servers that start at the same instant are told apart by reading its mark again only");
            }
            let found = match read_file(&files.path(&name)) {
                Ok(bytes) => Some(Bytes::from(bytes)),
                Err(e) if e.kind() == io::ErrorKind::NotFound => None,
                Err(e) => return Err(failed(e)),
            };
            if found != expected {
                return Ok(Swapped::Instead(found));
            }
            let staged = files.write_staged(failed, |mut file, _| file.write_all(&next).map_err(failed))?;
            files.publish(&staged, &name).map_err(failed)?;
            files.sync(&root, &files.root).map_err(failed)?;
            Ok(Swapped::Done)
        })
        .await
    }

    async fn copy(&self, from: &str, to: &str) -> Result<(), StorageError> {
        let (files, from, to) = (self.clone(), from.to_owned(), to.to_owned());
        let dir = blocking(move || {
            let staged = files.copy_staged(&files.path(&from));
            let published = staged.and_then(|staged| files.publish(&staged, &to));
            published.map_err(|e| files.failed("copy", &from, &e))
        })
        .await?;
        self.sync_dirs([dir]).await
    }

    async fn delete(&self, name: &str) -> Result<(), StorageError> {
        let (files, name) = (self.clone(), name.to_owned());
        blocking(move || {
            let path = files.path(&name);
            match fs::remove_file(&path) {
                Ok(()) => files.prune(&path),
                // An absent object counts as deleted, but only if the store itself is there.
                Err(e) if e.kind() == io::ErrorKind::NotFound && files.staging().is_dir() => {}
                Err(e) => return Err(files.failed("delete", &name, &e)),
            }
            Ok(())
        })
        .await
    }

    fn list(&self, prefix: &str) -> BoxStream<'static, Result<Listed, StorageError>> {
        let failing = prefix.to_owned();
        self.lister
            .list(Some(&object_store::path::Path::from(prefix)))
            .map_err(move |e| StorageError::of_object_store("list", &failing, e))
            .try_filter_map(|meta| async move {
                let listed = Listed {
                    name: meta.location.to_string(),
                    bytes: meta.size,
                    modified_ms: u64::try_from(meta.last_modified.timestamp_millis()).unwrap_or(0),
                };
                Ok((!listed.name.starts_with(STAGING)).then_some(listed))
            })
            .boxed()
    }

    async fn clear_staging(&self) -> Result<u64, StorageError> {
        let dir = self.staging();
        blocking(move || {
            let failed = |e: io::Error| StorageError::of_io("clear", STAGING, &e);
            let mut removed = 0;
            for entry in fs::read_dir(dir).map_err(failed)? {
                fs::remove_file(entry.map_err(failed)?.path()).map_err(failed)?;
                removed += 1;
            }
            Ok(removed)
        })
        .await
    }
}
