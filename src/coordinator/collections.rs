//! The collections that the DataCoord knows, by id, as of the last commit.
//!
//! Only a step ([`super::steps`]) changes them, after the same change is durable (P1), so a reader never sees a change
//! that a crash could undo. A collection that was dropped while its segments still have files leaves a tombstone, which
//! garbage collection removes with the last file. Names are not known here: they belong to the room that takes
//! definitions from clients.
//!
//! A lock is held for one look-up, one change or one page of a list, never across IO or planning, so the time it is held
//! does not grow with the number of collections.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use super::{CollectionCell, CoordinatorError, sync::RwLock};
use crate::model::{CollectionId, RequestError};

/// Collections that a list takes under one lock.
const PAGE: usize = 256;

/// The cells of all collections.
#[derive(Debug, Default)]
pub(crate) struct Collections {
    live: RwLock<Cells>,
    /// Dropped collections whose segments still have files.
    tombstones: RwLock<Cells>,
}

type Cells = BTreeMap<CollectionId, Arc<CollectionCell>>;

/// The next cells by id.
fn page(cells: &Cells, after: Option<CollectionId>) -> Vec<Arc<CollectionCell>> {
    let after = after.map_or(Bound::Unbounded, Bound::Excluded);
    cells.range((after, Bound::Unbounded)).take(PAGE).map(|(_, cell)| Arc::clone(cell)).collect()
}

/// All pages, each read under a lock of its own. A collection keeps its id, so none is skipped or met twice.
fn by_pages(page: impl Fn(Option<CollectionId>) -> Vec<Arc<CollectionCell>>) -> Vec<Arc<CollectionCell>> {
    let mut cells: Vec<Arc<CollectionCell>> = Vec::new();
    loop {
        let next = page(cells.last().map(|cell| cell.id));
        if next.is_empty() {
            return cells;
        }
        cells.extend(next);
    }
}

impl Collections {
    /// A live collection.
    ///
    /// # Errors
    /// `CollectionIdNotFound`.
    pub(crate) fn by_id(&self, id: CollectionId) -> Result<Arc<CollectionCell>, CoordinatorError> {
        Ok(self.live.read().get(&id).cloned().ok_or(RequestError::CollectionIdNotFound(id))?)
    }

    /// Live collections, ascending by id. The list has every collection that exists before and after the call.
    pub(crate) fn all(&self) -> Vec<Arc<CollectionCell>> {
        by_pages(|after| page(&self.live.read(), after))
    }

    /// Live collections and tombstones.
    pub(crate) fn with_tombstones(&self) -> Vec<Arc<CollectionCell>> {
        let mut cells = self.all();
        // Tombstones second: a collection that is dropped between the two reads is then in both, not in neither.
        cells.extend(by_pages(|after| page(&self.tombstones.read(), after)));
        cells.sort_unstable_by_key(|cell| cell.id);
        cells.dedup_by_key(|cell| cell.id);
        cells
    }

    /// The cell of a collection, live or dropped.
    pub(crate) fn live_or_tombstone(&self, id: CollectionId) -> Option<Arc<CollectionCell>> {
        self.live.read().get(&id).cloned().or_else(|| self.tombstones.read().get(&id).cloned())
    }

    pub(crate) fn add(&self, cell: Arc<CollectionCell>) {
        self.live.write().insert(cell.id, cell);
    }

    /// Moves a live collection to the tombstones.
    pub(crate) fn leave_tombstone(&self, id: CollectionId) {
        let mut live = self.live.write();
        if let Some(cell) = live.remove(&id) {
            self.tombstones.write().insert(id, cell);
        }
    }

    /// Adds a tombstone at the start.
    pub(super) fn add_tombstone(&self, cell: Arc<CollectionCell>) {
        self.tombstones.write().insert(cell.id, cell);
    }

    pub(super) fn remove_tombstone(&self, id: CollectionId) {
        self.tombstones.write().remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::definition, *};

    fn with(many: i64) -> Collections {
        let collections = Collections::default();
        for id in 1..=many {
            collections.add(Arc::new(CollectionCell::new(definition(id, &format!("c{id}"), &[]))));
        }
        collections
    }

    fn ids(cells: &[Arc<CollectionCell>]) -> Vec<i64> {
        cells.iter().map(|cell| cell.id.0).collect()
    }

    #[test]
    fn lists_of_any_number_of_pages_are_whole() {
        for many in [0, 1, PAGE as i64, 2 * PAGE as i64 + 1] {
            let collections = with(many);
            assert_eq!(ids(&collections.all()), (1..=many).collect::<Vec<_>>());
            for id in 1..=many / 2 {
                collections.leave_tombstone(CollectionId(id));
            }
            assert_eq!(ids(&collections.all()), (many / 2 + 1..=many).collect::<Vec<_>>());
            assert_eq!(ids(&collections.with_tombstones()), (1..=many).collect::<Vec<_>>());
        }
    }
}
