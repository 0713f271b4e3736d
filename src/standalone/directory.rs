//! The directory of names: the meaning of each name of each database.
//!
//! A name means one thing: a collection, or an alias of a collection of the same database. [`Directory::check`] alone says
//! whether a call may add, move or drop a name, and every such call asks it. [`settle`] holds a catalog to the same rule
//! at the start. Both are plain functions of values: nothing here reads the catalog or waits.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Collection, CollectionId, CollectionSchema, Database, RequestError, collection::DEFAULT_DATABASE};

/// How a request names a collection: by its name or by an alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CollectionName<'a> {
    /// Never empty when it was made by [`Self::new`].
    pub database: &'a str,
    pub name: &'a str,
}

impl<'a> CollectionName<'a> {
    /// An empty database means the default one.
    pub fn new(database: &'a str, name: &'a str) -> Self {
        Self { database: if database.is_empty() { DEFAULT_DATABASE } else { database }, name }
    }
}

/// The meaning of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Collection(CollectionId),
    Alias(CollectionId),
}

impl Meaning {
    /// The collection, whichever way it is named.
    pub(super) fn collection(self) -> CollectionId {
        match self {
            Self::Collection(id) | Self::Alias(id) => id,
        }
    }
}

/// A change of names that a call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameChange<'a> {
    /// `most` is how many databases there may be.
    CreateDatabase {
        name: &'a str,
        most: usize,
    },
    DropDatabase(&'a str),
    /// `most` is how many collections there may be, `most_here` how many in the database.
    CreateCollection {
        name: CollectionName<'a>,
        most: usize,
        most_here: usize,
    },
    DropCollection(CollectionName<'a>),
    /// Inside a database or into another one.
    Rename {
        from: CollectionName<'a>,
        to: CollectionName<'a>,
    },
    CreateAlias {
        alias: &'a str,
        of: CollectionName<'a>,
    },
    AlterAlias {
        alias: &'a str,
        to: CollectionName<'a>,
    },
    DropAlias {
        database: &'a str,
        alias: &'a str,
    },
}

/// The situation of a call that may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowed {
    /// It is as the call wants it: nothing is left to do.
    Already,
    /// The name is free.
    New,
    /// The call is about this collection.
    Of(CollectionId),
    /// An alias goes from one collection to another.
    Moves { from: CollectionId, to: CollectionId },
}

/// One database and its names.
#[derive(Debug, Clone, PartialEq)]
struct Space {
    database: Database,
    names: BTreeMap<String, Meaning>,
}

impl Space {
    /// How many collections it has.
    fn collections(&self) -> usize {
        self.names.values().filter(|meaning| matches!(meaning, Meaning::Collection(_))).count()
    }
}

/// The meaning of every name.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Directory {
    spaces: BTreeMap<String, Space>,
}

impl Directory {
    /// Ascending by name.
    pub(super) fn databases(&self) -> impl Iterator<Item = &Database> {
        self.spaces.values().map(|space| &space.database)
    }

    pub(super) fn database(&self, name: &str) -> Result<&Database, RequestError> {
        self.space(name).map(|space| &space.database)
    }

    fn space(&self, database: &str) -> Result<&Space, RequestError> {
        self.spaces.get(database).ok_or_else(|| RequestError::DatabaseNotFound(database.to_owned()))
    }

    /// None: the name is free, or there is no such database.
    pub(super) fn meaning(&self, name: CollectionName<'_>) -> Option<Meaning> {
        self.spaces.get(name.database)?.names.get(name.name).copied()
    }

    /// The collection of a name or an alias.
    ///
    /// # Errors
    /// `CollectionNotFound`, also if there is no such database.
    pub(super) fn resolve(&self, name: CollectionName<'_>) -> Result<CollectionId, RequestError> {
        self.meaning(name).map(Meaning::collection).ok_or_else(|| not_found(name))
    }

    /// The database whose names a call changes.
    fn changed_space(&self, database: &str) -> Result<&Space, RequestError> {
        self.spaces.get(database).ok_or_else(|| RequestError::NoDatabaseToChange(database.to_owned()))
    }

