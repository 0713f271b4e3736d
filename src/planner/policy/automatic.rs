//! The policy of the flush event and the global tick: rewrite segments that exceed a threshold, merge small segments if
//! there are too many of them or if they fill one.
//!
//! Must keep the bytes rewritten per byte flushed low. So a segment that is not small is never rewritten for the sake of
//! another one. The output of a merge of clean segments is full or small itself, where that is possible: an output in
//! between is not full and can't grow later.

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
    let limits = SizeLimits::of(config);
    let mut dead = Vec::new();
    let mut pool = Vec::new();
    for candidate in candidates {
        if candidate.rewrite.is_some() && candidate.is_dead() {
            dead.push(candidate);
        } else if candidate.rewrite.is_some() || candidate.small {
            pool.push(candidate);
        } else {
            proposals.skip(candidate.segment, healthy(candidate, config));
        }
    }
    rewrite::dead(&dead, limits.max_bytes, limits.max_inputs, |dead| reason(dead, &limits), proposals);

    let small = pool.iter().filter(|c| c.small).count();
    let small_bytes: u64 = pool.iter().filter(|c| c.small).map(|c| c.live_bytes).sum();
    let too_many = small > limits.max_small;
    if too_many || small_bytes >= limits.full_bytes || pool.iter().any(|c| c.rewrite.is_some()) {
        pool = take_full(pool, &limits, proposals);
        pool = take_surplus(pool, small, &limits, proposals);
    }

    let (rest, rewrites): (Vec<_>, Vec<_>) = pool.into_iter().partition(|c| c.rewrite.is_none());
    for candidate in rewrites {
        proposals.draft(reason(&[candidate], &limits), &[candidate]);
    }
    let left = Leftover { count: rest.len(), bytes: rest.iter().map(|c| c.live_bytes).sum(), alone };
    for candidate in rest {
        proposals.skip(candidate.segment, left.reason(candidate, &limits));
    }
}

struct SizeLimits {
    max_bytes: u64,
    /// An output of this size counts as full.
    full_bytes: u64,
    /// A segment below this is small.
    small_bytes: u64,
    max_small: usize,
    max_inputs: usize,
}

impl SizeLimits {
    fn of(config: &CompactionConfig) -> Self {
        Self {
            max_bytes: config.max_segment_bytes,
            full_bytes: share_of(config.max_segment_bytes, config.full_proportion),
            small_bytes: share_of(config.max_segment_bytes, config.small_proportion),
            max_small: config.max_small_segments as usize,
            max_inputs: (config.max_inputs as usize).max(1),
        }
    }
}

/// Drafts every merge that fills a segment. Returns the rest in its order.
fn take_full<'c, 's>(
    pool: Vec<&'c Candidate<'s>>,
    limits: &SizeLimits,
    proposals: &mut Proposals,
) -> Vec<&'c Candidate<'s>> {
    let sizes: Vec<u64> = pool.iter().map(|c| c.live_bytes).collect();
    let bins = packing::pack(&sizes, limits.max_bytes, limits.full_bytes, limits.max_inputs);
    let mut rest = take_bins(pool, bins, limits, proposals);
    // Bins that `pack` missed, because it looks at one item at a time. Each round removes at least two items.
    loop {
        let sizes: Vec<u64> = rest.iter().map(|c| c.live_bytes).collect();
        if sizes.iter().sum::<u64>() < limits.full_bytes {
            return rest;
        }
        let before = rest.len();
        let bin = packing::fullest(&sizes, limits.max_bytes, limits.max_inputs);
        rest = take_bins(rest, bin.into_iter().collect(), limits, proposals);
        if rest.len() == before {
            return rest;
        }
    }
}

fn take_bins<'c, 's>(
    pool: Vec<&'c Candidate<'s>>,
    bins: Vec<Bin>,
    limits: &SizeLimits,
    proposals: &mut Proposals,
) -> Vec<&'c Candidate<'s>> {
    let mut taken = vec![false; pool.len()];
    for bin in bins.into_iter().filter(|b| b.bytes >= limits.full_bytes && b.items.len() > 1) {
        let members = bin.members(&pool);
        proposals.draft(reason(&members, limits), &members);
        for item in bin.items {
            taken[item] = true;
        }
    }
    pool.into_iter().zip(taken).filter_map(|(c, taken)| (!taken).then_some(c)).collect()
}

