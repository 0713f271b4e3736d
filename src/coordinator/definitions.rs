//! What a change of definitions does to the DataCoord.
//!
//! Collections are defined elsewhere. Their records share the catalog with segments, so that a definition and the
//! segments that go with it change in one transaction and one step ([`super::steps`]). Nothing here decides which change
//! is allowed.

use std::sync::Arc;

use super::{CollectionCell, Collections, Coordinator, CoordinatorError, Core};
use crate::{
    meta::CatalogTxn,
    model::{Segment, SegmentState},
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

    /// Drops the live segments that `which` picks, with the change of definitions that drops them. `write` also learns
    /// whether the collection has any segments whose files have to be collected.
    pub(crate) async fn drop_segments(
        &self,
        cell: &Arc<CollectionCell>,
        which: impl Fn(&Segment) -> bool,
        write: impl FnOnce(&mut CatalogTxn, bool),
        fold: impl FnOnce(&Collections) + Send + 'static,
    ) -> Result<(), CoordinatorError> {
        let turn = cell.commit_turn().await;
        let now_ms = self.core.clock.now_ms();
        let going = cell.live().into_iter().filter(|s| which(s));
        let dropped: Vec<Segment> = going
            .map(|s| Segment { state: SegmentState::Dropped, dropped_at_ms: now_ms, version: s.version + 1, ..s })
            .collect();
        let mut txn = self.core.catalog.txn();
        write(&mut txn, !dropped.is_empty() || !cell.dropped().is_empty());
        for segment in &dropped {
            txn.put_segment(segment);
        }
        let (core, cell) = (Arc::clone(&self.core), Arc::clone(cell));
        let fold = move || {
            fold(&core.collections);
            cell.fold(dropped);
        };
        self.core.catalog.commit(txn, turn, fold).await
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
