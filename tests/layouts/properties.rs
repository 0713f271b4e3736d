//! The invariants of the planner, by number, for groups of every shape.

use std::{collections::BTreeSet, time::Duration};

use datacoord::{
    config::CompactionConfig,
    model::{PlanKind, PlanReason, Segment, SegmentId, SegmentLevel, Timestamp, Trigger},
    planner::{PlanDraft, Policy, SkipReason},
};
use proptest::prelude::*;

use crate::group::{MB, Simulated, keys};

/// A segment to be: kilobytes, percent deleted, age of the first delete and of the first row in seconds.
type Drawn = (u64, u64, u64, u64);

#[derive(Debug, Clone)]
struct Case {
    drawn: Vec<Drawn>,
    config: CompactionConfig,
    ttl_seconds: Option<u64>,
    window_seconds: Option<u64>,
    reserved: Vec<bool>,
    trigger: Trigger,
    policy: Policy,
    /// Of the segments: of level L0 (0), clustered (1), or neither. A quarter is, or none, or all.
    levels: Vec<u8>,
    order: Vec<u32>,
}

fn policies() -> impl Strategy<Value = Policy> {
    prop_oneof![
        3 => Just(Policy::Standard),
        3 => (5u64..300).prop_map(|mb| Policy::ForceMerge { target_bytes: mb * MB }),
        2 => Just(Policy::Clustering),
        1 => Just(Policy::L0Delete),
    ]
}

fn cases() -> impl Strategy<Value = Case> {
    let kilobytes = prop_oneof![
        4 => 0u64..2_000,
        4 => 2_000u64..60_000,
        2 => 60_000u64..140_000,
    ];
    let percent = prop_oneof![3 => Just(0u64), 3 => 1u64..40, 1 => 40u64..130];
    let segment = (kilobytes, percent, 0u64..1000, 0u64..1000);
    let limits = (2u32..14, prop_oneof![Just(1000u32), 1u32..9], prop::sample::select(vec![0.3, 0.5, 0.9]));
    (
        prop::collection::vec(segment, 0..50),
        limits,
        prop::option::of(0u64..1200),
        prop::option::of(0u64..1200),
        prop::collection::vec(prop::bool::weighted(0.1), 50),
        (prop::sample::select(vec![Trigger::Manual, Trigger::Flush, Trigger::Tick]), policies()),
        prop_oneof![2 => Just(vec![9]), 2 => prop::collection::vec(0u8..8, 50), 1 => prop::collection::vec(0u8..2, 50)],
        prop::collection::vec(any::<u32>(), 50),
    )
        .prop_map(|(drawn, limits, ttl_seconds, window_seconds, reserved, (trigger, policy), levels, order)| {
            let (small, inputs, proportion) = limits;
            Case {
                drawn,
                // A tenth of the real sizes and lower counts, so that every rule comes into play with few segments.
                config: CompactionConfig {
                    max_segment_bytes: 100 * MB,
                    delta_bytes: MB / 2,
                    delta_logs: 2,
                    max_small_segments: small,
                    max_inputs: inputs,
                    small_proportion: proportion,
                    ..CompactionConfig::default()
                },
                ttl_seconds,
                window_seconds,
                reserved,
                trigger,
                policy,
                levels,
                order,
            }
        })
}

impl Case {
    fn group(&self) -> Simulated {
        let mut group = Simulated::with(self.config.clone());
        group.policy = self.policy;
        group.ttl = self.ttl_seconds.map(Duration::from_secs);
        if let Some(window) = self.window_seconds {
            group.retain_after = Timestamp::from_ms(group.now_ms - window * 1000);
        }
        let drawn = self.drawn.iter().zip(&self.reserved).zip(self.levels.iter().cycle());
        for (((kilobytes, percent, deleted, written), reserved), level) in drawn {
            let id = group.flush_over(kilobytes * 1024, Duration::from_secs(*written));
            group.delete(id, *percent, Duration::from_secs(*deleted));
            if *reserved {
                group.reserved.insert(id);
            }
            match level {
                0 => group.make_l0(id),
                1 => group.make_clustered(id),
                _ => {}
            }
        }
        group
    }
}

/// True if a rewrite of it changes something.
fn has_work(segment: &Segment, group: &Simulated) -> bool {
    segment.level == SegmentLevel::L0
        || segment.delta_rows > 0 && segment.delta_ts_from <= group.retain_after
        || group.ttl.is_some_and(|ttl| segment.rows > 0 && segment.ts_from.is_expired(ttl, group.now_ms))
}

/// True if a key may be in several of these segments, except one that fills each of them.
fn overlap(segments: Vec<&Segment>) -> bool {
    let mut ranges: Vec<(i64, i64)> = segments.into_iter().map(keys).collect();
    ranges.sort_unstable();
    let apart = |pair: &[(i64, i64)]| pair[0].1 < pair[1].0 || (pair[0] == pair[1] && pair[0].0 == pair[0].1);
    !ranges.windows(2).all(apart)
}

