//! Start of the DataCoord: takes the catalog over, puts it into memory, puts unfinished plans back into the queue, and
//! begins the background loops.
//!
//! The start has three phases, because the caller opens the write path between them: [`Loaded`] is the catalog as the
//! last process left it, [`Prepared`] is the same in memory, and [`Prepared::start`] begins to work. Must never answer
//! or plan anything before the third.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use tokio_util::sync::CancellationToken;
use tracing::info;
use uuid::Uuid;

use super::{
    CollectionCell, Collections, Coordinator, CoordinatorError, Core, JobBook, WritePath, control::apply_controls,
    core::OutputsInFlight, events::FlushEvents, failures::Failures, gauges::show_counters, ownership::Ownership,
    segments::SegmentTable, stats_cache::StatsCache, steps::StepCatalog,
};
use crate::{
    background::Background,
    clock::Clock,
    compactor::{Compactor, Throttle},
    config::Config,
    fault::{self, Point},
    fence::Fence,
    ids::{self, Numbers},
    meta::{Catalog, Contents, MetaStore},
    model::{JobId, PlanId, PlanState, Terms, Trigger, WriteAheadLog},
    planner::CommitLimit,
    scheduler::{Event, JobSink, LocalWorker, Scheduler},
    storage::{MappedFolder, SegmentCache, SegmentStore},
    telemetry::Metrics,
};

/// The parts that a process is built on.
pub struct Parts {
    pub config: Arc<Config>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
    pub meta: Arc<dyn MetaStore>,
    pub store: SegmentStore,
}

/// The catalog as the last process left it. It belongs to this process, and nothing runs yet.
pub(crate) struct Loaded {
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) catalog: Catalog,
    pub(crate) contents: Contents<Arc<SegmentTable>>,
    /// The catalog's own name.
    pub(crate) identity: Uuid,
    /// The log that belongs to it, if one was noted.
    pub(crate) log: Option<WriteAheadLog>,
    store: SegmentStore,
    fence: Fence,
    store_stop: CancellationToken,
    ownership: Ownership,
}

impl Loaded {
    /// Opens the catalog and takes the store over.
    ///
    /// # Errors
    /// A store that can't be read, an epoch that another process took.
    pub(crate) async fn open(parts: Parts) -> Result<Self, CoordinatorError> {
        let Parts { config, clock, metrics, meta, store } = parts;
        let (fence, store_stop) = (Fence::default(), CancellationToken::new());
        let catalog = Catalog::open(meta).await?.behind(fence.clone());
        let store = store.for_run(fence.clone(), store_stop.clone());
        fault::reached(Point::StartCatalogOpened);
        let identity = catalog.identity().await?;
        let log = catalog.write_ahead_log().await?;
        let contents = catalog.load(|segments| Arc::new(SegmentTable::of(segments))).await?;
        let has_segments = contents.segments.values().any(|table| table.groups().next().is_some());
        let asked = (config.storage.take_over.as_str(), config.storage.start_timeout);
        let ownership = Ownership::take(store.clone(), catalog.clone(), fence.clone(), has_segments, asked).await?;
        Ok(Self { config, clock, metrics, catalog, contents, identity, log, store, fence, store_stop, ownership })
    }

    /// Puts the catalog into memory.
    ///
    /// # Errors
    /// A store that can't be read, segments of a collection that the catalog does not have.
    pub(crate) async fn prepare(self) -> Result<Prepared, CoordinatorError> {
        let Self { mut config, clock, metrics, catalog, mut contents, store, fence, store_stop, ownership, .. } = self;
        let fits = CommitLimit::of(catalog.max_operations()).inputs();
        if config.compaction.max_inputs > fits {
            info!(
                fits,
                "dataCoord.compaction.max.segment is lowered to what a transaction of the metadata store takes"
            );
            Arc::make_mut(&mut config).compaction.max_inputs = fits;
        }
        drop_plans_without_job(&catalog, &mut contents).await?;
        let controls = catalog.controls().await?;
        let Numbers { ids, tso, keeper } = ids::open(Arc::new(catalog.bounds()), Arc::clone(&clock)).await?;
        let collections = Collections::default();
        let jobs = fill(&collections, contents)?;
        show_counters(&metrics);
        let segment_cache = SegmentCache::new(config.budget.vectors);
        let folder = &config.query.mapped_indexes;
        let segment_cache = match folder.as_os_str().is_empty() {
            true => segment_cache,
            false => segment_cache.with_mapped(MappedFolder::open(folder)?),
        };
        let core = Arc::new(Core {
            config: Arc::clone(&config),
            catalog: StepCatalog::new(catalog, ownership.has_committed()),
            store,
            fence,
            ownership: Arc::new(ownership),
            ids,
            tso,
            bounds: keeper,
            clock: Arc::clone(&clock),
            metrics,
            collections,
            pins: Default::default(),
            jobs,
            flush_events: FlushEvents::default(),
            failures: Failures::default(),
            index_failures: Default::default(),
            outputs_in_flight: OutputsInFlight::default(),
            // The other half is the cache of the catalog's file.
            stats_cache: StatsCache::new(config.budget.caches / 2),
            segment_cache: Arc::new(segment_cache),
            damage: Default::default(),
            merge_rate: Default::default(),
            throttle: Arc::new(Throttle::new(clock, config.worker.throttle_bytes)),
            deadlines: Default::default(),
            controls: controls.into(),
            controls_change: Default::default(),
            scrubber: Default::default(),
            collecting: Default::default(),
            backing_up: Default::default(),
            look_again: Default::default(),
            next_tick_ms: Default::default(),
        });
        Ok(Prepared { core, store_stop })
    }
}

