//! Deletes, indexed for "is this row dead?".

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::model::{Channel, Delete, PartitionId, PrimaryKey, Timestamp};

/// A delete that waits in memory and is not bound to segments yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopedDelete {
    pub delete: Delete,
    /// None: every partition of the channel.
    pub partition: Option<PartitionId>,
    pub channel: Channel,
}

/// The newest delete of every key.
#[derive(Debug, Default)]
pub(super) struct DeleteIndex {
    ints: FxHashMap<i64, Timestamp>,
    texts: FxHashMap<Arc<str>, Timestamp>,
}

impl DeleteIndex {
    pub(super) fn of(deletes: Vec<Delete>) -> Self {
        let mut index = Self::default();
        for Delete { key, ts } in deletes {
            index.add(key, ts);
        }
        index
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

/// Pending deletes by where they apply.
#[derive(Debug, Default)]
pub(super) struct PendingDeletes {
    scopes: FxHashMap<(Channel, Option<PartitionId>), Arc<DeleteIndex>>,
}

impl PendingDeletes {
    pub(super) fn of(deletes: Vec<ScopedDelete>) -> Self {
        let mut scopes: FxHashMap<_, DeleteIndex> = FxHashMap::default();
        for ScopedDelete { delete, partition, channel } in deletes {
            scopes.entry((channel, partition)).or_default().add(delete.key, delete.ts);
        }
        Self { scopes: scopes.into_iter().map(|(scope, index)| (scope, Arc::new(index))).collect() }
    }

    /// Everything that can kill a row of this source: its own deletes and the pending ones of its scope.
    pub(super) fn for_source(&self, own: Vec<Delete>, channel: &Channel, partition: PartitionId) -> SourceDeletes {
        let scope = |partition| self.scopes.get(&(channel.clone(), partition)).cloned();
        let pending = scope(None).into_iter().chain(scope(Some(partition)));
        let indexes = pending.chain([Arc::new(DeleteIndex::of(own))]).filter(|index| !index.is_empty()).collect();
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

    /// True if a row of this key and time is dead: a delete of the same time spares it, which is how an upsert
    /// survives itself.
    pub(super) fn kill_int(&self, key: i64, ts: Timestamp) -> bool {
        self.indexes.iter().any(|index| index.ints.get(&key).is_some_and(|delete| *delete > ts))
    }

    pub(super) fn kill_text(&self, key: &str, ts: Timestamp) -> bool {
        self.indexes.iter().any(|index| index.texts.get(key).is_some_and(|delete| *delete > ts))
    }
}