fn ids(draft: &PlanDraft) -> Vec<SegmentId> {
    draft.inputs.iter().map(|i| i.segment).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn every_round_keeps_the_invariants(case in cases()) {
        let mut group = case.group();
        let segments = group.segments.len();
        for round in 0.. {
            // 5: each round has fewer segments or fewer with something to drop.
            prop_assert!(round <= 2 * segments + 1, "no end of planning:\n{}", group.layout());
            let proposals = group.propose(case.trigger);

            // 1: each live segment once.
            let mut seen: Vec<SegmentId> = proposals.drafts.iter().flat_map(ids).collect();
            seen.extend(proposals.skipped.iter().map(|(id, _)| *id));
            seen.sort_unstable();
            let mut all: Vec<SegmentId> = group.segments.iter().map(|s| s.id).collect();
            all.sort_unstable();
            prop_assert_eq!(&seen, &all);

            // 2: in any order.
            let mut shuffled = case.group();
            shuffled.segments = group.segments.clone();
            shuffled.sized = group.sized.clone();
            let mut keyed: Vec<_> = shuffled.segments.drain(..).zip(case.order.iter().cycle()).collect();
            keyed.sort_by_key(|(_, key)| **key);
            shuffled.segments = keyed.into_iter().map(|(s, _)| s).collect();
            prop_assert_eq!(&shuffled.propose(case.trigger), &proposals);

            for draft in &proposals.drafts {
                let inputs: Vec<&Segment> = draft.inputs.iter().filter_map(|i| group.get(i.segment)).collect();
                let sorted: BTreeSet<SegmentId> = ids(draft).into_iter().collect();
                prop_assert_eq!(sorted.into_iter().collect::<Vec<_>>(), ids(draft));
                // 3: within the limits, and in no other unfinished plan.
                prop_assert!(draft.kind == PlanKind::Clustering || inputs.len() <= case.config.max_inputs as usize);
                prop_assert!(inputs.iter().all(|s| !group.reserved.contains(&s.id)));
                let asked = if case.trigger == Trigger::Manual { case.policy } else { Policy::Standard };
                let limit = match asked {
                    Policy::ForceMerge { target_bytes } => target_bytes,
                    _ => case.config.max_segment_bytes,
                };
                prop_assert_eq!(draft.max_output_bytes, limit);
                if asked == Policy::Standard && inputs.len() > 1 {
                    prop_assert!(draft.estimated_output_bytes <= limit);
                }
                // 4: each plan changes something.
                let too_large = asked != Policy::Standard && draft.estimated_output_bytes > limit;
                let clusters = draft.kind == PlanKind::Clustering
                    && (inputs.iter().any(|s| s.level != SegmentLevel::L2) || overlap(inputs.clone()));
                let has_work = inputs.iter().all(|s| has_work(s, &group));
                // Or it is the one rewrite of a segment that nothing joins: of a flushed one, or by a request of a size.
                let first = group.segments.len() == 1
                    && inputs.iter().all(|s| match draft.reason {
                        PlanReason::ManualFirst => s.compaction_from.is_empty(),
                        PlanReason::ForceMerge { .. } => !group.sized.contains(&s.id),
                        _ => false,
                    });
                prop_assert!(inputs.len() > 1 || too_large || clusters || has_work || first, "{draft:?}");
                // L0 segments have a policy of their own; clustered segments are not mixed with others.
                let levels = |level| inputs.iter().filter(|s| s.level == level).count();
                prop_assert_eq!(draft.kind == PlanKind::L0Delete, levels(SegmentLevel::L0) > 0);
                prop_assert!(draft.kind == PlanKind::Clustering || inputs.len() == 1 || levels(SegmentLevel::L2) == 0);
            }
            let refused = |(_, reason): &(SegmentId, SkipReason)| matches!(reason, SkipReason::Refused(_));
            prop_assert!(!proposals.skipped.iter().any(refused));
            if proposals.drafts.is_empty() {
                prop_assert_eq!(group.propose(case.trigger), proposals);
                break;
            }
            for draft in &proposals.drafts {
                group.carry_out(draft);
            }
        }

        // In the end a trigger's promise is kept, as far as reserved segments and the limit of inputs allow.
        let free: Vec<&Segment> = group.segments.iter().filter(|s| !group.reserved.contains(&s.id)).collect();
        if case.trigger == Trigger::Manual {
            let levels: &[SegmentLevel] = match case.policy {
                Policy::Standard | Policy::Clustering => &[SegmentLevel::L1, SegmentLevel::L2],
                Policy::ForceMerge { .. } => &[SegmentLevel::L1],
                Policy::L0Delete => &[SegmentLevel::L0],
            };
            let mut looked_at = free.iter().filter(|s| levels.contains(&s.level));
            prop_assert!(looked_at.all(|s| !has_work(s, &group)), "deletes are left:\n{}", group.layout());
            match case.policy {
                Policy::ForceMerge { target_bytes } => {
                    let merged = || free.iter().filter(|s| s.level == SegmentLevel::L1 && s.rows > 0);
                    prop_assert!(merged().all(|s| s.insert_bytes <= target_bytes), "too large:\n{}", group.layout());
                    let below = merged().filter(|s| s.insert_bytes * 10 < target_bytes * 8 && s.delta_rows == 0).count();
                    let limited = case.config.max_inputs < 50 || case.window_seconds.is_some();
                    prop_assert!(limited || below <= 1, "{below} too small:\n{}", group.layout());
                }
                Policy::Clustering => {
                    prop_assert!(free.iter().all(|s| s.level != SegmentLevel::L1));
                    let clustered = free.iter().filter(|s| s.level == SegmentLevel::L2).copied().collect();
                    prop_assert!(!overlap(clustered), "ranges overlap:\n{}", group.layout());
                }
                Policy::L0Delete => prop_assert!(free.iter().all(|s| s.level != SegmentLevel::L0)),
                Policy::Standard => {}
            }
        } else {
            let clean = free.iter().filter(|s| s.delta_rows == 0 && s.level == SegmentLevel::L1);
            let small = clean.filter(|s| (s.insert_bytes as f64) < 100.0 * MB as f64 * case.config.small_proportion);
            let small = small.count();
            let limited = case.config.max_inputs < 2 || case.config.small_proportion > 0.5;
            prop_assert!(limited || small <= case.config.max_small_segments as usize, "{small} small:\n{}", group.layout());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// The rule of packing: segments of at most a fifth of the maximum always fit into one that is not yet four fifths
    /// full, so all but one are at least that full in the end. That one holds less than 5 % of seventeen times the maximum. Automatic compaction may leave the small ones that are less than 85 % of one segment together.
    #[test]
    fn all_bytes_but_those_of_one_segment_end_well_filled(
        drawn in prop::collection::vec((1u64..=20_480, prop_oneof![3 => Just(0u64), 1 => 1u64..100]), 1..400),
        asked in any::<bool>(),
        target in prop::option::of(100u64..300),
    ) {
        let mut group = Simulated::with(CompactionConfig { max_segment_bytes: 100 * MB, ..CompactionConfig::default() });
        for (kilobytes, percent) in drawn {
            let id = group.flush(kilobytes * 1024);
            group.delete(id, percent, Duration::ZERO);
        }
        let trigger = if asked { Trigger::Manual } else { Trigger::Tick };
        let mut maximum = 100 * MB;
        if let Some(mb) = target.filter(|_| asked) {
            (group.policy, maximum) = (Policy::ForceMerge { target_bytes: mb * MB }, mb * MB);
        }
        group.run(trigger);
        let badly: u64 = group.segments.iter().map(|s| s.insert_bytes).filter(|b| b * 5 < maximum * 4).sum();
        let most = if asked { maximum * 4 / 5 } else { maximum * 17 / 20 };
        prop_assert!(badly < most, "{badly} bytes are in badly filled segments:\n{}", group.layout());
        let share = badly as f64 / group.bytes().max(1) as f64;
        prop_assert!(group.bytes() < 17 * maximum || share <= 0.05, "{share}");
    }
}

/// Where no limit is in the way, hardly anything is left in badly filled segments.
#[test]
fn nearly_all_bytes_end_in_well_filled_segments() {
    for seed in 0..12 {
        let force = |mb: u64| (Trigger::Manual, Policy::ForceMerge { target_bytes: mb * MB });
        let standard = [Trigger::Manual, Trigger::Tick].map(|trigger| (trigger, Policy::Standard));
        for (trigger, policy) in standard.into_iter().chain([force(64), force(512), force(1000)]) {
            let mut group = Simulated::new();
            group.policy = policy;
            let mut numbers = crate::amplification::Numbers::new(seed);
            // From a few to many times the maximum, in sizes from tiny to nearly half of it.
            let largest = [4, 20, 118, 250][seed as usize % 4] * MB;
            while group.flushed_bytes < (5 + 2 * seed) * 512 * MB {
                group.flush(numbers.below(largest));
            }
            group.run(trigger);
            if let Policy::ForceMerge { target_bytes } = policy {
                group.config.max_segment_bytes = target_bytes;
            }
            let share = group.share_in_segments_filled(0.8);
            // Automatic compaction leaves less than one segment for the next flush.
            let waiting = if trigger == Trigger::Manual { 0.05 } else { 435.0 / (group.bytes() / MB) as f64 };
            assert!(
                share >= 1.0 - waiting.max(0.05),
                "seed {seed}, {trigger:?} {policy:?}: {share:.3}\n{}",
                group.layout()
            );
        }
    }
}
