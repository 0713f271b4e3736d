//! Routing of deletes to flushed segments: which delete goes into the delta log of which segment.
//!
//! Deletes reach flushed segments in three ways, and all of them pass here:
//! - from memory, when the write path flushes a channel's deletes ([`Core::hits`]);
//! - from L0 segments, when their compaction is committed ([`Core::spread`]);
//! - from the inputs of a merge, if they arrived after the merge had begun ([`Core::late_deletes`], [`Core::late_hits`]).
//!
//! A segment gets a delete if its key range and its key statistics do not rule the key out. Too many deletes in a delta
//! log cost bytes; one too few brings a row back. The write path decides about rows in memory itself, key by key
//! (`ingest/hits.rs`).
//!
//! The caller holds the collection's commit turn, except for a dry run: no segment can be replaced meanwhile (P4).
//!
//! Must never: leave out a delete that may hit a row, or change a segment in memory.

use std::sync::Arc;

use futures::TryStreamExt;

use super::{CollectionCell, CoordinatorError, Core, cell::Turn, key_stats::KeyStats, steps::StepTxn};
use crate::{
    background::blocking,
    binlog,
    fault::{self, Planted},
    model::{Delete, Group, LogFile, LogId, PartitionId, PkRange, Segment, SegmentId, SegmentLevel, SegmentLogs},
    storage::{self, LogPath, StoredObject},
};

/// Deletes of L0 segments that are in memory at once, in bytes.
const SPREAD_BYTES: usize = 16 << 20;

/// Whether a delete may hit a row of the segment, as far as time and key range can tell. Reads no file.
fn may_reach(segment: &Segment, delete: &Delete) -> bool {
    let from = if fault::planted(Planted::RoutedToOlderOnly) { segment.ts_to } else { segment.ts_from };
    delete.ts > from && segment.pk_range.as_ref().is_none_or(|range| range.contains(&delete.key))
}

impl Core {
    /// Those deletes that may hit a row of the segment.
    pub(super) async fn hits(
        &self,
        segment: &Segment,
        deletes: impl Iterator<Item = Delete>,
    ) -> Result<Vec<Delete>, CoordinatorError> {
        if segment.rows == 0 {
            return Ok(Vec::new());
        }
        let near: Vec<Delete> = deletes.filter(|delete| may_reach(segment, delete)).collect();
        // Most segments are out of reach of all deletes: their key statistics are not read.
        if near.is_empty() {
            return Ok(near);
        }
        let stats = self.key_stats(segment).await?;
        Ok(near.into_iter().filter(|delete| stats.may_contain(&delete.key)).collect())
    }

    /// [`Self::hits`] for many deletes that are sorted by key: only those in the segment's key range are looked at.
    async fn hits_of_sorted(&self, segment: &Segment, sorted: &Arc<[Delete]>) -> Result<Vec<Delete>, CoordinatorError> {
        let (from, until) = match &segment.pk_range {
            _ if segment.rows == 0 => (0, 0),
            Some(range) => (
                sorted.partition_point(|delete| delete.key < range.min),
                sorted.partition_point(|delete| delete.key <= range.max),
            ),
            None => (0, sorted.len()),
        };
        if from == until {
            return Ok(Vec::new());
        }
        let (sorted, ts_from, stats) = (Arc::clone(sorted), segment.ts_from, self.key_stats(segment).await?);
        blocking(move || {
            let near = sorted.get(from..until).unwrap_or_default().iter().filter(|delete| delete.ts > ts_from);
            Ok(near.filter(|delete| stats.may_contain(&delete.key)).cloned().collect())
        })
        .await
    }

    /// Deletes of the inputs' delta logs that the merge did not read, because they were written after it had begun.
    pub(super) async fn late_deletes(
        &self,
        inputs: &[Segment],
        consumed: &[(SegmentId, LogId)],
    ) -> Result<Vec<Delete>, CoordinatorError> {
        let mut late = Vec::new();
        let looked_at = if fault::planted(Planted::LateDeletesOfOneInput) { 1 } else { inputs.len() };
        for segment in inputs.iter().take(looked_at) {
            let logs = self.catalog.segment_logs(&segment.group, segment.id).await?;
            let unseen = logs.delta.into_iter().filter(|log| !consumed.contains(&(segment.id, log.id)));
            let unseen: Vec<LogFile> = unseen.collect();
            if !unseen.is_empty() {
                let logs = SegmentLogs { delta: unseen, ..SegmentLogs::default() };
                late.extend(storage::read_deletes(&self.store, segment.log_ids(), &logs).await?);
            }
        }
        Ok(late)
    }

