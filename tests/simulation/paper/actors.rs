//! One life: steps drawn from the seed, one at a time. Between two steps time passes.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use datacoord::{
    clock::Clock,
    config::{CompactionConfig, WorkerConfig},
    meta::{Catalog, MetaStore},
    model::{Channel, CollectionId, Group, JobCounts, PartitionId, PlanId, Segment, SegmentLevel, Trigger},
    planner::Policy,
    scheduler::{JobSink, QueueHold, Scheduler, Worker},
};
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    kit::numbers::Numbers,
    paper::invariants::{Picture, broken},
    paper::store::{Faulty, VirtualClock},
    paper::worker::{PaperWorker, ROW_BYTES},
    paper::world::{Journal, World, is_fenced},
};

/// A running process: killed by dropping it.
struct Process {
    world: Arc<World>,
    scheduler: Scheduler,
    stop: CancellationToken,
    run: JoinHandle<()>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.run.abort();
    }
}

pub struct Simulation {
    seed: u64,
    numbers: Numbers,
    clock: Arc<VirtualClock>,
    store: Arc<Faulty>,
    faults: Arc<AtomicBool>,
    ids: Arc<AtomicI64>,
    journal: Journal,
    config: CompactionConfig,
    worker_config: WorkerConfig,
    groups: Vec<Arc<Group>>,
    process: Process,
    /// A process that lost the lease and has not noticed yet.
    zombie: Option<Process>,
    held: QueueHold,
    flushed_rows: u64,
    deleted_rows: u64,
    before: Picture,
}

const MB: u64 = 1 << 20;

impl Simulation {
    pub async fn new(seed: u64) -> Self {
        let mut numbers = Numbers::of(seed, &[0xAC70]);
        let clock = VirtualClock::new();
        let store = Faulty::new(seed);
        let faults = Arc::new(AtomicBool::new(true));
        let ids = Arc::new(AtomicI64::new(1000));
        let journal = Journal::new(&clock);
        let config = CompactionConfig {
            max_segment_bytes: MB,
            max_small_segments: 3 + numbers.below(4) as u32,
            max_inputs: 4 + numbers.below(30) as u32,
            delta_logs: 3,
            ..CompactionConfig::default()
        };
        let worker_config = WorkerConfig {
            max_concurrency: 1 + numbers.below(3) as usize,
            progress_timeout: Duration::from_secs(60),
            max_attempts: 1 + numbers.below(4) as u32,
            retry_backoff: Duration::from_secs(1),
            ..WorkerConfig::default()
        };
        let collections = 2 + numbers.below(4) as i64;
        let groups = (1..=collections)
            .flat_map(|c| (0..1 + c % 2).map(move |shard| (c, shard)))
            .map(|(c, shard)| {
                let (collection, channel) = (CollectionId(c), Channel::new(format!("by-dev-dml_{shard}_{c}v{shard}")));
                Arc::new(Group { collection, partition: PartitionId(c * 10), channel })
            })
            .collect();
        let parts = Parts { seed, clock: &clock, store: &store, faults: &faults, ids: &ids, journal: &journal };
        let process = start(&parts, &config, &worker_config, &QueueHold::default()).await;
        Self {
            seed,
            numbers,
            clock,
            store,
            faults,
            ids,
            journal,
            config,
            worker_config,
            groups,
            process,
            zombie: None,
            held: QueueHold::default(),
            flushed_rows: 0,
            deleted_rows: 0,
            before: Picture::default(),
        }
    }

    pub fn journal(&self) -> Vec<String> {
        self.journal.lines()
    }

    /// Lives so many steps and comes to rest.
    ///
    /// # Errors
    /// The invariants that are broken.
    pub async fn run(&mut self, steps: usize) -> Result<(), String> {
        for step in 0..steps {
            // In a third of the time 12 % of the commits fail.
            let failing = if (step / 20) % 3 == 2 { 12 } else { 0 };
            self.store.failing.store(failing, Ordering::SeqCst);
            self.act().await;
            let pause = match self.numbers.below(4) {
                0 => self.numbers.below(50),
                1 => self.numbers.below(5_000),
                _ => self.numbers.below(40_000),
            };
            sleep(Duration::from_millis(pause)).await;
            self.look().await?;
        }
        self.come_to_rest().await
    }

