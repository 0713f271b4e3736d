//! A client asked: merge whatever can be merged, rewrite whatever has deletes or expired rows.
//!
//! No threshold applies, but nothing is rewritten in vain: a segment that stays alone and has nothing to drop is left
//! as it is, and a nearly full one is only touched when that is worth its bytes.

use crate::{
    config::CompactionConfig,
    model::PlanReason,
    planner::{
        Proposals, SkipReason,
        measure::{Candidate, share_of},
        packing::{self, Bin},
    },
};

/// `candidates` ascending by live bytes and id; `alone`: the group has no other live segment.
pub(in crate::planner) fn propose(
    candidates: &[Candidate<'_>],
    alone: bool,
    config: &CompactionConfig,
    proposals: &mut Proposals,
) {
    let max_bytes = config.max_segment_bytes;
    let full_bytes = share_of(max_bytes, config.full_proportion);
    let max_inputs = (config.max_inputs as usize).max(1);
    let (dead, pool): (Vec<&Candidate<'_>>, Vec<_>) = candidates.iter().partition(|c| c.is_dead());
    super::draft_dead(&dead, max_bytes, max_inputs, rewrite_reason, proposals);

    let pack = |pool: &[&Candidate<'_>]| {
        let sizes: Vec<u64> = pool.iter().map(|c| c.live_bytes).collect();
        packing::pack(&sizes, max_bytes, full_bytes, max_inputs)
    };
    let everything = pack(&pool);
    let (good, rest): (Vec<_>, Vec<_>) =
        pool.iter().copied().partition(|c| c.live_bytes >= full_bytes && !c.has_work());
    let without_good = pack(&rest);
    // Adding crumbs to nearly full segments is worth one full segment of rewriting for each segment that it saves.
    let saved = (without_good.len() + good.len()).saturating_sub(everything.len()) as u64;
    let price = rewritten_bytes(&everything, &pool).saturating_sub(rewritten_bytes(&without_good, &rest));
    let (pool, bins) = if saved > 0 && price <= saved.saturating_mul(max_bytes) {
        (pool, everything)
    } else {
        for candidate in good {
            proposals.skip(candidate.segment, left_alone(candidate, alone, full_bytes, config));
        }
        (rest, without_good)
    };
    for bin in bins {
        let members = bin.members(&pool);
        match members.as_slice() {
            [single] if !single.has_work() => {
                proposals.skip(single.segment, left_alone(single, alone, full_bytes, config));
            }
            [_] => proposals.draft(rewrite_reason(&members), &members),
            _ => proposals.draft(PlanReason::ManualMerge, &members),
        }
    }
}

/// Bytes that carrying out `bins` would write.
fn rewritten_bytes(bins: &[Bin], pool: &[&Candidate<'_>]) -> u64 {
    let is_rewritten = |b: &&Bin| b.items.len() > 1 || b.members(pool).iter().any(|c| c.has_work());
    bins.iter().filter(is_rewritten).map(|b| b.bytes).fold(0, u64::saturating_add)
}

fn rewrite_reason(members: &[&Candidate<'_>]) -> PlanReason {
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

fn left_alone(candidate: &Candidate<'_>, alone: bool, full_bytes: u64, config: &CompactionConfig) -> SkipReason {
    let (bytes, max_bytes) = (candidate.live_bytes, config.max_segment_bytes);
    if candidate.is_held_back() {
        SkipReason::Retained { delta_rows: candidate.segment.delta_rows }
    } else if alone {
        SkipReason::Alone
    } else if bytes >= full_bytes {
        SkipReason::AlreadyFull { bytes, max_bytes }
    } else {
        SkipReason::NothingFits { bytes, max_bytes }
    }
}
