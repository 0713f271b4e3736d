//! One collection: its definition, its segments, and the turns at changing them.
//!
//! A lock in here is held while a pointer is read or replaced. Longer work must never happen under it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard};

use super::{
    segments::{SegmentTable, Sums},
    shape::CollectionShape,
    sync::{Mutex, RwLock},
};
use crate::{
    config::CompactionConfig,
    model::{Collection, CollectionId, Group, PartitionId, Segment, SegmentId, WriteStats},
    planner::SkipReason,
};

/// One collection and its segments. Shared; a reader keeps its cell while the collection is dropped beside it.
#[derive(Debug)]
pub struct CollectionCell {
    pub id: CollectionId,
    meta: RwLock<Arc<Collection>>,
    segments: RwLock<Arc<SegmentTable>>,
    /// Held while the next table is made out of the present one, so that no change is lost. Readers don't take it.
    changing: Mutex<()>,
    verdicts: Mutex<BTreeMap<Arc<Group>, Refusals>>,
    write_stats: Mutex<WriteStats>,
    /// The shape that was computed last, and its table.
    shape: Mutex<Option<(Weak<SegmentTable>, Arc<CollectionShape>)>>,
    commit: Arc<tokio::sync::Mutex<()>>,
    planning: Arc<tokio::sync::Mutex<()>>,
    writes: Arc<tokio::sync::RwLock<()>>,
}

/// A turn at a change that must not overlap with another one. Owned, so that a step can take it along.
pub(crate) type Turn = tokio::sync::OwnedMutexGuard<()>;

/// The planner's last refusals in one group, ascending by segment.
type Refusals = Arc<[(SegmentId, SkipReason)]>;

impl CollectionCell {
    pub fn new(meta: Collection) -> Self {
        Self {
            id: meta.id,
            meta: RwLock::new(Arc::new(meta)),
            segments: RwLock::default(),
            changing: Mutex::default(),
            verdicts: Mutex::default(),
            write_stats: Mutex::default(),
            shape: Mutex::default(),
            commit: Arc::default(),
            planning: Arc::default(),
            writes: Arc::default(),
        }
    }

    /// A turn at changing this collection's segments, or properties that decide over their rows. It lasts until the
    /// change is durable and folded.
    pub(crate) async fn commit_turn(&self) -> Turn {
        Arc::clone(&self.commit).lock_owned().await
    }

    /// A turn at planning: two triggers must not reserve the same segment.
    pub(super) async fn planning_turn(&self) -> Turn {
        Arc::clone(&self.planning).lock_owned().await
    }

    /// For a write of rows or deletes, until the log has answered it. Any number of them run at once.
    pub(crate) async fn writing(&self) -> OwnedRwLockReadGuard<()> {
        Arc::clone(&self.writes).read_owned().await
    }

    /// Waits for the writes that are under way, and holds others back while the value lives.
    pub(crate) async fn no_writes(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.writes).write_owned().await
    }

    pub fn meta(&self) -> Arc<Collection> {
        Arc::clone(&self.meta.read())
    }

    pub(crate) fn set_meta(&self, meta: Collection) {
        *self.meta.write() = Arc::new(meta);
    }

    pub fn write_stats(&self) -> WriteStats {
        *self.write_stats.lock()
    }

    /// Takes over statistics as committed.
    pub(super) fn set_write_stats(&self, write_stats: WriteStats) {
        *self.write_stats.lock() = write_stats;
    }

    /// All segments as of now.
    pub(super) fn segments(&self) -> Arc<SegmentTable> {
        Arc::clone(&self.segments.read())
    }

    /// Live segments, ascending by id.
    pub fn live(&self) -> Vec<Segment> {
        self.segments().live()
    }

    /// Ascending by id.
    pub fn dropped(&self) -> Arc<[Segment]> {
        Arc::clone(self.segments().dropped())
    }

    pub(super) fn sums(&self) -> Sums {
        *self.segments().sums()
    }

    /// The shape of its segments as of now. Costs a look at each segment, unless nothing has changed since the last call.
    pub fn shape(&self, config: &CompactionConfig) -> Arc<CollectionShape> {
        let table = self.segments();
        let known = self.shape.lock().clone();
        if let Some((of, shape)) = known
            && std::ptr::eq(of.as_ptr(), Arc::as_ptr(&table))
        {
            return shape;
        }
        let shape = Arc::new(CollectionShape::of(&table, config));
        *self.shape.lock() = Some((Arc::downgrade(&table), Arc::clone(&shape)));
        shape
    }

    pub fn groups(&self) -> Vec<Arc<Group>> {
        self.segments().groups().cloned().collect()
    }

    /// Live segments of one group, ascending by id.
    pub fn live_in(&self, group: &Group) -> Arc<[Segment]> {
        self.segments().live_in(group)
    }

    /// A segment in any state the catalog knows.
    pub fn segment(&self, id: SegmentId) -> Option<Segment> {
        if !self.is_known(id) {
            return None;
        }
        self.segments().find(id).cloned()
    }

    pub fn is_known(&self, id: SegmentId) -> bool {
        self.segments.read().knows(id)
    }

    /// Rows of live segments, dead ones included, as Milvus counts entities.
    pub fn rows(&self, partition: Option<PartitionId>) -> u64 {
        self.segments().rows(partition)
    }

    /// Takes over all segments at start.
    pub(super) fn recover(&self, segments: Arc<SegmentTable>) {
        *self.segments.write() = segments;
    }

    /// Takes over segments as committed: a live one replaces its earlier record, a dropped one moves.
    pub(super) fn fold(&self, changed: impl IntoIterator<Item = Segment>) {
        self.change(|table| table.fold(changed));
    }

    /// Forgets dropped segments whose files and records are gone, and the refusals in groups that are gone.
    pub(super) fn forget(&self, ids: &[SegmentId]) {
        self.change(|table| table.forget(ids));
        let table = self.segments();
        self.verdicts.lock().retain(|group, _| table.has_group(group));
    }

    fn change(&self, change: impl FnOnce(&mut SegmentTable)) {
        let _turn = self.changing.lock();
        let mut next = SegmentTable::clone(&self.segments());
        change(&mut next);
        // The old table is freed after the lock.
        let _previous = std::mem::replace(&mut *self.segments.write(), Arc::new(next));
    }

    /// Replaces the reasons why the planner left segments of a group alone, ascending by id.
    pub(super) fn note_verdicts(&self, group: &Arc<Group>, refused: Vec<(SegmentId, SkipReason)>) {
        let refused = Refusals::from(refused);
        let _previous = self.verdicts.lock().insert(Arc::clone(group), refused);
    }

    /// Why the planner left a segment alone when it last looked at its group.
    pub(super) fn verdict(&self, segment: &Segment) -> Option<SkipReason> {
        let refused = self.verdicts.lock().get(&segment.group).map(Arc::clone)?;
        let at = refused.binary_search_by_key(&segment.id, |(id, _)| *id).ok()?;
        refused.get(at).map(|(_, reason)| *reason)
    }
}
