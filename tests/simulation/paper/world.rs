//! A small model of the coordinator, as the scheduler sees it: plans, segments and jobs in memory as the catalog holds
//! them.
//!
//! It makes each change in the coordinator's order: durable first, then in memory, then told to the scheduler. Each start
//! makes a new one; only the catalog outlives it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use datacoord::{
    clock::Clock,
    compactor::{CompactionInput, CompactionOutcome, CompactionTask},
    config::CompactionConfig,
    coordinator::JobBook,
    error::{Classify, ErrorKind},
    meta::{Catalog, MetaError},
    model::{
        CollectionId, FailureKind, Group, Job, JobId, Plan, PlanId, PlanState, Segment, SegmentId, SegmentLevel,
        SegmentLogs, SegmentState, Terms, Timestamp, Trigger,
    },
    planner::{
        CommitLimit, GroupView, LastFailure, PlanContext, Policy, Proposals, Rules, SegmentScope, propose, validate,
    },
    scheduler::{
        Attempt, AttemptFailure, Event, JobSink, QueueHold, Scheduler, SinkRefusal, Task, TaskOutcome, transition,
    },
};

use crate::{
    kit::model,
    paper::store::VirtualClock,
    paper::worker::{self, CLUSTERING_KEY, DELETE_BYTES},
};

/// Events in order, with their time; one journal for all starts of one life.
#[derive(Clone)]
pub struct Journal {
    clock: Arc<VirtualClock>,
    lines: Arc<Mutex<Vec<String>>>,
    late: Arc<Mutex<BTreeSet<(PlanId, u32)>>>,
}

impl Journal {
    pub fn new(clock: &Arc<VirtualClock>) -> Self {
        Self { clock: Arc::clone(clock), lines: Arc::default(), late: Arc::default() }
    }

    /// Notes that an attempt answers although it was told to stop.
    pub fn note_late(&self, plan: PlanId, attempt: u32) {
        self.late.lock().unwrap().insert((plan, attempt));
        self.note(format!("a late answer is offered by attempt {attempt} of {plan}"));
    }