    /// Whether a call may change the names as it wants to, and which collections it is about. The order of the checks is
    /// Milvus', so that a call with two faults is told the same one.
    pub(super) fn check(&self, change: NameChange<'_>) -> Result<Allowed, RequestError> {
        match change {
            NameChange::CreateDatabase { name, most } => {
                if self.spaces.contains_key(name) {
                    return Err(RequestError::DatabaseExists(name.to_owned()));
                }
                // The default one does not count.
                if self.spaces.len() > most {
                    return Err(RequestError::TooManyDatabases { most });
                }
                Ok(Allowed::New)
            }
            NameChange::DropDatabase(name) => {
                if name == DEFAULT_DATABASE {
                    return Err(RequestError::DefaultDatabase);
                }
                let Some(space) = self.spaces.get(name) else { return Ok(Allowed::Already) };
                let collections = space.collections();
                if !space.names.is_empty() {
                    return Err(RequestError::DatabaseNotEmpty { database: name.to_owned(), collections });
                }
                Ok(Allowed::New)
            }
            NameChange::CreateCollection { name, most, most_here } => {
                match self.changed_space(name.database)?.names.get(name.name) {
                    None => self.check_room(name.database, most, most_here),
                    Some(Meaning::Collection(id)) => Ok(Allowed::Of(*id)),
                    Some(Meaning::Alias(_)) => Err(RequestError::CollectionIsAlias(name.name.to_owned())),
                }
            }
            NameChange::DropCollection(name) => match self.meaning(name) {
                None => Ok(Allowed::Already),
                Some(Meaning::Collection(id)) => Ok(Allowed::Of(id)),
                Some(Meaning::Alias(_)) => Err(RequestError::DropThroughAlias(name.name.to_owned())),
            },
            NameChange::Rename { from, to } => self.check_rename(from, to),
            NameChange::CreateAlias { alias, of } => {
                let (id, owner) = self.check_alias(alias, of)?;
                match owner {
                    None => Ok(Allowed::Of(id)),
                    Some(owner) if owner == id => Ok(Allowed::Already),
                    Some(owner) => Err(RequestError::AliasTaken {
                        database: of.database.to_owned(),
                        alias: alias.to_owned(),
                        owner: self.own_name(of.database, owner).to_owned(),
                    }),
                }
            }
            NameChange::AlterAlias { alias, to } => match self.check_alias(alias, to)? {
                (_, None) => Err(alias_not_found(to.database, alias)),
                (id, Some(owner)) if owner == id => Ok(Allowed::Already),
                (id, Some(owner)) => Ok(Allowed::Moves { from: owner, to: id }),
            },
            NameChange::DropAlias { database, alias } => match self.changed_space(database)?.names.get(alias) {
                Some(Meaning::Alias(id)) => Ok(Allowed::Of(*id)),
                Some(Meaning::Collection(_)) | None => Ok(Allowed::Already),
            },
        }
    }

    /// Whether there may be one collection more.
    fn check_room(&self, database: &str, most: usize, most_here: usize) -> Result<Allowed, RequestError> {
        if self.space(database)?.collections() >= most_here {
            let database = Some(database.to_owned());
            return Err(RequestError::TooManyCollections { most: most_here, database });
        }
        if self.spaces.values().map(Space::collections).sum::<usize>() >= most {
            return Err(RequestError::TooManyCollections { most, database: None });
        }
        Ok(Allowed::New)
    }

    fn check_rename(&self, from: CollectionName<'_>, to: CollectionName<'_>) -> Result<Allowed, RequestError> {
        let source = self.space(from.database)?;
        let target =
            self.spaces.get(to.database).ok_or_else(|| RequestError::TargetNotFound(to.database.to_owned()))?;
        let found = source.names.get(from.name);
        if let Some(Meaning::Alias(_)) = found {
            return Err(RequestError::RenameThroughAlias(from.name.to_owned()));
        }
        match target.names.get(to.name) {
            Some(Meaning::Alias(_)) => return Err(RequestError::RenameToAlias(to.name.to_owned())),
            Some(Meaning::Collection(_)) => {
                let (database, name) = (to.database.to_owned(), to.name.to_owned());
                return Err(RequestError::RenameToCollection { database, name });
            }
            None => {}
        }
        let id = found.map(|meaning| meaning.collection()).ok_or_else(|| not_found(from))?;
        if from.database != to.database {
            // They would go along, and the names may be taken there.
            let mut aliases = source.names.iter().filter(|(_, meaning)| **meaning == Meaning::Alias(id));
            if let Some((first, _)) = aliases.next() {
                return Err(RequestError::HasAliases { aliases: 1 + aliases.count(), first: first.clone() });
            }
        }
        Ok(Allowed::Of(id))
    }

    /// The collection that an alias is to mean, which must be named by its own name, and the one that it means now.
    fn check_alias(
        &self,
        alias: &str,
        of: CollectionName<'_>,
    ) -> Result<(CollectionId, Option<CollectionId>), RequestError> {
        let names = &self.space(of.database)?.names;
        let now = names.get(alias);
        if let Some(Meaning::Collection(_)) = now {
            let (database, alias) = (of.database.to_owned(), alias.to_owned());
            return Err(RequestError::AliasIsCollection { database, alias });
        }
        match names.get(of.name) {
            Some(Meaning::Collection(id)) => Ok((*id, now.map(|meaning| meaning.collection()))),
            Some(Meaning::Alias(_)) | None => Err(not_found(of)),
        }
    }

    fn own_name(&self, database: &str, id: CollectionId) -> &str {
        let names = self.spaces.get(database).map(|space| &space.names);
        let own = names.and_then(|names| names.iter().find(|(_, meaning)| **meaning == Meaning::Collection(id)));
        own.map_or("", |(name, _)| name)
    }

    pub(super) fn put_database(&mut self, database: Database) {
        match self.spaces.get_mut(&database.name) {
            Some(space) => space.database = database,
            None => {
                self.spaces.insert(database.name.clone(), Space { database, names: BTreeMap::new() });
            }
        }
    }

    pub(super) fn remove_database(&mut self, name: &str) {
        self.spaces.remove(name);
    }

