//! Commits: the only place that changes the set of segments.
//!
//! Every change has the same shape: files are written first, then one catalog transaction names them, then it is folded
//! into memory, then those who wait are told. Commit and fold are one step ([`super::steps`]). A caller that goes away
//! before it leaves files that nobody names, like a crash; after it the change is finished. The transaction carries the
//! coordinator's epoch (P6) and expects each input to be stored exactly as it was read (P2).

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use futures::TryStreamExt;
use tracing::{debug, info};

use super::{CollectionCell, CoordinatorError, Core, core::KeyStats, plans::PlanMoves, steps::StepTxn};
use crate::{
    background::blocking,
    binlog,
    compactor::{Outcome, OutputSegment},
    ingest::{Committed, DeltaBatch, FlushSink, FlushedSegment, Gone, Refusal},
    model::{
        Delete, Group, LogFile, LogId, PartitionId, Plan, PlanKind, PlanState, Segment, SegmentId, SegmentLevel,
        SegmentLogs, SegmentState,
    },
    planner::{Rules, Violation, validate},
    scheduler::Event,
    storage::{self, LogPath, StoredObject},
};

/// Deletes of L0 segments that are in memory at once, in bytes.
const SPREAD_BYTES: usize = 16 << 20;

#[async_trait]
impl FlushSink for Arc<Core> {
    /// A growing segment became Flushed.
    async fn commit_flush(&self, flushed: FlushedSegment) -> Result<Committed, Refusal> {
        self.add_flushed(flushed).await.map_err(|e| Refusal::of(&e))
    }

    /// Deletes leave memory for the delta logs of the segments that may hold their keys.
    async fn commit_deltas(&self, batch: DeltaBatch) -> Result<Committed, Refusal> {
        self.add_deltas(batch).await.map_err(|e| Refusal::of(&e))
    }
}

impl Core {
    async fn add_flushed(self: &Arc<Self>, flushed: FlushedSegment) -> Result<Committed, CoordinatorError> {
        let FlushedSegment { segment, logs, stats } = flushed;
        let group = Arc::clone(&segment.group);
        let gone = Ok(Committed::Gone(Gone::Collection(group.collection)));
        let Ok(cell) = self.state.by_id(group.collection) else { return gone };
        let turn = cell.commit_turn().await;
        // It may have been dropped while this waited for its turn.
        if self.state.by_id(group.collection).is_err() {
            return gone;
        }
        if !cell.meta().partitions.iter().any(|p| p.id == group.partition) {
            return Ok(Committed::Gone(Gone::Partition(group.partition)));
        }
        if cell.is_known(segment.id) {
            // A repeated call: the first one was committed, its answer was lost.
            return Ok(Committed::Here);
        }
        let mut txn = self.catalog.txn();
        txn.expect_no_segment(&group, segment.id);
        txn.put_segment_and_logs(&segment, &logs);
        let bytes = segment.insert_bytes + segment.delta_bytes;
        let write_stats = cell.write_stats().with_flush(segment.rows, bytes, self.clock.now_ms());
        txn.put_write_stats(cell.id, &write_stats);
        self.ownership.before_commit().await?;
        let core = Arc::clone(self);
        let fold = move || {
            cell.set_write_stats(write_stats);
            info!(segment = %segment.id, %group, rows = segment.rows, bytes = segment.insert_bytes, delta_rows = segment.delta_rows, "segment flushed");
            core.metrics.ingest.flushed_rows.inc_by(segment.rows);
            core.metrics.ingest.flushed_bytes.inc_by(segment.insert_bytes);
            core.stats_cache.put(segment.id, Arc::new(stats));
            cell.fold([segment]);
            core.flush_events.raise(Group::clone(&group));
            Committed::Here
        };
        self.catalog.commit(txn, turn, fold).await
    }

