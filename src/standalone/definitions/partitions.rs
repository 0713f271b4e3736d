//! Partitions.

use std::{collections::HashSet, sync::Arc};

use crate::{
    coordinator::{CollectionCell, Collections, Turn},
    meta::CatalogTxn,
    model::{
        Collection, Partition, PartitionId, RequestError,
        collection::DEFAULT_PARTITION,
        name::{NameKind, check_asked, check_length, check_name},
    },
    standalone::{CollectionName, Standalone, StandaloneError, loading::check_partition_drop},
};

impl Standalone {
    /// Creates a partition; an existing one is no error.
    pub async fn create_partition(&self, name: CollectionName<'_>, partition: &str) -> Result<(), StandaloneError> {
        let ddl = self.ddl_turn().await;
        let cell = self.resolve(name)?;
        self.refuse_partition_key(&cell, "create")?;
        check_name(NameKind::Partition, partition, self.config.limits.max_name_length)
            .map_err(RequestError::BadName)?;
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
        let loaded = !meta.loaded.is_empty() && meta.loads_new;
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
        self.check_partition(partition)?;
        if partition == DEFAULT_PARTITION {
            return Err(RequestError::DefaultPartition.into());
        }
        let Some(id) = cell.meta().partition(partition).map(|p| p.id) else { return Ok(()) };
        check_partition_drop(&cell.meta(), id)?;
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
        let (names, changed, stored) = (Arc::clone(&self.names), Arc::clone(&cell), next.clone());
        let write = |txn: &mut CatalogTxn, _| {
            txn.put_collection(&stored);
        };
        let fold = move |_: &Collections| names.redefine([(&*changed, next)]);
        let turn = cell.commit_turn().await;
        self.coordinator.drop_segments(turn, &cell, |s| s.group.partition == id, write, fold).await?;
        Ok(self.ingest.forget_partition(cell.id, id).await?)
    }

    /// Whether a partition that a request asks for may have such a name at all.
    pub(in crate::standalone) fn check_partition(&self, name: &str) -> Result<(), RequestError> {
        Ok(check_asked(NameKind::Partition, name, self.config.limits.max_name_length)?)
    }

    /// The same for the partitions of a query, of whose names Milvus checks the length alone.
    ///
    /// # Errors
    /// `BadName`.
    pub fn check_queried(&self, names: &[String]) -> Result<(), RequestError> {
        let most = self.config.limits.max_name_length;
        Ok(names.iter().try_for_each(|name| check_length(NameKind::Partition, name.trim(), most))?)
    }

    fn refuse_partition_key(&self, cell: &CollectionCell, verb: &'static str) -> Result<(), StandaloneError> {
        if cell.meta().schema.partition_key().is_some() {
            return Err(RequestError::PartitionKeyMode { verb, collection: cell.meta().name.clone() }.into());
        }
        Ok(())
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
