//! Garbage: files and records that nothing needs any more.
//!
//! A dropped segment goes after `dropTolerance`, unless a reader or an unfinished plan holds it or the write path could
//! still replay its rows. An object goes after `missingTolerance`, if no segment of the catalog names it and no running
//! plan may be writing it (P5). Files go before records, so that a crash in between is repeated, not forgotten.

use std::{collections::HashSet, sync::Arc};

use futures::TryStreamExt;
use tracing::{info, warn};

use super::{CollectionCell, CoordinatorError, Core, WritePath, cell::Turn};
use crate::{
    fault::{self, Planted, Point},
    model::{CollectionId, PlanId, Segment, SegmentId, SegmentLogs},
    storage::{ListedLog, LogPath, StoredObject},
};

/// Segments that are forgotten in one transaction, once their files are gone. Each transaction makes a new list of
/// segments.
const SEGMENTS_PER_TXN: usize = 1000;
/// Objects that are deleted after one check of the store's owner: about as many as a segment has.
const DELETED_PER_LOOK: usize = 16;

/// Why garbage stays for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// It is young. Milliseconds since 1970.
    Tolerance {
        until_ms: u64,
    },
    /// A restart could replay its rows from the log.
    Log,
    Reader,
    /// An unfinished plan has it as an input, or builds an index of it.
    Plan(PlanId),
}

/// A dropped segment, or one object that no segment names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Garbage {
    pub collection: CollectionId,
    pub segment: SegmentId,
    /// None: the whole segment.
    pub object: Option<LogPath>,
    pub files: u64,
    pub bytes: u64,
    /// None: it can go.
    pub pins: Vec<Pin>,
}

/// The result of one round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    pub segments: u64,
    pub files: u64,
    pub bytes: u64,
}

/// Objects that are looked at together: those of a segment, or of one build of its index.
type ObjectOwner = (SegmentId, Option<i64>);

impl Core {
    /// One round over dropped segments and unreferenced objects.
    pub async fn collect_garbage(self: &Arc<Self>, write_path: &dyn WritePath) -> Result<Collected, CoordinatorError> {
        let turn = Arc::new(Arc::clone(&self.collecting).lock_owned().await);
        self.catalog.check()?;
        // A round that finds nothing also has to tell whether the store is still ours.
        self.ownership.before_collecting().await?;
        let mut collected = Collected::default();
        for cell in self.collections.with_tombstones() {
            self.collect_dropped(&turn, &cell, write_path, &mut collected).await?;
        }
        self.collect_unreferenced(write_path, &mut collected).await?;
        if collected != Collected::default() {
            info!(segments = collected.segments, files = collected.files, bytes = collected.bytes, "garbage collected");
        }
        Ok(collected)
    }

    /// All garbage, with its pins. Removes nothing.
    pub(super) async fn find_garbage(&self, write_path: &dyn WritePath) -> Result<Vec<Garbage>, CoordinatorError> {
        let _alone = self.collecting.lock().await;
        let mut found = Vec::new();
        for cell in self.collections.with_tombstones() {
            for segment in cell.dropped().iter() {
                let logs = self.catalog.segment_logs(&segment.group, segment.id).await?;
                let objects = paths(segment, &logs);
                found.push(Garbage {
                    collection: cell.id,
                    segment: segment.id,
                    object: None,
                    files: objects.len() as u64,
                    bytes: objects.iter().map(|(_, bytes)| bytes).sum(),
                    pins: self.pins(segment, write_path),
                });
            }
        }
        let tolerance_ms = self.config.gc.missing_tolerance.as_millis() as u64;
        for object in self.unreferenced(write_path, 0).await? {
            let until_ms = object.modified_ms.saturating_add(tolerance_ms);
            let is_young = until_ms > self.clock.now_ms();
            found.push(Garbage {
                collection: self.home_of(&object.path).map(|cell| cell.id).unwrap_or_default(),
                segment: object.path.segment(),
                object: Some(object.path),
                files: 1,
                bytes: object.bytes,
                pins: is_young.then_some(Pin::Tolerance { until_ms }).into_iter().collect(),
            });
        }
        Ok(found)
    }

