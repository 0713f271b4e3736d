//! Triggers: turns a flush event, the global tick or a client's request into a job with plans.
//!
//! Looks at one group at a time, lets the planner decide, and makes job and plans durable before they can be seen (P7).
//! A segment is reserved for at most one unfinished plan. Must never decide what to compact.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use tracing::{Instrument, info, info_span, warn};

use super::{CollectionCell, CompactionRequest, Coordinator, CoordinatorError};
use crate::{
    fault::{self, Planted, Point},
    model::{
        Group, Job, JobId, PartitionId, Plan, PlanId, PlanState, Segment, SegmentId, SegmentLevel, Timestamp, Trigger,
    },
    planner::{self, GroupView, PlanContext, Policy, Proposals, SegmentScope, SkipReason},
    scheduler::Event,
};

/// The job that a trigger made.
#[derive(Debug, Clone)]
pub struct Triggered {
    pub job: JobId,
    pub plans: usize,
    /// Why there are no plans, when there are none.
    pub nothing_to_do: Option<String>,
}

/// The inputs of one look of the planner at a collection that do not depend on the group.
pub(super) struct PlanningRound<'a> {
    trigger: Trigger,
    request: &'a CompactionRequest,
    now_ms: u64,
    retain_after: Timestamp,
    /// Segments of the request; empty: all.
    wanted: BTreeSet<SegmentId>,
    /// Segments that requests of a size have written, once the planner asks.
    sized: OnceLock<BTreeSet<SegmentId>>,
}

impl PlanningRound<'_> {
    pub(super) fn covers(&self, group: &Group) -> bool {
        self.request.covers(group)
    }
}

impl Coordinator {
    /// Plans and starts a compaction that a client asked for. Job and plans are durable when it returns.
    ///
    /// Plans that already work on segments of the scope are adopted: the job is finished when they are.
    pub async fn manual_compaction(
        &self,
        cell: &Arc<CollectionCell>,
        request: CompactionRequest,
    ) -> Result<Triggered, CoordinatorError> {
        self.check_request(cell, &request)?;
        // Deletes that still wait in memory belong to the files before the planner counts them.
        self.write_path.flush_deletes(cell.id).await?;
        let span = info_span!("planning", trigger = "manual", collection = %cell.id);
        let triggered = self.plan_collection(cell, Trigger::Manual, &request).instrument(span).await?;
        triggered.ok_or_else(|| CoordinatorError::Internal("a manual trigger made no job".into()))
    }

