//! Start and stop of the whole process: the DataCoord, and around it names, the write path and reads.
//!
//! Serves nothing before everything that was acknowledged is back (P3, P7).

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use rayon::prelude::*;
use tracing::{info, warn};

use super::{
    Standalone, StandaloneError,
    admission::Queries,
    directory::{Settled, settle},
    names::Names,
    write_path::{CatalogSink, LocalWritePath, TimedWriter},
};
use crate::{
    access::Accounts,
    background::cores,
    config::{BinlogConfig, Config},
    coordinator::{CoordinatorError, Loaded, Parts},
    fault::{self, Point},
    ingest::{
        self, DiskFiles, FlushSink, Ingest, IngestParts, KnownLog, RecoveredCatalog, RecoveredCollection, StoreWriter,
        WalFiles,
    },
    model::{CollectionId, Database, Lsn, collection::DEFAULT_DATABASE},
};

/// Folder of the log below the data directory.
pub(super) const WAL_FOLDER: &str = "wal";

impl Standalone {
    /// Loads, replays and starts. Nothing is lost if it is interrupted at any point.
    ///
    /// # Errors
    /// A store that can't be read, a log that is damaged before its end, an epoch that another process took.
    pub async fn start(parts: Parts) -> Result<Arc<Self>, StandaloneError> {
        let files = DiskFiles::new(wal_dir(&parts.config));
        Self::start_with_log(parts, Box::new(files)).await
    }

    /// [`Self::start`] over a log whose files are written in another way, see [`Ingest::open_log`].
    ///
    /// # Errors
    /// Those of [`Self::start`].
    pub async fn start_with_log(parts: Parts, files: Box<dyn WalFiles>) -> Result<Arc<Self>, StandaloneError> {
        let mut loaded = Loaded::open(parts).await?;
        settle_names(&mut loaded).await?;
        let (config, clock, metrics) =
            (Arc::clone(&loaded.config), Arc::clone(&loaded.clock), Arc::clone(&loaded.metrics));
        let (known, noted) = (known(&loaded), loaded.log);
        let names = Arc::new(Names::of(&loaded.contents.databases, &loaded.contents.collections));
        let has_default = loaded.contents.databases.iter().any(|d| d.name == DEFAULT_DATABASE);
        let access = (std::mem::take(&mut loaded.contents.users), std::mem::take(&mut loaded.contents.roles));
        let prepared = loaded.prepare().await?;
        let (ids, tso) = (Arc::clone(prepared.core.ids()), Arc::clone(prepared.core.tso()));
        if !has_default {
            let database = Database { name: DEFAULT_DATABASE.to_owned(), created_at: tso.next().await? };
            let (names, stored) = (Arc::clone(&names), database.clone());
            let fold = move |_: &_| names.change(|names| names.put_database(database));
            prepared
                .core
                .redefine(
                    (),
                    |txn| {
                        txn.put_database(&stored);
                    },
                    fold,
                )
                .await?;
        }
        let sink: Arc<dyn FlushSink> = Arc::new(CatalogSink(Arc::clone(&prepared.core)));
        let writer = StoreWriter {
            store: prepared.core.store().clone(),
            config: flush_binlogs(&config),
            ids: Arc::clone(&ids),
            clock: Arc::clone(&clock),
        };
        let parts = IngestParts {
            config: config.ingest.clone(),
            wal_dir: wal_dir(&config),
            ids: Arc::clone(&ids),
            tso: Arc::clone(&tso),
            clock: Arc::clone(&clock),
            writer: Arc::new(TimedWriter { writer, metrics: Arc::clone(&metrics) }),
            sink,
            known,
        };
        let (ingest, report) = Ingest::open_log(files, parts).await?;
        fault::reached(Point::StartLogOpened);
        if noted != Some(report.log) {
            // Before the first write is acknowledged: only this log will have it.
            prepared
                .core
                .redefine(
                    (),
                    |txn| {
                        txn.put_write_ahead_log(&report.log);
                    },
                    |_| (),
                )
                .await?;
        }
        info!(
            frames = report.frames,
            bytes = report.log_bytes,
            rows = report.rows,
            skipped = report.skipped_rows,
            waiting_deletes = report.pending_deletes,
            "write-ahead log replayed"
        );
        let coordinator = prepared.start(Arc::new(LocalWritePath(ingest.clone()))).await?;
        let queries = Queries::new(&config, cores());
        let (clocks, definitions) = ((Arc::clone(&clock), Arc::clone(&metrics)), Arc::default());
        let accounts = Accounts::new(Arc::clone(&coordinator), Arc::clone(&ids), clocks, access);
        Ok(Arc::new(Self {
            coordinator,
            config,
            clock,
            metrics,
            ids,
            tso,
            ingest,
            queries,
            names,
            accounts,
            definitions,
            noted: parking_lot::Mutex::default(),
        }))
    }