    /// Why a dropped segment stays; nothing: it may go.
    fn pins(&self, segment: &Segment, write_path: &dyn WritePath) -> Vec<Pin> {
        let until_ms = segment.dropped_at_ms.saturating_add(self.config.gc.drop_tolerance.as_millis() as u64);
        let is_young = until_ms > self.clock.now_ms();
        let tolerance = is_young.then_some(Pin::Tolerance { until_ms });
        let log = (!write_path.is_flushed(segment.id)).then_some(Pin::Log);
        let reader = self.pins.is_pinned(segment.id).then_some(Pin::Reader);
        let plan = self.jobs.plan_over(segment.id).map(Pin::Plan);
        let tolerance = tolerance.filter(|_| !fault::planted(Planted::DropToleranceIgnored));
        let log = log.filter(|_| !fault::planted(Planted::GarbageIgnoresLog));
        let reader = reader.filter(|_| !fault::planted(Planted::GarbageIgnoresReaders));
        let plan = plan.filter(|_| !fault::planted(Planted::GarbageIgnoresPlans));
        tolerance.into_iter().chain(log).chain(reader).chain(plan).collect()
    }

    /// `turn` goes along with each step: no other round begins before the last one has ended.
    async fn collect_dropped(
        self: &Arc<Self>,
        turn: &Arc<Turn>,
        cell: &Arc<CollectionCell>,
        write_path: &dyn WritePath,
        collected: &mut Collected,
    ) -> Result<(), CoordinatorError> {
        let going = {
            // During a drop of many segments memory is ahead of their records, and a record that is written after its
            // segment was collected would stay.
            let _turn = cell.commit_turn().await;
            cell.dropped().iter().filter(|s| self.pins(s, write_path).is_empty()).cloned().collect::<Vec<_>>()
        };
        if !going.is_empty() && !fault::planted(Planted::CollectedBeforeNote) {
            // Without the record, only the write path can keep a restart from bringing the rows of a segment back.
            write_path.flushes_noted().await?;
        }
        for segments in going.chunks(SEGMENTS_PER_TXN.min(self.catalog.max_operations() / 2).max(1)) {
            let mut txn = self.catalog.txn();
            for segment in segments {
                let logs = self.catalog.segment_logs(&segment.group, segment.id).await?;
                self.ownership.before_collecting().await?;
                for (path, bytes) in paths(segment, &logs) {
                    self.delete_object(&path).await?;
                    fault::reached(Point::GarbageObjectGone);
                    collected.files += 1;
                    collected.bytes += bytes;
                }
                txn.delete_segment(&segment.group, segment.id);
            }
            let gone: Vec<SegmentId> = segments.iter().map(|s| s.id).collect();
            let (core, cell) = (Arc::clone(self), Arc::clone(cell));
            let fold = move || {
                cell.forget(&gone);
                core.failures.forget(&gone);
                core.segment_cache.forget(|id| gone.contains(&id));
            };
            fault::reached(Point::GarbageFilesGone);
            self.catalog.commit(txn, Arc::clone(turn), fold).await?;
            fault::reached(Point::GarbageRecordsGone);
            collected.segments += segments.len() as u64;
        }
        if self.collections.by_id(cell.id).is_err() && cell.groups().is_empty() && cell.dropped().is_empty() {
            let mut txn = self.catalog.txn();
            txn.delete_collection(cell.id);
            let (core, id) = (Arc::clone(self), cell.id);
            self.catalog.commit(txn, Arc::clone(turn), move || core.collections.remove_tombstone(id)).await?;
        }
        Ok(())
    }

    /// If memory is behind the catalog, the catalog may name objects that nothing in memory names: then nothing goes.
    async fn delete_object(&self, path: &LogPath) -> Result<(), CoordinatorError> {
        self.catalog.check()?;
        Ok(self.store.delete(path).await?)
    }

