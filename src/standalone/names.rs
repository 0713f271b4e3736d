//! The names in use: the directory behind its lock.
//!
//! A change of definitions takes names and cells in one hold of the names' lock, and a look-up by name finds the cell
//! under the same lock. So a reader by name sees all of a change or none of it, and an alias that moves always means one
//! of its two collections. The lock of the cells is taken inside that of the names, never the other way round: the
//! DataCoord knows no names. Readers by id ask the DataCoord alone.

use super::directory::Directory;
use crate::{
    coordinator::{CollectionCell, sync::RwLock},
    model::{Collection, Database},
};

/// The directory, shared with the steps that change it.
#[derive(Debug, Default)]
pub(super) struct Names {
    directory: RwLock<Directory>,
}

impl Names {
    /// Names of the definitions that a catalog holds. Dropped collections have none.
    pub(super) fn of(databases: &[Database], collections: &[Collection]) -> Self {
        let mut directory = Directory::default();
        databases.iter().for_each(|database| directory.put_database(database.clone()));
        collections.iter().filter(|c| !c.dropped).for_each(|collection| directory.give(collection));
        Self { directory: RwLock::new(directory) }
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&Directory) -> T) -> T {
        look(&self.directory.read())
    }

    /// For a step only, after its commit.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Directory) -> T) -> T {
        change(&mut self.directory.write())
    }

    /// Replaces definitions and with them their names. With several, a name that goes from one to another always means
    /// one of them.
    pub(super) fn redefine<const N: usize>(&self, changed: [(&CollectionCell, Collection); N]) {
        self.change(|directory| {
            for (cell, _) in &changed {
                directory.take(&cell.meta());
            }
            for (cell, meta) in changed {
                directory.give(&meta);
                cell.set_meta(meta);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{coordinator::tests::definition, model::Timestamp, standalone::CollectionName};

    fn cell(id: i64) -> CollectionCell {
        CollectionCell::new(definition(id, &format!("c{id}"), &[]))
    }

    #[test]
    fn names_follow_definitions() {
        let default = Database { name: "default".to_owned(), created_at: Timestamp(1) };
        let (one, two) = (cell(1), cell(2));
        let names = Names::of(&[default], &[one.meta(), two.meta()].map(|meta| Collection::clone(&meta)));
        let find = |name: &str| names.look(|d| d.resolve(CollectionName::new("", name)).ok().map(|id| id.0));
        names.redefine([(&one, definition(1, "renamed", &["a", "b"]))]);
        assert_eq!(["c1", "renamed", "a", "b"].map(find), [None, Some(1), Some(1), Some(1)]);
        // An alias moves: to its new collection first, or last.
        names.redefine([(&two, definition(2, "c2", &["a"]))]);
        names.redefine([(&one, definition(1, "renamed", &["b"]))]);
        assert_eq!(["a", "b"].map(find), [Some(2), Some(1)]);
        names.change(|directory| directory.take(&one.meta()));
        assert_eq!(["renamed", "a", "b", "c2"].map(find), [None, Some(2), None, Some(2)]);
    }
}
