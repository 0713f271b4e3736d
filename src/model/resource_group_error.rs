//! Why a call about resource groups is refused, as values. `wire::status` has Milvus' words.

use super::CollectionId;
use crate::error::{Classify, ErrorKind};

/// The only resource group there is.
pub const RESOURCE_GROUP: &str = "__default_resource_group";

/// The side of a transfer that a group is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferSide {
    Source,
    Target,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResourceGroupError {
    #[error("there is no resource group {0}")]
    NotFound(String),
    /// The default group.
    #[error("there is a default resource group already")]
    Exists,
    #[error("nodes can't move: there is no {side:?} resource group {group}")]
    NoGroupOfNodes { side: TransferSide, group: String },
    #[error("replicas can't move: there is no {side:?} resource group {group}")]
    NoGroupOfReplicas { side: TransferSide, group: String },
    #[error("{0} nodes can't move, expected more than 0")]
    NodeCount(i32),
    #[error("{0} replicas can't move, expected more than 0")]
    ReplicaCount(i64),
    /// Source and target are one group, in which this collection is loaded.
    #[error("no node can move between groups that both have collection {0} loaded")]
    SameCollection(CollectionId),
    #[error("more nodes are asked for than there are, 1")]
    NodesNotEnough,
    /// `found` is the number of replicas of the collection in the source.
    #[error("there are {found} replicas of the collection, which are fewer than asked for")]
    ReplicasNotEnough { found: usize },
    /// Source and target are one group, in which the collection is loaded.
    #[error("the collection has a replica in the target already")]
    ReplicaInTarget,
    /// Of the default group.
    #[error("the default resource group has collection {0} loaded")]
    StillLoaded(CollectionId),
    #[error("the default resource group can't be dropped")]
    DropDefault,
}

impl Classify for ResourceGroupError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) | Self::NoGroupOfNodes { .. } | Self::NoGroupOfReplicas { .. } => ErrorKind::NotFound,
            Self::NodeCount(_) | Self::ReplicaCount(_) => ErrorKind::Invalid,
            Self::Exists => ErrorKind::Conflict,
            Self::SameCollection(_)
            | Self::NodesNotEnough
            | Self::ReplicasNotEnough { .. }
            | Self::ReplicaInTarget
            | Self::StillLoaded(_)
            | Self::DropDefault => ErrorKind::Precondition,
        }
    }
}
