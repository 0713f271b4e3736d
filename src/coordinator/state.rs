//! The set of collections as of the last commit: the truth in memory.
//!
//! Only [`super::commit`] and [`super::ddl`] change it, and only after the same change is durable (P1): readers never
//! see what a crash could take back. Locks are held for one look-up, one change or one page of a list, never across IO
//! or planning: how long does not grow with the number of collections.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::Arc,
};

use super::{
    CollectionCell, CollectionName, CoordinatorError,
    directory::{Allowed, Directory, Meaning, NameChange},
    sync::{Mutex, RwLock},
};
use crate::model::{Collection, CollectionId, Database, Segment, SegmentId};

/// Collections that a list takes under one lock, and segments that are pinned under one.
const PAGE: usize = 256;

/// The cells of all collections, and what each name means.
#[derive(Debug, Default)]
pub struct State {
    index: RwLock<Index>,
    /// Dropped collections whose segments still have files.
    graveyard: RwLock<Cells>,
    pins: Arc<Pins>,
}

/// Names and cells, changed together.
#[derive(Debug, Default)]
struct Index {
    names: Directory,
    by_id: Cells,
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

impl State {
    pub fn databases(&self) -> Vec<Database> {
        self.index.read().names.databases().cloned().collect()
    }

    pub fn database(&self, name: &str) -> Result<Database, CoordinatorError> {
        let name = CollectionName::new(name, "").database;
        Ok(self.index.read().names.database(name)?.clone())
    }

    /// Looks a collection up by name or alias.
    ///
    /// # Errors
    /// `DatabaseNotFound`, `CollectionNotFound`.
    pub fn resolve(&self, name: CollectionName<'_>) -> Result<Arc<CollectionCell>, CoordinatorError> {
        let index = self.index.read();
        let id = index.names.resolve(name)?;
        index.by_id.get(&id).cloned().ok_or(CoordinatorError::CollectionIdNotFound(id))
    }

    pub fn by_id(&self, id: CollectionId) -> Result<Arc<CollectionCell>, CoordinatorError> {
        self.index.read().by_id.get(&id).cloned().ok_or(CoordinatorError::CollectionIdNotFound(id))
    }

    /// None: the name is free.
    pub(super) fn meaning(&self, name: CollectionName<'_>) -> Result<Option<Meaning>, CoordinatorError> {
        let index = self.index.read();
        index.names.database(name.database)?;
        Ok(index.names.meaning(name))
    }

    /// Whether the names allow a change, see [`Directory::check`]. It holds for as long as the caller lets no other
    /// change of definitions begin.
    pub(super) fn check(&self, change: NameChange<'_>) -> Result<Allowed, CoordinatorError> {
        Ok(self.index.read().names.check(change)?)
    }

    /// Live collections of one database, or of all, ascending by id. One that is there before and after the call is in
    /// the list, whatever else is made, renamed or dropped meanwhile.
    pub fn collections(&self, database: Option<&str>) -> Vec<Arc<CollectionCell>> {
        let mut cells = by_pages(|after| page(&self.index.read().by_id, after));
        if let Some(database) = database {
            cells.retain(|cell| cell.meta().database == database);
        }
        cells
    }

    /// Live collections and those dropped whose files are not yet gone.
    pub fn with_graveyard(&self) -> Vec<Arc<CollectionCell>> {
        let mut cells = self.collections(None);
        // In this order: one that is dropped meanwhile is in both, not in neither.
        cells.extend(by_pages(|after| page(&self.graveyard.read(), after)));
        cells.sort_unstable_by_key(|cell| cell.id);
        cells.dedup_by_key(|cell| cell.id);
        cells
    }

    /// The cell of a collection, dropped or not.
    pub fn cell_or_grave(&self, id: CollectionId) -> Option<Arc<CollectionCell>> {
        self.index.read().by_id.get(&id).cloned().or_else(|| self.graveyard.read().get(&id).cloned())
    }

    pub(super) fn put_database(&self, database: Database) {
        self.index.write().names.put_database(database);
    }

    pub(super) fn remove_database(&self, name: &str) {
        self.index.write().names.remove_database(name);
    }

    pub(super) fn add(&self, cell: Arc<CollectionCell>) {
        let meta = cell.meta();
        let mut index = self.index.write();
        index.names.give(&meta);
        index.by_id.insert(meta.id, cell);
    }

    /// Replaces a collection's definition and with it its names.
    pub(super) fn replace(&self, cell: &CollectionCell, meta: Collection) {
        self.replace_all([(cell, meta)]);
    }

    /// Replaces several definitions in one moment: a name that goes from one to another always means one of them.
    pub(super) fn replace_all<const N: usize>(&self, changed: [(&CollectionCell, Collection); N]) {
        let mut index = self.index.write();
        for (cell, _) in &changed {
            index.names.take(&cell.meta());
        }
        for (cell, meta) in changed {
            index.names.give(&meta);
            cell.set_meta(meta);
        }
    }

    pub(super) fn bury(&self, id: CollectionId) {
        let mut index = self.index.write();
        if let Some(cell) = index.by_id.remove(&id) {
            index.names.take(&cell.meta());
            self.graveyard.write().insert(id, cell);
        }
    }