    /// Routes deletes to the live segments of the channel that may hold their keys, writes one delta log for each, and
    /// commits them together with the position up to which the channel's deletes are now in files.
    ///
    /// Holding the commit lock throughout makes this and a compaction's commit take turns: a delete is routed either
    /// to a source before it is replaced, and then carried over, or to the output (P4).
    async fn add_deltas(self: &Arc<Self>, batch: DeltaBatch) -> Result<Committed, CoordinatorError> {
        let gone = Ok(Committed::Gone(Gone::Collection(batch.collection)));
        let Ok(cell) = self.state.by_id(batch.collection) else { return gone };
        let turn = cell.commit_turn().await;
        // It may have been dropped while this waited for its turn.
        if self.state.by_id(batch.collection).is_err() {
            return gone;
        }
        let mut txn = self.catalog.txn();
        let mut changed = Vec::new();
        let mut bytes = 0;
        for segment in cell.live().into_iter().filter(|s| s.group.channel == batch.channel) {
            let hits = self.hits(&segment, batch.for_segment(segment.id, segment.group.partition)).await?;
            if !hits.is_empty() {
                let log = self.write_delta(&segment.group, segment.id, hits).await?;
                let next = self.attach(&segment, vec![log], &mut txn).await?;
                bytes += next.delta_bytes.saturating_sub(segment.delta_bytes);
                changed.push(next);
            }
        }
        if !changed.is_empty() {
            self.ownership.before_commit().await?;
        }
        txn.set_channel_delta_lsn(&batch.channel, batch.upto);
        let write_stats = cell.write_stats().with_flush(0, bytes, self.clock.now_ms());
        txn.put_write_stats(cell.id, &write_stats);
        let core = Arc::clone(self);
        let fold = move || {
            cell.set_write_stats(write_stats);
            debug!(channel = %batch.channel, segments = changed.len(), upto = %batch.upto, "deletes written to delta logs");
            core.fold_and_raise(&cell, changed);
            Committed::Here
        };
        self.catalog.commit(txn, turn, fold).await
    }

    /// Takes over segments as committed, and has their groups looked at.
    fn fold_and_raise(&self, cell: &CollectionCell, changed: Vec<Segment>) {
        let groups: BTreeSet<Arc<Group>> = changed.iter().map(|s| Arc::clone(&s.group)).collect();
        cell.fold(changed);
        for group in groups {
            self.flush_events.raise(Group::clone(&group));
        }
    }

    /// Those deletes that may kill a row of the segment, by time, key range and filter.
    pub(super) async fn hits(
        &self,
        segment: &Segment,
        deletes: impl Iterator<Item = Delete>,
    ) -> Result<Vec<Delete>, CoordinatorError> {
        if segment.rows == 0 {
            return Ok(Vec::new());
        }
        let in_range = |key: &_| segment.pk_range.as_ref().is_none_or(|range| range.contains(key));
        let near: Vec<Delete> = deletes.filter(|delete| delete.ts > segment.ts_from && in_range(&delete.key)).collect();
        // Most segments are far from all of the deletes: no filter is read for them.
        if near.is_empty() {
            return Ok(near);
        }
        let stats = self.key_stats(segment).await?;
        Ok(near.into_iter().filter(|delete| stats.may_contain(&delete.key)).collect())
    }

    async fn write_delta(
        &self,
        group: &Group,
        segment: SegmentId,
        deletes: Vec<Delete>,
    ) -> Result<LogFile, CoordinatorError> {
        let ids = group.log_ids(segment);
        let log = LogId(self.ids.next().await?);
        let (config, now_ms) = (self.config.binlog.clone(), self.clock.now_ms());
        let encoded = blocking(move || {
            binlog::encode_delta(ids, &deletes, &config, now_ms)
                .map_err(|e| CoordinatorError::Internal(format!("delta log of segment {segment}: {e}")))
        });
        let encoded = encoded.await?;
        let file = encoded.log_file(log);
        self.store.put(&LogPath::delta(ids, log), encoded.bytes).await?;
        Ok(file)
    }

