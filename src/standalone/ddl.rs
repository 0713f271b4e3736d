//! Definitions: databases, collections, aliases, partitions, properties, indexes, load state.
//!
//! One change at a time, durable before it is seen, and finished once it has begun ([`super::steps`]). Knows schemas only
//! as values: parsing and checking what a client sent is the edge's work. Index definitions and load states are kept to
//! be described; nothing is built or loaded.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use super::{
    CollectionName, Standalone, StandaloneError,
    directory::{Allowed, Meaning, NameChange, alias_not_found, not_found, rename},
};
use crate::{
    coordinator::{CollectionCell, Collections, Turn},
    meta::CatalogTxn,
    model::{
        Channel, Collection, CollectionId, CollectionSchema, Database, IndexDef, Partition, PartitionId, RequestError,
        collection::DEFAULT_PARTITION,
        name::{check_name, check_partition_name},
        properties,
    },
};

/// Physical channels that collections are spread over, as in stock Milvus.
const PHYSICAL_CHANNELS: i64 = 16;

/// A collection to be created; the schema is checked and its field ids are given.
#[derive(Debug, Clone)]
pub struct NewCollection {
    pub database: String,
    pub schema: CollectionSchema,
    pub shards: u32,
    pub consistency_level: i32,
    pub properties: BTreeMap<String, String>,
    /// Number of partitions, exactly when there is a partition key.
    pub partitions: Option<u32>,
}

impl Standalone {
    /// A turn at changing definitions.
    async fn ddl_turn(&self) -> Turn {
        Arc::clone(&self.definitions).lock_owned().await
    }

    pub async fn create_database(&self, name: &str) -> Result<(), StandaloneError> {
        check_name("database name", name, self.config.limits.max_name_length).map_err(RequestError::BadName)?;
        let ddl = self.ddl_turn().await;
        self.check_name(NameChange::CreateDatabase { name, most: self.config.limits.max_databases })?;
        let database = Database { name: name.to_owned(), created_at: self.timestamp().await? };
        let (names, stored) = (Arc::clone(&self.names), database.clone());
        let fold = move |_: &_| names.change(|names| names.put_database(database));
        Ok(self
            .coordinator
            .redefine(
                ddl,
                |txn| {
                    txn.put_database(&stored);
                },
                fold,
            )
            .await?)
    }

    /// Drops an empty database; a missing one is no error.
    pub async fn drop_database(&self, name: &str) -> Result<(), StandaloneError> {
        let ddl = self.ddl_turn().await;
        if self.check_name(NameChange::DropDatabase(name))? == Allowed::Already {
            return Ok(());
        }
        let (names, gone) = (Arc::clone(&self.names), name.to_owned());
        let fold = move |_: &_| names.change(|names| names.remove_database(&gone));
        Ok(self
            .coordinator
            .redefine(
                ddl,
                |txn| {
                    txn.delete_database(name);
                },
                fold,
            )
            .await?)
    }