    pub fn note(&self, line: String) {
        self.lines.lock().unwrap().push(format!("{:>12.3} s  {line}", self.clock.monotonic().as_secs_f64()));
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

/// Ids that an attempt has for its outputs: more than it needs.
const IDS_OF_AN_ATTEMPT: i64 = 100_000;

/// Checks invariant 7: while a collection waits, no other one begins two plans.
#[derive(Default)]
struct Turns {
    /// Plans that wait and may begin, and the collections that began a plan meanwhile.
    waiting: BTreeMap<CollectionId, (BTreeSet<PlanId>, BTreeSet<CollectionId>)>,
    held: QueueHold,
    broken: Vec<String>,
}

impl Turns {
    fn queued(&mut self, plan: &Plan, trigger: Trigger) {
        let QueueHold { everything, automatic, collections, .. } = &self.held;
        let automatic = *automatic && trigger != Trigger::Manual;
        if *everything || automatic || collections.contains(&plan.group.collection) {
            return;
        }
        self.waiting.entry(plan.group.collection).or_default().0.insert(plan.id);
    }

    fn gone(&mut self, plan: PlanId) {
        self.waiting.retain(|_, (plans, _)| {
            plans.remove(&plan);
            !plans.is_empty()
        });
    }

    fn began(&mut self, plan: PlanId, turn: CollectionId) {
        self.gone(plan);
        for (waits, (_, seen)) in &mut self.waiting {
            if *waits == turn {
                seen.clear();
            } else if !seen.insert(turn) {
                self.broken.push(format!("7: collection {turn} began two plans while {waits} waited"));
            }
        }
    }
}

pub struct World {
    pub clock: Arc<VirtualClock>,
    pub catalog: Catalog,
    pub book: JobBook,
    pub config: CompactionConfig,
    pub journal: Journal,
    pub ids: Arc<AtomicI64>,
    segments: Mutex<BTreeMap<SegmentId, Segment>>,
    failures: Mutex<HashMap<SegmentId, (u64, FailureKind)>>,
    turns: Mutex<Turns>,
    /// Changes of segments take turns, and so does planning.
    commit: tokio::sync::Mutex<()>,
    planning: tokio::sync::Mutex<()>,
}

impl World {
    pub async fn load(
        catalog: Catalog,
        clock: &Arc<VirtualClock>,
        config: &CompactionConfig,
        journal: &Journal,
        ids: &Arc<AtomicI64>,
    ) -> Arc<Self> {
        let contents = catalog.load(std::mem::take).await.unwrap();
        let book = JobBook::default();
        for job in contents.jobs {
            let plans = contents.plans.iter().filter(|p| p.job == job.id).cloned().collect();
            book.add(job, plans);
        }
        Arc::new(Self {
            clock: Arc::clone(clock),
            catalog,
            book,
            config: config.clone(),
            journal: journal.clone(),
            ids: Arc::clone(ids),
            segments: Mutex::new(contents.segments.into_values().flatten().map(|s| (s.id, s)).collect()),
            failures: Mutex::default(),
            turns: Mutex::default(),
            commit: tokio::sync::Mutex::default(),
            planning: tokio::sync::Mutex::default(),
        })
    }

    fn id(&self) -> i64 {
        self.ids.fetch_add(1, Ordering::SeqCst)
    }

    pub fn segments(&self) -> Vec<Segment> {
        self.segments.lock().unwrap().values().cloned().collect()
    }

    pub fn live_in(&self, group: &Group) -> Vec<Segment> {
        self.segments().into_iter().filter(|s| s.is_live() && *s.group == *group).collect()
    }

    fn fold(&self, changed: impl IntoIterator<Item = Segment>) {
        self.segments.lock().unwrap().extend(changed.into_iter().map(|s| (s.id, s)));
    }

    /// Broken invariants that no later state shows.
    pub fn broken(&self) -> Vec<String> {
        self.turns.lock().unwrap().broken.clone()
    }

    /// Holds plans back. Turns that were counted before prove nothing any more.
    pub fn hold(&self, held: &QueueHold) {
        let mut turns = self.turns.lock().unwrap();
        turns.waiting.clear();
        turns.held = held.clone();
    }

    /// Puts unfinished plans back into the queue.
    pub async fn resume(&self, scheduler: &Scheduler) -> Result<(), MetaError> {
        for mut plan in self.book.unfinished() {
            if let PlanState::Executing { .. } = plan.state {
                plan.state = transition(&plan.state, Event::Restart).unwrap();
                let mut txn = self.catalog.txn();
                txn.put_plan(&plan);
                txn.commit().await?;
                self.book.update(plan.clone());
            }
            let trigger = self.book.job(plan.job).map_or(Trigger::Tick, |view| view.job.trigger);
            scheduler.enqueue(&plan, trigger, 0);
        }
        Ok(())
    }

    fn empty_segment(&self, group: &Arc<Group>, id: SegmentId, level: SegmentLevel) -> Segment {
        Segment { level, ..model::segment(id.0, group) }
    }

    /// Writes a segment of so many rows, or an L0 segment of so many deletes.
    pub async fn flush(&self, group: &Arc<Group>, rows: u64, deletes: u64) -> Result<SegmentId, MetaError> {
        let level = if rows == 0 { SegmentLevel::L0 } else { SegmentLevel::L1 };
        let mut segment = self.empty_segment(group, SegmentId(self.id()), level);
        let mut logs = if rows == 0 { SegmentLogs::default() } else { worker::logs(&self.ids, rows) };
        if deletes > 0 {
            logs.delta.push(worker::log(&self.ids, deletes, DELETE_BYTES));
        }
        segment.summarise(&logs);
        let mut txn = self.catalog.txn();
        txn.expect_no_segment(group, segment.id);
        txn.put_segment_and_logs(&segment, &logs);
        txn.commit().await?;
        let id = segment.id;
        self.fold([segment]);
        Ok(id)
    }

    /// Deletes rows of a live segment; returns how many it could.
    pub async fn delete(&self, id: SegmentId, rows: u64) -> Result<u64, MetaError> {
        let _turn = self.commit.lock().await;
        let Some(segment) = self.segments.lock().unwrap().get(&id).filter(|s| s.is_live()).cloned() else {
            return Ok(0);
        };
        let rows = rows.min(self.unclaimed(&segment));
        if rows == 0 {
            return Ok(0);
        }
        let mut txn = self.catalog.txn();
        let next = self.attach(&segment, rows, &mut txn).await?;
        txn.commit().await?;
        self.fold([next]);
        Ok(rows)
    }

    /// Live rows of a segment that no delete of its group's level 0 counts on.
    fn unclaimed(&self, segment: &Segment) -> u64 {
        self.alive(&segment.group).min(segment.rows.saturating_sub(segment.delta_rows))
    }

    /// Live rows of a group, less the deletes of its level 0.
    pub fn alive(&self, group: &Group) -> u64 {
        let live = self.live_in(group);
        let rows: u64 = live.iter().map(|s| s.rows).sum();
        rows - live.iter().map(|s| s.delta_rows).sum::<u64>()
    }

    async fn attach(
        &self,
        segment: &Segment,
        rows: u64,
        txn: &mut datacoord::meta::catalog::CatalogTxn,
    ) -> Result<Segment, MetaError> {
        let mut logs = self.catalog.segment_logs(&segment.group, segment.id).await?;
        logs.delta.push(worker::log(&self.ids, rows, DELETE_BYTES));
        let mut next = Segment { version: segment.version + 1, ..segment.clone() };
        next.summarise(&logs);
        txn.expect_segment(segment);
        txn.put_segment_and_logs(&next, &logs);
        Ok(next)
    }

    pub fn propose(&self, group: &Arc<Group>, trigger: Trigger, policy: Policy) -> Proposals {
        let segments = self.live_in(group);
        let reserved = |id| self.book.reserved_by(id).is_some();
        let failures = self.failures.lock().unwrap();
        let failed = |id: SegmentId| {
            let (version, kind) = failures.get(&id)?;
            let failure = LastFailure { kind: *kind, until_ms: None };
            segments.iter().any(|s| s.id == id && s.version == *version).then_some(failure)
        };
        let sized = |segment: &Segment| self.book.targets_of_a_size(group.collection).contains(&segment.id);
        propose(
            &GroupView { group, segments: &segments },
            &PlanContext {
                now_ms: self.clock.now_ms(),
                trigger,
                policy,
                clustering_key: Some(CLUSTERING_KEY),
                growing_from: Timestamp::MAX,
                config: &self.config,
                commit: CommitLimit::NONE,
                collection_auto: true,
                ttl: None,
                reserved: &reserved,
                failed: &failed,
                indexed: &|_| true,
                sized: &sized,
                scope: SegmentScope::All,
                retain_after: Timestamp::MAX,
            },
        )
    }

    /// Plans for some groups of one collection. Makes a job if there is anything to do, or if a client asked.
    pub async fn plan(
        &self,
        scheduler: &Scheduler,
        groups: &[Arc<Group>],
        trigger: Trigger,
        policy: Policy,
    ) -> Result<Option<JobId>, MetaError> {
        let _planning = self.planning.lock().await;
        let Some(collection) = groups.first().map(|g| g.collection) else { return Ok(None) };
        let job = JobId(self.id());
        let now_ms = self.clock.now_ms();
        let (mut plans, mut adopted) = (Vec::new(), BTreeSet::new());
        for group in groups {
            if trigger == Trigger::Manual {
                adopted.extend(self.live_in(group).iter().filter_map(|s| self.book.reserved_by(s.id)));
            }
            for draft in self.propose(group, trigger, policy).drafts {
                plans.push(Plan {
                    kind: draft.kind,
                    reason: draft.reason,
                    max_output_bytes: draft.max_output_bytes,
                    created_at_ms: now_ms,
                    ..model::plan(self.id(), job.0, Group::clone(group), draft.inputs)
                });
            }
        }
        if plans.is_empty() && trigger != Trigger::Manual {
            return Ok(None);
        }
        let all: Vec<PlanId> = plans.iter().map(|p| p.id).chain(adopted).collect();
        let nothing_to_do = all.is_empty().then(|| "nothing to do".to_owned());
        let record = Job {
            id: job,
            trigger,
            collection,
            created_at_ms: now_ms,
            plans: all,
            nothing_to_do,
            terms: Terms::default(),
        };
        let mut txn = self.catalog.txn();
        txn.put_job(&record);
        plans.iter().for_each(|plan| {
            txn.put_plan(plan);
        });
        txn.commit().await?;
        self.book.add(record, plans.clone());
        // Lets plans that begin now be counted before the new ones are queued.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        for plan in &plans {
            self.turns.lock().unwrap().queued(plan, trigger);
            scheduler.enqueue(plan, trigger, 0);
        }
        Ok(Some(job))
    }

    /// Ends plans that nothing executes any more.
    pub async fn cancelled(&self, plans: &[PlanId]) -> Result<(), MetaError> {
        for id in plans {
            self.turns.lock().unwrap().gone(*id);
            let Some(mut plan) = self.book.plan(*id).filter(|p| !p.state.is_terminal()) else { continue };
            let event = Event::Cancel { by: "a client".to_owned(), at_ms: self.clock.now_ms() };
            plan.state = transition(&plan.state, event).unwrap();
            let mut txn = self.catalog.txn();
            txn.put_plan(&plan);
            txn.commit().await?;
            self.book.update(plan);
            self.journal.note(format!("{id} cancelled"));
        }
        Ok(())
    }

    async fn step(&self, attempt: Attempt, event: Event) -> Result<Plan, SinkRefusal> {
        let mut plan = self.book.plan(attempt.plan).filter(|p| !p.state.is_terminal()).ok_or(SinkRefusal::Ended)?;
        let failed = |kind, message| SinkRefusal::Failed { kind, message };
        plan.state = transition(&plan.state, event).map_err(|e| failed(e.kind(), e.to_string()))?;
        plan.attempts = attempt.number;
        let mut txn = self.catalog.txn();
        txn.put_plan(&plan);
        txn.commit().await.map_err(|e| failed(e.kind(), e.to_string()))?;
        self.book.update(plan.clone());
        Ok(plan)
    }

    async fn record(&self, attempt: Attempt, event: Event) {
        if let Err(refusal) = self.step(attempt, event).await {
            self.journal.note(format!("{} stays as it was: {refusal:?}", attempt.plan));
        }
    }

    fn remember_failure(&self, plan: PlanId, kind: FailureKind) {
        let Some(plan) = self.book.plan(plan) else { return };
        if kind == FailureKind::Outdated {
            return;
        }
        let segments = self.segments.lock().unwrap();
        let inputs = plan.input_ids().filter_map(|id| segments.get(&id)).map(|s| (s.id, (s.version, kind)));
        self.failures.lock().unwrap().extend(inputs);
    }

    fn check(&self, plan: &Plan) -> Result<(), SinkRefusal> {
        let segments = self.segments.lock().unwrap();
        let reserved = |id: SegmentId| self.book.reserved_by(id).is_some_and(|p| p != plan.id);
        let max_inputs = self.config.max_inputs;
        let rules =
            Rules { kind: plan.kind, group: &plan.group, max_inputs, commit: CommitLimit::NONE, reserved: &reserved };
        validate(&plan.inputs, &rules, |id| segments.get(&id))
            .map_err(|e| SinkRefusal::Failed { kind: e.kind(), message: e.to_string() })
    }

    async fn commit_plan(&self, plan: &Plan, outcome: CompactionOutcome) -> Result<u64, SinkRefusal> {
        let failed = |e: MetaError| SinkRefusal::Failed { kind: e.kind(), message: e.to_string() };
        let _turn = self.commit.lock().await;
        self.check(plan)?;
        let inputs: Vec<Segment> = {
            let segments = self.segments.lock().unwrap();
            plan.input_ids().filter_map(|id| segments.get(&id).cloned()).collect()
        };
        let mut late = 0;
        for input in &inputs {
            let logs = self.catalog.segment_logs(&input.group, input.id).await.map_err(failed)?;
            let unseen = logs.delta.iter().filter(|log| !outcome.consumed_deltas.contains(&(input.id, log.id)));
            late += unseen.map(|log| log.rows).sum::<u64>();
        }
        let carried = late;
        let mut txn = self.catalog.txn();
        let mut changed = Vec::new();
        let targets: Vec<SegmentId> = outcome.outputs.iter().map(|o| o.id).collect();
        let Some(group) = inputs.first().map(|s| Arc::clone(&s.group)) else { return Err(SinkRefusal::Ended) };
        for output in outcome.outputs {
            let level = match (&output.cluster_range, &inputs[..]) {
                (Some(_), _) => SegmentLevel::L2,
                (None, [input]) => input.level,
                (None, _) => SegmentLevel::L1,
            };
            let mut logs = output.logs;
            let hits = late.min(output.rows);
            if hits > 0 {
                logs.delta.push(worker::log(&self.ids, hits, DELETE_BYTES));
                late -= hits;
            }
            let mut segment = self.empty_segment(&group, output.id, level);
            segment.cluster_range = match (output.cluster_range, &inputs[..]) {
                (Some(range), _) => Some(Box::new(range)),
                (None, [input]) => input.cluster_range.clone(),
                (None, _) => None,
            };
            segment.compaction_from = plan.input_ids().collect();
            segment.summarise(&logs);
            txn.put_segment_and_logs(&segment, &logs);
            changed.push(segment);
        }
        let mut spread = inputs.iter().filter(|s| s.level == SegmentLevel::L0).map(|s| s.delta_rows).sum::<u64>();
        for segment in self.live_in(&group).iter().filter(|s| s.level != SegmentLevel::L0) {
            let hits = spread.min(segment.rows - segment.delta_rows);
            if hits > 0 {
                changed.push(self.attach(segment, hits, &mut txn).await.map_err(failed)?);
                spread -= hits;
            }
        }
        for input in &inputs {
            txn.expect_segment(input);
            let dropped = Segment {
                state: SegmentState::Dropped,
                dropped_at_ms: self.clock.now_ms(),
                compaction_to: targets.clone().into(),
                version: input.version + 1,
                ..input.clone()
            };
            txn.put_segment(&dropped);
            changed.push(dropped);
        }
        let mut done = self.book.plan(plan.id).ok_or(SinkRefusal::Ended)?;
        let (rows_out, bytes_out, at_ms) = (outcome.rows_out, outcome.bytes_written, self.clock.now_ms());
        done.state = transition(&done.state, Event::Commit { targets, rows_out, bytes_out, at_ms })
            .map_err(|e| SinkRefusal::Failed { kind: e.kind(), message: e.to_string() })?;
        txn.put_plan(&done);
        txn.commit().await.map_err(failed)?;
        self.fold(changed);
        self.book.update(done);
        Ok(carried)
    }
}

#[async_trait]
impl JobSink for World {
    async fn prepare(&self, attempt: Attempt) -> Result<Task, SinkRefusal> {
        if let Some(plan) = self.book.plan(attempt.plan) {
            self.turns.lock().unwrap().began(plan.id, plan.group.collection);
        }
        let plan = self.step(attempt, Event::Begin { at_ms: self.clock.now_ms() }).await?;
        self.journal.note(format!("{} begins {}, {}", plan.id, attempt.number, plan.kind.as_str()));
        self.check(&plan)?;
        let mut inputs = Vec::new();
        for id in plan.input_ids() {
            let segment = self.segments.lock().unwrap()[&id].clone();
            let logs = self.catalog.segment_logs(&segment.group, id).await;
            let logs = logs.map_err(|e| SinkRefusal::Failed { kind: e.kind(), message: e.to_string() })?;
            inputs.push(CompactionInput { segment, logs });
        }
        let schema = Arc::new(model::schema("c", Vec::new()));
        let first = self.ids.fetch_add(IDS_OF_AN_ATTEMPT, Ordering::SeqCst);
        let ids = first..first + IDS_OF_AN_ATTEMPT;
        Ok(Task::Compaction(CompactionTask {
            plan,
            schema,
            inputs,
            now_ms: self.clock.now_ms(),
            ids,
            max_outputs: u64::MAX,
        }))
    }