    async fn act(&mut self) {
        let world = Arc::clone(&self.process.world);
        let scheduler = self.process.scheduler.clone();
        let Some(group) = self.numbers.pick(&self.groups).cloned() else { return };
        let own: Vec<Arc<Group>> = self.groups.iter().filter(|g| g.collection == group.collection).cloned().collect();
        let note = |line: String| self.journal.note(line);
        match self.numbers.below(100) {
            0..40 => {
                // From a hundredth of a full segment to more than half of it.
                let rows =
                    if self.numbers.percent(80) { 1 + self.numbers.below(100) } else { self.numbers.below(700) + 1 };
                match world.flush(&group, rows, 0).await {
                    Ok(id) => {
                        self.flushed_rows += rows;
                        note(format!("{id} flushed, {rows} rows"));
                        let planned = world.plan(&scheduler, &[group], Trigger::Flush, Policy::Standard).await;
                        if let Ok(Some(job)) = planned {
                            note(format!("{job} planned by a flush"));
                        }
                    }
                    Err(error) => note(format!("no flush: {error}")),
                }
            }
            40..60 => {
                let live = world.live_in(&group);
                let rows = 1 + self.numbers.below(60);
                let target = self.numbers.pick(&live).filter(|s| s.level != SegmentLevel::L0).map(|s| s.id);
                if let Some(id) = target {
                    match world.delete(id, rows).await {
                        Ok(rows) => {
                            self.deleted_rows += rows;
                            note(format!("{rows} rows of {id} deleted"));
                        }
                        Err(error) => note(format!("no delete: {error}")),
                    }
                }
            }
            60..64 => {
                let rows = (1 + self.numbers.below(20)).min(world.alive(&group));
                if rows > 0
                    && let Ok(id) = world.flush(&group, 0, rows).await
                {
                    self.deleted_rows += rows;
                    note(format!("{id} flushed, {rows} deletes of level 0"));
                }
            }
            64..72 => {
                let policy = match self.numbers.below(6) {
                    0 | 1 => Policy::Standard,
                    2 | 3 => Policy::ForceMerge { target_bytes: (200 + self.numbers.below(3000)) * ROW_BYTES },
                    4 => Policy::Clustering,
                    _ => Policy::L0Delete,
                };
                let groups = if self.numbers.percent(50) { vec![group] } else { own };
                let asked = world.plan(&scheduler, &groups, Trigger::Manual, policy).await;
                note(format!("asked for {policy:?}: {asked:?}"));
            }
            72..78 => self.tick().await,
            78..83 => {
                let unfinished: Vec<PlanId> = world.book.unfinished().iter().map(|p| p.id).collect();
                if let Some(plan) = self.numbers.pick(&unfinished).copied() {
                    let all = if self.numbers.percent(30) { world.book.plan(plan).map(|p| p.job) } else { None };
                    let stopped = match all {
                        Some(job) => scheduler.cancel_job(job).await,
                        None => scheduler.cancel(plan).await.then_some(plan).into_iter().collect(),
                    };
                    if let Err(error) = world.cancelled(&stopped).await {
                        note(format!("no cancellation: {error}"));
                    }
                }
            }
            83..88 => {
                self.held = match self.numbers.below(4) {
                    0 => QueueHold { collections: [group.collection].into(), ..QueueHold::default() },
                    1 => QueueHold { automatic: true, ..QueueHold::default() },
                    2 => QueueHold { everything: true, ..QueueHold::default() },
                    _ => QueueHold::default(),
                };
                world.hold(&self.held);
                note(format!("held: {} {} {:?}", self.held.everything, self.held.automatic, self.held.collections));
                scheduler.hold(self.held.clone());
            }
            88..93 => self.begin_anew().await,
            _ => {
                let minutes = self.numbers.below(15);
                sleep(Duration::from_secs(60 * minutes)).await;
            }
        }
    }