    /// Stops gracefully: no new work, running merges are given up (their plans resume at the next start), the log is
    /// synced, changes of the catalog that have begun are finished. Growing rows stay in the log.
    pub async fn shutdown(&self) {
        self.coordinator.shutdown().await;
    }
}

fn wal_dir(config: &Config) -> PathBuf {
    config.server.data_dir.join(WAL_FOLDER)
}

/// Settings of the binlogs that flushes write: one takes no more memory than their share allows. Each of the flushes that
/// run at once holds three parts: the rows of one binlog, its bytes, and the bytes of the one that is being written.
fn flush_binlogs(config: &Config) -> BinlogConfig {
    let most = config.budget.flushes / (ingest::FLUSHES_AT_ONCE as u64 * 3);
    BinlogConfig { max_bytes: config.binlog.max_bytes.min(most).max(1), ..config.binlog.clone() }
}

/// Makes every name of a catalog mean one thing, durably, before the first look-up: older releases could store a name
/// twice.
async fn settle_names(loaded: &mut Loaded) -> Result<(), StandaloneError> {
    let contents = &mut loaded.contents;
    let known = contents.databases.len();
    let longest = loaded.config.limits.max_name_length;
    let settled = settle(&mut contents.databases, &mut contents.collections, longest);
    if settled.is_empty() {
        return Ok(());
    }
    // In as many transactions as the store needs. A start that ends between two leaves names that the next one settles.
    let limit = loaded.catalog.max_operations();
    let mut txn = loaded.catalog.txn();
    for database in contents.databases.iter().skip(known) {
        if txn.operations() >= limit {
            std::mem::replace(&mut txn, loaded.catalog.txn()).commit().await.map_err(CoordinatorError::from)?;
        }
        txn.put_database(database);
    }
    let changed: BTreeSet<CollectionId> = settled.iter().filter_map(Settled::changed).collect();
    for collection in contents.collections.iter().filter(|c| changed.contains(&c.id)) {
        if txn.operations() >= limit {
            std::mem::replace(&mut txn, loaded.catalog.txn()).commit().await.map_err(CoordinatorError::from)?;
        }
        txn.put_collection(collection);
    }
    txn.commit().await.map_err(CoordinatorError::from)?;
    for one in &settled {
        warn!("{one}");
    }
    Ok(())
}

/// The part of the catalog that the log needs at its replay, to tell flushed rows from others.
fn known(loaded: &Loaded) -> RecoveredCatalog {
    let contents = &loaded.contents;
    let collections = contents.collections.iter().filter(|c| !c.dropped).map(|c| {
        let delta_lsn = c
            .channels
            .iter()
            .filter_map(|ch| contents.channel_delta_lsn.get(ch).map(|lsn| (ch.clone(), *lsn)))
            .collect();
        let segments = contents.segments.get(&c.id).cloned().unwrap_or_default();
        let truncated_before = c.truncated_before;
        let recovered = RecoveredCollection {
            schema: Arc::clone(&c.schema),
            partitions: c.partitions.iter().map(|p| p.id).collect(),
            has_segment: Box::new(move |id| id < truncated_before || segments.knows(id)),
            delta_lsn,
        };
        (c.id, recovered)
    });
    let flushed = contents.segments.par_iter().map(|(_, table)| table.end_lsn()).max().unwrap_or_default();
    let deltas = contents.channel_delta_lsn.values().copied().max().unwrap_or_default();
    let end_lsn = Lsn::max(flushed, deltas);
    let had_log = !contents.collections.is_empty() || end_lsn > Lsn::default();
    let log = KnownLog { catalog: loaded.identity, noted: loaded.log, had_log };
    RecoveredCatalog { collections: collections.collect(), end_lsn, log }
}
