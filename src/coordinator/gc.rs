//! Garbage: files and records that nothing needs any more.
//!
//! By reference, never by guess (P5): a dropped segment goes after `dropTolerance`, unless a reader or an unfinished
//! plan holds it or the write-ahead log could still replay its rows; an object goes after `missingTolerance` if no
//! segment of the catalog names it and no running plan may be writing it. Files go before records, so that a crash in
//! between is repeated, not forgotten.

use std::{collections::HashSet, sync::Arc};

use futures::TryStreamExt;
use tracing::{info, warn};

use super::{CoordinatorError, Core, commit::log_ids, state::CollectionCell};
use crate::{
    ingest::Ingest,
    model::{Segment, SegmentId, SegmentLogs},
    storage::LogPath,
};

/// What one round removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    pub segments: u64,
    pub files: u64,
    pub bytes: u64,
}

impl Core {
    /// One round over dropped segments and unreferenced objects.
    pub async fn collect_garbage(&self, ingest: &Ingest) -> Result<Collected, CoordinatorError> {
        let mut collected = Collected::default();
        for cell in self.state.with_graveyard() {
            self.collect_dropped(&cell, ingest, &mut collected).await?;
        }
        self.collect_unreferenced(ingest, &mut collected).await?;
        if collected != Collected::default() {
            info!(segments = collected.segments, files = collected.files, bytes = collected.bytes, "garbage collected");
        }
        Ok(collected)
    }

    fn may_go(&self, segment: &Segment, ingest: &Ingest) -> bool {
        let age_ms = self.clock.now_ms().saturating_sub(segment.dropped_at_ms);
        age_ms >= self.config.gc.drop_tolerance.as_millis() as u64
            && ingest.is_flushed(segment.id)
            && !self.state.is_pinned(segment.id)
            && self.jobs.reserved_by(segment.id).is_none()
    }

    async fn collect_dropped(
        &self,
        cell: &Arc<CollectionCell>,
        ingest: &Ingest,
        collected: &mut Collected,
    ) -> Result<(), CoordinatorError> {
        let mut gone = Vec::new();
        let going = cell.dropped().into_iter().filter(|s| self.may_go(s, ingest)).collect::<Vec<_>>();
        if !going.is_empty() {
            // Without the record, only the log tells a restart that the rows of a segment are not to be brought back.
            ingest.flushes_noted().await?;
        }
        for segment in going {
            let logs = self.catalog.segment_logs(&segment.group, segment.id).await?;
            for (path, bytes) in paths(&segment, &logs) {
                self.store.delete(&path).await?;
                collected.files += 1;
                collected.bytes += bytes;
            }
            let mut txn = self.catalog.txn();
            txn.delete_segment(&segment.group, segment.id);
            txn.commit().await?;
            gone.push(segment.id);
        }
        collected.segments += gone.len() as u64;
        cell.forget(&gone);
        self.failures.forget(&gone);
        self.verdicts.forget(gone);
        if self.state.by_id(cell.id).is_err() && cell.dropped().is_empty() {
            let mut txn = self.catalog.txn();
            txn.delete_collection(cell.id);
            txn.commit().await?;
            self.state.close_grave(cell.id);
        }
        Ok(())
    }

    async fn collect_unreferenced(&self, ingest: &Ingest, collected: &mut Collected) -> Result<(), CoordinatorError> {
        let tolerance_ms = self.config.gc.missing_tolerance.as_millis() as u64;
        let mut named: Option<(SegmentId, HashSet<LogPath>)> = None;
        let mut objects = self.store.list("");
        while let Some(object) = objects.try_next().await? {
            let age_ms = self.clock.now_ms().saturating_sub(object.modified_ms);
            let segment = object.path.ids().segment;
            // What is being written is asked first: a segment leaves these sets only after the catalog names it.
            if age_ms < tolerance_ms || self.outputs_in_flight.contains(segment) || !ingest.is_flushed(segment) {
                continue;
            }
            // Objects of one segment follow each other, so its list is read once.
            if named.as_ref().is_none_or(|(id, _)| *id != segment) {
                named = Some((segment, self.named_objects(&object.path).await?));
            }
            if named.as_ref().is_some_and(|(_, names)| names.contains(&object.path)) {
                continue;
            }
            warn!(object = %object.path, bytes = object.bytes, "removing an object that no segment names");
            self.store.delete(&object.path).await?;
            collected.files += 1;
            collected.bytes += object.bytes;
        }
        Ok(())
    }

    /// All objects that the segment of this path names; none if the catalog doesn't know the segment.
    async fn named_objects(&self, path: &LogPath) -> Result<HashSet<LogPath>, CoordinatorError> {
        let Some(cell) = self.state.cell_or_grave(path.ids().collection) else { return Ok(HashSet::new()) };
        // With the commit lock, so that a commit under way is either fully seen or has yet to begin: its files are
        // younger than the tolerance.
        let _commit = cell.commit.lock().await;
        let Some(segment) = cell.segment(path.ids().segment) else { return Ok(HashSet::new()) };
        let logs = self.catalog.segment_logs(&segment.group, segment.id).await?;
        Ok(paths(&segment, &logs).into_iter().map(|(path, _)| path).collect())
    }
}

/// All objects of a segment with their sizes in bytes.
fn paths(segment: &Segment, logs: &SegmentLogs) -> Vec<(LogPath, u64)> {
    let ids = log_ids(segment);
    let insert = logs
        .insert
        .iter()
        .flat_map(|(field, files)| files.iter().map(|f| (LogPath::insert(ids, *field, f.id), f.bytes)));
    let stats =
        logs.stats.iter().flat_map(|(field, files)| files.iter().map(|f| (LogPath::stats(ids, *field, f.id), f.bytes)));
    let delta = logs.delta.iter().map(|f| (LogPath::delta(ids, f.id), f.bytes));
    insert.chain(stats).chain(delta).collect()
}
