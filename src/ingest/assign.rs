//! Chooses the segment that rows go to: the open one of their group, until it is full or closed.
//!
//! Belongs to the log thread and runs ahead of the state by the records that are being written. Must never give a closed
//! segment again.

use std::{collections::HashMap, sync::Arc};

use super::IngestError;
use crate::{
    ids::IdAllocator,
    model::{CollectionId, Group, PartitionId, SegmentId},
};

struct OpenSegment {
    id: SegmentId,
    bytes: u64,
}

pub(super) struct Assigner {
    ids: Arc<IdAllocator>,
    open: HashMap<Arc<Group>, OpenSegment>,
    /// Bytes in memory at which a segment is full.
    full_bytes: u64,
}

/// The segment for rows.
pub(super) struct Assignment {
    pub(super) segment: SegmentId,
    /// The group as its segment holds it.
    pub(super) group: Arc<Group>,
    /// Bytes of the segment if these rows filled it up: it is to be sealed once they are applied.
    pub(super) filled: Option<u64>,
}

impl Assigner {
    pub(super) fn new(ids: Arc<IdAllocator>, full_bytes: u64) -> Self {
        Self { ids, open: HashMap::new(), full_bytes }
    }

    /// Goes on with a segment that replay found growing.
    pub(super) fn resume(&mut self, group: Arc<Group>, id: SegmentId, bytes: u64) {
        self.open.insert(group, OpenSegment { id, bytes });
    }

    pub(super) fn assign(&mut self, group: &Arc<Group>, bytes: u64) -> Result<Assignment, IngestError> {
        if !self.open.contains_key(group) {
            let id = SegmentId(self.ids.next_blocking()?);
            self.open.insert(group.clone(), OpenSegment { id, bytes: 0 });
        }
        let missing = || IngestError::Internal(format!("group {group} has no open segment"));
        let (group, open) = match (self.open.get_key_value(group).map(|(g, _)| g.clone()), self.open.get_mut(group)) {
            (Some(group), Some(open)) => (group, open),
            _ => return Err(missing()),
        };
        open.bytes += bytes;
        let (segment, bytes) = (open.id, open.bytes);
        let filled = (bytes >= self.full_bytes).then_some(bytes);
        if filled.is_some() {
            self.open.remove(&group);
        }
        Ok(Assignment { segment, group, filled })
    }

    /// The next rows of its group get a new segment.
    pub(super) fn close(&mut self, segment: SegmentId) {
        self.open.retain(|_, open| open.id != segment);
    }

    /// Closes every segment of a collection. Their ids, ascending.
    pub(super) fn close_collection(&mut self, collection: CollectionId) -> Vec<SegmentId> {
        self.close_where(|group| group.collection == collection)
    }

    pub(super) fn close_partition(&mut self, collection: CollectionId, partition: PartitionId) -> Vec<SegmentId> {
        self.close_where(|group| group.collection == collection && group.partition == partition)
    }

    fn close_where(&mut self, which: impl Fn(&Group) -> bool) -> Vec<SegmentId> {
        let mut closed = Vec::new();
        self.open.retain(|group, open| {
            let close = which(group);
            if close {
                closed.push(open.id);
            }
            !close
        });
        closed.sort_unstable();
        closed
    }
}