    /// Gives a definition its names.
    pub(super) fn give(&mut self, meta: &Collection) {
        let Some(space) = self.spaces.get_mut(&meta.database) else { return };
        space.names.insert(meta.name.clone(), Meaning::Collection(meta.id));
        for alias in &meta.aliases {
            space.names.insert(alias.clone(), Meaning::Alias(meta.id));
        }
    }

    /// Takes the names of a definition back, except those that another collection has been given since.
    pub(super) fn take(&mut self, meta: &Collection) {
        let Some(space) = self.spaces.get_mut(&meta.database) else { return };
        for name in std::iter::once(&meta.name).chain(&meta.aliases) {
            if space.names.get(name).is_some_and(|meaning| meaning.collection() == meta.id) {
                space.names.remove(name);
            }
        }
    }
}

pub(super) fn not_found(name: CollectionName<'_>) -> RequestError {
    RequestError::CollectionNotFound { database: name.database.to_owned(), collection: name.name.to_owned() }
}

pub(super) fn alias_not_found(database: &str, alias: &str) -> RequestError {
    RequestError::AliasNotFound { database: database.to_owned(), alias: alias.to_owned() }
}

/// How a name that a catalog gave twice was settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Settled {
    /// A collection is in a database that is not there: the database is.
    Database { database: String, collection: CollectionId },
    /// An older collection has the name.
    Renamed { database: String, from: String, to: String, collection: CollectionId, owner: CollectionId },
    /// A collection has the name, or an older one has the alias, or it is there twice.
    AliasRemoved { database: String, alias: String, collection: CollectionId, owner: CollectionId },
}

impl Settled {
    /// The collection whose definition is another one now.
    pub(super) fn changed(&self) -> Option<CollectionId> {
        match self {
            Self::Database { .. } => None,
            Self::Renamed { collection, .. } | Self::AliasRemoved { collection, .. } => Some(*collection),
        }
    }
}

impl std::fmt::Display for Settled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Database { database, collection } => {
                write!(f, "database {database} of collection {collection} was not in the catalog: it is there again")
            }
            Self::Renamed { database, from, to, collection, owner } => write!(
                f,
                "database {database} had two collections {from}: {owner} keeps the name, {collection} is {to} now"
            ),
            Self::AliasRemoved { database, alias, collection, owner } => write!(
                f,
                "database {database} had the name {alias} twice: it means collection {owner}, and collection \
                 {collection} has lost the alias"
            ),
        }
    }
}

/// Makes every name of a catalog mean one thing. An older release may have stored a name twice: a collection's own
/// name then wins over an alias, and the older collection over the newer one. The caller stores the changes, so that
/// the losing meaning does not come back when the winner is dropped.
///
/// `collections` ascend by id; those that were dropped have no names. `longest` is the longest name, in bytes.
pub(super) fn settle(databases: &mut Vec<Database>, collections: &mut [Collection], longest: usize) -> Vec<Settled> {
    let mut settled = Vec::new();
    let mut known: BTreeSet<String> = databases.iter().map(|d| d.name.clone()).collect();
    let mut names: BTreeMap<(String, String), CollectionId> = BTreeMap::new();
    let mut nameless = Vec::new();
    for collection in collections.iter_mut().filter(|c| !c.dropped) {
        if known.insert(collection.database.clone()) {
            databases.push(Database { name: collection.database.clone(), created_at: collection.created_at });
            settled.push(Settled::Database { database: collection.database.clone(), collection: collection.id });
        }
        let owner = *names.entry((collection.database.clone(), collection.name.clone())).or_insert(collection.id);
        if owner != collection.id {
            nameless.push((collection, owner));
        }
    }
    // New names are looked for when all that are taken are known.
    for (collection, owner) in nameless {
        let (database, id) = (collection.database.clone(), collection.id);
        let mut suffix = format!("_{id}");
        let to = loop {
            let kept = collection.name.get(..longest.saturating_sub(suffix.len())).unwrap_or(&collection.name);
            let to = format!("{kept}{suffix}");
            if !names.contains_key(&(database.clone(), to.clone())) {
                break to;
            }
            suffix.push('_');
        };
        let from = collection.name.clone();
        rename(collection, &to);
        names.insert((database.clone(), to.clone()), id);
        settled.push(Settled::Renamed { database, from, to, collection: id, owner });
    }
    for collection in collections.iter_mut().filter(|c| !c.dropped) {
        let (database, id) = (collection.database.clone(), collection.id);
        collection.aliases.retain(|alias| {
            let key = (database.clone(), alias.clone());
            let Some(owner) = names.get(&key).copied() else {
                names.insert(key, id);
                return true;
            };
            let (database, alias) = key;
            settled.push(Settled::AliasRemoved { database, alias, collection: id, owner });
            false
        });
    }
    settled
}

/// Gives a definition another name.
pub(super) fn rename(collection: &mut Collection, name: &str) {
    let mut schema = CollectionSchema::clone(&collection.schema);
    schema.name = name.to_owned();
    collection.schema = schema.into();
    collection.name = name.to_owned();
}

#[cfg(test)]
mod tests;
