//! Start and stop: loads the catalog, replays the log, puts unfinished plans back into the queue, and runs the loops.
//!
//! Serves nobody before everything that was acknowledged is back (P3, P7).

use std::{collections::BTreeSet, sync::Arc};

use rayon::prelude::*;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::{
    CollectionCell, Coordinator, CoordinatorError, Core, JobBook, State,
    admission::Queries,
    control::apply_controls,
    core::OutputsInFlight,
    directory::{Settled, settle},
    events::FlushEvents,
    failures::Failures,
    gauges::show_counters,
    key_stats::StatsCache,
    ownership::{self, Ownership},
    plans::{PLANS_PER_TXN, PlanMoves},
    segments::SegmentTable,
    steps::StepCatalog,
};
use crate::{
    background::Background,
    clock::Clock,
    compactor::{Compactor, OutputIds, Throttle},
    config::{BinlogConfig, Config},
    fence::Fence,
    ids::{self, Numbers, Tso},
    ingest::{self, FlushSink, Ingest, IngestParts, KnownLog, RecoveredCatalog, RecoveredCollection, StoreWriter},
    meta::{Catalog, Contents, MetaStore},
    model::{
        CollectionId, Database, Lsn, Plan, PlanState, Terms, Trigger, WriteAheadLog, collection::DEFAULT_DATABASE,
    },
    scheduler::{Event, JobSink, LocalWorker, Scheduler},
    storage::SegmentStore,
    telemetry::Metrics,
};

/// What a coordinator is built on.
pub struct Parts {
    pub config: Arc<Config>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
    pub meta: Arc<dyn MetaStore>,
    pub store: SegmentStore,
}

impl Coordinator {
    /// Loads, replays and starts. Nothing is lost if it is interrupted at any point.
    ///
    /// # Errors
    /// A store that can't be read, a log that is damaged before its end, an epoch that somebody else took.
    pub async fn start(parts: Parts) -> Result<Arc<Self>, CoordinatorError> {
        let Parts { config, clock, metrics, meta, store } = parts;
        let (fence, store_stop) = (Fence::default(), CancellationToken::new());
        let catalog = Catalog::open(meta).await?.behind(fence.clone());
        let store = store.for_run(fence.clone(), store_stop.clone());
        let identity = catalog.identity().await?;
        let noted = catalog.write_ahead_log().await?;
        let mut contents = catalog.load(|segments| Arc::new(SegmentTable::of(segments))).await?;
        let has_segments = contents.segments.values().any(|table| table.groups().next().is_some());
        let asked = (config.storage.take_over.as_str(), config.storage.start_timeout);
        let ownership = Ownership::take(store.clone(), catalog.clone(), fence.clone(), has_segments, asked).await?;
        settle_names(&catalog, &mut contents, config.limits.max_name_length).await?;
        let controls = catalog.controls().await?;
        let Numbers { ids, tso, keeper } = ids::open(Arc::new(catalog.bounds()), Arc::clone(&clock)).await?;
        let known = known(&contents, identity, noted);
        let state = State::default();
        let (jobs, database) = fill(&state, contents, &tso).await?;
        show_counters(&metrics);
        let core = Arc::new(Core {
            config: Arc::clone(&config),
            catalog: StepCatalog::new(catalog),
            store: store.clone(),
            fence,
            ownership: Arc::new(ownership),
            ids,
            tso,
            bounds: keeper,
            clock: Arc::clone(&clock),
            metrics,
            state,
            jobs,
            flush_events: FlushEvents::default(),
            failures: Failures::default(),
            outputs_in_flight: OutputsInFlight::default(),
            // The other half is the cache of the catalog's file.
            stats_cache: StatsCache::new(config.budget.caches / 2),
            queries: Queries::new(&config, std::thread::available_parallelism().map_or(1, usize::from)),
            damage: Default::default(),
            merge_rate: Default::default(),
            throttle: Arc::new(Throttle::new(Arc::clone(&clock), config.worker.throttle_bytes)),
            deadlines: Default::default(),
            controls: controls.into(),
            controls_change: Default::default(),
            scrubber: Default::default(),
            collecting: Default::default(),
            look_again: Default::default(),
            next_tick_ms: Default::default(),
        });
        if let Some(database) = database {
            let mut txn = core.catalog.txn();
            txn.put_database(&database);
            let named = Arc::clone(&core);
            core.catalog.commit(txn, (), move || named.state.put_database(database)).await?;
        }
        let sink: Arc<dyn FlushSink> = Arc::new(Arc::clone(&core));
        let wal_dir = config.server.data_dir.join("wal");
        let writer = StoreWriter {
            store: store.clone(),
            config: flush_binlogs(&config),
            ids: Arc::clone(&core.ids),
            clock: Arc::clone(&clock),
        };
        let (ingest, report) = Ingest::open(IngestParts {
            config: config.ingest.clone(),
            wal_dir,
            ids: Arc::clone(&core.ids),
            tso: Arc::clone(&core.tso),
            clock: Arc::clone(&clock),
            writer: Arc::new(writer),
            sink,
            known,
        })
        .await?;
        if noted != Some(report.log) {
            // Before anything is acknowledged that only this log will have.
            let mut txn = core.catalog.txn();
            txn.put_write_ahead_log(&report.log);
            core.catalog.commit(txn, (), || ()).await?;
        }
        info!(
            frames = report.frames,
            bytes = report.log_bytes,
            rows = report.rows,
            skipped = report.skipped_rows,
            waiting_deletes = report.pending_deletes,
            "write-ahead log replayed"
        );

        let output_ids: Arc<dyn OutputIds> = core.clone();
        let compactor = Compactor::new(store, config.binlog.clone(), &config.worker, output_ids);
        let compactor = Arc::new(compactor.throttled(Arc::clone(&core.throttle)));
        let job_sink: Arc<dyn JobSink> = Arc::new(Arc::clone(&core));
        let no_threads = |e| CoordinatorError::Internal(format!("threads for work in the background: {e}"));
        let worker = LocalWorker::new(Arc::clone(&compactor)).map_err(no_threads)?;
        let scheduler = Scheduler::new(&config.worker, Arc::clone(&clock), job_sink, Arc::new(worker));
        let coordinator = Arc::new(Self {
            core,
            ingest,
            scheduler,
            merges: compactor,
            ddl: Arc::default(),
            stop: Default::default(),
            store_stop,
            watches: Default::default(),
            loops: Default::default(),
            ticks: Background::new("tick", 1).map_err(no_threads)?,
        });
        // Before the queue is filled: what is paused stays so.
        coordinator.forget_ended(&mut coordinator.core.controls.write().pauses);
        apply_controls(&coordinator.core, &coordinator.scheduler);
        coordinator.resume_plans().await?;
        coordinator.core.note_next_tick();
        coordinator.run_loops();
        Ok(coordinator)
    }

