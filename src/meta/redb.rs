//! The store of standalone mode: one redb file, locked for this process.
//!
//! Writes go through one thread that takes whatever is queued, evaluates and applies each transaction in order, and
//! makes them durable with one commit: many small transactions cost one fsync. A transaction sees those before it in
//! the same group, and nobody is answered before the group is durable. Reads use snapshots and never wait for a
//! write. Nothing here knows what a key means.

use std::{ops::Bound, path::Path, sync::Arc, thread::JoinHandle};

use ::redb::{
    Builder, CommitError, Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, SetDurabilityError,
    StorageError, Table, TableDefinition, TableError, TransactionError,
};
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::{MetaError, MetaStore, Op, See, Span, Txn, prefix_end};
use crate::error::ErrorKind;

/// Keys are compared as bytes, which for UTF-8 is the order of strings.
const TABLE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("kv");
/// File name below the data directory.
pub const FILE_NAME: &str = "meta.redb";
/// Pages kept in memory. The catalog reads everything once at start and afterwards mostly writes, so a large cache
/// would only compete with merging.
const CACHE_BYTES: usize = 64 << 20;
/// Transactions waiting for the writer; more callers wait for a place.
const QUEUE: usize = 4096;
/// Transactions of one group, so that the first of many is not kept waiting for all of them.
const MAX_GROUP: usize = 1024;

struct Request {
    txn: Txn,
    answer: oneshot::Sender<Result<(), MetaError>>,
}

/// A redb file. Dropping it finishes the queued transactions and releases the file.
#[derive(Debug)]
pub struct RedbStore {
    database: Arc<Database>,
    queue: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

impl RedbStore {
    /// Opens or creates `<data_dir>/meta.redb`, creating the directory if needed. `InUse` if another process has it;
    /// a file that a crash left behind is repaired.
    pub fn open(data_dir: &Path) -> Result<Self, MetaError> {
        let file = data_dir.join(FILE_NAME);
        std::fs::create_dir_all(data_dir).map_err(|e| open_error(&file, DatabaseError::Storage(e.into())))?;
        let database = builder().create(&file).map_err(|e| open_error(&file, e))?;
        // The entry of a new file in its directory has to be durable too, or the file is gone after a power cut.
        std::fs::File::open(data_dir)
            .and_then(|dir| dir.sync_all())
            .map_err(|e| open_error(&file, DatabaseError::Storage(e.into())))?;
        Self::start(database)
    }

    /// A store over something that can crash on purpose.
    #[cfg(test)]
    pub(crate) fn open_backend(backend: impl ::redb::StorageBackend) -> Result<Self, MetaError> {
        let database = builder().create_with_backend(backend).map_err(|e| open_error(Path::new("(backend)"), e))?;
        Self::start(database)
    }

    fn start(database: Database) -> Result<Self, MetaError> {
        let database = Arc::new(database);
        ensure_table(&database)?;
        let (queue, requests) = mpsc::channel(QUEUE);
        let writer = std::thread::Builder::new()
            .name("meta-writer".to_owned())
            .spawn({
                let database = database.clone();
                move || write_loop(&database, requests)
            })
            .map_err(|e| store_error("start the writer", &StorageError::Io(e)))?;
        Ok(Self { database, queue: Some(queue), writer: Some(writer) })
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        // Closing the queue ends the writer once it has finished what is queued.
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
        let (database, key) = (self.database.clone(), key.to_owned());
        off_thread(move || read_one(&database, &key)).await
    }

    async fn commit(&self, txn: Txn) -> Result<(), MetaError> {
        let (answer, answered) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or(MetaError::Closed)?;
        queue.send(Request { txn, answer }).await.map_err(|_| MetaError::Closed)?;
        answered.await.map_err(|_| MetaError::Closed)?
    }

    fn get_blocking(&self, key: &str) -> Result<Option<Bytes>, MetaError> {
        read_one(&self.database, key)
    }

    fn scan_blocking(&self, span: &Span, see: &mut See<'_>) -> Result<(), MetaError> {
        scan(&self.database, span, see)
    }

    fn max_operations(&self) -> usize {
        usize::MAX
    }
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES).set_repair_callback(|session| {
        tracing::info!(progress = session.progress(), "the metadata file was not closed: repairing it");
    });
    builder
}

/// Runs a read where it may wait for the disk.
async fn off_thread<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, MetaError> + Send + 'static,
) -> Result<T, MetaError> {
    tokio::task::spawn_blocking(read).await.map_err(|e| MetaError::Store {
        action: "read",
        reason: e.to_string(),
        kind: ErrorKind::Internal,
    })?
}

fn read_one(database: &Database, key: &str) -> Result<Option<Bytes>, MetaError> {
    let read = || -> Result<_, Failure> {
        let table = database.begin_read()?.open_table(TABLE)?;
        Ok(table.get(key.as_bytes())?.map(|value| Bytes::copy_from_slice(value.value())))
    };
    read().map_err(|e| e.doing("read"))
}

fn scan(database: &Database, span: &Span, see: &mut See<'_>) -> Result<(), MetaError> {
    let Some((from, end)) = span.bounds() else { return Ok(()) };
    let bounds = (Bound::Included(from.as_bytes()), end.as_deref().map_or(Bound::Unbounded, Bound::Excluded));
    let pairs = || -> Result<_, Failure> { Ok(database.begin_read()?.open_table(TABLE)?.range::<&[u8]>(bounds)?) };
    for pair in pairs().map_err(|e| e.doing("read"))? {
        let (key, value) = pair.map_err(|e| store_error("read", &e))?;
        let key = std::str::from_utf8(key.value()).map_err(|_| MetaError::Corrupt {
            key: String::from_utf8_lossy(key.value()).into_owned(),
            reason: "the key is not UTF-8".to_owned(),
        })?;
        see(key, value.value())?;
    }
    Ok(())
}

