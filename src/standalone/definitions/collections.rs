//! Collections: creation, properties, names, truncation, and the drop of a collection with its rows.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    coordinator::{CollectionCell, Collections, Turn},
    meta::CatalogTxn,
    model::{
        Channel, Collection, CollectionId, CollectionSchema, Partition, PartitionId, RequestError, SegmentId,
        collection::DEFAULT_PARTITION,
        name::{NameKind, check_name},
        properties,
    },
    standalone::{
        CollectionName, Standalone, StandaloneError,
        directory::{Allowed, NameChange, rename},
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
    /// Creates a collection. Creating the same one again succeeds and changes nothing.
    pub async fn create_collection(&self, new: NewCollection) -> Result<(), StandaloneError> {
        let name = new.schema.name.clone();
        properties::check(&new.properties)?;
        let ddl = self.ddl_turn().await;
        let limits = &self.config.limits;
        let (most, most_here) = (limits.max_collections, limits.max_database_collections);
        let change = NameChange::CreateCollection { name: CollectionName::new(&new.database, &name), most, most_here };
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
            loads_new: false,
            dropped: false,
            truncated_before: SegmentId::default(),
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
        let turn = cell.commit_turn().await;
        self.coordinator.drop_segments(turn, &cell, |_| true, write, fold).await?;
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
        let before = {
            // Between the seal and the commit no row may come: it would be seen beside those that go, and stay.
            let _alone = cell.no_writes().await;
            self.ingest.seal_all(id).await?;
            let turn = cell.commit_turn().await;
            // In the turn: all segments of the collection are older, also the outputs of the last compaction.
            let before = SegmentId(self.ids.next().await?);
            let next = Collection { truncated_before: before, ..Collection::clone(&cell.meta()) };
            let (names, changed, stored) = (Arc::clone(&self.names), Arc::clone(&cell), next.clone());
            let write = |txn: &mut CatalogTxn, _| {
                txn.put_collection(&stored);
            };
            let fold = move |_: &Collections| names.redefine([(&*changed, next)]);
            self.coordinator.drop_segments(turn, &cell, |s| s.id < before, write, fold).await?;
            before
        };
        Ok(self.ingest.forget_segments(id, before).await?)
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
        // Properties decide over rows: once this is acknowledged, no commit may go by the old ones.
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
        check_name(NameKind::Collection, to, self.config.limits.max_name_length).map_err(RequestError::BadName)?;
        let ddl = self.ddl_turn().await;
        let to = CollectionName::new(if to_database.is_empty() { from.database } else { to_database }, to);
        let allowed = self.check_name(NameChange::Rename { from, to }).map_err(|error| match error {
            // Milvus tells an alias from a collection only in a database that is named.
            StandaloneError::Request(RequestError::RenameToAlias(name)) if to_database.is_empty() => {
                RequestError::RenameToCollection { database: to.database.to_owned(), name }.into()
            }
            other => other,
        })?;
        let Allowed::Of(id) = allowed else { return Ok(()) };
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
}