/// Merges the smallest until no more small segments remain than allowed. Returns the rest.
fn take_surplus<'c, 's>(
    pool: Vec<&'c Candidate<'s>>,
    small: usize,
    limits: &SizeLimits,
    proposals: &mut Proposals,
) -> Vec<&'c Candidate<'s>> {
    // A segment that will be small after its rewrite counts as small.
    let (mut tier, mut rest): (Vec<_>, Vec<_>) = pool.into_iter().partition(|c| c.live_bytes < limits.small_bytes);
    let reason = PlanReason::SmallSegments { small: count(small.max(tier.len())), threshold: count(limits.max_small) };
    let mut remaining = tier.len();
    while remaining > limits.max_small {
        let sizes: Vec<u64> = tier.iter().map(|c| c.live_bytes).collect();
        let limit = limits.small_bytes.min(limits.max_bytes);
        let merged = packing::cheapest_prefix(&sizes, remaining - limits.max_small, limit, limits.max_inputs);
        if merged < 2 {
            break;
        }
        let members: Vec<_> = tier.drain(..merged).collect();
        proposals.draft(reason.clone(), &members);
        remaining -= merged - 1;
    }
    if remaining > limits.max_small {
        // No two of them stay small together, so the outputs are not small and are not merged again.
        let sizes: Vec<u64> = tier.iter().map(|c| c.live_bytes).collect();
        let mut bins = packing::best_fit(&sizes, limits.max_bytes, limits.max_inputs);
        bins.retain(|b| b.items.len() > 1);
        bins.sort_by_key(|b| std::cmp::Reverse(b.bytes));
        let mut taken = vec![false; tier.len()];
        for bin in bins {
            if remaining <= limits.max_small {
                break;
            }
            remaining -= bin.items.len() - 1;
            proposals.draft(reason.clone(), &bin.members(&tier));
            for item in bin.items {
                taken[item] = true;
            }
        }
        tier = tier.into_iter().zip(taken).filter_map(|(c, taken)| (!taken).then_some(c)).collect();
    }
    rest.extend(tier);
    rest
}

/// The reason for a draft: either the small members fill the output by themselves, or they are merged along with members
/// that have to be rewritten anyway. Then it is the reason of the largest of those.
fn reason(members: &[&Candidate<'_>], limits: &SizeLimits) -> PlanReason {
    let bytes = members.iter().filter(|c| c.small).map(|c| c.live_bytes).sum();
    let own = members
        .iter()
        .filter_map(|c| Some((c.segment.insert_bytes, c.segment.id, c.rewrite.as_ref()?)))
        .max_by_key(|(bytes, id, _)| (*bytes, *id));
    match own {
        Some((_, _, own)) if bytes < limits.full_bytes => own.clone(),
        _ => PlanReason::FullEnough { bytes, threshold_bytes: limits.full_bytes },
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The reason to skip a segment that is not small and exceeds no threshold.
fn healthy(candidate: &Candidate<'_>, config: &CompactionConfig) -> SkipReason {
    let (bytes, max_bytes) = (candidate.segment.insert_bytes, config.max_segment_bytes);
    rewrite::too_little(candidate, config).unwrap_or(SkipReason::AlreadyFull { bytes, max_bytes })
}

/// The small segments that no draft took.
struct Leftover {
    count: usize,
    bytes: u64,
    alone: bool,
}

impl Leftover {
    fn reason(&self, candidate: &Candidate<'_>, limits: &SizeLimits) -> SkipReason {
        if candidate.retained {
            SkipReason::Retained { delta_rows: candidate.segment.delta_rows }
        } else if self.alone {
            SkipReason::Alone
        } else if self.bytes >= limits.full_bytes || self.count > limits.max_small {
            SkipReason::NothingFits { bytes: candidate.live_bytes, max_bytes: limits.max_bytes }
        } else {
            SkipReason::TooFewSmall {
                small: count(self.count),
                needed: count(limits.max_small).saturating_add(1),
                bytes: self.bytes,
                needed_bytes: limits.full_bytes,
            }
        }
    }
}
