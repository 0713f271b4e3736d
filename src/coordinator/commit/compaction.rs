//! The commit of a compaction: outputs become Flushed, inputs Dropped, the plan Completed, in one transaction.
//!
//! Deletes that reached an input after its merge had begun go to the outputs. Deletes of L0 inputs go to the segments of
//! the channel. Everything is checked once more under the turn: the plan's terms, its inputs, and (by the transaction)
//! that each input is stored as it was read.
//!
//! Must never: commit an output of a plan that is outdated.

use std::{sync::Arc, time::Duration};

use tracing::info;

use crate::{
    compactor::{CompactionOutcome, OutputSegment},
    coordinator::{CoordinatorError, Core, plans::PlanMoves},
    fault::{self, Planted, Point},
    model::{
        Delete, Plan, PlanKind, PlanState, RequestError, Segment, SegmentId, SegmentLevel, SegmentLogs, SegmentState,
        Timestamp,
    },
    scheduler::Event,
};

impl Core {
    /// Commits the outcome of a plan.
    ///
    /// # Errors
    /// A Conflict or Precondition kind when an input changed in a way that can't be carried over, or when a term of the
    /// plan does not hold any more: the plan is outdated.
    pub(in crate::coordinator) async fn commit_compaction(
        self: &Arc<Self>,
        plan: &Plan,
        outcome: CompactionOutcome,
    ) -> Result<(), CoordinatorError> {
        let cell = self.collections.by_id(plan.group.collection)?;
        // With it no definition that decides over rows can change until this is committed.
        let turn = Arc::new(cell.commit_turn().await);
        if !fault::planted(Planted::TermsUnchecked) {
            self.check_terms_of(plan, &cell)?;
        }
        let inputs: Vec<Segment> = plan.input_ids().filter_map(|id| cell.segment(id)).collect();
        if !fault::planted(Planted::InputsUnchecked) {
            self.check_plan(plan, &inputs)?;
        }
        let is_l0 = plan.kind == PlanKind::L0Delete;
        let carries_none = is_l0 || fault::planted(Planted::LateDeletesLost);
        let late = if carries_none { Vec::new() } else { self.late_deletes(&inputs, &outcome.consumed_deltas).await? };

        let now_ms = self.clock.now_ms();
        let mut txn = self.catalog.txn();
        let mut changed = Vec::new();
        let targets: Vec<SegmentId> = outcome.outputs.iter().map(|o| o.id).collect();
        for output in outcome.outputs {
            let is_left_out = !changed.is_empty() && fault::planted(Planted::LateDeletesToOneOutput);
            let late = if is_left_out { &[] } else { late.as_slice() };
            let (segment, logs) = self.as_segment(plan, &inputs, output, outcome.expired_before, late).await?;
            txn.put_segment_and_logs(&segment, &logs);
            changed.push(segment);
        }
        let outputs: Vec<u64> = changed.iter().map(|output| output.insert_bytes).collect();
        let mut written: u64 = changed.iter().map(stored_bytes).sum();
        for input in &inputs {
            txn.expect_segment(input);
            let dropped = Segment {
                state: SegmentState::Dropped,
                dropped_at_ms: now_ms,
                compaction_to: targets.clone().into(),
                version: input.version + 1,
                ..input.clone()
            };
            txn.put_segment(&dropped);
            changed.push(dropped);
        }
        let spread = if is_l0 { self.spread(&cell, &plan.group, &inputs).await? } else { Vec::new() };
        // A segment that only receives deletes counts with its new bytes.
        written += spread.iter().flat_map(|(_, logs)| logs).map(|log| log.bytes).sum::<u64>();
        let write_stats = cell.write_stats().with_merge(inputs.iter().map(stored_bytes).sum(), written, now_ms);
        txn.put_write_stats(cell.id, &write_stats);
        let now = self.jobs.plan(plan.id).ok_or(RequestError::PlanNotFound(plan.id))?;
        let (rows_in, rows_out, bytes_out) = (outcome.rows_in, outcome.rows_out, outcome.bytes_written);
        let mut moves = PlanMoves::default();
        moves.stage(&mut txn, now, Event::Commit { targets, rows_out, bytes_out, at_ms: now_ms })?;
        changed.extend(self.attach_all(&cell, &turn, spread, &mut txn).await?);
        let (deleted, expired, late_deletes) = (outcome.rows_deleted, outcome.rows_expired, late.len());
        self.ownership.before_commit().await?;
        fault::reached(Point::CompactionChecked);
        #[cfg(feature = "planted-faults")]
        let unanswered = fault::planted(Planted::UnknownIsFailure).then(|| changed.clone());
        let awaits_index = changed.iter().any(|segment| segment.is_live() && self.awaits_index(&cell, segment));
        let (core, plan) = (Arc::clone(self), plan.clone());
        let fold = move || {
            let gone: Vec<SegmentId> = plan.input_ids().collect();
            cell.set_write_stats(write_stats);
            // Segments that were given deletes may be due for a rewrite. All of this happens before the turn ends: a
            // reader of the plan's state finds its targets.
            core.fold_and_raise(&cell, changed);
            gone.iter().for_each(|id| core.stats_cache.forget(*id));
            // Sources are searched until the outputs have their indexes.
            if !awaits_index {
                core.segment_cache.forget(|id| gone.contains(&id));
            }
            core.failures.forget(&gone);
            moves.fold(&core);
            let metrics = &core.metrics.compaction;
            metrics.input_rows.inc_by(rows_in);
            metrics.output_rows.inc_by(rows_out);
            metrics.input_bytes.inc_by(plan.input_bytes());
            metrics.output_bytes.inc_by(bytes_out);
            if let PlanState::Executing { started_at_ms } = plan.state {
                let took = Duration::from_millis(now_ms.saturating_sub(started_at_ms));
                core.metrics.plan_committed(plan.kind.as_str(), took, outputs.into_iter());
                core.merge_rate.observe(plan.input_bytes(), took.as_secs_f64());
            }
            info!(plan = %plan.id, job = %plan.job, rows_in, rows_out, deleted, expired, late_deletes, bytes_out, "plan committed");
        };
        let committed = self.catalog.commit(txn, turn, fold).await;
        fault::reached(Point::CompactionCommitted);
        #[cfg(feature = "planted-faults")]
        if let (Err(_), Some(changed)) = (&committed, unanswered) {
            self.give_up(&changed).await?;
        }
        committed
    }

