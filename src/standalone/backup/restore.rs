//! A data directory and a store made from the parts of a backup. A server that starts over them has the rows of the
//! backup's moment, and is another one than the server that was backed up: its catalog, its log and its store have names of
//! their own, so neither takes the other's for its own.
//!
//! Must never write into a data directory or a store that holds anything, and never leave a data directory that looks
//! whole and is not: catalog and log get their places last, after the store has the new mark.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures::StreamExt as _;

use super::super::start::WAL_FOLDER;
use crate::{
    config::Config,
    error::{Classify, ErrorKind},
    ids,
    ingest::RestoredLog,
    meta::{MetaError, RestoredCatalog, redb::FILE_NAME},
    model::{Lsn, Mark},
    storage::{LogPath, SegmentStore, StorageError, Swapped},
};

/// Why a backup was not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("{folder} is not empty: a backup is restored into a data directory of its own (--data-dir)")]
    NotEmpty { folder: PathBuf },
    #[error(
        "{place} has {found} already: a backup is restored into a store of its own (localStorage.path, minio.bucketName, \
         minio.rootPath)"
    )]
    StoreInUse { place: String, found: String },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Meta(#[from] MetaError),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Classify for RestoreError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotEmpty { .. } | Self::StoreInUse { .. } => ErrorKind::Precondition,
            Self::Io { .. } => ErrorKind::Transient,
            Self::Meta(error) => error.kind(),
            Self::Storage(error) => error.kind(),
        }
    }
}

/// Folder of the catalog and the log until they are complete.
const UNFINISHED: &str = "restoring";

/// A restore under way.
#[derive(Debug)]
pub struct RestoredStore {
    folder: PathBuf,
    mark: Mark,
    catalog: RestoredCatalog,
    log: RestoredLog,
    /// None: the objects are in another store already, whose owner the new server has to take over.
    store: Option<SegmentStore>,
}

impl RestoredStore {
    /// Begins in the data directory and the store of the settings. `with_objects`: the backup has the objects.
    ///
    /// # Errors
    /// `NotEmpty`, `StoreInUse`; failures of the disk and of the store.
    pub async fn begin(config: &Config, with_objects: bool) -> Result<Self, RestoreError> {
        let folder = config.server.data_dir.clone();
        require_empty(&folder)?;
        let mark = Mark { catalog: ids::unique_name(), epoch: 0, run: ids::unique_name(), turn: 0 };
        let store = if with_objects { Some(claimed_store(config, mark).await?) } else { None };
        let unfinished = folder.join(UNFINISHED);
        fs::create_dir_all(&unfinished).map_err(failed(&unfinished))?;
        let wal = unfinished.join(WAL_FOLDER);
        let log = RestoredLog::create(wal.clone()).map_err(failed(&wal))?;
        Ok(Self { catalog: RestoredCatalog::create(&unfinished).await?, folder, mark, log, store })
    }

    /// Adds whole records of the catalog from the front of `bytes`. Returns the bytes that they took.
    pub async fn add_records(&self, bytes: &Bytes) -> Result<usize, RestoreError> {
        Ok(self.catalog.add(bytes).await?)
    }

    /// Adds the next file of the log. Blocks.
    pub fn add_log(&mut self, first: Lsn, bytes: impl io::Read) -> Result<(), RestoreError> {
        self.log.add(first, bytes).map_err(failed(&self.folder.join(UNFINISHED)))
    }

    /// Writes an object; without a store it is there already.
    pub async fn add_object(&self, path: &LogPath, bytes: Bytes) -> Result<(), RestoreError> {
        if let Some(store) = &self.store {
            store.put(path, bytes).await?;
        }
        Ok(())
    }

    /// Makes the data directory one that a server can start over.
    pub async fn finish(self) -> Result<(), RestoreError> {
        let Self { folder, mark, catalog, log, .. } = self;
        let unfinished = folder.join(UNFINISHED);
        let noted = log.finish(mark.catalog).map_err(failed(&unfinished))?;
        catalog.finish(mark, &noted).await?;
        // The catalog last: without it a start finds a store that another one has taken, and is refused.
        for name in [WAL_FOLDER, FILE_NAME] {
            let to = folder.join(name);
            fs::rename(unfinished.join(name), &to).map_err(failed(&to))?;
        }
        fs::remove_dir(&unfinished).map_err(failed(&unfinished))?;
        fs::File::open(&folder).and_then(|folder| folder.sync_all()).map_err(failed(&folder))
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> RestoreError + use<> {
    let path = path.to_owned();
    move |source| RestoreError::Io { path, source }
}

fn require_empty(folder: &Path) -> Result<(), RestoreError> {
    match fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(RestoreError::NotEmpty { folder: folder.to_owned() }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(RestoreError::Io { path: folder.to_owned(), source }),
    }
}

/// The store, if it is empty, with the mark of the server to be. From now on no other one starts over it.
async fn claimed_store(config: &Config, mark: Mark) -> Result<SegmentStore, RestoreError> {
    let store = SegmentStore::open(&config.storage, &config.server.data_dir)?;
    if store.mark_or_make().await?.is_some() {
        return Err(in_use(&store, "the mark of a server"));
    }
    if let Some(found) = store.list("").next().await {
        return Err(in_use(&store, &format!("object {}", found?.path)));
    }
    let text = Bytes::from(mark.to_string());
    match store.swap_mark(None, text.clone()).await? {
        Swapped::Done => Ok(store),
        // An attempt succeeded whose answer was lost.
        Swapped::Instead(Some(found)) if found == text => Ok(store),
        Swapped::Instead(_) => Err(in_use(&store, "the mark of a server")),
    }
}

fn in_use(store: &SegmentStore, found: &str) -> RestoreError {
    RestoreError::StoreInUse { place: store.place().to_owned(), found: found.to_owned() }
}