    async fn completed(&self, attempt: Attempt, outcome: TaskOutcome) -> Result<(), SinkRefusal> {
        let TaskOutcome::Compaction(outcome) = outcome else { panic!("there are no indexes on paper") };
        if self.journal.late.lock().unwrap().contains(&(attempt.plan, attempt.number)) {
            let late = format!("8: the late answer of attempt {} of {} was accepted", attempt.number, attempt.plan);
            self.turns.lock().unwrap().broken.push(late);
        }
        let plan = self.book.plan(attempt.plan);
        let current =
            plan.filter(|p| !p.state.is_terminal() && p.attempts == attempt.number).ok_or(SinkRefusal::Ended)?;
        let late = self.commit_plan(&current, outcome).await?;
        self.journal.note(format!("{} committed {}", current.id, attempt.number));
        if late > 0 {
            self.journal.note(format!("{} carried {late} late deletes over", current.id));
        }
        Ok(())
    }

    async fn failed(&self, attempt: Attempt, failure: AttemptFailure) {
        let AttemptFailure { kind, message, retry_at_ms } = failure;
        let again = if retry_at_ms.is_some() { "again" } else { "never more" };
        self.journal.note(format!(
            "{} failed {} ({}): {message}; {again}",
            attempt.plan,
            attempt.number,
            kind.as_str()
        ));
        let event = match retry_at_ms {
            Some(not_before_ms) => Event::Retry { not_before_ms },
            None => {
                let kind = FailureKind::from(kind);
                self.remember_failure(attempt.plan, kind);
                Event::Fail { kind, message, at_ms: self.clock.now_ms() }
            }
        };
        self.turns.lock().unwrap().gone(attempt.plan);
        self.record(attempt, event).await;
    }

    async fn timed_out(&self, attempt: Attempt, message: String) {
        self.journal.note(format!("{} timed out {}: {message}", attempt.plan, attempt.number));
        self.remember_failure(attempt.plan, FailureKind::Exhausted);
        self.record(attempt, Event::TimeOut { message, at_ms: self.clock.now_ms() }).await;
    }
}

/// True for the store's refusal of a process that lost the lease.
pub fn is_fenced(error: &MetaError) -> bool {
    error.kind() == ErrorKind::Fenced
}
