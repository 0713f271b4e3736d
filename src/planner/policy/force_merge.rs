//! The policy of a request for segments of a given size: merge smaller segments, split larger ones.
//!
//! A segment of nearly that size with nothing to drop is left alone. One that is alone in its group is rewritten, unless
//! such a request wrote it: Milvus makes a plan for each segment, and its clients check that each of theirs was a source.
//! So a repeated request leads to no plan.
//!
//! A plan may have several outputs, and all but the last are full (`compactor::cut`). Therefore a plan can take segments of
//! any sizes, and it leaves at most one segment that is too small.

use super::rewrite;
use crate::{
    model::{PlanReason, Segment},
    planner::{Proposals, SkipReason, estimate::share_of, measure::Candidate, packing},
};

/// A segment below this share of the requested size is merged.
const FULL: f64 = 0.8;
/// Soft cap on the outputs of a plan, which bounds the work lost by a failure. One input alone may make more, as far as
/// the commit takes them.
const OUTPUTS: u64 = 16;

/// `candidates` ascending by live bytes and id. `lone`, if the group has no other live segment, tells whether such a
/// request wrote the candidate.
pub(in crate::planner) fn propose(
    candidates: &[Candidate<'_>],
    lone: Option<&dyn Fn(&Segment) -> bool>,
    target_bytes: u64,
    (max_inputs, max_outputs): (usize, u64),
    proposals: &mut Proposals,
) {
    let full_bytes = share_of(target_bytes, FULL);
    let force = PlanReason::ForceMerge { target_bytes };
    if let ([one], Some(sized)) = (candidates, lone)
        && one.live_bytes <= target_bytes
        && !one.has_work()
    {
        if one.is_held_back() {
            proposals.skip(one.segment, SkipReason::Retained { delta_rows: one.segment.delta_rows });
        } else if sized(one.segment) {
            proposals.skip(one.segment, SkipReason::AloneCompacted);
        } else {
            proposals.draft(force, &[one]);
        }
        return;
    }
    let (dead, pool): (Vec<&Candidate<'_>>, Vec<_>) = candidates.iter().partition(|c| c.is_dead());
    rewrite::dead(&dead, target_bytes, max_inputs, rewrite::asked_for, proposals);

    let (small, mut rest): (Vec<_>, Vec<_>) = pool.into_iter().partition(|c| c.live_bytes < full_bytes);
    rest.retain(|c| {
        let fits = c.live_bytes <= target_bytes;
        match (fits, c.has_work()) {
            (true, true) => proposals.draft(rewrite::asked_for(&[c]), &[c]),
            (true, false) => {
                let bytes = c.live_bytes;
                proposals.skip(c.segment, SkipReason::AlreadyFull { bytes, max_bytes: target_bytes });
            }
            (false, _) => {}
        }
        !fits
    });

    let sizes: Vec<u64> = small.iter().map(|c| c.live_bytes).collect();
    for bin in packing::pack(&sizes, target_bytes, full_bytes, max_inputs) {
        let members = bin.members(&small);
        if bin.bytes >= full_bytes {
            proposals.draft(force.clone(), &members);
        } else {
            rest.extend(members);
        }
    }
    rest.sort_unstable_by_key(|c| (c.live_bytes, c.segment.id));
    for members in chunks(&rest, target_bytes.saturating_mul(OUTPUTS.min(max_outputs)), max_inputs) {
        match members {
            [one] if one.live_bytes <= target_bytes && one.has_work() => {
                proposals.draft(rewrite::asked_for(members), members);
            }
            [one] if one.live_bytes <= target_bytes => {
                proposals.skip(one.segment, left_alone(one, target_bytes));
            }
            _ => proposals.draft(force.clone(), members),
        }
    }
}

/// Cuts a list into chunks of at most so many bytes and items. A chunk of one item may have more bytes.
fn chunks<'a, 'c, 's>(mut list: &'a [&'c Candidate<'s>], bytes: u64, items: usize) -> Vec<&'a [&'c Candidate<'s>]> {
    let mut chunks = Vec::new();
    while !list.is_empty() {
        let mut sum = 0u64;
        let fitting = list.iter().take(items).take_while(|c| {
            sum = sum.saturating_add(c.live_bytes);
            sum <= bytes
        });
        let (chunk, others) = list.split_at(fitting.count().max(1));
        chunks.push(chunk);
        list = others;
    }
    chunks
}

fn left_alone(candidate: &Candidate<'_>, target_bytes: u64) -> SkipReason {
    if candidate.is_held_back() {
        SkipReason::Retained { delta_rows: candidate.segment.delta_rows }
    } else {
        SkipReason::NothingFits { bytes: candidate.live_bytes, max_bytes: target_bytes }
    }
}
