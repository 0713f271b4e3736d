//! The set of collections and segments as of the last commit: the truth in memory.
//!
//! Only [`super::commit`] and [`super::ddl`] change it, and only after the same change is durable (P1): readers never
//! see what a crash could take back. Locks are held for look-ups and folds alone, never across IO or planning.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use parking_lot::{Mutex, RwLock};

use super::CoordinatorError;
use crate::model::{
    Collection, CollectionId, Database, Group, PartitionId, Segment, SegmentId, SegmentState, Traffic,
    collection::DEFAULT_DATABASE,
};

/// One collection and its segments. Shared; a reader keeps its cell while the collection is dropped beside it.
#[derive(Debug)]
pub struct CollectionCell {
    pub id: CollectionId,
    meta: RwLock<Arc<Collection>>,
    segments: RwLock<SegmentTable>,
    traffic: Mutex<Traffic>,
    /// Serialises commits that touch this collection's segments: whoever stages a change holds it until the change is
    /// durable and folded.
    pub commit: tokio::sync::Mutex<()>,
    /// Serialises planning, so that two triggers don't reserve the same segment.
    pub planning: tokio::sync::Mutex<()>,
}

/// Segments of a collection that the catalog knows.
#[derive(Debug, Default)]
struct SegmentTable {
    groups: BTreeMap<Arc<Group>, BTreeMap<SegmentId, Segment>>,
    dropped: BTreeMap<SegmentId, Segment>,
}

impl CollectionCell {
    pub fn new(meta: Collection) -> Self {
        Self {
            id: meta.id,
            meta: RwLock::new(Arc::new(meta)),
            segments: RwLock::default(),
            traffic: Mutex::default(),
            commit: tokio::sync::Mutex::default(),
            planning: tokio::sync::Mutex::default(),
        }
    }

    pub fn meta(&self) -> Arc<Collection> {
        Arc::clone(&self.meta.read())
    }

    pub(super) fn set_meta(&self, meta: Collection) {
        *self.meta.write() = Arc::new(meta);
    }

    pub fn traffic(&self) -> Traffic {
        *self.traffic.lock()
    }

    /// Takes over what was committed.
    pub(super) fn set_traffic(&self, traffic: Traffic) {
        *self.traffic.lock() = traffic;
    }

    /// Live segments, ascending by id.
    pub fn live(&self) -> Vec<Segment> {
        let table = self.segments.read();
        let mut live: Vec<_> = table.groups.values().flat_map(|g| g.values().cloned()).collect();
        live.sort_by_key(|s| s.id);
        live
    }

    pub fn dropped(&self) -> Vec<Segment> {
        self.segments.read().dropped.values().cloned().collect()
    }

    /// Shows every segment that the catalog knows, in no order. Under the lock of this collection: nothing slow in there.
    pub(super) fn each(&self, mut see: impl FnMut(&Segment)) {
        let table = self.segments.read();
        table.groups.values().flat_map(|g| g.values()).chain(table.dropped.values()).for_each(&mut see);
    }

    pub fn groups(&self) -> Vec<Arc<Group>> {
        self.segments.read().groups.keys().cloned().collect()
    }

    /// Live segments of one group, ascending by id.
    pub fn live_in(&self, group: &Group) -> Vec<Segment> {
        self.segments.read().groups.get(group).map(|g| g.values().cloned().collect()).unwrap_or_default()
    }

    /// A segment in any state the catalog knows.
    pub fn segment(&self, id: SegmentId) -> Option<Segment> {
        let table = self.segments.read();
        table.groups.values().find_map(|g| g.get(&id)).or_else(|| table.dropped.get(&id)).cloned()
    }

    pub fn is_known(&self, id: SegmentId) -> bool {
        let table = self.segments.read();
        table.dropped.contains_key(&id) || table.groups.values().any(|g| g.contains_key(&id))
    }