    /// Makes a finished merge true: outputs become Flushed, inputs Dropped, the plan Completed, deletes that reached
    /// the inputs meanwhile are carried over, those of L0 inputs are spread; all in one transaction.
    ///
    /// # Errors
    /// A Conflict or Precondition kind when an input changed in a way that can't be carried over, or when a term of the
    /// plan does not hold any more: the plan is outdated.
    pub(super) async fn commit_compaction(
        self: &Arc<Self>,
        plan: &Plan,
        outcome: Outcome,
    ) -> Result<(), CoordinatorError> {
        let cell = self.state.by_id(plan.group.collection)?;
        // With it no definition that decides over rows can change until this is committed.
        let turn = cell.commit_turn().await;
        self.check_terms_of(plan, &cell)?;
        let inputs: Vec<Segment> = plan.input_ids().filter_map(|id| cell.segment(id)).collect();
        self.check_plan(plan, &inputs)?;
        let (mut late, mut l0) = (Vec::new(), Vec::new());
        for segment in &inputs {
            let logs = self.catalog.segment_logs(&segment.group, segment.id).await?;
            if plan.kind == PlanKind::L0Delete {
                l0.extend(logs.delta.iter().map(|log| StoredObject::delta(segment.log_ids(), log)));
                continue;
            }
            let unseen: Vec<LogFile> =
                logs.delta.into_iter().filter(|log| !outcome.consumed_deltas.contains(&(segment.id, log.id))).collect();
            if !unseen.is_empty() {
                let logs = SegmentLogs { delta: unseen, ..SegmentLogs::default() };
                late.extend(storage::read_deletes(&self.store, segment.log_ids(), &logs).await?);
            }
        }

        let now_ms = self.clock.now_ms();
        let mut txn = self.catalog.txn();
        let mut changed = Vec::new();
        let targets: Vec<SegmentId> = outcome.outputs.iter().map(|o| o.id).collect();
        for output in outcome.outputs {
            let (segment, logs) = self.as_segment(plan, &inputs, output, &late).await?;
            txn.put_segment_and_logs(&segment, &logs);
            changed.push(segment);
        }
        if plan.kind == PlanKind::L0Delete {
            self.spread(&cell, &plan.group, l0, &mut txn, &mut changed).await?;
        }
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
        // Of a segment that was only given deletes, what it had before was not written now.
        let before = |s: &Segment| cell.segment(s.id).as_ref().map_or(0, stored_bytes);
        let new = changed.iter().filter(|s| s.is_live());
        let written = new.map(|s| stored_bytes(s).saturating_sub(before(s))).sum();
        let write_stats = cell.write_stats().with_merge(inputs.iter().map(stored_bytes).sum(), written, now_ms);
        txn.put_write_stats(cell.id, &write_stats);
        let now = self.jobs.plan(plan.id).ok_or(CoordinatorError::PlanNotFound(plan.id))?;
        let (rows_in, rows_out, bytes_out) = (outcome.rows_in, outcome.rows_out, outcome.bytes_written);
        let mut moves = PlanMoves::default();
        moves.stage(&mut txn, now, Event::Commit { targets, rows_out, bytes_out, at_ms: now_ms })?;
        let (deleted, expired, late_deletes) = (outcome.rows_deleted, outcome.rows_expired, late.len());
        self.ownership.before_commit().await?;
        let (core, plan) = (Arc::clone(self), plan.clone());
        let fold = move || {
            let gone: Vec<SegmentId> = plan.input_ids().collect();
            cell.set_write_stats(write_stats);
            // Segments that were given deletes may be due for a rewrite. All of this happens before the turn ends: a
            // reader of the plan's state finds its targets.
            core.fold_and_raise(&cell, changed);
            gone.iter().for_each(|id| core.stats_cache.forget(*id));
            core.failures.forget(&gone);
            moves.fold(&core);
            let metrics = &core.metrics.compaction;
            metrics.input_rows.inc_by(rows_in);
            metrics.output_rows.inc_by(rows_out);
            metrics.input_bytes.inc_by(plan.input_bytes());
            metrics.output_bytes.inc_by(bytes_out);
            if let PlanState::Executing { started_at_ms } = plan.state {
                let seconds = now_ms.saturating_sub(started_at_ms) as f64 / 1000.0;
                metrics.duration.with([plan.kind.as_str()]).observe(seconds);
                core.merge_rate.observe(plan.input_bytes(), seconds);
            }
            info!(plan = %plan.id, job = %plan.job, rows_in, rows_out, deleted, expired, late_deletes, bytes_out, "plan committed");
        };
        self.catalog.commit(txn, turn, fold).await
    }

    /// Holds a plan against the rules that it was proposed by, with its inputs as they are now.
    pub(super) fn check_plan(&self, plan: &Plan, inputs: &[Segment]) -> Result<(), Violation> {
        let reserved = |id: SegmentId| self.jobs.reserved_by(id).is_some_and(|p| p != plan.id);
        let max_inputs = self.config.compaction.max_inputs;
        let rules = Rules { kind: plan.kind, group: &plan.group, max_inputs, reserved: &reserved };
        validate(&plan.inputs, &rules, |id| inputs.iter().find(|s| s.id == id))
    }

