//! Look-ups of databases and collections, by name and by id.
//!
//! A look-up by name finds the cell under the lock of the names (`names`), so it sees all of a change or none of it. Must
//! never change a name.

use std::sync::Arc;

use super::{
    CollectionName, Standalone, StandaloneError,
    directory::{Allowed, Meaning, NameChange},
};
use crate::{
    coordinator::CollectionCell,
    model::{CollectionId, Database},
};

impl Standalone {
    pub fn databases(&self) -> Vec<Database> {
        self.names.look(|names| names.databases().cloned().collect())
    }

    /// # Errors
    /// `DatabaseNotFound`.
    pub fn database(&self, name: &str) -> Result<Database, StandaloneError> {
        let name = CollectionName::new(name, "").database;
        self.names.look(|names| Ok(names.database(name)?.clone()))
    }

    /// Looks a collection up by name or alias.
    ///
    /// # Errors
    /// `CollectionNotFound`, also if there is no such database.
    pub fn resolve(&self, name: CollectionName<'_>) -> Result<Arc<CollectionCell>, StandaloneError> {
        self.names.look(|names| Ok(self.coordinator.collection(names.resolve(name)?)?))
    }

    /// A live collection, by its id.
    ///
    /// # Errors
    /// `CollectionIdNotFound`.
    pub fn collection(&self, id: CollectionId) -> Result<Arc<CollectionCell>, StandaloneError> {
        Ok(self.coordinator.collection(id)?)
    }

    /// Database and name of a live collection.
    pub fn name_of(&self, id: CollectionId) -> Option<(String, String)> {
        let meta = self.coordinator.collection(id).ok()?.meta();
        Some((meta.database.clone(), meta.name.clone()))
    }

    /// Live collections of one database, or of all, ascending by id. The list has every collection that exists before
    /// and after the call.
    pub fn collections(&self, database: Option<&str>) -> Vec<Arc<CollectionCell>> {
        let mut cells = self.coordinator.collections();
        if let Some(database) = database {
            cells.retain(|cell| cell.meta().database == database);
        }
        cells
    }

    /// None: the name is free.
    pub(super) fn meaning(&self, name: CollectionName<'_>) -> Result<Option<Meaning>, StandaloneError> {
        self.names.look(|names| {
            names.database(name.database)?;
            Ok(names.meaning(name))
        })
    }

    /// Whether the names allow a change, see [`Directory::check`]. The answer holds until the caller ends its turn at
    /// changing definitions.
    pub(super) fn check_name(&self, change: NameChange<'_>) -> Result<Allowed, StandaloneError> {
        self.names.look(|names| Ok(names.check(change)?))
    }
}
