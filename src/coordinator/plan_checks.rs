//! Whether a plan may still begin and be committed. Both moments ask the same questions: the answer at the begin saves the
//! work of a plan that could not be committed, the answer at the commit decides.
//!
//! Must never: change a plan or a segment.

use super::{CollectionCell, CoordinatorError, Core};
use crate::{
    model::{Plan, Segment, SegmentId, Terms, Timestamp, Trigger},
    planner::{CommitLimit, Rules, Standing, Violation, check_terms, validate},
};

impl Core {
    /// Checks a plan against the terms of this moment. They can't change while the caller holds the collection's commit
    /// turn.
    pub(super) fn check_terms_of(&self, plan: &Plan, cell: &CollectionCell) -> Result<(), CoordinatorError> {
        let (meta, config) = (cell.meta(), &self.config.compaction);
        let (trigger, terms) = self.jobs.origin(plan.job).unwrap_or((Trigger::Tick, Terms::default()));
        let standing = Standing {
            enabled: config.enabled,
            automatic: config.auto_enabled && meta.auto_compaction(),
            ttl: meta.ttl(),
            clustering_key: meta.schema.clustering_key().map(|f| f.id),
            retain_after: self.retain_after(terms.timetravel, self.clock.now_ms()),
        };
        Ok(check_terms(plan, trigger, &standing)?)
    }

    /// Deletes newer than this are kept: the time that a request asked for, or the start of the configured window.
    pub(super) fn retain_after(&self, timetravel: Option<Timestamp>, now_ms: u64) -> Timestamp {
        let retention = self.config.compaction.retention;
        match timetravel {
            Some(ts) => ts,
            None if retention.is_zero() => Timestamp::MAX,
            None => Timestamp::from_ms(now_ms.saturating_sub(retention.as_millis() as u64)),
        }
    }

    /// How large the commit of a plan may be.
    pub(super) fn commit_limit(&self) -> CommitLimit {
        CommitLimit::of(self.catalog.max_operations())
    }

    /// Checks a plan's inputs as they are now against the rules that the planner proposed it by.
    pub(super) fn check_plan(&self, plan: &Plan, inputs: &[Segment]) -> Result<(), Violation> {
        let reserved = |id: SegmentId| self.jobs.reserved_by(id).is_some_and(|p| p != plan.id);
        let (max_inputs, commit) = (self.config.compaction.max_inputs, self.commit_limit());
        let rules = Rules { kind: plan.kind, group: &plan.group, max_inputs, commit, reserved: &reserved };
        validate(&plan.inputs, &rules, |id| inputs.iter().find(|s| s.id == id))
    }
}
