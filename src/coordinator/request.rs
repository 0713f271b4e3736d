//! A client's request to compact a collection: one value, read from each wire form by [`CompactionOptions::parse`] and
//! checked against the collection by [`Coordinator::check_request`], for the real run and the dry run alike.
//!
//! Starts nothing and changes nothing.

use tracing::info;

use super::{CollectionCell, Coordinator, CoordinatorError};
use crate::{
    model::{Channel, Group, PartitionId, RequestError, Segment, SegmentId, Terms, Timestamp},
    planner::Policy,
};

/// Bytes of a megabyte, as Milvus counts them.
const MIB: u64 = 1 << 20;
/// The largest segment that a request gets, in MB: a merge holds a part of each row in memory. A request for larger ones
/// gets this size, as from Milvus.
const MAX_TARGET_MB: u64 = 16_384;
const MAX_PRIORITY: i32 = 100;

/// The part of a collection to compact, and the policy. The default is everything, by the standard policy.
#[derive(Debug, Clone, Default)]
pub struct CompactionRequest {
    /// None: every partition.
    pub partition: Option<PartitionId>,
    /// None: every channel.
    pub channel: Option<Channel>,
    /// Empty: every segment.
    pub segments: Vec<SegmentId>,
    pub policy: Policy,
    pub terms: Terms,
}

/// The members of a request as clients send them. Zero, empty and false mean "not given".
#[derive(Debug, Clone, Default)]
pub struct CompactionOptions {
    pub partition_id: i64,
    pub channel: String,
    pub segment_ids: Vec<i64>,
    pub timetravel: u64,
    pub is_clustering: bool,
    pub is_l0: bool,
    pub target_size_mb: i64,
    pub priority: i32,
    /// Milliseconds since 1970.
    pub deadline_ms: i64,
}

impl CompactionOptions {
    /// Reads the members, without a look at a collection.
    ///
    /// # Errors
    /// `Invalid` for a size or time below 0, a priority out of range, and two policies at once.
    pub fn parse(self) -> Result<CompactionRequest, CoordinatorError> {
        let policy = self.policy()?;
        if !(-MAX_PRIORITY..=MAX_PRIORITY).contains(&self.priority) {
            return Err(CoordinatorError::Invalid(format!("priority: {}, expected -100 to 100", self.priority)));
        }
        let deadline_ms = u64::try_from(self.deadline_ms).map_err(|_| {
            CoordinatorError::Invalid(format!(
                "deadline_ms: {}, expected milliseconds since 1970, or 0",
                self.deadline_ms
            ))
        })?;
        Ok(CompactionRequest {
            partition: (self.partition_id != 0).then_some(PartitionId(self.partition_id)),
            channel: (!self.channel.is_empty()).then(|| Channel::new(self.channel)),
            segments: self.segment_ids.into_iter().map(SegmentId).collect(),
            policy,
            terms: Terms {
                priority: self.priority,
                deadline_ms: (deadline_ms != 0).then_some(deadline_ms),
                timetravel: (self.timetravel != 0).then_some(Timestamp(self.timetravel)),
            },
        })
    }

    /// The policy that the options name: at most one of them. Clients send the largest number for "any size". A
    /// size above [`MAX_TARGET_MB`] is lowered to it; the reasons of the plans name the size that they use.
    fn policy(&self) -> Result<Policy, CoordinatorError> {
        let &Self { is_clustering, is_l0, target_size_mb, .. } = self;
        let size = match u64::try_from(target_size_mb) {
            Ok(0) => None,
            Ok(_) if target_size_mb == i64::MAX => None,
            Ok(mb) => {
                if mb > MAX_TARGET_MB {
                    info!(asked_mb = mb, target_mb = MAX_TARGET_MB, "target_size is brought down to what can be held");
                }
                Some(mb.min(MAX_TARGET_MB) * MIB)
            }
            Err(_) => {
                return Err(CoordinatorError::Invalid(format!(
                    "target_size is {target_size_mb} MB, expected 1 or more, or 0 for none"
                )));
            }
        };
        match (is_clustering, is_l0, size) {
            (false, false, None) => Ok(Policy::Standard),
            (false, false, Some(target_bytes)) => Ok(Policy::ForceMerge { target_bytes }),
            (true, false, None) => Ok(Policy::Clustering),
            (false, true, None) => Ok(Policy::L0Delete),
            _ => Err(CoordinatorError::Invalid(format!(
                "one kind of compaction at a time: is_clustering is {is_clustering}, is_l0 is {is_l0}, target_size is {target_size_mb} MB"
            ))),
        }
    }
}