    /// Deletes the outputs of a compaction: for [`Planted::UnknownIsFailure`] alone.
    #[cfg(feature = "planted-faults")]
    async fn give_up(&self, changed: &[Segment]) -> Result<(), CoordinatorError> {
        for segment in changed.iter().filter(|s| s.is_live()) {
            let logs = self.catalog.segment_logs(&segment.group, segment.id).await.unwrap_or_default();
            for object in crate::storage::StoredObject::all(segment.log_ids(), &logs) {
                self.store.delete(&object.path).await?;
            }
        }
        Ok(())
    }

    /// The output as the catalog will hold it, with the late deletes that may hit its rows in **one** delta log.
    async fn as_segment(
        &self,
        plan: &Plan,
        inputs: &[Segment],
        output: OutputSegment,
        expired_before: Timestamp,
        late: &[Delete],
    ) -> Result<(Segment, SegmentLogs), CoordinatorError> {
        let mut logs = output.logs;
        let hits = self.late_hits(&plan.group, output.id, output.pk_range.as_ref(), &logs, late).await?;
        if !hits.is_empty() {
            logs.delta.push(self.write_delta(&plan.group, output.id, hits).await?);
        }
        let group = inputs.first().map_or_else(|| Arc::new(plan.group.clone()), |s| Arc::clone(&s.group));
        // A rewritten segment only loses rows, so its range of clustering keys still holds.
        let (level, cluster_range) = match (output.cluster_range, inputs) {
            (Some(range), _) => (SegmentLevel::L2, Some(Box::new(range))),
            (None, [input]) => (input.level, input.cluster_range.clone()),
            (None, _) => (SegmentLevel::L1, None),
        };
        let mut segment = Segment {
            level,
            pk_range: output.pk_range,
            cluster_range,
            compaction_from: plan.input_ids().collect(),
            expired_before,
            version: 1,
            ..Segment::new(output.id, group)
        };
        segment.summarise(&logs);
        Ok((segment, logs))
    }
}

fn stored_bytes(segment: &Segment) -> u64 {
    segment.insert_bytes + segment.delta_bytes
}