    /// Queues the plans that were not finished when the last process ended. One that was executing left at most files
    /// that nobody names: it starts afresh. The interrupted attempt counts, or a plan that kills the process would do
    /// so for ever.
    async fn resume_plans(&self) -> Result<(), CoordinatorError> {
        let unfinished = self.core.jobs.unfinished();
        let executing: Vec<Plan> =
            unfinished.into_iter().filter(|p| matches!(p.state, PlanState::Executing { .. })).collect();
        for plans in executing.chunks(PLANS_PER_TXN) {
            let (mut txn, mut moves) = (self.core.catalog.txn(), PlanMoves::default());
            for plan in plans {
                moves.stage(&mut txn, plan.clone(), Event::Restart)?;
            }
            let core = Arc::clone(&self.core);
            self.core.catalog.commit(txn, (), move || moves.fold(&core)).await?;
        }
        for plan in self.core.jobs.unfinished() {
            let job = self.core.jobs.job(plan.job).map(|view| view.job);
            let (trigger, terms) = job.as_ref().map_or((Trigger::Tick, Terms::default()), |j| (j.trigger, j.terms));
            if let Some(job) = &job {
                self.core.deadlines.add(job);
            }
            info!(plan = %plan.id, job = %plan.job, "unfinished plan queued again");
            self.scheduler.enqueue(&plan, trigger, terms.priority);
        }
        Ok(())
    }

    fn run_loops(self: &Arc<Self>) {
        let (scheduler, stop) = (self.scheduler.clone(), self.stop.clone());
        let mut loops = vec![
            tokio::spawn(async move { scheduler.run(stop).await }),
            tokio::spawn(Arc::clone(self).run_flush_trigger()),
            tokio::spawn(Arc::clone(self).run_tick_trigger()),
            tokio::spawn(Arc::clone(self).run_clockwork()),
            tokio::spawn(Arc::clone(self).run_ownership()),
        ];
        if self.core.config.gc.enabled {
            loops.push(tokio::spawn(Arc::clone(self).run_gc()));
        }
        if !self.core.config.scrub.interval.is_zero() {
            loops.push(tokio::spawn(Arc::clone(self).run_scrub()));
        }
        self.loops.lock().append(&mut loops);
    }

