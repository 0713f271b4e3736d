//! The parts that all changes of definitions share: the turn, and the change of one definition.

use std::sync::Arc;

use crate::{
    coordinator::{CollectionCell, Collections, Turn},
    model::Collection,
    standalone::{Standalone, StandaloneError},
};

impl Standalone {
    /// A turn at changing definitions.
    pub(super) async fn ddl_turn(&self) -> Turn {
        Arc::clone(&self.definitions).lock_owned().await
    }

    /// Applies a change to a collection's definition, durably. `held` are the turns that it is made in.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        held: impl Send + 'static,
        cell: &Arc<CollectionCell>,
        change: impl FnOnce(&mut Collection) -> Result<T, StandaloneError>,
    ) -> Result<T, StandaloneError> {
        let mut next = Collection::clone(&cell.meta());
        let outcome = change(&mut next)?;
        if next == *cell.meta() {
            return Ok(outcome);
        }
        let (names, cell, stored) = (Arc::clone(&self.names), Arc::clone(cell), next.clone());
        let fold = move |_: &Collections| {
            names.redefine([(&*cell, next)]);
            outcome
        };
        Ok(self
            .coordinator
            .redefine(
                held,
                |txn| {
                    txn.put_collection(&stored);
                },
                fold,
            )
            .await?)
    }
}
