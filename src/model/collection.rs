//! Databases, collections, partitions and index definitions, as the catalog of a standalone server stores them (JSON).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Channel, CollectionId, CollectionSchema, FieldId, PartitionId, SegmentId, Timestamp,
    properties::{self, AUTO_COMPACTION, TTL_SECONDS},
};

pub const DEFAULT_DATABASE: &str = "default";
pub const DEFAULT_PARTITION: &str = "_default";

/// A namespace for collections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Database {
    pub name: String,
    pub created_at: Timestamp,
}

impl Database {
    /// The number that newer clients are told. Milvus' default database has 1; another one is known by the time of its
    /// creation, which no other has.
    pub fn number(&self) -> i64 {
        if self.name == DEFAULT_DATABASE { 1 } else { self.created_at.0 as i64 }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Partition {
    pub id: PartitionId,
    pub name: String,
    pub created_at: Timestamp,
}

/// An index as it was defined.
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
    /// Number of the consistency level as the client gave it. It is stored and described only: every read is strong.
    pub consistency_level: i32,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub indexes: Vec<IndexDef>,
    /// Loaded partitions; empty: the collection is not loaded.
    pub loaded: Vec<PartitionId>,
    /// The collection as a whole is loaded, so a new partition is loaded with it. Means nothing while none is loaded.
    #[serde(default = "older_releases_load_new")]
    pub loads_new: bool,
    /// A user dropped it. The record stays until the files of its segments are gone.
    #[serde(default)]
    pub dropped: bool,
    /// Segments with smaller ids were truncated: they have no rows, also if their own records are still live. 0: none.
    #[serde(default, skip_serializing_if = "is_none")]
    pub truncated_before: SegmentId,
}

fn is_none(id: &SegmentId) -> bool {
    *id == SegmentId::default()
}

/// Releases that did not store it loaded a new partition beside any loaded one.
fn older_releases_load_new() -> bool {
    true
}

impl Collection {
    /// True if a user dropped the rows of this segment with all others of the collection.
    pub fn is_truncated(&self, segment: SegmentId) -> bool {
        segment < self.truncated_before
    }

    pub fn partition(&self, name: &str) -> Option<&Partition> {
        self.partitions.iter().find(|p| p.name == name)
    }

    /// Rows older than this have expired. None if the property is absent, not positive or no number; older releases stored
    /// text that is no number.
    pub fn ttl(&self) -> Option<Duration> {
        let seconds: u64 = self.properties.get(TTL_SECONDS)?.trim().parse().ok()?;
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }

    /// False only if the property switches it off.
    pub fn auto_compaction(&self) -> bool {
        self.properties.get(AUTO_COMPACTION).and_then(|text| properties::flag(text)).unwrap_or(true)
    }
}