    /// Background loop over flush events. Separate from the tick, so that an event does not wait for a tick over
    /// everything.
    pub(super) async fn run_flush_trigger(self: Arc<Self>) {
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                group = self.core.flush_events.next() => self.on_flush(&group).await,
            }
        }
    }

    /// Background loop of the global tick, and of extra ticks after a change that may concern every group.
    pub(super) async fn run_tick_trigger(self: Arc<Self>) {
        #[expect(clippy::disallowed_methods, reason = "a background loop; tests move tokio's clock")]
        let mut tick = tokio::time::interval(self.core.config.compaction.global_interval);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tick.tick().await;
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = self.core.look_again.notified() => self.tick().await,
                _ = tick.tick() => {
                    self.tick().await;
                    self.core.note_next_tick();
                }
            }
        }
    }

    pub(super) fn is_automatic(&self, cell: &CollectionCell) -> bool {
        let config = &self.core.config.compaction;
        config.enabled && config.auto_enabled && cell.meta().auto_compaction() && self.automatic_held(cell).is_none()
    }

    async fn on_flush(&self, group: &Group) {
        let Ok(cell) = self.core.collections.by_id(group.collection) else { return };
        self.look_at_indexes(&cell, Some(group), Trigger::Flush).await;
        if !self.is_automatic(&cell) {
            return;
        }
        let request = CompactionRequest {
            partition: Some(group.partition),
            channel: Some(group.channel.clone()),
            ..CompactionRequest::default()
        };
        let span = info_span!("planning", trigger = "flush", group = %group);
        if let Err(error) = self.plan_collection(&cell, Trigger::Flush, &request).instrument(span).await {
            warn!(%group, %error, "planning after a flush failed; the next tick looks again");
        }
    }

    /// Looks at every group of every collection with automatic compaction, and trims the history. Runs on a thread of
    /// lower priority than calls and flush events, because it fills a core while it lasts.
    pub async fn tick(self: &Arc<Self>) {
        let this = Arc::clone(self);
        if let Err(error) = self.ticks.spawn(async move { this.look_at_everything().await }).await {
            warn!(%error, "a tick ended early; the next one looks again");
        }
    }

    async fn look_at_everything(&self) {
        for cell in self.core.collections.all() {
            // A cancelled tick ends here.
            tokio::task::yield_now().await;
            self.look_at_indexes(&cell, None, Trigger::Tick).await;
            if !self.is_automatic(&cell) {
                continue;
            }
            let span = info_span!("planning", trigger = "tick", collection = %cell.id);
            let everything = CompactionRequest::default();
            let planned = self.plan_collection(&cell, Trigger::Tick, &everything);
            if let Err(error) = planned.instrument(span).await {
                warn!(collection = %cell.id, %error, "planning at a tick failed; the next one looks again");
            }
        }
        self.trim_history().await;
    }

    /// How the planner would look at this collection now.
    pub(super) fn look<'a>(&self, trigger: Trigger, request: &'a CompactionRequest) -> PlanningRound<'a> {
        let now_ms = self.core.clock.now_ms();
        let retain_after = self.core.retain_after(request.terms.timetravel, now_ms);
        let wanted = request.segments.iter().copied().collect();
        PlanningRound { trigger, request, now_ms, retain_after, wanted, sized: OnceLock::new() }
    }

    /// Asks the planner about one group. Changes nothing.
    pub(super) fn propose(
        &self,
        cell: &CollectionCell,
        look: &PlanningRound<'_>,
        group: &Arc<Group>,
        segments: &[Segment],
    ) -> Proposals {
        let meta = cell.meta();
        let reserved = |id: SegmentId| self.core.jobs.reserved_by(id).is_some();
        let failed = |id: SegmentId| {
            // Failures are few, segments may be many.
            let known = self.core.failures.knows(id);
            known.then(|| segments.iter().find(|s| s.id == id)).flatten().and_then(|s| self.core.failures.of(s))
        };
        let indexed = |segment: &Segment| self.is_indexed(&meta, segment);
        let sized = |segment: &Segment| {
            look.sized.get_or_init(|| self.core.jobs.targets_of_a_size(cell.id)).contains(&segment.id)
        };
        planner::propose(
            &GroupView { group, segments },
            &PlanContext {
                now_ms: look.now_ms,
                trigger: look.trigger,
                policy: look.request.policy,
                clustering_key: meta.schema.clustering_key().map(|f| f.id),
                growing_from: self.growing_from(group, segments),
                config: &self.core.config.compaction,
                commit: self.core.commit_limit(),
                collection_auto: meta.auto_compaction(),
                ttl: meta.ttl(),
                reserved: &reserved,
                failed: &failed,
                indexed: &indexed,
                sized: &sized,
                scope: if look.wanted.is_empty() { SegmentScope::All } else { SegmentScope::Segments(&look.wanted) },
                retain_after: look.retain_after,
            },
        )
    }

    /// Unfinished plans that a request would share instead of making new ones.
    pub(super) fn shared_plans(&self, look: &PlanningRound<'_>, segments: &[Segment]) -> Vec<PlanId> {
        if look.trigger != Trigger::Manual {
            return Vec::new();
        }
        let wanted = |s: &&Segment| look.wanted.is_empty() || look.wanted.contains(&s.id);
        segments.iter().filter(wanted).filter_map(|s| self.core.jobs.reserved_by(s.id)).collect()
    }

    /// Plans all groups of a collection that the scope covers. An automatic trigger that finds nothing makes no job.
    async fn plan_collection(
        &self,
        cell: &Arc<CollectionCell>,
        trigger: Trigger,
        request: &CompactionRequest,
    ) -> Result<Option<Triggered>, CoordinatorError> {
        let turn = cell.planning_turn().await;
        let metrics = &self.core.metrics.compaction;
        let _timed = metrics.planning.start_timer();
        let meta = cell.meta();
        let look = self.look(trigger, request);
        let (now_ms, retain_after) = (look.now_ms, look.retain_after);
        let mut drafts = Vec::new();
        let mut adopted: Vec<PlanId> = Vec::new();
        let mut skipped = Vec::new();
        for group in cell.groups().into_iter().filter(|g| look.covers(g)) {
            let segments = cell.live_in(&group);
            let proposals = self.propose(cell, &look, &group, &segments);
            adopted.extend(self.shared_plans(&look, &segments));
            let mut by_code: BTreeMap<&'static str, u64> = BTreeMap::new();
            for (_, reason) in &proposals.skipped {
                *by_code.entry(reason.code()).or_default() += 1;
            }
            for (code, segments) in by_code {
                metrics.skipped.with([code]).inc_by(segments);
            }
            for draft in &proposals.drafts {
                metrics.planned.with([draft.reason.code()]).inc();
            }
            drafts.extend(proposals.drafts.into_iter().map(|d| (Group::clone(&group), d)));
            // Only a request is answered with the reason for doing nothing.
            if trigger == Trigger::Manual {
                skipped.extend_from_slice(&proposals.skipped);
            }
            cell.note_verdicts(&group, proposals.skipped);
        }
        adopted.sort_unstable();
        adopted.dedup();
        if drafts.is_empty() && trigger != Trigger::Manual {
            return Ok(None);
        }

        let job = JobId(self.core.ids.next().await?);
        let first = self.core.ids.alloc(drafts.len() as u64).await?.start;
        let plans: Vec<Plan> = (first..)
            .zip(drafts)
            .map(|(id, (group, draft))| Plan {
                id: PlanId(id),
                job,
                group,
                kind: draft.kind,
                reason: draft.reason,
                inputs: draft.inputs,
                keep_deletes_after: retain_after,
                ttl: meta.ttl(),
                max_output_bytes: draft.max_output_bytes,
                created_at_ms: now_ms,
                attempts: 0,
                state: PlanState::Queued { not_before_ms: 0 },
            })
            .collect();
        let all: Vec<PlanId> = plans.iter().map(|p| p.id).chain(adopted).collect();
        let nothing_to_do = all.is_empty().then(|| why_nothing(request.policy, &skipped));
        let terms = request.terms;
        let job = Job {
            id: job,
            trigger,
            collection: cell.id,
            created_at_ms: now_ms,
            plans: all,
            nothing_to_do: nothing_to_do.clone(),
            terms,
        };
        let with_job = self.core.put_plans_ahead(&plans).await?;
        let mut txn = self.core.catalog.txn();
        txn.put_job(&job);
        for plan in with_job {
            txn.put_plan(plan);
        }
        let triggered = Triggered { job: job.id, plans: job.plans.len(), nothing_to_do };
        let (core, scheduler) = (Arc::clone(&self.core), self.scheduler.clone());
        let fold = move || {
            core.metrics.compaction.jobs.with([trigger.as_str()]).inc();
            info!(job = %job.id, trigger = trigger.as_str(), plans = plans.len(), adopted = job.plans.len() - plans.len(), "compaction job made");
            core.deadlines.add(&job);
            core.jobs.add(job, plans.clone());
            for plan in &plans {
                info!(plan = %plan.id, job = %plan.job, group = %plan.group, inputs = plan.inputs.len(), reason = %plan.reason, "plan queued");
                scheduler.enqueue(plan, trigger, terms.priority);
            }
        };
        if fault::planted(Planted::JobNotStored) {
            fold();
            return Ok(Some(triggered));
        }
        self.core.catalog.commit(txn, turn, fold).await?;
        fault::reached(Point::JobStored);
        Ok(Some(triggered))
    }

    /// The oldest row in memory that a delete of this group could hit. L0 segments may be of all partitions (id -1).
    fn growing_from(&self, group: &Group, segments: &[Segment]) -> Timestamp {
        // Reading the growing rows for each of ten thousand groups would cost more than the rest of a tick.
        if segments.iter().all(|s| s.level != SegmentLevel::L0) {
            return Timestamp::MAX;
        }
        let unflushed = self.write_path.unflushed();
        let near = unflushed.iter().filter(|u| {
            u.group.collection == group.collection
                && u.group.channel == group.channel
                && (u.group.partition == group.partition || group.partition == PartitionId::ALL)
        });
        near.map(|u| u.ts_from).min().unwrap_or(Timestamp::MAX)
    }

    /// Ends unfinished plans that `which` picks, durably. To be called in a step: a plan whose execution was stopped and
    /// whose end is not recorded would hold its segments until a restart.
    pub(crate) async fn cancel_plans(&self, which: impl Fn(&Plan) -> bool + Send + Sync, why: &str) {
        for plan in self.core.jobs.unfinished().into_iter().filter(|p| which(p)) {
            self.scheduler.cancel(plan.id).await;
            self.core.outputs_in_flight.release(plan.id);
            let event = Event::Cancel { by: why.to_owned(), at_ms: self.core.clock.now_ms() };
            if let Err(error) = self.core.advance_plan(plan.id, event).await {
                warn!(plan = %plan.id, %error, "a cancelled plan could not be recorded; it ends as outdated");
            }
        }
    }
}

/// One sentence for many skipped segments: their number, and the reason of the first as an example.
pub(super) fn why_nothing(policy: Policy, skipped: &[(SegmentId, SkipReason)]) -> String {
    let is_other = |(_, reason): &(SegmentId, SkipReason)| matches!(reason, SkipReason::Level { .. });
    if policy == Policy::L0Delete && skipped.iter().all(is_other) {
        return "there are no L0 segments in scope: deletes are in the delta logs of the segments already".to_owned();
    }
    match skipped {
        [] => "there are no flushed segments in scope".to_owned(),
        [(id, reason)] => format!("segment {id}: {reason}"),
        [(id, reason), ..] => {
            format!("none of {} segments needs compaction, e.g. segment {id}: {reason}", skipped.len())
        }
    }
}
