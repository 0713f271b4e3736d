//! The dry run: the plans that a trigger would make at this moment.
//!
//! Calls the planner with the trigger's own inputs, so that a real run would make the same plans. Writes nothing: a
//! real request would first bring waiting deletes into delta logs, so these are counted with the segments that they
//! would go to.

use std::{collections::HashMap, sync::Arc};

use crate::{
    coordinator::{CollectionCell, CompactionRequest, Coordinator, CoordinatorError, triggers::why_nothing},
    model::{Group, PlanId, Segment, SegmentId, Trigger},
    planner::{PlanDraft, SkipReason},
};

/// A plan that would be made.
#[derive(Debug, Clone, PartialEq)]
pub struct DryPlan {
    pub group: Group,
    pub draft: PlanDraft,
    /// At the measured rate of merging; none: no merge has been measured.
    pub estimated_seconds: Option<f64>,
}

/// The effect that a trigger would have.
#[derive(Debug, Clone, PartialEq)]
pub struct DryRun {
    pub plans: Vec<DryPlan>,
    /// Unfinished plans that the job would share, ascending.
    pub shared: Vec<PlanId>,
    /// Segments in scope that no plan would take, and why, ascending.
    pub skipped: Vec<(SegmentId, SkipReason)>,
    /// Why there would be no plans, when there would be none.
    pub nothing_to_do: Option<String>,
    /// For all plans, with as many at once as there are slots.
    pub estimated_seconds: Option<f64>,
    /// Of one plan, measured.
    pub bytes_per_second: Option<f64>,
}

impl Coordinator {
    /// The effect that [`Coordinator::manual_compaction`] would have with the same arguments.
    ///
    /// # Errors
    /// The same.
    pub async fn dry_run_manual(
        &self,
        cell: &Arc<CollectionCell>,
        request: &CompactionRequest,
    ) -> Result<DryRun, CoordinatorError> {
        self.check_request(cell, request)?;
        let ahead = self.with_waiting_deletes(cell, |group| request.covers(group)).await?;
        Ok(self.dry_run(cell, Trigger::Manual, request, &ahead))
    }

    /// The effect that the next automatic round over the collection would have.
    pub fn dry_run_automatic(&self, cell: &CollectionCell) -> DryRun {
        let mut dry_run = self.dry_run(cell, Trigger::Tick, &CompactionRequest::default(), &HashMap::new());
        if let Some(why) = self.automatic_held(cell) {
            dry_run.plans.clear();
            dry_run.nothing_to_do = Some(why);
        }
        dry_run
    }

    fn dry_run(
        &self,
        cell: &CollectionCell,
        trigger: Trigger,
        request: &CompactionRequest,
        ahead: &HashMap<SegmentId, Segment>,
    ) -> DryRun {
        let look = self.look(trigger, request);
        let bytes_per_second = self.core.merge_rate.bytes_per_second();
        let mut plans = Vec::new();
        let (mut shared, mut skipped) = (Vec::new(), Vec::new());
        for group in cell.groups().into_iter().filter(|g| look.covers(g)) {
            let live = cell.live_in(&group);
            let segments: Vec<Segment> = live.iter().map(|s| ahead.get(&s.id).unwrap_or(s).clone()).collect();
            let proposals = self.propose(cell, &look, &group, &segments);
            shared.extend(self.shared_plans(&look, &segments));
            plans.extend(proposals.drafts.into_iter().map(|draft| DryPlan {
                group: Group::clone(&group),
                estimated_seconds: bytes_per_second.map(|rate| input_bytes(&draft) as f64 / rate),
                draft,
            }));
            skipped.extend(proposals.skipped);
        }
        shared.sort_unstable();
        shared.dedup();
        let nothing_to_do = (plans.is_empty() && shared.is_empty()).then(|| why_nothing(request.policy, &skipped));
        skipped.sort_unstable_by_key(|(id, _)| *id);
        let side_by_side = self.core.config.worker.max_concurrency.clamp(1, plans.len().max(1));
        let estimated_seconds = bytes_per_second.map(|rate| {
            let bytes: u64 = plans.iter().map(|p| input_bytes(&p.draft)).sum();
            bytes as f64 / rate / side_by_side as f64
        });
        DryRun { plans, shared, skipped, nothing_to_do, estimated_seconds, bytes_per_second }
    }

    /// Live segments as they would be if the deletes that wait in memory were in delta logs: those that differ, of the
    /// groups that `which` picks.
    pub(super) async fn with_waiting_deletes(
        &self,
        cell: &CollectionCell,
        which: impl Fn(&Group) -> bool,
    ) -> Result<HashMap<SegmentId, Segment>, CoordinatorError> {
        let mut ahead = HashMap::new();
        for batch in self.write_path.waiting_deletes(cell.id) {
            let near = |s: &Segment| s.group.channel == batch.channel && which(&s.group);
            for mut segment in cell.live().into_iter().filter(near) {
                let hits = self.core.hits(&segment, batch.for_segment(segment.id, segment.group.partition)).await?;
                let Some(from) = hits.iter().map(|d| d.ts).min() else { continue };
                segment.delta_ts_from = if segment.delta_rows == 0 { from } else { segment.delta_ts_from.min(from) };
                segment.delta_rows += hits.len() as u64;
                segment.delta_logs += 1;
                ahead.insert(segment.id, segment);
            }
        }
        Ok(ahead)
    }
}

fn input_bytes(draft: &PlanDraft) -> u64 {
    draft.inputs.iter().map(|i| i.bytes).sum()
}
