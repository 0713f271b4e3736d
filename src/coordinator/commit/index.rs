//! The commit of a build: the segment's record names the index, and the plan is Completed, in one transaction.
//!
//! Must never: give a segment an index whose definition is gone, or change anything else of it.

use std::sync::Arc;

use tracing::info;

use crate::{
    compactor::IndexOutcome,
    coordinator::{CoordinatorError, Core, plans::PlanMoves},
    model::{Plan, RequestError, Segment},
    scheduler::Event,
};

impl Core {
    /// Commits the outcome of a build.
    ///
    /// # Errors
    /// A Conflict kind if the segment or the definition is gone: the plan is outdated.
    pub(in crate::coordinator) async fn commit_index(
        self: &Arc<Self>,
        plan: &Plan,
        outcome: IndexOutcome,
    ) -> Result<(), CoordinatorError> {
        let cell = self.collections.by_id(plan.group.collection)?;
        let turn = cell.commit_turn().await;
        let index = outcome.index;
        let gone = |what: String| CoordinatorError::Rejected(format!("{what} is gone"));
        let input = plan.input_ids().next().ok_or_else(|| gone("the input".to_owned()))?;
        let segment = cell.segment(input).filter(Segment::is_live).ok_or_else(|| gone(format!("segment {input}")))?;
        if self.shape_of(&cell, index.index).is_none_or(|(field, _)| field != index.field) {
            return Err(gone(format!("index {}", index.index)));
        }
        let (rows, bytes) = (outcome.rows, index.bytes());
        let build = (segment.id, index.index);
        let others = segment.indexes.iter().filter(|other| other.index != build.1).cloned();
        let next =
            Segment { indexes: others.chain([index]).collect(), version: segment.version + 1, ..segment.clone() };
        let mut txn = self.catalog.txn();
        txn.expect_segment(&segment);
        txn.put_segment(&next);
        let now = self.jobs.plan(plan.id).ok_or(RequestError::PlanNotFound(plan.id))?;
        let at_ms = self.clock.now_ms();
        let mut moves = PlanMoves::default();
        moves.stage(&mut txn, now, Event::Commit { targets: Vec::new(), rows_out: rows, bytes_out: bytes, at_ms })?;
        self.ownership.before_commit().await?;
        let (core, plan) = (Arc::clone(self), plan.id);
        let fold = move || {
            let sources = next.compaction_from.clone();
            cell.fold([next]);
            // Nobody searches the sources of the merge any more.
            core.segment_cache.forget(|id| sources.contains(&id));
            core.index_failures.forget(build);
            moves.fold(&core);
            info!(%plan, segment = %build.0, index = build.1, rows, bytes, "index committed");
        };
        self.catalog.commit(txn, turn, fold).await
    }
}
