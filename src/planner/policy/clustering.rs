//! The policy of a request to cluster: the rows of the group are divided by ranges of the clustering key.
//!
//! Unless all segments are clustered by this key already, all of them go into one plan, however many they are: the ranges
//! of two plans would overlap, and a plan of many small inputs needs no more memory than one of few. Otherwise segments
//! whose ranges overlap are clustered again, each set of neighbours in a plan of its own. (Ranges overlap after a request
//! for part of a group.) Of the others only segments with something to drop are rewritten; they keep their range. So
//! clustering an unchanged set again leads to no plan.

use super::rewrite;
use crate::{
    model::{ClusterRange, FieldId, PlanKind, PlanReason, SegmentLevel},
    planner::{Proposals, SkipReason, measure::Candidate},
};

/// `candidates` in any order.
pub(in crate::planner) fn propose(candidates: &[Candidate<'_>], key: FieldId, proposals: &mut Proposals) {
    let mut clustered: Vec<(&ClusterRange, &Candidate<'_>)> =
        candidates.iter().filter_map(|c| Some((range(c, key)?, c))).collect();
    let unclustered = candidates.len() - clustered.len();
    if unclustered > 0 {
        let unclustered = u32::try_from(unclustered).unwrap_or(u32::MAX);
        let members: Vec<&Candidate<'_>> = candidates.iter().collect();
        proposals.draft_as(PlanKind::Clustering, PlanReason::Cluster { field: key, unclustered }, &members);
        return;
    }
    clustered.sort_unstable_by_key(|(range, c)| (&range.min, &range.max, c.segment.id));
    for neighbours in overlapping(&clustered) {
        let members: Vec<&Candidate<'_>> = neighbours.iter().map(|(_, c)| *c).collect();
        if !share_one_value(neighbours) {
            proposals.draft_as(PlanKind::Clustering, PlanReason::ClusterAgain { field: key }, &members);
            continue;
        }
        for candidate in members {
            if candidate.has_work() {
                proposals.draft(rewrite::asked_for(&[candidate]), &[candidate]);
            } else {
                proposals.skip(candidate.segment, SkipReason::Clustered { field: key });
            }
        }
    }
}

/// The range of a segment that is clustered by this key.
fn range<'s>(candidate: &Candidate<'s>, key: FieldId) -> Option<&'s ClusterRange> {
    let segment = candidate.segment;
    let range = segment.cluster_range.as_deref().filter(|_| segment.level == SegmentLevel::L2)?;
    (range.field == key).then_some(range)
}

/// Splits a list that is sorted by range into sets of neighbours: no range of a set reaches into the next set.
fn overlapping<'a, 'c>(
    sorted: &'a [(&'c ClusterRange, &'c Candidate<'c>)],
) -> impl Iterator<Item = &'a [(&'c ClusterRange, &'c Candidate<'c>)]> {
    let mut reach = sorted.first().map(|(range, _)| &range.max);
    sorted.chunk_by(move |_, (next, _)| {
        let overlap = reach.is_some_and(|reach| next.min <= *reach);
        reach = reach.max(Some(&next.max));
        overlap
    })
}

/// True if the neighbours can't be divided further: there is one segment, or all rows have one value of the key.
fn share_one_value(neighbours: &[(&ClusterRange, &Candidate<'_>)]) -> bool {
    let first = neighbours.first().map(|(range, _)| &range.min);
    neighbours.len() == 1 || neighbours.iter().all(|(range, _)| Some(&range.min) == first && Some(&range.max) == first)
}
