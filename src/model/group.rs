//! Channels (shards) and groups.

use std::sync::Arc;

use super::{CollectionId, LogIds, PartitionId, SegmentId};

/// Name of a virtual channel, e.g. `by-dev-rootcoord-dml_4_4705…v0`: `<physical>_<collection>v<shard>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Channel(pub Arc<str>);

impl Channel {
    pub fn new(name: impl AsRef<str>) -> Self {
        Self(name.as_ref().into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The physical channel: the part before the last underscore.
    pub fn physical(&self) -> &str {
        self.0.rsplit_once('_').map_or(&self.0, |(physical, _)| physical)
    }
}

impl std::fmt::Display for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// One partition in one channel of a collection. Every segment belongs to one group, and no plan crosses it, except that
/// deletes of L0 segments may be for all partitions of the channel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Group {
    pub collection: CollectionId,
    pub partition: PartitionId,
    pub channel: Channel,
}

impl Group {
    /// The ids in the logs of one of its segments.
    pub fn log_ids(&self, segment: SegmentId) -> LogIds {
        LogIds { collection: self.collection, partition: self.partition, segment }
    }
}

impl std::fmt::Display for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.collection, self.partition, self.channel)
    }
}
