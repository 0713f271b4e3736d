//! The input of the rules: the segments of a group, the request, the settings and the time.
//!
//! Values only; nothing here decides.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::CommitLimit;
use crate::{
    config::CompactionConfig,
    model::{FailureKind, FieldId, Group, Segment, SegmentId, SegmentLevel, Timestamp, Trigger},
};

/// The segments of one group. Dead segments and segments of other groups are ignored.
#[derive(Debug, Clone, Copy)]
pub struct GroupView<'a> {
    pub group: &'a Arc<Group>,
    /// In any order.
    pub segments: &'a [Segment],
}

/// Which segments may become inputs.
#[derive(Debug, Clone, Copy)]
pub enum SegmentScope<'a> {
    All,
    /// Only these; a client named them.
    Segments(&'a BTreeSet<SegmentId>),
}

impl SegmentScope<'_> {
    pub(super) fn contains(&self, id: SegmentId) -> bool {
        match self {
            Self::All => true,
            Self::Segments(ids) => ids.contains(&id),
        }
    }
}

/// The kind of compaction that a client requests. Automatic triggers only use the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// Merge segments that fit together, rewrite segments with deletes or expired rows.
    #[default]
    Standard,
    /// Merge and split towards this size of a segment's insert objects, in bytes.
    ForceMerge { target_bytes: u64 },
    /// Divide the rows by ranges of the clustering key.
    Clustering,
    /// Spread the deletes of L0 segments over the segments that they may hit.
    L0Delete,
}

impl Policy {
    /// True if it looks at segments of this level.
    pub(super) fn takes(self, level: SegmentLevel) -> bool {
        match self {
            Self::Standard | Self::Clustering => level != SegmentLevel::L0,
            Self::ForceMerge { .. } => level == SegmentLevel::L1,
            Self::L0Delete => level == SegmentLevel::L0,
        }
    }
}

/// Everything besides the segments that the rules look at.
#[derive(Clone, Copy)]
pub struct PlanContext<'a> {
    /// Milliseconds since 1970.
    pub now_ms: u64,
    pub trigger: Trigger,
    /// Of a manual trigger; the others are always [`Policy::Standard`].
    pub policy: Policy,
    /// The field that [`Policy::Clustering`] divides by. Without one the policy does nothing.
    pub clustering_key: Option<FieldId>,
    /// Lower bound of the timestamps of the channel's rows in memory; [`Timestamp::MAX`]: there are none.
    pub growing_from: Timestamp,
    pub config: &'a CompactionConfig,
    pub commit: CommitLimit,
    /// False if the collection's own property switches automatic compaction off.
    pub collection_auto: bool,
    /// The collection's time to live; none: rows never expire.
    pub ttl: Option<Duration>,
    /// True for inputs of unfinished plans.
    pub reserved: &'a dyn Fn(SegmentId) -> bool,
    /// How the last plan of a segment failed for good. Until the failure lapses only a client's request takes the segment:
    /// automatic triggers would repeat the failure for ever.
    pub failed: &'a dyn Fn(SegmentId) -> Option<LastFailure>,
    /// True if the vectors of a segment have their index, or need none.
    pub indexed: &'a dyn Fn(&Segment) -> bool,
    /// True if a plan of [`Policy::ForceMerge`] has written the segment, as far as plans are remembered.
    pub sized: &'a dyn Fn(&Segment) -> bool,
    pub scope: SegmentScope<'a>,
    /// Deletes newer than this stay; [`Timestamp::MAX`]: no retention window.
    pub retain_after: Timestamp,
}

/// How the last plan of a segment failed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastFailure {
    pub kind: FailureKind,
    /// Automatic triggers try again from this time on, milliseconds since 1970; none: only a request tries again.
    pub until_ms: Option<u64>,
}