    async fn tick(&self) {
        let world = &self.process.world;
        let collections: BTreeSet<CollectionId> = self.groups.iter().map(|g| g.collection).collect();
        for collection in collections {
            let groups: Vec<_> = self.groups.iter().filter(|g| g.collection == collection).cloned().collect();
            match world.plan(&self.process.scheduler, &groups, Trigger::Tick, Policy::Standard).await {
                Ok(Some(job)) => self.journal.note(format!("{job} planned by a tick")),
                Ok(None) => {}
                Err(error) => self.journal.note(format!("no tick: {error}")),
            }
        }
    }

    /// Starts another process: after a graceful end, after a kill, or beside the old one, which goes on without the lease.
    async fn begin_anew(&mut self) {
        let how = self.numbers.below(3);
        if how == 0 {
            self.process.stop.cancel();
            // Each part of a graceful end is bounded, so this ends.
            while !self.process.run.is_finished() {
                sleep(Duration::from_millis(50)).await;
            }
            self.journal.note("stopped".to_owned());
        } else if how == 1 {
            self.process.run.abort();
            self.journal.note("killed".to_owned());
        }
        let failing = self.store.failing.swap(0, Ordering::SeqCst);
        let parts = Parts {
            seed: self.seed,
            clock: &self.clock,
            store: &self.store,
            faults: &self.faults,
            ids: &self.ids,
            journal: &self.journal,
        };
        let next = start(&parts, &self.config, &self.worker_config, &self.held).await;
        let last = std::mem::replace(&mut self.process, next);
        self.zombie = None;
        if how == 2 {
            self.journal.note("a zombie stays".to_owned());
            let refused = last.world.flush(&self.groups[0], 7, 0).await;
            assert!(refused.as_ref().is_err_and(is_fenced), "a deposed process wrote: {refused:?}");
            self.journal.note("fenced".to_owned());
            self.zombie = Some(last);
        }
        self.store.failing.store(failing, Ordering::SeqCst);
    }

    async fn picture(&self) -> Picture {
        let snapshot = self.store.snapshot();
        let contents = Catalog::open(snapshot).await.unwrap().load(std::mem::take).await.unwrap();
        let mut segments: Vec<_> = contents.segments.into_values().flatten().collect();
        segments.sort_by_key(|s| s.id);
        Picture {
            segments,
            jobs: contents.jobs,
            plans: contents.plans,
            flushed_rows: self.flushed_rows,
            deleted_rows: self.deleted_rows,
            max_attempts: self.worker_config.max_attempts,
        }
    }

    async fn look(&mut self) -> Result<(), String> {
        let now = self.picture().await;
        let mut found = broken(&now, &self.before);
        found.extend(self.process.world.broken());
        if self.process.scheduler.stats().executing.total() > self.worker_config.max_concurrency {
            found.push("9: more executions than slots".to_owned());
        }
        self.before = now;
        if found.is_empty() { Ok(()) } else { Err(found.join("\n")) }
    }

    /// Ends all faults and holds. Then every job must end, nothing stay reserved, memory agree with the catalog, and nothing
    /// be left to do.
    async fn come_to_rest(&mut self) -> Result<(), String> {
        self.store.failing.store(0, Ordering::SeqCst);
        self.faults.store(false, Ordering::SeqCst);
        self.held = QueueHold::default();
        // Plans whose end the store refused to record are queued again at a start.
        self.begin_anew().await;
        self.zombie = None;
        self.journal.note("calm".to_owned());
        for policy in [None, Some(Policy::L0Delete), Some(Policy::Standard)] {
            for round in 0.. {
                if round == 60 {
                    return Err(format!("10: no rest after {round} rounds, {policy:?}"));
                }
                self.drain().await?;
                let jobs = self.process.world.book.len();
                self.tick().await;
                if let Some(policy) = policy {
                    self.ask(policy).await;
                }
                if self.process.world.book.unfinished().is_empty()
                    && (policy.is_some() || self.process.world.book.len() == jobs)
                {
                    break;
                }
            }
        }
        self.look().await?;
        self.check_rest().await
    }