/// The DataCoord in memory. It takes flushes, which the replay of a log may bring, and does nothing else.
pub(crate) struct Prepared {
    pub(crate) core: Arc<Core>,
    store_stop: CancellationToken,
}

impl Prepared {
    /// Begins to work.
    ///
    /// # Errors
    /// A catalog that does not take the restart of interrupted plans, threads that can't be started.
    pub(crate) async fn start(self, write_path: Arc<dyn WritePath>) -> Result<Arc<Coordinator>, CoordinatorError> {
        let Self { core, store_stop } = self;
        let config = Arc::clone(&core.config);
        let compactor = Compactor::new(core.store.clone(), config.binlog.clone(), &config.worker);
        let compactor = Arc::new(compactor.throttled(Arc::clone(&core.throttle)));
        let job_sink: Arc<dyn JobSink> = Arc::new(Arc::clone(&core));
        let no_threads = |e| CoordinatorError::Internal(format!("threads for work in the background: {e}"));
        let worker = LocalWorker::new(Arc::clone(&compactor)).map_err(no_threads)?;
        let scheduler = Scheduler::new(&config.worker, Arc::clone(&core.clock), job_sink, Arc::new(worker));
        let coordinator = Arc::new(Coordinator {
            core,
            write_path,
            scheduler,
            merges: compactor,
            stop: Default::default(),
            store_stop,
            watches: Default::default(),
            loops: Default::default(),
            ticks: Background::new("tick", 1).map_err(no_threads)?,
        });
        // Before the queue is filled: paused plans stay paused.
        coordinator.forget_ended(&mut coordinator.core.controls.write().pauses);
        apply_controls(&coordinator.core, &coordinator.scheduler);
        coordinator.core.finish_drops().await?;
        coordinator.resume_plans().await?;
        coordinator.core.note_next_tick();
        coordinator.run_loops();
        Ok(coordinator)
    }
}

impl Coordinator {
    /// Queues the plans that were not finished when the last process ended. A plan that was executing left at most files
    /// that no segment names, so it starts afresh. The interrupted attempt counts, or a plan that kills the process would
    /// do so for ever.
    async fn resume_plans(&self) -> Result<(), CoordinatorError> {
        let unfinished = self.core.jobs.unfinished();
        let executing = unfinished.into_iter().filter(|p| matches!(p.state, PlanState::Executing { .. }));
        let executing: Vec<PlanId> = executing.map(|p| p.id).collect();
        self.core.move_plans(&executing, &Event::Restart).await?;
        fault::reached(Point::StartPlansQueued);
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
}

/// Forgets plans whose job was never stored: the last process ended while it made the job.
async fn drop_plans_without_job(
    catalog: &Catalog,
    contents: &mut Contents<Arc<SegmentTable>>,
) -> Result<(), CoordinatorError> {
    let jobs: HashSet<JobId> = contents.jobs.iter().map(|job| job.id).collect();
    let lost: BTreeSet<JobId> = contents.plans.iter().map(|plan| plan.job).filter(|job| !jobs.contains(job)).collect();
    contents.plans.retain(|plan| !lost.contains(&plan.job));
    let lost: Vec<JobId> = lost.into_iter().collect();
    for chunk in lost.chunks((catalog.max_operations() / 2).max(1)) {
        let mut txn = catalog.txn();
        for job in chunk {
            txn.delete_job(*job);
        }
        txn.commit().await?;
    }
    Ok(())
}

/// Puts the contents of the catalog into memory. Returns the history.
fn fill(collections: &Collections, contents: Contents<Arc<SegmentTable>>) -> Result<JobBook, CoordinatorError> {
    let Contents { collections: definitions, segments, jobs, plans, write_stats, .. } = contents;
    for definition in definitions {
        let dropped = definition.dropped;
        let cell = Arc::new(CollectionCell::new(definition));
        if dropped { collections.add_tombstone(cell) } else { collections.add(cell) }
    }
    for (id, segments) in segments {
        let cell = collections.live_or_tombstone(id).ok_or_else(|| {
            CoordinatorError::Internal(format!("the catalog has segments of collection {id}, but not the collection"))
        })?;
        cell.recover(segments);
    }
    for (id, write_stats) in write_stats {
        if let Some(cell) = collections.live_or_tombstone(id) {
            cell.set_write_stats(write_stats);
        }
    }
    Ok(JobBook::recovered(jobs, plans))
}