    /// Those late deletes that may hit a row of an output, which the catalog does not know yet: its key statistics are
    /// read from the object that the merge wrote. Outputs of one plan may all span the same keys; only the statistics
    /// tell which of them holds a row.
    pub(super) async fn late_hits(
        &self,
        group: &Group,
        output: SegmentId,
        pk_range: Option<&PkRange>,
        logs: &SegmentLogs,
        late: &[Delete],
    ) -> Result<Vec<Delete>, CoordinatorError> {
        let in_range = |delete: &&Delete| pk_range.is_some_and(|range| range.contains(&delete.key));
        let mut hits: Vec<Delete> = late.iter().filter(in_range).cloned().collect();
        if !hits.is_empty() {
            let ids = group.log_ids(output);
            let stats = Arc::new(storage::read_stats(&self.store, ids, logs).await?);
            self.stats_cache.put(output, Arc::clone(&stats));
            let stats = KeyStats::Read(stats);
            hits.retain(|delete| stats.may_contain(&delete.key));
        }
        Ok(hits)
    }

    /// Writes the deletes of L0 segments for the segments of the channel that may hold their keys, each in as few delta
    /// logs as [`SPREAD_BYTES`] allows. Returns these segments with their logs, which nothing names yet.
    pub(super) async fn spread(
        &self,
        cell: &CollectionCell,
        group: &Group,
        l0: &[Segment],
    ) -> Result<Vec<(Segment, Vec<LogFile>)>, CoordinatorError> {
        let mut logs = Vec::new();
        for segment in l0 {
            let of_segment = self.catalog.segment_logs(&segment.group, segment.id).await?;
            logs.extend(of_segment.delta.iter().map(|log| StoredObject::delta(segment.log_ids(), log)));
        }
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
                let hits = self.hits_of_sorted(segment, &part).await?;
                if !hits.is_empty() {
                    logs.push(self.write_delta(&segment.group, segment.id, hits).await?);
                }
            }
        }
        targets.retain(|(_, logs)| !logs.is_empty());
        Ok(targets)
    }

    /// Writes a delta log of the segment. Nothing names it until the caller commits it.
    pub(super) async fn write_delta(
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

    /// Gives delta logs to live segments: as many as fit in the transaction, which has everything else already, and the
    /// others in transactions before it. Returns the segments that are in the caller's transaction.
    ///
    /// If the last transaction does not follow, its deletes are written once more, and segments of the earlier ones have
    /// them twice. That costs bytes and hurts no row.
    pub(super) async fn attach_all(
        self: &Arc<Self>,
        cell: &Arc<CollectionCell>,
        turn: &Arc<Turn>,
        mut targets: Vec<(Segment, Vec<LogFile>)>,
        txn: &mut StepTxn,
    ) -> Result<Vec<Segment>, CoordinatorError> {
        // Each segment is two operations: its record and its lists of logs.
        let limit = self.catalog.max_operations();
        let last = targets.len().min(limit.saturating_sub(txn.operations()) / 2);
        let in_last = targets.split_off(targets.len() - last);
        for chunk in targets.chunks((limit / 2).max(1)) {
            let (mut ahead, mut changed) = (self.catalog.txn(), Vec::new());
            for (segment, logs) in chunk {
                changed.push(self.attach(segment, logs, &mut ahead).await?);
            }
            self.ownership.before_commit().await?;
            let (core, cell) = (Arc::clone(self), Arc::clone(cell));
            let fold = move || core.fold_and_raise(&cell, changed);
            self.catalog.commit(ahead, Arc::clone(turn), fold).await?;
        }
        let mut changed = Vec::new();
        for (segment, logs) in &in_last {
            changed.push(self.attach(segment, logs, txn).await?);
        }
        Ok(changed)
    }

    /// Puts a live segment with further delta logs into the transaction, and returns it.
    async fn attach(
        &self,
        segment: &Segment,
        delta: &[LogFile],
        txn: &mut StepTxn,
    ) -> Result<Segment, CoordinatorError> {
        let mut logs = self.catalog.segment_logs(&segment.group, segment.id).await?;
        logs.delta.extend_from_slice(delta);
        let mut next = Segment { version: segment.version + 1, ..segment.clone() };
        next.summarise(&logs);
        txn.expect_segment(segment);
        txn.put_segment_and_logs(&next, &logs);
        Ok(next)
    }
}
