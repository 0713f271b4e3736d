//! A client asked to spread the deletes of L0 segments over the segments with rows that they may hit.
//!
//! Which segments these are is decided at commit, when no other commit is in between. Only the deletes are looked at
//! here: those that rows in memory are older than have to wait, because such a row is in no segment yet that could be
//! given its delete.

use crate::{
    model::{PlanKind, PlanReason, Timestamp},
    planner::{Proposals, SkipReason, measure::Candidate},
};

/// Bytes of delta logs that one plan takes: while they are spread, no other commit of the collection is made.
const PLAN_BYTES: u64 = 16 << 20;

/// `candidates` in any order, all of level L0. No row in memory of the channel is older than `growing_from`.
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
