//! Rewrites that drop deleted and expired rows: the only policy for clustered segments.
//!
//! Must never merge clustered segments with others: they would lose their range of keys.

use crate::{
    config::CompactionConfig,
    model::PlanReason,
    planner::{Proposals, ShareLimit, SkipReason, measure::Candidate, packing},
};

/// The reason for a rewrite that a client asked for. No threshold applies.
pub(in crate::planner) fn asked_for(members: &[&Candidate<'_>]) -> PlanReason {
    let delta_rows = members.iter().map(|c| c.delta_rows).sum();
    if delta_rows > 0 {
        return PlanReason::ManualRewrite { delta_rows };
    }
    PlanReason::Expired {
        expired_rows: members.iter().map(|c| c.expired_rows).sum(),
        rows: members.iter().map(|c| c.segment.rows).sum(),
        threshold_ratio: 0.0,
    }
}

/// Rewrites each segment by itself: if it exceeds a threshold, or if a client asked and it has something to drop.
pub(in crate::planner) fn each(
    clustered: &[Candidate<'_>],
    asked: bool,
    config: &CompactionConfig,
    proposals: &mut Proposals,
) {
    for candidate in clustered {
        let reason =
            if asked { candidate.has_work().then(|| asked_for(&[candidate])) } else { candidate.rewrite.clone() };
        match reason {
            Some(reason) => proposals.draft(reason, &[candidate]),
            None => {
                let few = too_little(candidate, config);
                proposals.skip(candidate.segment, few.unwrap_or(SkipReason::Level { level: candidate.segment.level }));
            }
        }
    }
}

/// The deletes or expired rows that are too few for a rewrite; none if there are none at all.
pub(in crate::planner) fn too_little(candidate: &Candidate<'_>, config: &CompactionConfig) -> Option<SkipReason> {
    let rows = candidate.segment.rows;
    if candidate.retained || candidate.is_held_back() {
        Some(SkipReason::Retained { delta_rows: candidate.segment.delta_rows })
    } else if candidate.delta_rows > 0 {
        let limit = ShareLimit::of_deletes(config);
        Some(SkipReason::FewDeletes { delta_rows: candidate.delta_rows, rows, limit })
    } else if candidate.expired_rows > 0 {
        let limit = ShareLimit::of_expired(config);
        Some(SkipReason::FewExpired { expired_rows: candidate.expired_rows, rows, limit })
    } else {
        None
    }
}

/// Drafts for segments of which probably no row survives.
///
/// They are merged with each other only. By estimate they have no bytes and fit beside anything, so packing would put one
/// next to a nearly full healthy segment, which would be rewritten for nothing. Their present size bounds each plan.
pub(in crate::planner) fn dead(
    segments: &[&Candidate<'_>],
    max_bytes: u64,
    max_inputs: usize,
    reason: impl Fn(&[&Candidate<'_>]) -> PlanReason,
    proposals: &mut Proposals,
) {
    let sizes: Vec<u64> = segments.iter().map(|c| c.segment.insert_bytes).collect();
    for bin in packing::best_fit(&sizes, max_bytes, max_inputs) {
        let members = bin.members(segments);
        proposals.draft(reason(&members), &members);
    }
}
