//! Deletes, indexed by key to find out whether a row is dead.

use std::{collections::HashMap, sync::Arc};

use super::{QueryError, interrupt::Checkpoint};
use crate::{
    fault::{self, Planted},
    model::{Channel, Delete, PartitionId, PrimaryKey, Timestamp},
};

/// A delete in memory that is not attached to segments yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopedDelete {
    pub delete: Delete,
    /// None: every partition of the channel.
    pub partition: Option<PartitionId>,
    pub channel: Channel,
}

/// The newest delete of every key. Clients choose the keys, so the hash function is one whose collisions they can't provoke.
#[derive(Debug, Default)]
pub(super) struct DeleteIndex {
    ints: HashMap<i64, Timestamp>,
    texts: HashMap<Arc<str>, Timestamp>,
}

impl DeleteIndex {
    pub(super) fn of(deletes: Vec<Delete>, checkpoint: &Checkpoint) -> Result<Self, QueryError> {
        let mut index = Self::default();
        for Delete { key, ts } in deletes {
            checkpoint.spend(DELETE_UNITS)?;
            index.add(key, ts);
        }
        Ok(index)
    }

    fn add(&mut self, key: PrimaryKey, ts: Timestamp) {
        let newest = match key {
            PrimaryKey::Int(key) => self.ints.entry(key).or_default(),
            PrimaryKey::Str(key) => self.texts.entry(key).or_default(),
        };
        *newest = ts.max(*newest);
    }

    fn is_empty(&self) -> bool {
        self.ints.is_empty() && self.texts.is_empty()
    }
}

/// Work of indexing a delete, in the units of a checkpoint.
const DELETE_UNITS: usize = 64;

/// Pending deletes by channel and partition.
#[derive(Debug, Default)]
pub(super) struct PendingDeletes {
    scopes: HashMap<(Channel, Option<PartitionId>), Arc<DeleteIndex>>,
}

impl PendingDeletes {
    pub(super) fn of(deletes: Vec<ScopedDelete>, checkpoint: &Checkpoint) -> Result<Self, QueryError> {
        let mut scopes: HashMap<_, DeleteIndex> = HashMap::new();
        for ScopedDelete { delete, partition, channel } in deletes {
            checkpoint.spend(DELETE_UNITS)?;
            scopes.entry((channel, partition)).or_default().add(delete.key, delete.ts);
        }
        Ok(Self { scopes: scopes.into_iter().map(|(scope, index)| (scope, Arc::new(index))).collect() })
    }

    /// All deletes that can kill a row of this source: its own, and the pending ones of its channel and partition.
    pub(super) fn for_source(&self, own: DeleteIndex, channel: &Channel, partition: PartitionId) -> SourceDeletes {
        let scope = |partition| self.scopes.get(&(channel.clone(), partition)).cloned();
        let pending = scope(None).into_iter().chain(scope(Some(partition)));
        let indexes = pending.chain([Arc::new(own)]).filter(|index| !index.is_empty()).collect();
        SourceDeletes { indexes }
    }
}

/// The deletes that apply to one source's rows. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct SourceDeletes {
    indexes: Vec<Arc<DeleteIndex>>,
}

impl SourceDeletes {
    pub(super) fn is_empty(&self) -> bool {
        self.indexes.is_empty()
    }

    /// True if a delete of this key is newer than `ts`. A delete of the same time does not kill the row: an upsert is both.
    pub(super) fn kill_int(&self, key: i64, ts: Timestamp) -> bool {
        self.indexes.iter().any(|index| index.ints.get(&key).is_some_and(|delete| kills(*delete, ts)))
    }

    pub(super) fn kill_text(&self, key: &str, ts: Timestamp) -> bool {
        self.indexes.iter().any(|index| index.texts.get(key).is_some_and(|delete| kills(*delete, ts)))
    }
}

fn kills(delete: Timestamp, row: Timestamp) -> bool {
    delete > row || (fault::planted(Planted::EqualKillsInRead) && delete == row)
}