fn ensure_table(database: &Database) -> Result<(), MetaError> {
    let ensure = || -> Result<(), Failure> {
        match database.begin_read()?.open_table(TABLE) {
            Err(TableError::TableDoesNotExist(_)) => {
                let write = begin(database)?;
                write.open_table(TABLE)?;
                Ok(write.commit()?)
            }
            other => other.map(|_| ()).map_err(Failure::from),
        }
    };
    ensure().map_err(|e| e.doing("create its table"))
}

fn begin(database: &Database) -> Result<::redb::WriteTransaction, Failure> {
    let mut write = database.begin_write()?;
    write.set_durability(Durability::Immediate)?;
    // Saves the state of the page allocator with every commit. Measured at 2 M segments (2.7 GB): a commit takes 1.3 ms
    // instead of 0.8 ms, and the first open after a crash 45 ms instead of the 8 s of reading the whole file.
    write.set_quick_repair(true);
    Ok(write)
}

fn write_loop(database: &Database, mut requests: mpsc::Receiver<Request>) {
    let mut group = Vec::new();
    while requests.blocking_recv_many(&mut group, MAX_GROUP) > 0 {
        let (txns, answers): (Vec<Txn>, Vec<_>) = group.drain(..).map(|r| (r.txn, r.answer)).unzip();
        let results = match write_group(database, txns) {
            Ok(results) => results,
            Err(failure) => {
                let error = failure.doing("commit");
                tracing::error!(%error, transactions = answers.len(), "metadata commit failed");
                answers.iter().map(|_| Err(error.clone())).collect()
            }
        };
        for (answer, result) in answers.into_iter().zip(results) {
            // A caller that has gone away does not want to know.
            let _ = answer.send(result);
        }
    }
}

/// Applies the transactions whose guards hold. Any failure of the store undoes the whole group.
fn write_group(database: &Database, txns: Vec<Txn>) -> Result<Vec<Result<(), MetaError>>, Failure> {
    let write = begin(database)?;
    let mut results = Vec::with_capacity(txns.len());
    let mut table = write.open_table(TABLE)?;
    for txn in txns {
        results.push(match failed_guard(&table, &txn)? {
            Some(key) => Err(MetaError::Conflict { key }),
            None => {
                apply(&mut table, &txn.ops)?;
                Ok(())
            }
        });
    }
    drop(table);
    if results.iter().any(Result::is_ok) {
        write.commit()?;
    } else {
        write.abort()?;
    }
    Ok(results)
}

fn failed_guard(table: &Table<'_, &[u8], &[u8]>, txn: &Txn) -> Result<Option<String>, Failure> {
    for guard in &txn.guards {
        let stored = table.get(guard.key.as_bytes())?;
        if !guard.expected.holds(stored.as_ref().map(|value| value.value())) {
            return Ok(Some(guard.key.clone()));
        }
    }
    Ok(None)
}

fn apply(table: &mut Table<'_, &[u8], &[u8]>, ops: &[Op]) -> Result<(), Failure> {
    for op in ops {
        match op {
            Op::Put { key, value } => {
                table.insert(key.as_bytes(), value.as_ref())?;
            }
            Op::Delete { key } => {
                table.remove(key.as_bytes())?;
            }
            Op::DeletePrefix { prefix } => {
                let end = prefix_end(prefix.as_bytes());
                let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
                table.retain_in::<&[u8], _>((Bound::Included(prefix.as_bytes()), end), |_, _| false)?;
            }
        }
    }
    Ok(())
}

/// The error types of redb, which differ by call, as one.
#[derive(Debug)]
enum Failure {
    Storage(StorageError),
    Other(String),
}

impl Failure {
    fn doing(self, action: &'static str) -> MetaError {
        match self {
            Self::Storage(error) => store_error(action, &error),
            Self::Other(reason) => MetaError::Store { action, reason, kind: ErrorKind::Internal },
        }
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<TransactionError> for Failure {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::Storage(error) => Self::Storage(error),
            other => Self::Other(other.to_string()),
        }
    }
}

impl From<TableError> for Failure {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Storage(error) => Self::Storage(error),
            other => Self::Other(other.to_string()),
        }
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Storage(error) => Self::Storage(error),
            other => Self::Other(other.to_string()),
        }
    }
}

impl From<SetDurabilityError> for Failure {
    fn from(error: SetDurabilityError) -> Self {
        Self::Other(error.to_string())
    }
}

fn storage_kind(error: &StorageError) -> ErrorKind {
    match error {
        StorageError::Corrupted(_) => ErrorKind::Corrupt,
        StorageError::Io(e) if matches!(e.kind(), std::io::ErrorKind::StorageFull) => ErrorKind::Exhausted,
        StorageError::Io(_) | StorageError::PreviousIo => ErrorKind::Transient,
        _ => ErrorKind::Internal,
    }
}

fn store_error(action: &'static str, error: &StorageError) -> MetaError {
    MetaError::Store { action, reason: error.to_string(), kind: storage_kind(error) }
}

fn open_error(file: &Path, error: DatabaseError) -> MetaError {
    let file = file.display().to_string();
    match error {
        DatabaseError::DatabaseAlreadyOpen => MetaError::InUse { file },
        DatabaseError::Storage(error) => {
            MetaError::Open { file, reason: error.to_string(), kind: storage_kind(&error) }
        }
        other => MetaError::Open { file, reason: other.to_string(), kind: ErrorKind::Precondition },
    }
}

#[cfg(test)]
mod tests;