    /// Adds a cell for segments whose collection is gone, at recovery.
    pub(super) fn add_grave(&self, cell: Arc<CollectionCell>) {
        self.graveyard.write().insert(cell.id, cell);
    }

    pub(super) fn close_grave(&self, id: CollectionId) {
        self.graveyard.write().remove(&id);
    }

    /// Keeps the files of these segments from being collected until the guard is dropped (P5).
    pub fn pin(&self, segments: impl IntoIterator<Item = SegmentId>) -> PinGuard {
        let guard = PinGuard { ids: segments.into_iter().collect(), pins: Arc::clone(&self.pins) };
        for ids in guard.ids.chunks(PAGE) {
            let mut counts = self.pins.counts.lock();
            for id in ids {
                *counts.entry(*id).or_default() += 1;
            }
        }
        guard
    }

    /// Live segments, pinned in the same moment: none of them can lose its files while the guard lives.
    pub fn live_pinned(&self, cell: &CollectionCell) -> (Vec<Segment>, PinGuard) {
        loop {
            let table = cell.segments();
            let live = table.live();
            let guard = self.pin(live.iter().map(|s| s.id));
            // Nothing was committed since the list was taken, so all of it was live when the last of it was pinned. A
            // commit takes longer than this look: there are few rounds.
            if Arc::ptr_eq(&table, &cell.segments()) {
                return (live, guard);
            }
        }
    }

    pub fn is_pinned(&self, id: SegmentId) -> bool {
        self.pins.counts.lock().contains_key(&id)
    }
}

#[derive(Debug, Default)]
struct Pins {
    counts: Mutex<HashMap<SegmentId, u32>>,
}

/// While it lives, the files of its segments are not collected.
#[derive(Debug)]
pub struct PinGuard {
    ids: Vec<SegmentId>,
    pins: Arc<Pins>,
}

impl Drop for PinGuard {
    fn drop(&mut self) {
        for ids in self.ids.chunks(PAGE) {
            let mut counts = self.pins.counts.lock();
            for id in ids {
                if let Some(count) = counts.get_mut(id) {
                    *count -= 1;
                    if *count == 0 {
                        counts.remove(id);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CollectionSchema, Timestamp};

    fn collection(id: i64, name: &str, aliases: &[&str]) -> Collection {
        Collection {
            id: CollectionId(id),
            database: "default".to_owned(),
            name: name.to_owned(),
            schema: Arc::new(CollectionSchema {
                name: name.to_owned(),
                description: String::new(),
                enable_dynamic_field: false,
                fields: Vec::new(),
                primary: 0,
            }),
            channels: Vec::new(),
            partitions: Vec::new(),
            aliases: aliases.iter().map(|a| (*a).to_owned()).collect(),
            properties: Default::default(),
            consistency_level: 0,
            created_at: Timestamp(1),
            updated_at: Timestamp(1),
            indexes: Vec::new(),
            loaded: Vec::new(),
            dropped: false,
        }
    }

    fn with(many: i64) -> State {
        let state = State::default();
        state.put_database(Database { name: "default".to_owned(), created_at: Timestamp(1) });
        for id in 1..=many {
            state.add(Arc::new(CollectionCell::new(collection(id, &format!("c{id}"), &[]))));
        }
        state
    }

    fn ids(cells: &[Arc<CollectionCell>]) -> Vec<i64> {
        cells.iter().map(|cell| cell.id.0).collect()
    }

    #[test]
    fn lists_are_whole_whatever_the_number_of_pages() {
        for many in [0, 1, PAGE as i64, 2 * PAGE as i64 + 1] {
            let state = with(many);
            assert_eq!(ids(&state.collections(None)), (1..=many).collect::<Vec<_>>());
            assert_eq!(ids(&state.collections(Some("default"))), (1..=many).collect::<Vec<_>>());
            assert!(state.collections(Some("other")).is_empty());
            for id in 1..=many / 2 {
                state.bury(CollectionId(id));
            }
            assert_eq!(ids(&state.collections(None)), (many / 2 + 1..=many).collect::<Vec<_>>());
            assert_eq!(ids(&state.with_graveyard()), (1..=many).collect::<Vec<_>>());
        }
    }

    #[test]
    fn names_follow_definitions() {
        let state = with(2);
        let find = |name: &str| state.resolve(CollectionName::new("", name)).ok().map(|cell| cell.id.0);
        let cell = |id| state.by_id(CollectionId(id)).unwrap();
        state.replace(&cell(1), collection(1, "renamed", &["a", "b"]));
        assert_eq!(["c1", "renamed", "a", "b"].map(find), [None, Some(1), Some(1), Some(1)]);
        // An alias moves: to its new collection first, or last.
        state.replace(&cell(2), collection(2, "c2", &["a"]));
        state.replace(&cell(1), collection(1, "renamed", &["b"]));
        assert_eq!(["a", "b"].map(find), [Some(2), Some(1)]);
        state.bury(CollectionId(1));
        assert_eq!(["renamed", "a", "b", "c2"].map(find), [None, Some(2), None, Some(2)]);
    }
}
