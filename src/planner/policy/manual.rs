//! The policy of a client's plain request: merge all segments that fit together, rewrite all with deletes or expired rows.
//!
//! No threshold applies, but nothing is rewritten for nothing: a segment that has nothing to drop and fits beside no other is
//! left alone, and a large one is only merged if that saves more than it costs. One exception, once in the life of a
//! segment: if it is the only one of its group and comes from a flush, a request rewrites it. Clients of Milvus wait until
//! each of their segments is the source of a plan.

use super::rewrite;
use crate::{
    config::CompactionConfig,
    model::PlanReason,
    planner::{
        Proposals, SkipReason,
        estimate::share_of,
        measure::Candidate,
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
    rewrite::dead(&dead, max_bytes, max_inputs, rewrite::asked_for, proposals);

    let packing = cheapest(&pool, config);
    for candidate in packing.untouched {
        leave(candidate, alone, full_bytes, config, proposals);
    }
    let (pool, bins) = (packing.pool, packing.bins);
    for bin in bins {
        let members = bin.members(&pool);
        match members.as_slice() {
            [single] if !single.has_work() => leave(single, alone, full_bytes, config, proposals),
            [_] => proposals.draft(rewrite::asked_for(&members), &members),
            _ => proposals.draft(PlanReason::ManualMerge, &members),
        }
    }
}

/// One way to merge the candidates.
struct Packing<'c, 's> {
    untouched: Vec<&'c Candidate<'s>>,
    pool: Vec<&'c Candidate<'s>>,
    bins: Vec<Bin>,
}

/// Packs with and without the larger clean segments as hosts for the others, and takes the cheapest arrangement. The cost
/// is the bytes written plus one full segment for each segment that remains. A merge never writes more than that saves, so
/// segments that fit together are merged. But a large segment is not rewritten for small ones that fit elsewhere.
fn cheapest<'c, 's>(pool: &[&'c Candidate<'s>], config: &CompactionConfig) -> Packing<'c, 's> {
    let max_bytes = config.max_segment_bytes;
    let full_bytes = share_of(max_bytes, config.full_proportion);
    let small_bytes = share_of(max_bytes, config.small_proportion);
    let with_hosts_below = |largest_host: u64| {
        let (untouched, pool): (Vec<_>, Vec<_>) =
            pool.iter().copied().partition(|c| c.live_bytes >= largest_host && !c.has_work());
        let sizes: Vec<u64> = pool.iter().map(|c| c.live_bytes).collect();
        let bins = packing::pack(&sizes, max_bytes, full_bytes, (config.max_inputs as usize).max(1));
        let segments = untouched.len() + bins.len();
        let cost = rewritten_bytes(&bins, &pool).saturating_add(max_bytes.saturating_mul(segments as u64));
        ((cost, segments), Packing { untouched, pool, bins })
    };
    let (mut least, mut best) = with_hosts_below(u64::MAX);
    for largest_host in [full_bytes, small_bytes] {
        let (cost, packing) = with_hosts_below(largest_host);
        if cost < least {
            (least, best) = (cost, packing);
        }
    }
    best
}

/// Bytes that carrying out `bins` would write.
fn rewritten_bytes(bins: &[Bin], pool: &[&Candidate<'_>]) -> u64 {
    let is_rewritten = |b: &&Bin| b.items.len() > 1 || b.members(pool).iter().any(|c| c.has_work());
    bins.iter().filter(is_rewritten).map(|b| b.bytes).fold(0, u64::saturating_add)
}

/// A segment with nothing to drop that no other joins.
fn leave(
    candidate: &Candidate<'_>,
    alone: bool,
    full_bytes: u64,
    config: &CompactionConfig,
    proposals: &mut Proposals,
) {
    match left_alone(candidate, alone, full_bytes, config) {
        SkipReason::Alone => proposals.draft(PlanReason::ManualFirst, &[candidate]),
        reason => proposals.skip(candidate.segment, reason),
    }
}

fn left_alone(candidate: &Candidate<'_>, alone: bool, full_bytes: u64, config: &CompactionConfig) -> SkipReason {
    let (bytes, max_bytes) = (candidate.live_bytes, config.max_segment_bytes);
    if candidate.is_held_back() {
        SkipReason::Retained { delta_rows: candidate.segment.delta_rows }
    } else if alone && candidate.segment.compaction_from.is_empty() {
        SkipReason::Alone
    } else if alone {
        SkipReason::AloneCompacted
    } else if bytes >= full_bytes {
        SkipReason::AlreadyFull { bytes, max_bytes }
    } else {
        SkipReason::NothingFits { bytes, max_bytes }
    }
}