    async fn run_gc(self: Arc<Self>) {
        let mut tick = tokio::time::interval(self.core.config.gc.interval);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            if self.collect_garbage().await.is_err() {
                // It was logged; the next round goes on.
                continue;
            }
        }
    }

    /// Looks after the mark of the store. Once it is lost everything that writes ends: the loops, and the write path with
    /// those that wait for it. Questions are answered as before.
    async fn run_ownership(self: Arc<Self>) {
        let keeping = async {
            tokio::select! {
                () = ownership::keep(Arc::clone(&self.core.ownership)) => {}
                () = self.core.fence.raised() => {}
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => return,
            () = keeping => {}
        }
        self.stop.cancel();
        self.ingest.clone().stop().await;
    }

    /// Stops gracefully: no new work, running merges are given up (their plans resume at the next start), the log is
    /// synced, changes of the catalog that have begun are finished. Growing rows stay in the log.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        // What a store does not answer now is repeated after the next start.
        self.store_stop.cancel();
        self.end_watches();
        let loops = std::mem::take(&mut *self.loops.lock());
        for running in loops {
            if let Err(error) = running.await {
                warn!(%error, "a loop did not end cleanly");
            }
        }
        self.ingest.clone().stop().await;
        // After the log: what it gave up may be what a step waited for.
        self.core.catalog.idle().await;
        self.core.bounds.stop().await;
    }
}

/// How flushes write: a binlog takes no more memory than their share allows. Each of the flushes that run at once has the
/// rows of one, what they are encoded to, and what was encoded before and is being written.
fn flush_binlogs(config: &Config) -> BinlogConfig {
    let most = config.budget.flushes / (ingest::FLUSHES_AT_ONCE as u64 * 3);
    BinlogConfig { max_bytes: config.binlog.max_bytes.min(most).max(1), ..config.binlog.clone() }
}

/// The catalog as loaded.
type Loaded = Contents<Arc<SegmentTable>>;

/// Makes every name of a catalog mean one thing, durably, before anybody asks for it: older releases could store a name
/// twice.
async fn settle_names(catalog: &Catalog, contents: &mut Loaded, longest: usize) -> Result<(), CoordinatorError> {
    let known = contents.databases.len();
    let settled = settle(&mut contents.databases, &mut contents.collections, longest);
    if settled.is_empty() {
        return Ok(());
    }
    let mut txn = catalog.txn();
    for database in contents.databases.iter().skip(known) {
        txn.put_database(database);
    }
    let changed: BTreeSet<CollectionId> = settled.iter().filter_map(Settled::changed).collect();
    for collection in contents.collections.iter().filter(|c| changed.contains(&c.id)) {
        txn.put_collection(collection);
    }
    txn.commit().await?;
    for one in &settled {
        warn!("{one}");
    }
    Ok(())
}

/// What the log needs to know of the catalog to tell rows that are flushed from rows that are not.
fn known(contents: &Loaded, catalog: Uuid, noted: Option<WriteAheadLog>) -> RecoveredCatalog {
    let collections = contents.collections.iter().filter(|c| !c.dropped).map(|c| {
        let delta_lsn = c
            .channels
            .iter()
            .filter_map(|ch| contents.channel_delta_lsn.get(ch).map(|lsn| (ch.clone(), *lsn)))
            .collect();
        let segments = contents.segments.get(&c.id).cloned().unwrap_or_default();
        let recovered = RecoveredCollection {
            schema: Arc::clone(&c.schema),
            partitions: c.partitions.iter().map(|p| p.id).collect(),
            has_segment: Box::new(move |id| segments.knows(id)),
            delta_lsn,
        };
        (c.id, recovered)
    });
    let flushed = contents.segments.par_iter().map(|(_, table)| table.end_lsn()).max().unwrap_or_default();
    let deltas = contents.channel_delta_lsn.values().copied().max().unwrap_or_default();
    let end_lsn = Lsn::max(flushed, deltas);
    let had_log = !contents.collections.is_empty() || end_lsn > Lsn::default();
    let log = KnownLog { catalog, noted, had_log };
    RecoveredCatalog { collections: collections.collect(), end_lsn, log }
}

/// Puts what the catalog knew into memory. Returns the history, and the default database if there is none yet.
async fn fill(state: &State, contents: Loaded, tso: &Tso) -> Result<(JobBook, Option<Database>), CoordinatorError> {
    let Contents { databases, collections, segments, jobs, plans, channel_delta_lsn: _, write_stats } = contents;
    let jobs = JobBook::recovered(jobs, plans);
    let has_default = databases.iter().any(|d| d.name == DEFAULT_DATABASE);
    databases.into_iter().for_each(|d| state.put_database(d));
    for collection in collections {
        let dropped = collection.dropped;
        let cell = Arc::new(CollectionCell::new(collection));
        if dropped { state.add_grave(cell) } else { state.add(cell) }
    }
    for (id, segments) in segments {
        let cell = state.cell_or_grave(id).ok_or_else(|| {
            CoordinatorError::Internal(format!("the catalog has segments of collection {id}, but not the collection"))
        })?;
        cell.recover(segments);
    }
    for (id, write_stats) in write_stats {
        if let Some(cell) = state.cell_or_grave(id) {
            cell.set_write_stats(write_stats);
        }
    }
    if has_default {
        return Ok((jobs, None));
    }
    Ok((jobs, Some(Database { name: DEFAULT_DATABASE.to_owned(), created_at: tso.next().await? })))
}