    /// Rows of live segments, dead ones included, as Milvus counts entities.
    pub fn rows(&self, partition: Option<PartitionId>) -> u64 {
        let table = self.segments.read();
        table
            .groups
            .iter()
            .filter(|(g, _)| partition.is_none_or(|p| g.partition == p))
            .flat_map(|(_, segments)| segments.values())
            .map(|s| s.rows)
            .sum()
    }

    /// Takes over segments as committed: a live one replaces what it was, a dropped one moves.
    pub(super) fn fold(&self, changed: impl IntoIterator<Item = Segment>) {
        let mut table = self.segments.write();
        for segment in changed {
            if segment.state == SegmentState::Dropped {
                if let Some(group) = table.groups.get_mut(&segment.group) {
                    group.remove(&segment.id);
                    if group.is_empty() {
                        table.groups.remove(&segment.group);
                    }
                }
                table.dropped.insert(segment.id, segment);
            } else {
                table.groups.entry(Arc::clone(&segment.group)).or_default().insert(segment.id, segment);
            }
        }
    }

    /// Forgets dropped segments whose files and records are gone.
    pub(super) fn forget(&self, ids: &[SegmentId]) {
        let mut table = self.segments.write();
        for id in ids {
            table.dropped.remove(id);
        }
    }
}

/// Names and cells of all collections.
#[derive(Debug, Default)]
pub struct State {
    directory: RwLock<Directory>,
    /// Dropped collections whose segments still have files.
    graveyard: RwLock<HashMap<CollectionId, Arc<CollectionCell>>>,
    pins: Arc<Pins>,
}

#[derive(Debug, Default)]
struct Directory {
    databases: BTreeMap<String, Database>,
    by_id: HashMap<CollectionId, Arc<CollectionCell>>,
    /// (database, collection name or alias) → collection.
    names: BTreeMap<(String, String), CollectionId>,
    aliases: BTreeMap<(String, String), CollectionId>,
}

/// How a request names a collection. The name wins over the id.
#[derive(Debug, Clone, Copy)]
pub struct CollectionName<'a> {
    /// Empty means the default database.
    pub database: &'a str,
    pub name: &'a str,
}

impl<'a> CollectionName<'a> {
    pub fn new(database: &'a str, name: &'a str) -> Self {
        Self { database: if database.is_empty() { DEFAULT_DATABASE } else { database }, name }
    }

    pub fn not_found(&self) -> CoordinatorError {
        CoordinatorError::CollectionNotFound { database: self.database.to_owned(), collection: self.name.to_owned() }
    }
}

impl State {
    pub fn databases(&self) -> Vec<Database> {
        self.directory.read().databases.values().cloned().collect()
    }

    pub fn database(&self, name: &str) -> Result<Database, CoordinatorError> {
        let name = if name.is_empty() { DEFAULT_DATABASE } else { name };
        let directory = self.directory.read();
        directory.databases.get(name).cloned().ok_or_else(|| CoordinatorError::DatabaseNotFound(name.to_owned()))
    }

    /// Looks a collection up by name or alias.
    ///
    /// # Errors
    /// `DatabaseNotFound`, `CollectionNotFound`.
    pub fn resolve(&self, name: CollectionName<'_>) -> Result<Arc<CollectionCell>, CoordinatorError> {
        let directory = self.directory.read();
        if !directory.databases.contains_key(name.database) {
            return Err(CoordinatorError::DatabaseNotFound(name.database.to_owned()));
        }
        let key = (name.database.to_owned(), name.name.to_owned());
        let id = directory.names.get(&key).or_else(|| directory.aliases.get(&key)).ok_or_else(|| name.not_found())?;
        directory.by_id.get(id).cloned().ok_or_else(|| name.not_found())
    }

    pub fn by_id(&self, id: CollectionId) -> Result<Arc<CollectionCell>, CoordinatorError> {
        self.directory.read().by_id.get(&id).cloned().ok_or(CoordinatorError::CollectionIdNotFound(id))
    }

