//! The policy of a request to spread the deletes of L0 segments over the segments with rows that they may hit.
//!
//! The commit chooses the targets, because no other commit can come in between there. A delete that is newer than a row in
//! memory has to wait: no segment has that row yet, so none could be given the delete.

use crate::{
    model::{PlanKind, PlanReason, Timestamp},
    planner::{Proposals, SkipReason, measure::Candidate},
};

/// Most bytes of delta logs in one plan. While they are spread, no other commit of the collection can run.
const PLAN_BYTES: u64 = 16 << 20;

/// `candidates` in any order, all of level L0. No row of the channel in memory is older than `growing_from`.
pub(in crate::planner) fn propose(
    candidates: &[Candidate<'_>],
    growing_from: Timestamp,
    max_inputs: usize,
    proposals: &mut Proposals,
) {
    let mut ready = Vec::new();
    for candidate in candidates {
        if candidate.segment.ts_to > growing_from {
            proposals.skip(candidate.segment, SkipReason::Growing { newest: candidate.segment.ts_to, growing_from });
        } else {
            ready.push(candidate);
        }
    }
    ready.sort_unstable_by_key(|c| c.segment.id);
    let mut rest = ready.as_slice();
    while !rest.is_empty() {
        let mut bytes = 0u64;
        let fitting = rest.iter().take(max_inputs).take_while(|c| {
            bytes = bytes.saturating_add(c.segment.delta_bytes);
            bytes <= PLAN_BYTES
        });
        let (members, others) = rest.split_at(fitting.count().max(1));
        let delta_rows = members.iter().map(|c| c.segment.delta_rows).sum();
        proposals.draft_as(PlanKind::L0Delete, PlanReason::SpreadDeletes { delta_rows }, members);
        rest = others;
    }
}
