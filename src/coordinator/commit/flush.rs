//! The commits of the write path: of a growing segment that became Flushed, and of deletes that leave memory for the
//! delta logs of the segments that may hold their keys.
//!
//! Must never: answer that a collection, a partition or a segment is gone unless the catalog dropped it. The write path
//! then forgets the rows.

use std::sync::Arc;

use tracing::{debug, info};

use crate::{
    binlog::PkStats,
    coordinator::{CoordinatorError, Core, DeleteBatch},
    fault::{self, Planted, Point},
    model::{CollectionId, Group, PartitionId, Segment, SegmentLogs},
};

/// The fate of rows or deletes that left the write path. Only the catalog can say that they have no place to go: an
/// error never means that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "the write path forgets rows that are gone and keeps the others"]
pub enum FlushOutcome {
    /// They are durable. Also the answer to a repeated call.
    Committed,
    CollectionGone(CollectionId),
    PartitionGone(PartitionId),
    /// The segment is older than the last truncation of its collection.
    Truncated(CollectionId),
}

impl Core {
    /// Commits a segment with its logs.
    pub(crate) async fn commit_flush(
        self: &Arc<Self>,
        segment: Segment,
        logs: SegmentLogs,
        stats: Vec<PkStats>,
    ) -> Result<FlushOutcome, CoordinatorError> {
        let group = Arc::clone(&segment.group);
        let gone = Ok(FlushOutcome::CollectionGone(group.collection));
        let Ok(cell) = self.collections.by_id(group.collection) else { return gone };
        let turn = cell.commit_turn().await;
        // The collection may have been dropped during the wait for the turn.
        if self.collections.by_id(group.collection).is_err() {
            return gone;
        }
        let meta = cell.meta();
        if meta.is_truncated(segment.id) {
            return Ok(FlushOutcome::Truncated(cell.id));
        }
        if !meta.partitions.iter().any(|p| p.id == group.partition) {
            return Ok(FlushOutcome::PartitionGone(group.partition));
        }
        if cell.is_known(segment.id) && !fault::planted(Planted::RepeatedFlushRefused) {
            // A repeated call: the first one was committed, but its answer was lost.
            return Ok(FlushOutcome::Committed);
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
            FlushOutcome::Committed
        };
        self.catalog.commit(txn, turn, fold).await
    }

    /// Writes one delta log for each live segment of the channel that may hold keys of the batch, and commits the logs
    /// together with the position up to which the channel's deletes are now in files.
    ///
    /// This and the commit of a compaction hold the same lock, so they take turns: a delete goes to an input before the
    /// input is replaced, and is then carried over, or it goes to the output (P4).
    pub(crate) async fn commit_deletes(self: &Arc<Self>, batch: DeleteBatch) -> Result<FlushOutcome, CoordinatorError> {
        let gone = Ok(FlushOutcome::CollectionGone(batch.collection));
        let Ok(cell) = self.collections.by_id(batch.collection) else { return gone };
        let turn = cell.commit_turn().await;
        // The collection may have been dropped during the wait for the turn.
        if self.collections.by_id(batch.collection).is_err() {
            return gone;
        }
        let turn = Arc::new(turn);
        let mut targets = Vec::new();
        for segment in cell.live().into_iter().filter(|s| s.group.channel == batch.channel) {
            let hits = self.hits(&segment, batch.for_segment(segment.id, segment.group.partition)).await?;
            if !hits.is_empty() {
                let log = self.write_delta(&segment.group, segment.id, hits).await?;
                targets.push((segment, vec![log]));
            }
        }
        let bytes = targets.iter().flat_map(|(_, logs)| logs).map(|log| log.bytes).sum();
        let mut txn = self.catalog.txn();
        txn.set_channel_delta_lsn(&batch.channel, batch.upto);
        let write_stats = cell.write_stats().with_flush(0, bytes, self.clock.now_ms());
        txn.put_write_stats(cell.id, &write_stats);
        let changed = self.attach_all(&cell, &turn, targets, &mut txn).await?;
        if !changed.is_empty() {
            fault::reached(Point::DeltaLogsWritten);
            self.ownership.before_commit().await?;
        }
        let core = Arc::clone(self);
        let fold = move || {
            cell.set_write_stats(write_stats);
            debug!(channel = %batch.channel, segments = changed.len(), upto = %batch.upto, "deletes written to delta logs");
            core.fold_and_raise(&cell, changed);
            FlushOutcome::Committed
        };
        self.catalog.commit(txn, turn, fold).await
    }
}