impl CompactionRequest {
    pub(super) fn covers(&self, group: &Group) -> bool {
        self.partition.is_none_or(|p| p == group.partition) && self.channel.as_ref().is_none_or(|c| *c == group.channel)
    }
}

impl Coordinator {
    /// Refuses a request at once, with a reason, while compaction is switched off.
    pub fn check_compaction_enabled(&self) -> Result<(), CoordinatorError> {
        if self.core.config.compaction.enabled { Ok(()) } else { Err(RequestError::CompactionDisabled.into()) }
    }

    /// Checks a request against the switches, the collection and the clock.
    ///
    /// # Errors
    /// `CompactionDisabled`, `PartitionIdNotFound`, `NoClusteringKey`; `Invalid` for a channel or segment outside of the collection or the
    /// scope and for a deadline that has passed.
    pub(super) fn check_request(
        &self,
        cell: &CollectionCell,
        request: &CompactionRequest,
    ) -> Result<(), CoordinatorError> {
        self.check_compaction_enabled()?;
        let meta = cell.meta();
        if let Some(partition) = request.partition
            && !meta.partitions.iter().any(|p| p.id == partition)
        {
            return Err(RequestError::PartitionIdNotFound(partition).into());
        }
        if let Some(channel) = &request.channel
            && !meta.channels.contains(channel)
        {
            return Err(CoordinatorError::Invalid(format!(
                "channel {channel} is not one of collection {}: {}",
                meta.name,
                meta.channels.iter().map(Channel::as_str).collect::<Vec<_>>().join(", ")
            )));
        }
        for id in &request.segments {
            let Some(segment) = cell.segment(*id).filter(Segment::is_live) else {
                return Err(CoordinatorError::Invalid(format!(
                    "segment {id} is not a flushed segment of collection {}",
                    meta.name
                )));
            };
            if !request.covers(&segment.group) {
                let Group { partition, channel, .. } = &*segment.group;
                return Err(CoordinatorError::Invalid(format!(
                    "segment {id} is in partition {partition} and channel {channel}, outside of the scope asked for"
                )));
            }
        }
        if request.policy == Policy::Clustering && meta.schema.clustering_key().is_none() {
            return Err(RequestError::NoClusteringKey(meta.name.clone()).into());
        }
        let now_ms = self.core.clock.now_ms();
        if let Some(deadline_ms) = request.terms.deadline_ms.filter(|at| *at <= now_ms) {
            return Err(CoordinatorError::Invalid(format!(
                "deadline_ms: {deadline_ms}, expected later than now, {now_ms}"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn policy(is_clustering: bool, is_l0: bool, target_size_mb: i64) -> Result<Policy, CoordinatorError> {
        let options = CompactionOptions { is_clustering, is_l0, target_size_mb, ..CompactionOptions::default() };
        options.parse().map(|request| request.policy)
    }

    #[rstest]
    #[case(false, false, 0, Policy::Standard)]
    #[case::any_size(false, false, i64::MAX, Policy::Standard)]
    #[case(false, false, 1, Policy::ForceMerge { target_bytes: 1 << 20 })]
    #[case::largest(false, false, 16_384, Policy::ForceMerge { target_bytes: 1 << 34 })]
    #[case::above_the_largest(false, false, 16_385, Policy::ForceMerge { target_bytes: 1 << 34 })]
    #[case::largest_number_of_bytes(false, false, 8_796_093_022_207, Policy::ForceMerge { target_bytes: 1 << 34 })]
    #[case(true, false, 0, Policy::Clustering)]
    #[case(true, false, i64::MAX, Policy::Clustering)]
    #[case(false, true, 0, Policy::L0Delete)]
    fn options_name_a_policy(#[case] clustering: bool, #[case] l0: bool, #[case] size: i64, #[case] expected: Policy) {
        assert_eq!(policy(clustering, l0, size).unwrap(), expected);
    }

    #[rstest]
    #[case(false, false, -1, "target_size is -1 MB, expected 1 or more, or 0 for none")]
    #[case(true, true, 0, "one kind of compaction at a time: is_clustering is true, is_l0 is true")]
    #[case(true, false, 5, "target_size is 5 MB")]
    #[case(false, true, 5, "target_size is 5 MB")]
    fn wrong_options_are_named(#[case] clustering: bool, #[case] l0: bool, #[case] size: i64, #[case] text: &str) {
        let error = policy(clustering, l0, size).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }

    #[test]
    fn zero_and_empty_mean_not_given() {
        let request = CompactionOptions::default().parse().unwrap();
        assert_eq!((request.partition, request.channel, request.segments), (None, None, vec![]));
        assert_eq!((request.policy, request.terms), (Policy::Standard, Terms::default()));
    }
}
