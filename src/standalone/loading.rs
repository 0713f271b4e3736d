//! Load state: which loads are allowed, and which calls a collection allows by its load state. The only place that decides it.
//!
//! Rows are on this node whether or not they are loaded: a load only changes a client's rights, as in Milvus. It is
//! done at once and kept in the definition, so it outlives a restart. There is one node, and so one replica in one
//! resource group.
//!
//! Plain functions of definitions. Must never change one.

use crate::model::{Collection, LoadError, PartitionId, RESOURCE_GROUP, load_error::LoadUnit};

/// How a client wants something loaded.
#[derive(Debug, Clone, Copy)]
pub struct LoadRequest<'a> {
    /// None: the collection.
    pub partitions: Option<&'a [String]>,
    /// Below 1: one.
    pub replicas: i32,
    /// Empty: the default one.
    pub resource_groups: &'a [String],
    /// Only reads loaded rows again, which needs nothing here.
    pub refresh: bool,
}

impl LoadRequest<'_> {
    /// The collection, with one replica in the default group.
    pub const WHOLE: LoadRequest<'static> =
        LoadRequest { partitions: None, replicas: 1, resource_groups: &[], refresh: false };

    fn unit(&self) -> LoadUnit {
        match self.partitions {
            None => LoadUnit::Collection,
            Some(_) => LoadUnit::Partitions,
        }
    }
}

/// Whether a load may go on, in the order of Milvus' checks. Whether the partitions are there is for the caller to say.
pub(super) fn check_load(meta: &Collection, request: LoadRequest<'_>) -> Result<(), LoadError> {
    let unit = request.unit();
    if let Some(names) = request.partitions {
        refuse_keyed(meta, false)?;
        if names.is_empty() {
            return Err(LoadError::NothingToLoad);
        }
    }
    if request.refresh {
        return if meta.loaded.is_empty() { Err(LoadError::CollectionNotLoaded(meta.id)) } else { Ok(()) };
    }
    check_indexed(meta)?;
    if request.resource_groups.len() > 1 && request.resource_groups.iter().any(|group| group == RESOURCE_GROUP) {
        return Err(LoadError::MixedResourceGroups(unit));
    }
    let other_group = request.resource_groups.iter().find(|group| *group != RESOURCE_GROUP);
    let asked = request.replicas;
    match (meta.loaded.is_empty(), other_group) {
        (false, _) if asked > 1 => Err(LoadError::OtherReplicas { unit, asked }),
        (false, Some(group)) => Err(LoadError::OtherResourceGroup { unit, group: group.clone() }),
        (true, Some(group)) => Err(LoadError::NoResourceGroup { unit, group: group.clone() }),
        (true, None) if asked > 1 => Err(LoadError::TooManyReplicas { unit, asked }),
        (_, None) => Ok(()),
    }
}

/// A search would need an index on the vector field. A collection without such a field needs none.
fn check_indexed(meta: &Collection) -> Result<(), LoadError> {
    let Some(vector) = meta.schema.fields.iter().find(|field| field.data_type.is_vector()) else { return Ok(()) };
    if meta.indexes.is_empty() {
        return Err(LoadError::NoIndex(meta.name.clone()));
    }
    match meta.indexes.iter().any(|index| index.field == vector.id) {
        true => Ok(()),
        false => Err(LoadError::NoVectorIndex(meta.name.clone())),
    }
}

/// Whether the named partitions may be released.
pub(super) fn check_release(meta: &Collection, names: &[String]) -> Result<(), LoadError> {
    refuse_keyed(meta, true)?;
    if names.is_empty() { Err(LoadError::NothingToRelease) } else { Ok(()) }
}

fn refuse_keyed(meta: &Collection, release: bool) -> Result<(), LoadError> {
    match meta.schema.partition_key() {
        Some(_) => Err(LoadError::KeyedPartitions { release }),
        None => Ok(()),
    }
}

/// The partitions that a read may see: the loaded ones, or those that it names.
///
/// # Errors
/// `CollectionNotLoaded`, `PartitionsNotReadable`.
pub(crate) fn readable(meta: &Collection, named: Option<&[PartitionId]>) -> Result<Vec<PartitionId>, LoadError> {
    if meta.loaded.is_empty() {
        return Err(LoadError::CollectionNotLoaded(meta.id));
    }
    let Some(named) = named else { return Ok(meta.loaded.clone()) };
    if !named.iter().all(|id| meta.loaded.contains(id)) {
        let channel = meta.channels.first().cloned();
        return Err(LoadError::PartitionsNotReadable { channel, partitions: named.to_vec() });
    }
    Ok(named.to_vec())
}

/// Requires that partitions are loaded; without any, that something is.
///
/// # Errors
/// `CollectionNotLoaded`, `PartitionNotLoaded`.
pub(crate) fn check_loaded(meta: &Collection, partitions: &[PartitionId]) -> Result<(), LoadError> {
    if meta.loaded.is_empty() && partitions.is_empty() {
        return Err(LoadError::CollectionNotLoaded(meta.id));
    }
    match partitions.iter().find(|id| !meta.loaded.contains(id)) {
        Some(id) => Err(LoadError::PartitionNotLoaded(*id)),
        None => Ok(()),
    }
}

/// Whether a partition may be dropped.
pub(super) fn check_partition_drop(meta: &Collection, partition: PartitionId) -> Result<(), LoadError> {
    if meta.loaded.contains(&partition) { Err(LoadError::PartitionInUse) } else { Ok(()) }
}

/// Whether any index may be dropped.
pub(super) fn check_index_drop(meta: &Collection) -> Result<(), LoadError> {
    if meta.loaded.is_empty() { Ok(()) } else { Err(LoadError::IndexInUse) }
}

#[cfg(test)]
mod tests;