    async fn collect_unreferenced(
        &self,
        write_path: &dyn WritePath,
        collected: &mut Collected,
    ) -> Result<(), CoordinatorError> {
        let tolerance_ms = self.config.gc.missing_tolerance.as_millis() as u64;
        for (n, object) in self.unreferenced(write_path, tolerance_ms).await?.into_iter().enumerate() {
            if n % DELETED_PER_LOOK == 0 {
                self.ownership.before_collecting().await?;
            }
            warn!(object = %object.path, bytes = object.bytes, "removing an object that no segment names");
            self.delete_object(&object.path).await?;
            fault::reached(Point::OrphanGone);
            collected.files += 1;
            collected.bytes += object.bytes;
        }
        Ok(())
    }

    /// Objects of this age or older that no segment names and no plan or flush is writing. Names are never used again, so
    /// an unreferenced object stays unreferenced.
    async fn unreferenced(&self, write_path: &dyn WritePath, age_ms: u64) -> Result<Vec<ListedLog>, CoordinatorError> {
        let mut found = Vec::new();
        let mut named: Option<(ObjectOwner, HashSet<LogPath>)> = None;
        let mut objects = self.store.list("");
        while let Some(object) = objects.try_next().await? {
            let is_young = self.clock.now_ms().saturating_sub(object.modified_ms) < age_ms
                && !fault::planted(Planted::MissingToleranceIgnored);
            let (segment, build) = (object.path.segment(), object.path.build());
            // These sets are asked before the catalog: a segment leaves them only after the catalog names it, or when
            // it has been given up.
            let is_built = build.is_some_and(|build| self.outputs_in_flight.is_building(PlanId(build)));
            let is_merging = (is_built || self.outputs_in_flight.contains(segment))
                && !fault::planted(Planted::GarbageIgnoresMerges);
            let is_flushing = !write_path.is_flushed(segment) && !fault::planted(Planted::GarbageIgnoresFlushes);
            // A backup has the list of an earlier moment: the index of a definition that was dropped since is on it.
            let is_read = self.pins.is_pinned(segment);
            if is_young || is_merging || is_flushing || is_read {
                continue;
            }
            // Objects of one segment follow each other, so its list is read once.
            if named.as_ref().is_none_or(|(of, _)| *of != (segment, build)) {
                named = Some(((segment, build), self.named_objects(&object.path).await?));
            }
            if !named.as_ref().is_some_and(|(_, names)| names.contains(&object.path)) {
                found.push(object);
            }
        }
        Ok(found)
    }

    /// The collection of an object; none if the catalog does not know it. Index files do not name theirs.
    fn home_of(&self, path: &LogPath) -> Option<Arc<CollectionCell>> {
        match path.ids() {
            Some(ids) => self.collections.live_or_tombstone(ids.collection),
            None => self.collections.with_tombstones().into_iter().find(|cell| cell.is_known(path.segment())),
        }
    }

    /// All objects that the segment of this path names; none if the catalog does not know the segment.
    async fn named_objects(&self, path: &LogPath) -> Result<HashSet<LogPath>, CoordinatorError> {
        let Some(cell) = self.home_of(path) else { return Ok(HashSet::new()) };
        // With the commit lock, so that a commit under way is either fully seen or has yet to begin: its files are
        // younger than the tolerance.
        let _turn = cell.commit_turn().await;
        let Some(segment) = cell.segment(path.segment()) else { return Ok(HashSet::new()) };
        let logs = self.catalog.segment_logs(&segment.group, segment.id).await?;
        Ok(paths(&segment, &logs).into_iter().map(|(path, _)| path).collect())
    }
}

/// All objects of a segment with their sizes in bytes.
fn paths(segment: &Segment, logs: &SegmentLogs) -> Vec<(LogPath, u64)> {
    let ids = segment.log_ids();
    let insert = logs
        .insert
        .iter()
        .flat_map(|(field, files)| files.iter().map(|f| (LogPath::insert(ids, *field, f.id), f.bytes)));
    let stats =
        logs.stats.iter().flat_map(|(field, files)| files.iter().map(|f| (LogPath::stats(ids, *field, f.id), f.bytes)));
    let deltas = logs.delta.iter().filter(|_| !fault::planted(Planted::GarbageTakesDeltaLogs));
    let delta = deltas.map(|f| (LogPath::delta(ids, f.id), f.bytes));
    let indexes = StoredObject::indexes(segment).into_iter().map(|object| (object.path, object.bytes));
    insert.chain(stats).chain(delta).chain(indexes).collect()
}