    /// Creates a collection. Creating the same one again succeeds and changes nothing.
    pub async fn create_collection(&self, new: NewCollection) -> Result<(), StandaloneError> {
        let name = new.schema.name.clone();
        properties::check(&new.properties)?;
        let ddl = self.ddl_turn().await;
        let change = NameChange::CreateCollection(CollectionName::new(&new.database, &name));
        if let Allowed::Of(id) = self.check_name(change)? {
            let old = self.coordinator.collection(id)?.meta();
            let same = *old.schema == new.schema
                && old.channels.len() == new.shards as usize
                && old.properties == new.properties
                && old.consistency_level == new.consistency_level;
            return if same { Ok(()) } else { Err(RequestError::DuplicateCollection(name).into()) };
        }

        let created_at = self.timestamp().await?;
        let id = CollectionId(self.ids.next().await?);
        let prefix = &self.config.server.channel_prefix;
        let channels = (0..i64::from(new.shards))
            .map(|shard| {
                let physical = (id.0 + shard).rem_euclid(PHYSICAL_CHANNELS);
                Channel::new(format!("{prefix}-rootcoord-dml_{physical}_{id}v{shard}"))
            })
            .collect();
        let names: Vec<String> = match new.partitions {
            Some(count) => (0..count).map(|i| format!("{DEFAULT_PARTITION}_{i}")).collect(),
            None => vec![DEFAULT_PARTITION.to_owned()],
        };
        let first = self.ids.alloc(names.len() as u64).await?.start;
        let partitions =
            (first..).zip(names).map(|(id, name)| Partition { id: PartitionId(id), name, created_at }).collect();
        let collection = Collection {
            id,
            database: new.database,
            name,
            schema: Arc::new(new.schema),
            channels,
            partitions,
            aliases: Vec::new(),
            properties: new.properties,
            consistency_level: new.consistency_level,
            created_at,
            updated_at: created_at,
            indexes: Vec::new(),
            loaded: Vec::new(),
            dropped: false,
        };
        let (names, stored) = (Arc::clone(&self.names), collection.clone());
        let fold = move |collections: &Collections| {
            names.change(|names| {
                names.give(&collection);
                collections.add(Arc::new(CollectionCell::new(collection)));
            });
        };
        Ok(self
            .coordinator
            .redefine(
                ddl,
                |txn| {
                    txn.put_collection(&stored);
                },
                fold,
            )
            .await?)
    }

    /// Drops a collection and all its rows; a missing one is no error. Its files go with garbage collection.
    pub async fn drop_collection(self: &Arc<Self>, name: CollectionName<'_>) -> Result<(), StandaloneError> {
        let ddl = self.ddl_turn().await;
        let Allowed::Of(id) = self.check_name(NameChange::DropCollection(name))? else { return Ok(()) };
        let (this, cell) = (Arc::clone(self), self.coordinator.collection(id)?);
        self.coordinator.finish(async move { this.drop_now(cell, ddl).await }).await
    }

    /// The steps of dropping a collection, in order; the caller sees to it that they are finished.
    async fn drop_now(&self, cell: Arc<CollectionCell>, _ddl: Turn) -> Result<(), StandaloneError> {
        let id = cell.id;
        self.coordinator.cancel_plans(|plan| plan.group.collection == id, "the collection was dropped").await;
        let (names, meta) = (Arc::clone(&self.names), cell.meta());
        let write = |txn: &mut CatalogTxn, has_segments: bool| {
            if has_segments {
                // The record stays until garbage collection has removed the last file.
                txn.put_collection(&Collection { dropped: true, ..Collection::clone(&meta) });
            } else {
                txn.delete_collection(id);
            }
        };
        let gone = Arc::clone(&meta);
        let fold = move |collections: &Collections| {
            names.change(|names| {
                names.take(&gone);
                collections.leave_tombstone(id);
            });
        };
        self.coordinator.drop_segments(&cell, |_| true, write, fold).await?;
        Ok(self.ingest.forget_collection(id).await?)
    }

    /// Drops all rows of a collection and keeps its definition.
    pub async fn truncate_collection(self: &Arc<Self>, name: CollectionName<'_>) -> Result<(), StandaloneError> {
        let ddl = self.ddl_turn().await;
        let cell = self.resolve(name)?;
        let this = Arc::clone(self);
        self.coordinator.finish(async move { this.truncate_now(cell, ddl).await }).await
    }

    /// The steps of truncating, in order; the caller sees to it that they are finished.
    async fn truncate_now(&self, cell: Arc<CollectionCell>, _ddl: Turn) -> Result<(), StandaloneError> {
        let id = cell.id;
        self.coordinator.cancel_plans(|plan| plan.group.collection == id, "the collection was truncated").await;
        // A flush that has collected its rows would commit them after this, and bring them back.
        let _held = self.ingest.hold_flushes(id, &cell.meta().channels).await;
        self.coordinator.drop_segments(&cell, |_| true, |_, _| (), |_| ()).await?;
        // Last: as long as there are segments, the deletes that wait for them are needed.
        Ok(self.ingest.forget_collection(id).await?)
    }

    /// Applies a change to a collection's definition, durably. `held` are the turns that it is made in.
    async fn change<T: Send + 'static>(
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

