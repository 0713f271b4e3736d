//! Loads and releases, which are stored in the definition. `standalone::loading` has their rules.

use std::collections::HashSet;

use super::partition_ids;
use crate::{
    coordinator::CollectionCell,
    model::{PartitionId, SegmentId},
    standalone::{
        CollectionName, Standalone, StandaloneError,
        loading::{LoadRequest, check_load, check_release},
    },
};

impl Standalone {
    /// Loads a collection, or partitions of it; done when it returns. Loaded partitions stay loaded.
    pub async fn load(&self, name: CollectionName<'_>, request: LoadRequest<'_>) -> Result<(), StandaloneError> {
        let ddl = self.ddl_turn().await;
        let cell = self.resolve(name)?;
        let meta = cell.meta();
        check_load(&meta, request)?;
        let ids = partition_ids(&meta, request.partitions.unwrap_or_default())?;
        let is_whole = request.partitions.is_none();
        if request.refresh || (ids.iter().all(|id| meta.loaded.contains(id)) && (meta.loads_new || !is_whole)) {
            return Ok(());
        }
        self.change(ddl, &cell, |c| {
            c.loads_new = is_whole || (c.loads_new && !c.loaded.is_empty());
            for id in ids {
                if !c.loaded.contains(&id) {
                    c.loaded.push(id);
                }
            }
            Ok(())
        })
        .await
    }

    /// Releases a collection. One that is not loaded is no error.
    pub async fn release_collection(&self, name: CollectionName<'_>) -> Result<(), StandaloneError> {
        let ddl = self.ddl_turn().await;
        let cell = self.resolve(name)?;
        let released = cell.meta().loaded.clone();
        if released.is_empty() {
            return Ok(());
        }
        self.change(ddl, &cell, |c| {
            c.loaded.clear();
            Ok(())
        })
        .await?;
        self.forget_vectors(&cell, &released);
        Ok(())
    }

    /// Releases partitions. Those that are not loaded are no error; with the last one the collection is released.
    pub async fn release_partitions(
        &self,
        name: CollectionName<'_>,
        partitions: &[String],
    ) -> Result<(), StandaloneError> {
        let ddl = self.ddl_turn().await;
        let cell = self.resolve(name)?;
        let meta = cell.meta();
        check_release(&meta, partitions)?;
        let mut released = partition_ids(&meta, partitions)?;
        released.retain(|id| meta.loaded.contains(id));
        if released.is_empty() {
            return Ok(());
        }
        self.change(ddl, &cell, |c| {
            c.loaded.retain(|p| !released.contains(p));
            Ok(())
        })
        .await?;
        self.forget_vectors(&cell, &released);
        Ok(())
    }

    /// Nobody searches there any more.
    fn forget_vectors(&self, cell: &CollectionCell, partitions: &[PartitionId]) {
        let live = cell.live();
        let gone: HashSet<SegmentId> =
            live.iter().filter(|s| partitions.contains(&s.group.partition)).map(|s| s.id).collect();
        self.coordinator.segment_cache().forget(|id| gone.contains(&id));
    }
}
