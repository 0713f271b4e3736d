//! The DataCoord's part in a change of definitions.
//!
//! Collections are defined elsewhere. Their records share the catalog with segments, so that a definition and the
//! segments that go with it change in one transaction and one step ([`super::steps`]). Nothing here decides which change
//! is allowed.

use std::{collections::HashSet, sync::Arc};

use super::{CollectionCell, Collections, Coordinator, CoordinatorError, Core, Turn, steps::StepTxn};
use crate::{
    meta::CatalogTxn,
    model::{PartitionId, Segment, SegmentId, SegmentState},
};

impl Core {
    /// Commits a change of definitions and folds it into memory, as one step. `held` are the turns that the change is
    /// made in; they end with the step.
    pub(crate) async fn redefine<T: Send + 'static>(
        self: &Arc<Self>,
        held: impl Send + 'static,
        write: impl FnOnce(&mut CatalogTxn),
        fold: impl FnOnce(&Collections) -> T + Send + 'static,
    ) -> Result<T, CoordinatorError> {
        let mut txn = self.catalog.txn();
        write(&mut txn);
        let core = Arc::clone(self);
        self.catalog.commit(txn, held, move || fold(&core.collections)).await
    }
}

impl Core {
    /// Commits a change of definitions with as many dropped segments as its transaction takes, and the records of the
    /// others after it.
    ///
    /// The change alone decides that all of them are gone: it leaves a tombstone, removes their partition, or raises the
    /// collection's `truncated_before`. So memory drops all of them with it, and readers see all or none of it. If no
    /// further transaction follows, the next start writes the records that are left ([`Self::finish_drops`]).
    async fn drop_going(
        self: &Arc<Self>,
        mut txn: StepTxn,
        turn: Turn,
        cell: &Arc<CollectionCell>,
        going: Vec<Segment>,
        fold: impl FnOnce(&Collections) + Send + 'static,
    ) -> Result<(), CoordinatorError> {
        let (turn, now_ms, limit) = (Arc::new(turn), self.clock.now_ms(), self.catalog.max_operations().max(1));
        let dropped: Vec<Segment> = going
            .into_iter()
            .map(|s| Segment { state: SegmentState::Dropped, dropped_at_ms: now_ms, version: s.version + 1, ..s })
            .collect();
        let (first, rest) = dropped.split_at(limit.saturating_sub(txn.operations()).min(dropped.len()));
        for segment in first {
            txn.put_segment(segment);
        }
        let (all, gone) = (dropped.clone(), dropped.iter().map(|s| s.id).collect::<HashSet<SegmentId>>());
        let (core, folded) = (Arc::clone(self), Arc::clone(cell));
        let fold_all = move || {
            fold(&core.collections);
            folded.fold(all);
            core.segment_cache.forget(|id| gone.contains(&id));
        };
        self.catalog.commit(txn, Arc::clone(&turn), fold_all).await?;
        for chunk in rest.chunks(limit) {
            let mut txn = self.catalog.txn();
            for segment in chunk {
                txn.put_segment(segment);
            }
            self.catalog.commit(txn, Arc::clone(&turn), || ()).await?;
        }
        Ok(())
    }

    /// Drops the live segments of dropped collections and partitions and those that were truncated: the last process ended
    /// between two transactions of a drop. To be called at start.
    pub(super) async fn finish_drops(self: &Arc<Self>) -> Result<(), CoordinatorError> {
        for cell in self.collections.with_tombstones() {
            let is_dropped = self.collections.by_id(cell.id).is_err();
            let meta = cell.meta();
            let partitions: HashSet<PartitionId> = meta.partitions.iter().map(|p| p.id).collect();
            let is_gone = |p: PartitionId| is_dropped || (p != PartitionId::ALL && !partitions.contains(&p));
            let mut left = Vec::new();
            for group in cell.groups() {
                let is_gone = is_gone(group.partition);
                left.extend(cell.live_in(&group).iter().filter(|s| is_gone || meta.is_truncated(s.id)).cloned());
            }
            if !left.is_empty() {
                let turn = cell.commit_turn().await;
                self.drop_going(self.catalog.txn(), turn, &cell, left, |_| ()).await?;
            }
        }
        Ok(())
    }
}

impl Coordinator {
    /// [`Core::redefine`].
    pub(crate) async fn redefine<T: Send + 'static>(
        &self,
        held: impl Send + 'static,
        write: impl FnOnce(&mut CatalogTxn),
        fold: impl FnOnce(&Collections) -> T + Send + 'static,
    ) -> Result<T, CoordinatorError> {
        self.core.redefine(held, write, fold).await
    }

    /// Drops the live segments that `which` picks, with the change of definitions that drops them. `turn` is the
    /// collection's commit turn. `write` also learns whether the collection has any segments whose files have to be
    /// collected.
    pub(crate) async fn drop_segments(
        &self,
        turn: Turn,
        cell: &Arc<CollectionCell>,
        which: impl Fn(&Segment) -> bool,
        write: impl FnOnce(&mut CatalogTxn, bool),
        fold: impl FnOnce(&Collections) + Send + 'static,
    ) -> Result<(), CoordinatorError> {
        let going: Vec<Segment> = cell.live().into_iter().filter(|s| which(s)).collect();
        let mut txn = self.core.catalog.txn();
        write(&mut txn, !going.is_empty() || !cell.dropped().is_empty());
        self.core.drop_going(txn, turn, cell, going, fold).await
    }

    /// Runs a change of several parts to its end, also after its caller is gone. See [`super::steps`].
    ///
    /// # Errors
    /// Those of the change; `StepDied` after a panic in any step.
    pub(crate) async fn finish<T, E>(&self, change: impl Future<Output = Result<T, E>> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<CoordinatorError> + Send + 'static,
    {
        self.core.catalog.run(change).await
    }
}
