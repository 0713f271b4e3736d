//! Primary keys, ranges of them, and deletes of one.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// A primary key: int64 or varchar. Varchar keys compare by their UTF-8 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PrimaryKey {
    Int(i64),
    Str(Arc<str>),
}

impl std::fmt::Display for PrimaryKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Int(v) => v.fmt(f),
            Self::Str(v) => write!(f, "{v:?}"),
        }
    }
}

/// Smallest and largest key of a segment, both included; both of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PkRange {
    pub min: PrimaryKey,
    pub max: PrimaryKey,
}

impl PkRange {
    pub fn of(key: PrimaryKey) -> Self {
        Self { min: key.clone(), max: key }
    }

    pub fn contains(&self, key: &PrimaryKey) -> bool {
        self.min <= *key && *key <= self.max
    }

    /// The smallest range that covers both.
    pub fn union(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

/// Kills every row with this key whose timestamp is strictly smaller. A row of the same timestamp stays: an upsert is a
/// delete and an insert of one timestamp.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Delete {
    pub key: PrimaryKey,
    pub ts: Timestamp,
}