    /// The collection an alias points to, if the name is an alias.
    pub fn alias(&self, database: &str, alias: &str) -> Option<Arc<CollectionCell>> {
        let directory = self.directory.read();
        let id = directory.aliases.get(&(database.to_owned(), alias.to_owned()))?;
        directory.by_id.get(id).cloned()
    }

    /// True if a collection (not an alias) has this name.
    pub fn has_collection(&self, database: &str, name: &str) -> bool {
        self.directory.read().names.contains_key(&(database.to_owned(), name.to_owned()))
    }

    /// Live collections of one database by name, or of all.
    pub fn collections(&self, database: Option<&str>) -> Vec<Arc<CollectionCell>> {
        let directory = self.directory.read();
        directory
            .names
            .iter()
            .filter(|((db, _), _)| database.is_none_or(|d| d == db))
            .filter_map(|(_, id)| directory.by_id.get(id).cloned())
            .collect()
    }

    /// Live collections and those dropped whose files are not yet gone.
    pub fn with_graveyard(&self) -> Vec<Arc<CollectionCell>> {
        let mut cells = self.collections(None);
        cells.extend(self.graveyard.read().values().cloned());
        cells
    }

    /// The cell of a collection, dropped or not.
    pub fn cell_or_grave(&self, id: CollectionId) -> Option<Arc<CollectionCell>> {
        self.directory.read().by_id.get(&id).cloned().or_else(|| self.graveyard.read().get(&id).cloned())
    }

    pub(super) fn put_database(&self, database: Database) {
        self.directory.write().databases.insert(database.name.clone(), database);
    }

    pub(super) fn remove_database(&self, name: &str) {
        self.directory.write().databases.remove(name);
    }

    pub(super) fn add(&self, cell: Arc<CollectionCell>) {
        let meta = cell.meta();
        let mut directory = self.directory.write();
        directory.names.insert((meta.database.clone(), meta.name.clone()), meta.id);
        for alias in &meta.aliases {
            directory.aliases.insert((meta.database.clone(), alias.clone()), meta.id);
        }
        directory.by_id.insert(meta.id, cell);
    }

    /// Replaces a collection's definition and with it its names.
    pub(super) fn replace(&self, cell: &CollectionCell, meta: Collection) {
        let mut directory = self.directory.write();
        directory.names.retain(|_, id| *id != cell.id);
        directory.aliases.retain(|_, id| *id != cell.id);
        directory.names.insert((meta.database.clone(), meta.name.clone()), meta.id);
        for alias in &meta.aliases {
            directory.aliases.insert((meta.database.clone(), alias.clone()), meta.id);
        }
        cell.set_meta(meta);
    }

    pub(super) fn bury(&self, id: CollectionId) {
        let mut directory = self.directory.write();
        directory.names.retain(|_, i| *i != id);
        directory.aliases.retain(|_, i| *i != id);
        if let Some(cell) = directory.by_id.remove(&id) {
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
        let ids: Vec<_> = segments.into_iter().collect();
        let mut counts = self.pins.counts.lock();
        for id in &ids {
            *counts.entry(*id).or_default() += 1;
        }
        PinGuard { ids, pins: Arc::clone(&self.pins) }
    }

    /// Live segments, pinned in the same moment: none of them can lose its files while the guard lives.
    pub fn live_pinned(&self, cell: &CollectionCell) -> (Vec<Segment>, PinGuard) {
        // The table lock is held while pinning, so that no commit drops a segment in between.
        let table = cell.segments.read();
        let mut live: Vec<_> = table.groups.values().flat_map(|g| g.values().cloned()).collect();
        live.sort_by_key(|s| s.id);
        let guard = self.pin(live.iter().map(|s| s.id));
        (live, guard)
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
        let mut counts = self.pins.counts.lock();
        for id in &self.ids {
            if let Some(count) = counts.get_mut(id) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(id);
                }
            }
        }
    }
}