    /// Gives the deletes of these logs of L0 segments to the segments of the channel that may hold their keys, to each one
    /// in as few delta logs as a bound of memory allows. The caller holds the commit lock: no segment can be replaced
    /// meanwhile.
    async fn spread(
        &self,
        cell: &CollectionCell,
        group: &Group,
        logs: Vec<StoredObject>,
        txn: &mut StepTxn,
        changed: &mut Vec<Segment>,
    ) -> Result<(), CoordinatorError> {
        let is_near = |s: &Segment| {
            s.level != SegmentLevel::L0
                && s.group.channel == group.channel
                && (group.partition == PartitionId::ALL || s.group.partition == group.partition)
        };
        let mut targets: Vec<(Segment, Vec<LogFile>)> =
            cell.live().into_iter().filter(is_near).map(|segment| (segment, Vec::new())).collect();
        let mut parts = storage::read_delete_parts(&self.store, logs, SPREAD_BYTES);
        while let Some(mut part) = parts.try_next().await? {
            let part: Arc<[Delete]> = blocking(move || {
                part.sort_unstable();
                part.dedup();
                Ok::<_, CoordinatorError>(part.into())
            })
            .await?;
            for (segment, logs) in &mut targets {
                let hits = self.hits_of_part(segment, &part).await?;
                if !hits.is_empty() {
                    logs.push(self.write_delta(&segment.group, segment.id, hits).await?);
                }
            }
        }
        for (segment, logs) in targets {
            if !logs.is_empty() {
                changed.push(self.attach(&segment, logs, txn).await?);
            }
        }
        Ok(())
    }

    /// [`Self::hits`] of many deletes, sorted by key.
    async fn hits_of_part(&self, segment: &Segment, part: &Arc<[Delete]>) -> Result<Vec<Delete>, CoordinatorError> {
        let (from, until) = match &segment.pk_range {
            _ if segment.rows == 0 => (0, 0),
            Some(range) => (
                part.partition_point(|delete| delete.key < range.min),
                part.partition_point(|delete| delete.key <= range.max),
            ),
            None => (0, part.len()),
        };
        if from == until {
            return Ok(Vec::new());
        }
        let (part, ts_from, stats) = (Arc::clone(part), segment.ts_from, self.key_stats(segment).await?);
        blocking(move || {
            let near = part.get(from..until).unwrap_or_default().iter().filter(|delete| delete.ts > ts_from);
            Ok(near.filter(|delete| stats.may_contain(&delete.key)).cloned().collect())
        })
        .await
    }

    /// Puts a live segment that was given delta logs into the transaction.
    async fn attach(
        &self,
        segment: &Segment,
        delta: Vec<LogFile>,
        txn: &mut StepTxn,
    ) -> Result<Segment, CoordinatorError> {
        let mut logs = self.catalog.segment_logs(&segment.group, segment.id).await?;
        logs.delta.extend(delta);
        let mut next = Segment { version: segment.version + 1, ..segment.clone() };
        next.summarise(&logs);
        txn.expect_segment(segment);
        txn.put_segment_and_logs(&next, &logs);
        Ok(next)
    }

    /// The output as the catalog will hold it, with the late deletes that may hit its rows in **one** delta log.
    async fn as_segment(
        &self,
        plan: &Plan,
        inputs: &[Segment],
        output: OutputSegment,
        late: &[Delete],
    ) -> Result<(Segment, SegmentLogs), CoordinatorError> {
        let mut logs = output.logs;
        let mut hits: Vec<Delete> = late
            .iter()
            .filter(|d| output.pk_range.as_ref().is_some_and(|range| range.contains(&d.key)))
            .cloned()
            .collect();
        if !hits.is_empty() {
            // Outputs of one plan may all span the same keys; their filters tell which one has the row.
            let ids = plan.group.log_ids(output.id);
            let stats = Arc::new(storage::read_stats(&self.store, ids, &logs).await?);
            self.stats_cache.put(output.id, Arc::clone(&stats));
            let stats = KeyStats::Read(stats);
            hits.retain(|d| stats.may_contain(&d.key));
        }
        if !hits.is_empty() {
            logs.delta.push(self.write_delta(&plan.group, output.id, hits).await?);
        }
        let group = inputs.first().map_or_else(|| Arc::new(plan.group.clone()), |s| Arc::clone(&s.group));
        // One clustered segment that is rewritten loses rows at most: what holds for its keys goes on holding.
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

pub(super) fn outdated(segment: SegmentId, why: &str) -> CoordinatorError {
    CoordinatorError::Rejected(format!("input segment {segment}: {why}"))
}
