//! The file: opening it, making a new one, and calling the library over it.
//!
//! Must never take a file that is there for a new one, and never let a panic of the library end the process.

use std::{fs, io, path::Path};

use ::redb::{Builder, Database, DatabaseError, Durability, StorageError, WriteTransaction};

use super::{
    damage::{self, caught},
    error::{RedbFailure, open_error, storage_kind},
    frame::{ALL_TALLIES, PAIRS, TALLIES, Tallies},
};
use crate::{error::ErrorKind, meta::MetaError};

/// Pages kept in memory unless a caller says otherwise. The catalog reads everything once at start and afterwards mostly
/// writes, so a large cache would only compete with merging.
pub const CACHE_BYTES: u64 = 64 << 20;

/// An open database with its name. All calls of the library go through [`File::call`].
#[derive(Debug)]
pub(super) struct File {
    pub(super) name: String,
    /// There until this is dropped.
    pub(super) database: Option<Database>,
}

impl File {
    pub(super) fn open(path: &Path, cache_bytes: u64) -> Result<Self, MetaError> {
        let name = path.display().to_string();
        let damaged = |reason| MetaError::Damaged { file: name.clone(), reason };
        let older = damage::takes_back(path).map_err(|e| open_error(&name, DatabaseError::Storage(e.into())))?;
        if let Some(reason) = older {
            return Err(damaged(reason));
        }
        let opened = caught(|| builder(cache_bytes).open(path)).map_err(damaged)?;
        let database = opened.map_err(|e| open_error(&name, e))?;
        Ok(Self { name, database: Some(database) })
    }

    /// Compares every page with its checksum, and the list of free pages with the pages in use.
    pub(super) fn check_pages(&mut self) -> Result<(), MetaError> {
        let Some(database) = &mut self.database else { return Ok(()) };
        match caught(|| database.check_integrity()) {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => {
                tracing::warn!(file = self.name, "the metadata file did not know which pages are free: found out anew");
                Ok(())
            }
            Ok(Err(error)) => Err(open_error(&self.name, error)),
            Err(reason) => Err(self.error("check", RedbFailure::Damaged(reason))),
        }
    }

    pub(super) fn call<T>(
        &self,
        action: &'static str,
        call: impl FnOnce(&Database) -> Result<T, RedbFailure>,
    ) -> Result<T, MetaError> {
        let database = self.database.as_ref().ok_or(MetaError::Closed)?;
        let outcome = caught(|| call(database)).unwrap_or_else(|reason| Err(RedbFailure::Damaged(reason)));
        outcome.map_err(|failure| self.error(action, failure))
    }

    pub(super) fn error(&self, action: &'static str, failure: RedbFailure) -> MetaError {
        let damaged = |reason| MetaError::Damaged { file: self.name.clone(), reason };
        match failure {
            RedbFailure::Damaged(reason) => damaged(reason),
            RedbFailure::Storage(error @ StorageError::Corrupted(_)) => damaged(error.to_string()),
            RedbFailure::Storage(error) => {
                MetaError::Store { action, reason: error.to_string(), kind: storage_kind(&error) }
            }
            RedbFailure::Unchecked => damaged("it has records without checksums".to_owned()),
            RedbFailure::Other(reason) => MetaError::Store { action, reason, kind: ErrorKind::Internal },
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // It writes when it is closed.
        let database = self.database.take();
        if let Err(reason) = caught(|| drop(database)) {
            tracing::error!(file = self.name, reason, "the metadata file could not be closed");
        }
    }
}

/// Makes a new file with empty tables. The file gets its name when it is complete: a file with the name and without
/// tables is damaged, and is never taken for a new one.
pub(super) fn create(path: &Path) -> Result<(), MetaError> {
    let name = path.display().to_string();
    let failed = |e: io::Error| open_error(&name, DatabaseError::Storage(e.into()));
    let new = path.with_extension("new");
    let make = || {
        caught(|| builder(CACHE_BYTES).create(&new)).map_err(|reason| MetaError::Damaged { file: name.clone(), reason })
    };
    let database = match make()? {
        Err(DatabaseError::DatabaseAlreadyOpen) => return Err(MetaError::InUse { file: name }),
        // A process was ended while it made the file, and left this.
        Err(_) if new.exists() => {
            fs::remove_file(&new).map_err(failed)?;
            make()?.map_err(|e| open_error(&name, e))?
        }
        made => made.map_err(|e| open_error(&name, e))?,
    };
    let file = File { name: name.clone(), database: Some(database) };
    file.call("create its tables", create_tables)?;
    drop(file);
    // A link replaces no file: of two processes the second one finds the file of the first.
    match fs::hard_link(&new, path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        // A file system without links.
        Err(_) => return fs::rename(&new, path).map_err(failed),
        Ok(()) => {}
    }
    fs::remove_file(&new).map_err(failed)
}

pub(super) fn builder(cache_bytes: u64) -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(usize::try_from(cache_bytes).unwrap_or(usize::MAX)).set_repair_callback(|session| {
        tracing::info!(progress = session.progress(), "the metadata file was not closed: repairing it");
    });
    builder
}

pub(super) fn create_tables(database: &Database) -> Result<(), RedbFailure> {
    let write = begin(database)?;
    write.open_table(PAIRS)?;
    write.open_table(TALLIES)?.insert(ALL_TALLIES, Tallies::default().encode().as_slice())?;
    Ok(write.commit()?)
}

/// A transaction that is durable when its commit returns.
pub(super) fn begin(database: &Database) -> Result<WriteTransaction, RedbFailure> {
    let mut write = database.begin_write()?;
    write.set_durability(Durability::Immediate)?;
    // Saves the state of the page allocator with every commit. Measured at 2 M segments (2.7 GB): a commit takes 1.3 ms
    // instead of 0.8 ms, and the first open after a crash 45 ms instead of the 8 s of reading the whole file.
    write.set_quick_repair(true);
    Ok(write)
}