    async fn ask(&self, policy: Policy) {
        let collections: BTreeSet<CollectionId> = self.groups.iter().map(|g| g.collection).collect();
        for collection in collections {
            let groups: Vec<_> = self.groups.iter().filter(|g| g.collection == collection).cloned().collect();
            let asked = self.process.world.plan(&self.process.scheduler, &groups, Trigger::Manual, policy).await;
            self.journal.note(format!("asked at rest for {policy:?}: {asked:?}"));
        }
    }

    /// Waits for the end of all plans, a month at most.
    async fn drain(&mut self) -> Result<(), String> {
        for _ in 0..720 {
            if self.process.world.book.unfinished().is_empty() {
                return Ok(());
            }
            sleep(Duration::from_secs(3600)).await;
        }
        Err(format!("10: plans that never end: {:?}", self.process.world.book.unfinished()))
    }

    async fn check_rest(&self) -> Result<(), String> {
        let world = &self.process.world;
        let picture = self.picture().await;
        for job in &picture.jobs {
            let states = picture.plans.iter().filter(|p| job.plans.contains(&p.id)).map(|p| &p.state);
            if !JobCounts::of(states).is_finished() {
                return Err(format!("10: job {} never ended", job.id));
            }
        }
        let stats = self.process.scheduler.stats();
        if stats.queued.total() + stats.executing.total() > 0 {
            return Err(format!("10: the scheduler has work at rest: {stats:?}"));
        }
        if world.segments() != picture.segments {
            return Err("10: segments in memory are not those of the catalog".to_owned());
        }
        if let Some(plan) = picture.plans.iter().find(|p| world.book.plan(p.id).as_ref() != Some(p)) {
            return Err(format!("10: plan {} in memory is not that of the catalog", plan.id));
        }
        if let Some(segment) = picture.segments.iter().find(|s| world.book.reserved_by(s.id).is_some()) {
            return Err(format!("10: segment {} is reserved at rest", segment.id));
        }
        for group in &self.groups {
            for trigger in [Trigger::Flush, Trigger::Tick, Trigger::Manual] {
                let drafts = world.propose(group, trigger, Policy::Standard).drafts;
                if !drafts.is_empty() {
                    return Err(format!("10: {} drafts by {} for a group at rest", drafts.len(), trigger.as_str()));
                }
            }
        }
        let dead = |s: &&Segment| s.is_live() && s.delta_rows > 0;
        match picture.segments.iter().find(dead) {
            Some(segment) => Err(format!("10: segment {} still has deletes at rest", segment.id)),
            None => Ok(()),
        }
    }
}

/// Parts that all starts of one life share.
struct Parts<'a> {
    seed: u64,
    clock: &'a Arc<VirtualClock>,
    store: &'a Arc<Faulty>,
    faults: &'a Arc<AtomicBool>,
    ids: &'a Arc<AtomicI64>,
    journal: &'a Journal,
}

async fn start(parts: &Parts<'_>, config: &CompactionConfig, workers: &WorkerConfig, held: &QueueHold) -> Process {
    let store: Arc<dyn MetaStore> = Arc::clone(parts.store) as Arc<dyn MetaStore>;
    let catalog = Catalog::open(store).await.unwrap();
    let world = World::load(catalog, parts.clock, config, parts.journal, parts.ids).await;
    let worker = PaperWorker { seed: parts.seed, faults: Arc::clone(parts.faults), journal: parts.journal.clone() };
    let scheduler = Scheduler::new(
        workers,
        Arc::clone(parts.clock) as Arc<dyn Clock>,
        Arc::clone(&world) as Arc<dyn JobSink>,
        Arc::new(worker) as Arc<dyn Worker>,
    );
    scheduler.hold(held.clone());
    world.hold(held);
    world.resume(&scheduler).await.unwrap();
    let stop = CancellationToken::new();
    let run = tokio::spawn({
        let (scheduler, stop) = (scheduler.clone(), stop.clone());
        async move { scheduler.run(stop).await }
    });
    Process { world, scheduler, stop, run }
}
