//! A client asked to cluster: the rows of the group are divided by ranges of the clustering key.
//!
//! All segments of the request go into one plan, as far as the number of inputs allows, because ranges of different
//! plans overlap. If all of a plan's are clustered by this key already, only what has something to drop is rewritten, and
//! keeps its range; so clustering an unchanged set again leads to no plan.

use crate::{
    model::{FieldId, PlanKind, PlanReason, SegmentLevel},
    planner::{Proposals, SkipReason, measure::Candidate},
};

/// `candidates` in any order.
pub(in crate::planner) fn propose(
    candidates: &[Candidate<'_>],
    key: FieldId,
    max_inputs: usize,
    proposals: &mut Proposals,
) {
    let mut members: Vec<&Candidate<'_>> = candidates.iter().collect();
    members.sort_unstable_by_key(|c| c.segment.id);
    for members in members.chunks(max_inputs) {
        let unclustered = members.iter().filter(|c| !is_clustered(c, key)).count();
        if unclustered > 0 {
            let unclustered = u32::try_from(unclustered).unwrap_or(u32::MAX);
            proposals.draft_as(PlanKind::Clustering, PlanReason::Cluster { field: key, unclustered }, members);
            continue;
        }
        for candidate in members {
            if candidate.has_work() {
                proposals.draft(super::rewrite::asked_for(&[candidate]), &[candidate]);
            } else {
                proposals.skip(candidate.segment, SkipReason::Clustered { field: key });
            }
        }
    }
}

fn is_clustered(candidate: &Candidate<'_>, key: FieldId) -> bool {
    let segment = candidate.segment;
    segment.level == SegmentLevel::L2 && segment.cluster_range.as_ref().is_some_and(|range| range.field == key)
}
