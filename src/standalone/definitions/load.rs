//! Load state, which is kept and described. Reads need no load.

use std::collections::HashSet;

use super::partition_ids;
use crate::{
    model::{RequestError, SegmentId},
    standalone::{CollectionName, Standalone, StandaloneError},
};

impl Standalone {
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
        let released = ids.clone();
        self.change(ddl, &cell, |c| {
            c.loaded.retain(|p| !ids.contains(p));
            Ok(())
        })
        .await?;
        let live = cell.live();
        let gone: HashSet<SegmentId> =
            live.iter().filter(|s| released.contains(&s.group.partition)).map(|s| s.id).collect();
        self.coordinator.vector_cache().forget(|id| gone.contains(&id));
        Ok(())
    }
}
