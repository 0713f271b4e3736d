//! The store of standalone mode: one redb file, locked for this process.
//!
//! Writes go through one thread that takes all queued transactions, evaluates and applies each in order, and makes them
//! durable with one commit: many small transactions cost one fsync. A transaction sees those before it in the same
//! group, and no caller is answered before the group is durable. Reads use snapshots and never wait for a write.
//! Nothing here knows what a key means.
//!
//! | file | job |
//! |---|---|
//! | `file.rs` | opens or makes the file, calls the library |
//! | `read.rs` | values, pages and tallies from a snapshot |
//! | `write.rs` | the writer thread |
//! | `frame.rs` | how pairs lie in the file, with their checksums |
//! | `damage.rs` | turns panics over a damaged file into errors |
//! | `error.rs` | errors of the library |
//!
//! A damaged file is refused by name when it is opened, or by the read that meets the damage: values have checksums and
//! classes of keys have tallies, small files are checked whole when they are opened, and a panic of the library is an
//! error. Must never: serve fewer records than were written, or make a new catalog out of a file that is there.

mod damage;
mod error;
mod file;
mod frame;
mod read;
mod write;

use std::{fs, io, path::Path, sync::Arc, thread::JoinHandle};

use ::redb::{DatabaseError, ReadableDatabase, StorageError};
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

pub use self::file::CACHE_BYTES;
use self::{
    error::{RedbFailure, open_error},
    file::{File, create},
    read::{FileSnapshot, check_small_classes, incomplete, read_one, read_tallies, scan},
    write::{WriteRequest, move_unchecked, write_loop},
};
use super::{MetaError, MetaSnapshot, MetaStore, Page, PageLimit, Span, Tally, Txn};
use crate::background::blocking;

/// File name below the data directory.
pub const FILE_NAME: &str = "meta.redb";
/// Transactions waiting for the writer; more callers wait for a place.
const QUEUE: usize = 4096;
/// Files up to this size are checked page by page when they are opened, which takes a tenth of a second. Of larger ones
/// only the pages that are read are checked: the loader reads nearly every record that has no other proof.
const CHECKED_BYTES: u64 = 64 << 20;

/// A redb file. Dropping it finishes the queued transactions and releases the file.
#[derive(Debug)]
pub struct RedbStore {
    file: Arc<File>,
    queue: Option<mpsc::Sender<WriteRequest>>,
    writer: Option<JoinHandle<()>>,
}

impl RedbStore {
    /// Opens or creates `<data_dir>/meta.redb`, creating the directory if needed. Repairs a file that a crash left behind,
    /// and brings one of an older release up to date.
    ///
    /// # Errors
    /// `InUse` if another process has it, `Damaged` if its bytes are not those that were written.
    pub fn open(data_dir: &Path) -> Result<Self, MetaError> {
        Self::open_with_cache(data_dir, CACHE_BYTES)
    }

    /// The same with at most `cache_bytes` of the file in memory.
    pub fn open_with_cache(data_dir: &Path, cache_bytes: u64) -> Result<Self, MetaError> {
        let path = data_dir.join(FILE_NAME);
        let failed = |e: io::Error| open_error(&path.display().to_string(), DatabaseError::Storage(e.into()));
        fs::create_dir_all(data_dir).map_err(failed)?;
        if !path.try_exists().map_err(failed)? {
            create(&path)?;
        }
        // The entry of a new file in its directory has to be durable too, or the file is gone after a power cut.
        fs::File::open(data_dir).and_then(|dir| dir.sync_all()).map_err(failed)?;
        let bytes = fs::metadata(&path).map_err(failed)?.len();
        Self::start(File::open(&path, cache_bytes)?, bytes <= CHECKED_BYTES)
    }

    /// A store over something that can crash on purpose.
    #[cfg(test)]
    pub(crate) fn open_backend(backend: impl ::redb::StorageBackend) -> Result<Self, MetaError> {
        let is_new = backend.len().is_ok_and(|len| len == 0);
        let database = file::builder(CACHE_BYTES).create_with_backend(backend);
        let database = database.map_err(|e| open_error("(backend)", e))?;
        let file = File { name: "(backend)".to_owned(), database: Some(database) };
        if is_new {
            file.call("create its tables", file::create_tables)?;
        }
        Self::start(file, false)
    }

    fn start(mut file: File, whole: bool) -> Result<Self, MetaError> {
        if whole {
            file.check_pages()?;
        }
        let tallies = file.call("look at its tables", |database| match read_tallies(&database.begin_read()?) {
            Err(RedbFailure::Unchecked) => move_unchecked(database),
            other => other,
        })?;
        file.call("read", |database| check_small_classes(database, &tallies))?;
        let file = Arc::new(file);
        let (queue, requests) = mpsc::channel(QUEUE);
        let writer = std::thread::Builder::new()
            .name("meta-writer".to_owned())
            .spawn({
                let file = file.clone();
                move || write_loop(&file, tallies, requests)
            })
            .map_err(|e| file.error("start the writer", RedbFailure::Storage(StorageError::Io(e))))?;
        Ok(Self { file, queue: Some(queue), writer: Some(writer) })
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        // Closing the queue ends the writer once it has finished the queued transactions.
        self.queue = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the metadata writer had panicked");
        }
    }
}

#[async_trait]
impl MetaStore for RedbStore {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, MetaError> {
        let (file, key) = (self.file.clone(), key.to_owned());
        blocking(move || read_one(&file, &key)).await
    }

    async fn commit(&self, txn: Txn) -> Result<(), MetaError> {
        txn.check(self.max_operations())?;
        let (answer, answered) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or(MetaError::Closed)?;
        queue.send(WriteRequest { txn, answer }).await.map_err(|_| MetaError::Closed)?;
        answered.await.map_err(|_| MetaError::Closed)?
    }

    async fn scan(&self, span: &Span, limit: PageLimit) -> Result<Page, MetaError> {
        let (file, span) = (self.file.clone(), span.clone());
        blocking(move || scan(&file, &span, limit)).await
    }

    async fn snapshot(&self) -> Result<Arc<dyn MetaSnapshot>, MetaError> {
        let file = self.file.clone();
        let taken = blocking(move || FileSnapshot::take(file)).await?;
        Ok(Arc::new(Arc::new(taken)))
    }

    async fn tally(&self, class: &str) -> Result<Option<Tally>, MetaError> {
        let (file, class) = (self.file.clone(), class.to_owned());
        let read = move || file.call("read", |database| Ok(read_tallies(&database.begin_read()?)?.of_class(&class)));
        blocking(read).await.map(Some)
    }

    fn incomplete(&self, class: &str, expected: Tally, found: Tally) -> MetaError {
        self.file.error("read", RedbFailure::Damaged(incomplete(class, expected, found)))
    }

    fn max_operations(&self) -> usize {
        usize::MAX
    }
}

#[async_trait]
impl MetaSnapshot for Arc<FileSnapshot> {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, MetaError> {
        let (snapshot, key) = (Self::clone(self), key.to_owned());
        blocking(move || FileSnapshot::get(&snapshot, &key)).await
    }

    async fn scan(&self, span: &Span, limit: PageLimit) -> Result<Page, MetaError> {
        let (snapshot, span) = (Self::clone(self), span.clone());
        blocking(move || FileSnapshot::scan(&snapshot, &span, limit)).await
    }
}

#[cfg(test)]
mod tests;
