//! Refusals of loads, and of calls that need a loaded collection, as values. `wire::status` has Milvus' words.

use super::{Channel, CollectionId, PartitionId, SegmentId};
use crate::error::{Classify, ErrorKind};

/// The object of a load or a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadUnit {
    Collection,
    Partitions,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// No field of the collection has an index.
    #[error("collection {0} has no index")]
    NoIndex(String),
    /// Other fields have one, the vector field has none.
    #[error("the vector field of collection {0} has no index")]
    NoVectorIndex(String),
    #[error("no partition is named to be loaded")]
    NothingToLoad,
    #[error("no partition is named to be released")]
    NothingToRelease,
    /// There is one node, so there can be one replica.
    #[error("{asked} replicas of {unit:?} need more nodes than there are, 1")]
    TooManyReplicas { unit: LoadUnit, asked: i32 },
    #[error("{unit:?} is loaded with 1 replica, not {asked}")]
    OtherReplicas { unit: LoadUnit, asked: i32 },
    /// There is one group, the default one.
    #[error("there is no resource group {group}")]
    NoResourceGroup { unit: LoadUnit, group: String },
    /// The same for a load of something loaded, in the default one.
    #[error("there is no resource group {group}, and {unit:?} is loaded in the default one")]
    OtherResourceGroup { unit: LoadUnit, group: String },
    #[error("the default resource group and others are asked for at once")]
    MixedResourceGroups(LoadUnit),
    /// The partition key decides which partition a row is in.
    #[error("collection has a partition key: its partitions are not loaded or released one by one")]
    KeyedPartitions { release: bool },

    #[error("collection {0} is not loaded")]
    CollectionNotLoaded(CollectionId),
    #[error("partition {0} is not loaded")]
    PartitionNotLoaded(PartitionId),
    /// A read of named partitions, of which one is not loaded.
    #[error("not all of the partitions {partitions:?} are loaded")]
    PartitionsNotReadable { channel: Option<Channel>, partitions: Vec<PartitionId> },
    /// A collection that is not loaded has none.
    #[error("collection {0} has no replica: it is not loaded")]
    NoReplica(CollectionId),
    /// Segments can't move before all of them are loaded.
    #[error("collection {0} is not loaded, so nothing of it can move")]
    NotFullyLoaded(CollectionId),
    #[error("node {node} has no replica of collection {collection}")]
    NoSourceNode { collection: CollectionId, node: i64 },
    #[error("node {0} is not in the replica")]
    NoTargetNode(i64),
    #[error("segment {0} is not on this node")]
    NoSegmentToMove(SegmentId),
    #[error("a loaded partition can't be dropped")]
    PartitionInUse,
    #[error("an index of a loaded collection can't be dropped")]
    IndexInUse,
}

impl Classify for LoadError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NothingToLoad | Self::NothingToRelease | Self::MixedResourceGroups(_) => ErrorKind::Invalid,
            Self::NoIndex(_)
            | Self::NoVectorIndex(_)
            | Self::NoResourceGroup { .. }
            | Self::NoReplica(_)
            | Self::NoSourceNode { .. }
            | Self::NoTargetNode(_)
            | Self::NoSegmentToMove(_) => ErrorKind::NotFound,
            Self::TooManyReplicas { .. }
            | Self::OtherReplicas { .. }
            | Self::OtherResourceGroup { .. }
            | Self::KeyedPartitions { .. }
            | Self::CollectionNotLoaded(_)
            | Self::PartitionNotLoaded(_)
            | Self::PartitionsNotReadable { .. }
            | Self::NotFullyLoaded(_)
            | Self::PartitionInUse
            | Self::IndexInUse => ErrorKind::Precondition,
        }
    }
}
