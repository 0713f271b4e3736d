//! Collections, partitions, index definitions: what the catalogue of standalone mode keeps.
//!
//! Stored as JSON: a field added later needs a `#[serde(default)]`, and none is ever renamed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Channel, CollectionId, CollectionSchema, FieldId, PartitionId, Timestamp, properties};

/// Property that gives rows a time to live, in seconds.
pub const TTL_SECONDS: &str = "collection.ttl.seconds";
/// Property that switches automatic compaction off for one collection.
pub const AUTO_COMPACTION: &str = "collection.autocompaction.enabled";

pub const DEFAULT_DATABASE: &str = "default";
pub const DEFAULT_PARTITION: &str = "_default";

/// A name space for collections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Database {
    pub name: String,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Partition {
    pub id: PartitionId,
    pub name: String,
    pub created_at: Timestamp,
}

/// An index as it was defined. datacoord stores and describes it; it builds none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndexDef {
    pub id: i64,
    pub name: String,
    pub field: FieldId,
    /// Pairs as the client sent them, in order.
    pub params: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Collection {
    pub id: CollectionId,
    pub database: String,
    pub name: String,
    pub schema: Arc<CollectionSchema>,
    /// One virtual channel per shard.
    pub channels: Vec<Channel>,
    /// `_default` first (or the numbered ones of a partition key), in order of creation.
    pub partitions: Vec<Partition>,
    pub aliases: Vec<String>,
    pub properties: BTreeMap<String, String>,
    /// Number of the consistency level as the client gave it; stored and described, every read is strong.
    pub consistency_level: i32,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub indexes: Vec<IndexDef>,
    /// Partitions that are loaded; reads need no load here, but clients ask for the state.
    pub loaded: Vec<PartitionId>,
    /// Dropped by its user; the record stays until the files of its segments are gone.
    #[serde(default)]
    pub dropped: bool,
}

impl Collection {
    pub fn partition(&self, name: &str) -> Option<&Partition> {
        self.partitions.iter().find(|p| p.name == name)
    }

    /// Rows older than this have expired. None when unset or not positive, and for what is no number: older releases
    /// stored that.
    pub fn ttl(&self) -> Option<Duration> {
        let seconds: u64 = self.properties.get(TTL_SECONDS)?.trim().parse().ok()?;
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }

    /// False only when the property says so.
    pub fn auto_compaction(&self) -> bool {
        self.properties.get(AUTO_COMPACTION).and_then(|text| properties::flag(text)).unwrap_or(true)
    }
}