    pub async fn alter_collection(
        &self,
        name: CollectionName<'_>,
        set: BTreeMap<String, String>,
        delete: &[String],
    ) -> Result<(), StandaloneError> {
        if set.is_empty() && delete.is_empty() {
            return Err(RequestError::NothingToAlter.into());
        }
        properties::check(&set)?;
        let ddl = self.ddl_turn().await;
        let cell = self.resolve(name)?;
        let at = self.timestamp().await?;
        // Properties decide over rows: no commit may go by what they were once this is acknowledged.
        let turn = cell.commit_turn().await;
        self.change((ddl, turn), &cell, |c| {
            c.properties.extend(set);
            for key in delete {
                c.properties.remove(key);
            }
            properties::check_count("properties", c.properties.len())?;
            c.updated_at = at;
            Ok(())
        })
        .await
    }

    /// Gives a collection another name, in its database or in another one. Its aliases stay in the database they are in,
    /// so a collection that has any can't leave it.
    pub async fn rename_collection(
        &self,
        from: CollectionName<'_>,
        to_database: &str,
        to: &str,
    ) -> Result<(), StandaloneError> {
        check_name("collection name", to, self.config.limits.max_name_length).map_err(RequestError::BadName)?;
        let ddl = self.ddl_turn().await;
        let to = CollectionName::new(if to_database.is_empty() { from.database } else { to_database }, to);
        let Allowed::Of(id) = self.check_name(NameChange::Rename { from, to })? else { return Ok(()) };
        let cell = self.coordinator.collection(id)?;
        let at = self.timestamp().await?;
        self.change(ddl, &cell, |c| {
            rename(c, to.name);
            c.database = to.database.to_owned();
            c.updated_at = at;
            Ok(())
        })
        .await
    }

    /// Gives a collection, which must be named by its own name, an alias. The same alias again is no error.
    pub async fn create_alias(&self, name: CollectionName<'_>, alias: &str) -> Result<(), StandaloneError> {
        check_name("alias name", alias, self.config.limits.max_name_length).map_err(RequestError::BadName)?;
        let ddl = self.ddl_turn().await;
        let change = NameChange::CreateAlias { alias, of: name };
        let Allowed::Of(id) = self.check_name(change)? else { return Ok(()) };
        let cell = self.coordinator.collection(id)?;
        self.change(ddl, &cell, |c| {
            c.aliases.push(alias.to_owned());
            Ok(())
        })
        .await
    }

    /// Points an existing alias to another collection.
    pub async fn alter_alias(&self, name: CollectionName<'_>, alias: &str) -> Result<(), StandaloneError> {
        let ddl = self.ddl_turn().await;
        let change = NameChange::AlterAlias { alias, to: name };
        let Allowed::Moves { from, to } = self.check_name(change)? else { return Ok(()) };
        let (owner, cell) = (self.coordinator.collection(from)?, self.coordinator.collection(to)?);
        // Both definitions in one transaction: at no moment does the alias point nowhere, or to both.
        let mut old = Collection::clone(&owner.meta());
        old.aliases.retain(|a| a != alias);
        let mut new = Collection::clone(&cell.meta());
        new.aliases.push(alias.to_owned());
        let (names, stored) = (Arc::clone(&self.names), [old.clone(), new.clone()]);
        let write = |txn: &mut CatalogTxn| {
            for collection in &stored {
                txn.put_collection(collection);
            }
        };
        let fold = move |_: &_| names.redefine([(&*owner, old), (&*cell, new)]);
        Ok(self.coordinator.redefine(ddl, write, fold).await?)
    }

    /// Drops an alias; a missing one is no error.
    pub async fn drop_alias(&self, database: &str, alias: &str) -> Result<(), StandaloneError> {
        let ddl = self.ddl_turn().await;
        let change = NameChange::DropAlias { database, alias };
        let Allowed::Of(id) = self.check_name(change)? else { return Ok(()) };
        let cell = self.coordinator.collection(id)?;
        self.change(ddl, &cell, |c| {
            c.aliases.retain(|a| a != alias);
            Ok(())
        })
        .await
    }

