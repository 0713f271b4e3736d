//! The deletes that count for a source: those that wait, and its own.
//!
//! Must never: let a delete kill a row that is not older.

use std::{collections::HashMap, sync::Arc};

use super::{QueryError, interrupt::Checkpoint};
use crate::{
    fault::{self, Planted},
    model::{Channel, Delete, PartitionId, Timestamp},
    storage::NewestDeletes,
};

/// A delete in memory that is not attached to segments yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopedDelete {
    pub delete: Delete,
    /// None: every partition of the channel.
    pub partition: Option<PartitionId>,
    pub channel: Channel,
}

/// Work of indexing a delete, in the units of a checkpoint.
const DELETE_UNITS: usize = 64;

/// The newest of these deletes, by key. Ends with the read.
pub(super) fn newest(deletes: Vec<Delete>, checkpoint: &Checkpoint) -> Result<NewestDeletes, QueryError> {
    let mut newest = NewestDeletes::default();
    for delete in deletes {
        checkpoint.spend(DELETE_UNITS)?;
        newest.add(delete);
    }
    Ok(newest)
}

/// Pending deletes by channel and partition.
#[derive(Debug, Default)]
pub(super) struct PendingDeletes {
    scopes: HashMap<(Channel, Option<PartitionId>), Arc<NewestDeletes>>,
}

impl PendingDeletes {
    pub(super) fn of(deletes: Vec<ScopedDelete>, checkpoint: &Checkpoint) -> Result<Self, QueryError> {
        let mut scopes: HashMap<_, NewestDeletes> = HashMap::new();
        for ScopedDelete { delete, partition, channel } in deletes {
            checkpoint.spend(DELETE_UNITS)?;
            scopes.entry((channel, partition)).or_default().add(delete);
        }
        Ok(Self { scopes: scopes.into_iter().map(|(scope, index)| (scope, Arc::new(index))).collect() })
    }

    /// All deletes that can kill a row of this source: its own, and the pending ones of its channel and partition.
    pub(super) fn for_source(
        &self,
        own: Vec<Arc<NewestDeletes>>,
        channel: &Channel,
        partition: PartitionId,
    ) -> SourceDeletes {
        let scope = |partition| self.scopes.get(&(channel.clone(), partition)).cloned();
        let pending = scope(None).into_iter().chain(scope(Some(partition)));
        let indexes = pending.chain(own).filter(|index| !index.is_empty()).collect();
        SourceDeletes { indexes }
    }
}

/// The deletes that apply to one source's rows. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct SourceDeletes {
    indexes: Vec<Arc<NewestDeletes>>,
}

impl SourceDeletes {
    pub(super) fn is_empty(&self) -> bool {
        self.indexes.is_empty()
    }

    /// True if a delete of this key is newer than `ts`. A delete of the same time does not kill the row: an upsert is both.
    pub(super) fn kill_int(&self, key: i64, ts: Timestamp) -> bool {
        self.indexes.iter().any(|index| index.of_int(key).is_some_and(|delete| kills(delete, ts)))
    }

    pub(super) fn kill_text(&self, key: &str, ts: Timestamp) -> bool {
        self.indexes.iter().any(|index| index.of_text(key).is_some_and(|delete| kills(delete, ts)))
    }
}

fn kills(delete: Timestamp, row: Timestamp) -> bool {
    delete > row || (fault::planted(Planted::EqualKillsInRead) && delete == row)
}