    pub fn describe_alias(&self, database: &str, alias: &str) -> Result<Arc<Collection>, StandaloneError> {
        match self.meaning(CollectionName { database, name: alias })? {
            Some(Meaning::Alias(id)) => Ok(self.coordinator.collection(id)?.meta()),
            Some(Meaning::Collection(_)) | None => Err(alias_not_found(database, alias).into()),
        }
    }

    /// Aliases of a collection, which must be named by its own name.
    pub fn list_aliases(&self, name: CollectionName<'_>) -> Result<Vec<String>, StandaloneError> {
        match self.meaning(name)? {
            Some(Meaning::Collection(id)) => Ok(self.coordinator.collection(id)?.meta().aliases.clone()),
            Some(Meaning::Alias(_)) | None => Err(not_found(name).into()),
        }
    }

    /// Creates a partition; an existing one is no error.
    pub async fn create_partition(&self, name: CollectionName<'_>, partition: &str) -> Result<(), StandaloneError> {
        check_partition_name("partition name", partition, self.config.limits.max_name_length)
            .map_err(RequestError::BadName)?;
        let ddl = self.ddl_turn().await;
        let cell = self.resolve(name)?;
        self.refuse_partition_key(&cell, "create")?;
        let meta = cell.meta();
        if meta.partition(partition).is_some() {
            return Ok(());
        }
        let limit = self.config.limits.max_partitions;
        if meta.partitions.len() >= limit {
            return Err(RequestError::TooManyPartitions {
                count: meta.partitions.len() + 1,
                limit,
                collection: meta.name.clone(),
            }
            .into());
        }
        let id = PartitionId(self.ids.next().await?);
        let created_at = self.timestamp().await?;
        let loaded = !meta.loaded.is_empty();
        self.change(ddl, &cell, |c| {
            c.partitions.push(Partition { id, name: partition.to_owned(), created_at });
            if loaded {
                c.loaded.push(id);
            }
            Ok(())
        })
        .await
    }

    /// Drops a partition and its rows; a missing one is no error.
    pub async fn drop_partition(
        self: &Arc<Self>,
        name: CollectionName<'_>,
        partition: &str,
    ) -> Result<(), StandaloneError> {
        let ddl = self.ddl_turn().await;
        let cell = self.resolve(name)?;
        self.refuse_partition_key(&cell, "drop")?;
        if partition == DEFAULT_PARTITION {
            return Err(RequestError::DefaultPartition.into());
        }
        let Some(id) = cell.meta().partition(partition).map(|p| p.id) else { return Ok(()) };
        let this = Arc::clone(self);
        self.coordinator.finish(async move { this.drop_partition_now(cell, id, ddl).await }).await
    }

    /// The steps of dropping a partition, in order; the caller sees to it that they are finished.
    async fn drop_partition_now(
        &self,
        cell: Arc<CollectionCell>,
        id: PartitionId,
        _ddl: Turn,
    ) -> Result<(), StandaloneError> {
        self.coordinator.cancel_plans(|plan| plan.group.partition == id, "the partition was dropped").await;
        let mut next = Collection::clone(&cell.meta());
        next.partitions.retain(|p| p.id != id);
        next.loaded.retain(|p| *p != id);
        let (names, changed, stored) = (Arc::clone(&self.names), Arc::clone(&cell), next.clone());
        let write = |txn: &mut CatalogTxn, _| {
            txn.put_collection(&stored);
        };
        let fold = move |_: &Collections| names.redefine([(&*changed, next)]);
        self.coordinator.drop_segments(&cell, |s| s.group.partition == id, write, fold).await?;
        Ok(self.ingest.forget_partition(cell.id, id).await?)
    }

    fn refuse_partition_key(&self, cell: &CollectionCell, verb: &'static str) -> Result<(), StandaloneError> {
        if cell.meta().schema.partition_key().is_some() {
            return Err(RequestError::PartitionKeyMode { verb, collection: cell.meta().name.clone() }.into());
        }
        Ok(())
    }

    /// Stores an index definition. The same definition again succeeds.
    pub async fn create_index(
        &self,
        name: CollectionName<'_>,
        field: &str,
        index: &str,
        params: Vec<(String, String)>,
    ) -> Result<(), StandaloneError> {
        properties::check_sizes("index params", params.iter().map(|(key, value)| (key, value)))?;
        let ddl = self.ddl_turn().await;
        let cell = self.resolve(name)?;
        let meta = cell.meta();
        let field = meta
            .schema
            .field(field)
            .filter(|f| !f.is_dynamic)
            .ok_or_else(|| RequestError::NoFieldToIndex(field.to_owned()))?;
        let index_name = if index.is_empty() { field.name.clone() } else { index.to_owned() };
        check_name("index name", &index_name, self.config.limits.max_name_length).map_err(RequestError::BadName)?;
        if let Some(old) = meta.indexes.iter().find(|i| i.name == index_name || i.field == field.id) {
            if old.name == index_name && old.field == field.id && old.params == params {
                return Ok(());
            }
            return Err(RequestError::FieldHasIndex { field: field.name.clone(), index: old.name.clone() }.into());
        }
        let id = self.ids.next().await?;
        let field = field.id;
        self.change(ddl, &cell, |c| {
            c.indexes.push(IndexDef { id, name: index_name, field, params });
            Ok(())
        })
        .await
    }

    /// Drops an index by name or by field; a missing one is no error.
    pub async fn drop_index(&self, name: CollectionName<'_>, field: &str, index: &str) -> Result<(), StandaloneError> {
        let ddl = self.ddl_turn().await;
        let cell = self.resolve(name)?;
        let meta = cell.meta();
        let field = meta.schema.field(field).map(|f| f.id);
        self.change(ddl, &cell, |c| {
            c.indexes.retain(|i| if index.is_empty() { Some(i.field) != field } else { i.name != index });
            Ok(())
        })
        .await
    }

    /// Marks partitions as loaded (all of them when none is named). Reads need no load here; clients ask for the
    /// state, and Milvus refuses to load what has no index.
    pub async fn load(&self, name: CollectionName<'_>, partitions: &[String]) -> Result<(), StandaloneError> {
        let ddl = self.ddl_turn().await;
        let cell = self.resolve(name)?;
        let meta = cell.meta();
        if let Some(field) = meta.schema.fields.iter().find(|f| f.data_type.is_vector())
            && !meta.indexes.iter().any(|i| i.field == field.id)
        {
            return Err(RequestError::NoIndexToLoad { field: field.name.clone(), collection: meta.name.clone() }.into());
        }
        let ids = partition_ids(&meta, partitions)?;
        self.change(ddl, &cell, |c| {
            for id in ids {
                if !c.loaded.contains(&id) {
                    c.loaded.push(id);
                }
            }
            Ok(())
        })
        .await
    }

    pub async fn release(&self, name: CollectionName<'_>, partitions: &[String]) -> Result<(), StandaloneError> {
        let ddl = self.ddl_turn().await;
        let cell = self.resolve(name)?;
        let ids = partition_ids(&cell.meta(), partitions)?;
        self.change(ddl, &cell, |c| {
            c.loaded.retain(|p| !ids.contains(p));
            Ok(())
        })
        .await
    }
}

/// Ids of the named partitions, each once; of all when none is named.
pub(crate) fn partition_ids(meta: &Collection, names: &[String]) -> Result<Vec<PartitionId>, StandaloneError> {
    if names.is_empty() {
        return Ok(meta.partitions.iter().map(|p| p.id).collect());
    }
    let mut wanted: HashSet<&str> = names.iter().map(String::as_str).collect();
    // One pass over the partitions, however many names there are.
    let found = meta.partitions.iter().filter(|p| wanted.remove(p.name.as_str())).map(|p| p.id).collect();
    match names.iter().find(|name| wanted.contains(name.as_str())) {
        None => Ok(found),
        Some(name) => Err(RequestError::PartitionNotFound(name.clone()).into()),
    }
}
