//! One table per rule. Settings are the defaults: a segment has at most 512 MB and is small below 256 MB; 11 small ones,
//! or 435.2 MB of them, lead to a merge; more than 20 % deletes lead to a rewrite.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::{
    config::CompactionConfig,
    kit::model,
    model::{
        ClusterRange, FailureKind, FieldId, Group, PartitionId, PlanInput, PlanKind, PlanReason, Scalar, Segment,
        SegmentId, SegmentLevel, SegmentState, Timestamp, Trigger,
    },
};

const MB: u64 = 1 << 20;
const NOW_MS: u64 = 1_000_000;

fn group() -> Arc<Group> {
    Arc::new(model::group(1, 2, "c_1v0"))
}

/// A clean segment of `mb` megabytes and as many thousand rows, written over the last 100 seconds.
fn segment(id: i64, mb: u64) -> Segment {
    Segment {
        rows: mb * 1000,
        insert_bytes: mb * MB,
        memory_bytes: mb * MB,
        ts_from: Timestamp::from_ms(NOW_MS - 100_000),
        ts_to: Timestamp::from_ms(NOW_MS),
        ..model::segment(id, &group())
    }
}

/// The same with `percent` of its rows deleted, 50 seconds ago and later.
fn deleted(id: i64, mb: u64, percent: u64) -> Segment {
    Segment {
        delta_rows: mb * 10 * percent,
        delta_bytes: 1,
        delta_logs: 1,
        delta_ts_from: Timestamp::from_ms(NOW_MS - 50_000),
        ..segment(id, mb)
    }
}

/// The same, written by a compaction.
fn compacted(segment: Segment) -> Segment {
    Segment { compaction_from: Box::new([SegmentId(90), SegmentId(91)]), ..segment }
}

struct Case {
    trigger: Trigger,
    policy: Policy,
    config: CompactionConfig,
    ttl: Option<Duration>,
    retain_after: Timestamp,
    reserved: BTreeSet<SegmentId>,
    failed: BTreeMap<SegmentId, LastFailure>,
    not_indexed: BTreeSet<SegmentId>,
    sized: BTreeSet<SegmentId>,
    scope: Option<BTreeSet<SegmentId>>,
    collection_auto: bool,
    commit: CommitLimit,
}

fn automatic() -> Case {
    Case {
        trigger: Trigger::Tick,
        policy: Policy::Standard,
        config: CompactionConfig::default(),
        ttl: None,
        retain_after: Timestamp::MAX,
        reserved: BTreeSet::new(),
        failed: BTreeMap::new(),
        not_indexed: BTreeSet::new(),
        sized: BTreeSet::new(),
        scope: None,
        collection_auto: true,
        commit: CommitLimit::NONE,
    }
}

fn manual() -> Case {
    Case { trigger: Trigger::Manual, ..automatic() }
}

impl Case {
    fn propose(&self, segments: &[Segment]) -> Proposals {
        let reserved = |id| self.reserved.contains(&id);
        let failed = |id| self.failed.get(&id).copied();
        let indexed = |segment: &Segment| !self.not_indexed.contains(&segment.id);
        let sized = |segment: &Segment| self.sized.contains(&segment.id);
        propose(
            &GroupView { group: &group(), segments },
            &PlanContext {
                now_ms: NOW_MS,
                trigger: self.trigger,
                policy: self.policy,
                clustering_key: Some(FieldId(101)),
                growing_from: Timestamp::from_ms(NOW_MS),
                config: &self.config,
                commit: self.commit,
                collection_auto: self.collection_auto,
                ttl: self.ttl,
                reserved: &reserved,
                failed: &failed,
                indexed: &indexed,
                sized: &sized,
                scope: self.scope.as_ref().map_or(SegmentScope::All, SegmentScope::Segments),
                retain_after: self.retain_after,
            },
        )
    }

    /// Inputs of each draft and the code of its reason.
    fn drafts(&self, segments: &[Segment]) -> Vec<(Vec<i64>, &'static str)> {
        let drafts = self.propose(segments).drafts;
        drafts.iter().map(|d| (d.inputs.iter().map(|i| i.segment.0).collect(), d.reason.code())).collect()
    }

    /// Codes of the skip reasons, by segment.
    fn skips(&self, segments: &[Segment]) -> Vec<&'static str> {
        self.propose(segments).skipped.iter().map(|(_, reason)| reason.code()).collect()
    }
}

#[rstest]
#[case::a_fifth_deleted_is_not_yet_too_much(deleted(1, 400, 20), None)]
#[case::more_than_a_fifth(Segment { delta_rows: 80_001, ..deleted(1, 400, 20) }, Some("delta_rows"))]
#[case::bytes_at_the_limit(Segment { delta_bytes: 10 * MB, ..deleted(1, 400, 1) }, None)]
#[case::bytes_beyond(Segment { delta_bytes: 10 * MB + 1, ..deleted(1, 400, 1) }, Some("delta_bytes"))]
#[case::logs_at_the_limit(Segment { delta_logs: 200, ..deleted(1, 400, 1) }, None)]
#[case::logs_beyond(Segment { delta_logs: 201, ..deleted(1, 400, 1) }, Some("delta_logs"))]
#[case::all_rows_deleted(deleted(1, 400, 100), Some("delta_rows"))]
#[case::more_entries_than_rows(deleted(1, 400, 150), Some("delta_rows"))]
#[case::deletes_without_rows(Segment { rows: 0, insert_bytes: 0, ..deleted(1, 400, 1) }, Some("delta_rows"))]
#[case::clean(segment(1, 400), None)]
fn a_segment_is_rewritten_beyond_a_threshold(#[case] segment: Segment, #[case] reason: Option<&str>) {
    let drafts = automatic().drafts(&[segment]);
    assert_eq!(drafts, reason.map(|r| (vec![1], r)).into_iter().collect::<Vec<_>>());
}

#[rstest]
#[case::nothing_expired(100, None)]
#[case::a_fifth_of_the_range(80, None)]
#[case::more_than_a_fifth(79, Some("expired"))]
#[case::all_of_it(0, Some("expired"))]
fn a_segment_with_many_expired_rows_is_rewritten(#[case] ttl_seconds: u64, #[case] reason: Option<&str>) {
    let case = Case { ttl: Some(Duration::from_secs(ttl_seconds)), ..automatic() };
    assert_eq!(case.drafts(&[segment(1, 400)]), reason.map(|r| (vec![1], r)).into_iter().collect::<Vec<_>>());
}

#[test]
fn expired_rows_shrink_the_estimate() {
    let case = Case { ttl: Some(Duration::from_secs(60)), ..automatic() };
    let proposals = case.propose(&[segment(1, 400), deleted(2, 400, 50)]);
    // 40 of 100 seconds have expired: 60 % of each segment stay, and half of that in the second one. Together they would
    // be neither full nor small, so each is rewritten by itself.
    let estimates: Vec<u64> = proposals.drafts.iter().map(|d| d.estimated_output_bytes / MB).collect();
    assert_eq!(estimates, [240, 120]);
}

/// `count` segments of `mb` each.
fn small(count: i64, mb: u64) -> Vec<Segment> {
    (1..=count).map(|id| segment(id, mb)).collect()
}

#[rstest]
#[case::ten_small_ones(small(10, 1), vec![])]
#[case::eleven_small_ones(small(11, 1), vec![((1..=11).collect(), "small_segments")])]
#[case::too_little_together(small(10, 43), vec![])]
#[case::enough_together(small(10, 44), vec![((1..=10).collect(), "full_enough")])]
#[case::one_less_does_it(small(9, 49), vec![((1..=9).collect(), "full_enough")])]
#[case::half_full_is_not_small(small(11, 256), vec![])]
#[case::two_fill_one(small(4, 250), vec![(vec![1, 2], "full_enough"), (vec![3, 4], "full_enough")])]
#[case::three_of_four(small(4, 170), vec![(vec![1, 2, 3], "full_enough")])]
fn small_segments_are_merged(#[case] segments: Vec<Segment>, #[case] drafts: Vec<(Vec<i64>, &'static str)>) {
    assert_eq!(automatic().drafts(&segments), drafts);
}

/// The rule of Milvus' `indexBasedCompaction`, which holds for requests, too.
#[rstest]
#[case::automatic(automatic(), "delta_rows")]
#[case::manual(manual(), "manual_rewrite")]
fn segments_wait_for_their_index_if_the_settings_say_so(#[case] case: Case, #[case] reason: &'static str) {
    let not_indexed = BTreeSet::from([SegmentId(1)]);
    let config = CompactionConfig { indexed_only: true, ..CompactionConfig::default() };
    let waiting = Case { not_indexed: not_indexed.clone(), config, ..case };
    assert_eq!(waiting.drafts(&[deleted(1, 400, 50), deleted(2, 400, 50)]), [(vec![2], reason)]);
    assert_eq!(waiting.skips(&[deleted(1, 400, 50), deleted(2, 400, 50)]), ["not_indexed"]);
    let free = Case { not_indexed, config: CompactionConfig::default(), ..waiting };
    assert_eq!(free.drafts(&[deleted(1, 400, 50)]), [(vec![1], reason)]);
}

#[test]
fn the_largest_small_segment_is_left_alone_if_the_others_suffice() {
    let mut segments = small(10, 4);
    segments.push(segment(99, 200));
    assert_eq!(automatic().drafts(&segments), [((1..=10).collect(), "small_segments")]);
}

#[test]
fn a_nearly_full_segment_is_not_rewritten_for_a_small_one() {
    let segments = [segment(1, 480), segment(2, 10)];
    assert_eq!(automatic().drafts(&segments), []);
    assert_eq!(automatic().skips(&segments), ["already_full", "too_few_small"]);
    assert_eq!(manual().drafts(&segments), [(vec![1, 2], "manual_merge")]);
}

#[test]
fn a_bin_that_best_fit_misses_is_found() {
    // In MB of 512: best fit puts 250 + 153 and 153 + 130 together, and neither reaches 435. 153 + 153 + 130 does.
    let segments = [segment(1, 250), segment(2, 153), segment(3, 153), segment(4, 130)];
    assert_eq!(automatic().drafts(&segments), [(vec![2, 3, 4], "full_enough")]);
}

#[test]
fn segments_that_cannot_fill_one_are_skipped_with_that_reason() {
    let segments = small(3, 180);
    assert_eq!(automatic().drafts(&segments), []);
    assert_eq!(automatic().skips(&segments), ["nothing_fits"; 3]);
}

#[test]
fn too_many_small_segments_are_merged_even_if_no_two_stay_small() {
    // Two of them have 360 MB, three are too much: ten merges turn 20 into 10.
    let drafts = automatic().drafts(&small(20, 180));
    assert!(drafts.iter().all(|(inputs, reason)| inputs.len() == 2 && *reason == "small_segments"), "{drafts:?}");
    assert_eq!(drafts.len(), 10);
}

#[test]
fn a_segment_that_must_be_rewritten_is_merged_with_small_ones() {
    // The rewrite alone leaves 300 MB. Together with 150 MB the output is full.
    let segments = [deleted(1, 500, 40), segment(2, 150)];
    assert_eq!(automatic().drafts(&segments), [(vec![1, 2], "delta_rows")]);
    // Together with 50 MB it would be neither full nor small.
    let segments = [deleted(1, 500, 40), segment(2, 50)];
    assert_eq!(automatic().drafts(&segments), [(vec![1], "delta_rows")]);
}

#[rstest]
#[case::clean_ones_that_fit(vec![segment(1, 200), segment(2, 300)], vec![(vec![1, 2], "manual_merge")], vec![])]
#[case::clean_ones_that_do_not(
    vec![segment(1, 300), segment(2, 500)], vec![], vec!["nothing_fits", "already_full"]
)]
#[case::one_delete_is_enough(vec![deleted(1, 300, 1), segment(2, 500)], vec![(vec![1], "manual_rewrite")], vec!["already_full"])]
#[case::deletes_make_room(vec![deleted(1, 300, 30), segment(2, 300)], vec![(vec![1, 2], "manual_merge")], vec![])]
#[case::alone_and_clean(vec![segment(1, 3)], vec![(vec![1], "manual_first")], vec![])]
#[case::alone_and_full(vec![segment(1, 512)], vec![(vec![1], "manual_first")], vec![])]
#[case::alone_and_compacted(vec![compacted(segment(1, 3))], vec![], vec!["alone_compacted"])]
#[case::alone_compacted_and_deleted(vec![compacted(deleted(1, 3, 1))], vec![(vec![1], "manual_rewrite")], vec![])]
#[case::alone_with_deletes(vec![deleted(1, 3, 1)], vec![(vec![1], "manual_rewrite")], vec![])]
#[case::dead_ones_keep_to_themselves(
    vec![segment(1, 500), deleted(2, 100, 100), deleted(3, 100, 100)],
    vec![(vec![2, 3], "manual_rewrite")],
    vec!["already_full"]
)]
#[case::crumbs_join_each_other_rather_than_full_ones(
    vec![segment(1, 490), segment(2, 491), segment(3, 20), segment(4, 21)],
    vec![(vec![3, 4], "manual_merge")],
    vec!["already_full", "already_full"]
)]
fn a_client_needs_no_threshold(
    #[case] segments: Vec<Segment>,
    #[case] drafts: Vec<(Vec<i64>, &'static str)>,
    #[case] skips: Vec<&'static str>,
) {
    assert_eq!(manual().drafts(&segments), drafts);
    assert_eq!(manual().skips(&segments), skips);
}

#[test]
fn a_client_rewrites_expired_rows() {
    let case = Case { ttl: Some(Duration::from_secs(99)), ..manual() };
    assert_eq!(case.drafts(&[segment(1, 400)]), [(vec![1], "expired")]);
    let case = Case { ttl: Some(Duration::from_secs(100)), ..manual() };
    assert_eq!(case.drafts(&[compacted(segment(1, 400))]), [], "the oldest row is exactly as old as it may be");
}

#[rstest]
#[case::all_deletes_newer(NOW_MS - 50_001, true)]
#[case::the_oldest_at_the_edge(NOW_MS - 50_000, true)]
#[case::two_fifths_outside(NOW_MS - 30_000, true)]
#[case::half_outside(NOW_MS - 25_000, true)]
#[case::three_fifths_outside(NOW_MS - 20_000, false)]
fn the_retention_window_keeps_deletes(#[case] until_ms: u64, #[case] retained: bool) {
    // 40 % deleted: more than half of it must be outside the window for a rewrite.
    let segments = [deleted(1, 400, 40)];
    let case = Case { retain_after: Timestamp::from_ms(until_ms), ..automatic() };
    assert_eq!(case.drafts(&segments), if retained { vec![] } else { vec![(vec![1], "delta_rows")] });
    assert_eq!(case.skips(&segments), if retained { vec!["retained"] } else { vec![] });
}

#[test]
fn a_client_leaves_retained_deletes() {
    let case = Case { retain_after: Timestamp::from_ms(NOW_MS - 50_001), ..manual() };
    assert_eq!(case.skips(&[deleted(1, 400, 40)]), ["retained"]);
    let case = Case { retain_after: Timestamp::from_ms(NOW_MS - 50_000), ..manual() };
    assert_eq!(case.drafts(&[deleted(1, 400, 40)]), [(vec![1], "manual_rewrite")]);
}

#[test]
fn switches() {
    let segments = [deleted(1, 400, 50)];
    let off = |case: Case| (case.drafts(&segments).len(), case.skips(&segments));
    let disabled = CompactionConfig { enabled: false, ..CompactionConfig::default() };
    let auto_off = CompactionConfig { auto_enabled: false, ..CompactionConfig::default() };
    assert_eq!(off(Case { config: disabled.clone(), ..automatic() }), (0, vec!["disabled"]));
    assert_eq!(off(Case { config: disabled, ..manual() }), (0, vec!["disabled"]));
    assert_eq!(off(Case { config: auto_off.clone(), ..automatic() }), (0, vec!["auto_off"]));
    assert_eq!(off(Case { config: auto_off, ..manual() }), (1, vec![]));
    assert_eq!(off(Case { collection_auto: false, ..automatic() }), (0, vec!["auto_off"]));
    assert_eq!(off(Case { collection_auto: false, ..manual() }), (1, vec![]));
}

#[test]
fn only_free_live_segments_of_the_group_and_scope_are_taken() {
    let elsewhere = Arc::new(Group { partition: PartitionId(3), ..(*group()).clone() });
    let segments = [
        segment(1, 100),
        segment(2, 100),
        segment(3, 100),
        segment(4, 100),
        Segment { state: SegmentState::Dropped, ..segment(5, 100) },
        Segment { group: elsewhere, ..segment(6, 100) },
        Segment { level: SegmentLevel::L0, ..segment(7, 100) },
    ];
    let case = Case {
        reserved: BTreeSet::from([SegmentId(3)]),
        scope: Some([1, 2, 3, 5, 6, 7].map(SegmentId).into()),
        ..manual()
    };
    assert_eq!(case.drafts(&segments), [(vec![1, 2], "manual_merge")]);
    let skipped: Vec<_> = case.propose(&segments).skipped.iter().map(|(id, reason)| (id.0, reason.code())).collect();
    assert_eq!(skipped, [(3, "reserved"), (4, "out_of_scope"), (7, "level")]);
}

#[test]
fn a_segment_whose_plan_failed_for_good_waits_for_a_request() {
    let segments = [deleted(1, 400, 50)];
    let failed = BTreeMap::from([(SegmentId(1), LastFailure { kind: FailureKind::Corrupt, until_ms: None })]);
    let case = Case { failed: failed.clone(), ..automatic() };
    assert_eq!((case.drafts(&segments), case.skips(&segments)), (vec![], vec!["last_plan_failed"]));
    assert_eq!(Case { failed, ..manual() }.drafts(&segments), [(vec![1], "manual_rewrite")]);
}

#[rstest]
#[case::not_yet(NOW_MS + 1, false)]
#[case::due(NOW_MS, true)]
fn a_failure_that_may_pass_is_tried_again_in_time(#[case] until_ms: u64, #[case] tried: bool) {
    let failure = LastFailure { kind: FailureKind::Exhausted, until_ms: Some(until_ms) };
    let case = Case { failed: BTreeMap::from([(SegmentId(1), failure)]), ..automatic() };
    let segments = [deleted(1, 400, 50)];
    assert_eq!(case.drafts(&segments).len(), usize::from(tried));
    let skips: &[&str] = if tried { &[] } else { &["last_plan_failed"] };
    assert_eq!(case.skips(&segments), skips);
}

fn force(mb: u64) -> Case {
    Case { policy: Policy::ForceMerge { target_bytes: mb * MB }, ..manual() }
}

/// The same, after an earlier request of a size wrote a segment.
fn sized(id: i64, mb: u64) -> Case {
    Case { sized: [SegmentId(id)].into(), ..force(mb) }
}

/// A segment that a compaction wrote.
fn merged(id: i64, mb: u64) -> Segment {
    Segment { compaction_from: [SegmentId(id + 100)].into(), ..segment(id, mb) }
}

#[rstest]
#[case::below_four_fifths_is_merged(
    force(100), vec![segment(1, 79), segment(2, 20), segment(3, 80)], vec![(vec![1, 2], "force_merge")], vec!["already_full"]
)]
#[case::too_large_is_split(force(100), vec![segment(1, 101)], vec![(vec![1], "force_merge")], vec![])]
#[case::of_that_size_stays(
    force(100), vec![segment(1, 100), segment(2, 80)], vec![], vec!["already_full", "already_full"]
)]
#[case::of_that_size_with_deletes(force(100), vec![deleted(1, 100, 10)], vec![(vec![1], "manual_rewrite")], vec![])]
#[case::deletes_make_it_fit(force(100), vec![deleted(1, 120, 20)], vec![(vec![1], "manual_rewrite")], vec![])]
#[case::no_two_fit_but_together_they_fill_two(
    force(100), vec![segment(1, 70), segment(2, 70), segment(3, 70)], vec![(vec![1, 2, 3], "force_merge")], vec![]
)]
#[case::a_rest_joins_what_is_split(
    force(100), vec![segment(1, 250), segment(2, 10)], vec![(vec![1, 2], "force_merge")], vec![]
)]
#[case::a_rest_beside_full_ones(force(100), vec![segment(1, 90), segment(2, 10)], vec![], vec!["already_full", "nothing_fits"])]
#[case::alone(force(100), vec![segment(1, 10)], vec![(vec![1], "force_merge")], vec![])]
#[case::alone_of_that_size(force(100), vec![segment(1, 100)], vec![(vec![1], "force_merge")], vec![])]
#[case::alone_and_merged(force(100), vec![merged(1, 10)], vec![(vec![1], "force_merge")], vec![])]
#[case::alone_and_asked_for_before(sized(1, 100), vec![merged(1, 10)], vec![], vec!["alone_compacted"])]
#[case::alone_too_large_again(sized(1, 100), vec![merged(1, 101)], vec![(vec![1], "force_merge")], vec![])]
#[case::alone_with_deletes_again(
    sized(1, 100), vec![deleted(1, 10, 10)], vec![(vec![1], "manual_rewrite")], vec![]
)]
#[case::dead_ones_keep_to_themselves(
    force(100), vec![deleted(1, 300, 100), segment(2, 90)], vec![(vec![1], "manual_rewrite")], vec!["already_full"]
)]
#[case::larger_than_configured(force(2000), small(4, 500), vec![(vec![1, 2, 3, 4], "force_merge")], vec![])]
fn segments_of_a_size(
    #[case] case: Case,
    #[case] segments: Vec<Segment>,
    #[case] drafts: Vec<(Vec<i64>, &'static str)>,
    #[case] skips: Vec<&'static str>,
) {
    assert_eq!(case.drafts(&segments), drafts);
    assert_eq!(case.skips(&segments), skips);
    let limit = if let Policy::ForceMerge { target_bytes } = case.policy { target_bytes } else { 0 };
    assert!(case.propose(&segments).drafts.iter().all(|d| d.max_output_bytes == limit));
}

#[test]
fn outputs_of_a_plan_are_capped() {
    let inputs = |drafts: Vec<(Vec<i64>, &'static str)>| drafts.iter().map(|(i, _)| i.len()).collect::<Vec<_>>();
    // Sixteen outputs of 100 MB hold ten segments of 150 MB. One segment of 5000 MB is one plan nevertheless.
    assert_eq!(inputs(force(100).drafts(&small(25, 150))), [10, 10, 5]);
    assert_eq!(inputs(force(100).drafts(&[segment(1, 5000)])), [1]);
}

/// The segment as clustering by field 101 writes it.
fn clustered(segment: Segment) -> Segment {
    let id = segment.id.0;
    ranged(segment, id, id)
}

fn ranged(segment: Segment, min: i64, max: i64) -> Segment {
    let range = ClusterRange { field: FieldId(101), min: Scalar::Int(min), max: Scalar::Int(max) };
    Segment { level: SegmentLevel::L2, cluster_range: Some(Box::new(range)), ..segment }
}

#[rstest]
#[case::never(vec![segment(1, 300), deleted(2, 200, 10)], vec![(vec![1, 2], "cluster")], vec![])]
#[case::one_alone(vec![segment(1, 3)], vec![(vec![1], "cluster")], vec![])]
#[case::some_are_new(vec![clustered(segment(1, 300)), segment(2, 1)], vec![(vec![1, 2], "cluster")], vec![])]
#[case::all_are(vec![clustered(segment(1, 300)), clustered(segment(2, 1))], vec![], vec!["clustered", "clustered"])]
#[case::all_are_with_deletes(
    vec![clustered(segment(1, 300)), clustered(deleted(2, 300, 1))], vec![(vec![2], "manual_rewrite")], vec!["clustered"]
)]
#[case::by_another_field(
    vec![Segment {
        cluster_range: Some(Box::new(ClusterRange::of(FieldId(102), Scalar::Int(1)))), ..clustered(segment(1, 300))
    }],
    vec![(vec![1], "cluster")], vec![]
)]
#[case::one_inside_another(
    vec![ranged(segment(1, 10), 0, 9), ranged(segment(2, 10), 3, 4), ranged(segment(3, 10), 10, 11)],
    vec![(vec![1, 2], "cluster_again")], vec!["clustered"]
)]
#[case::one_reaches_over_several(
    vec![ranged(segment(1, 10), 7, 9), ranged(segment(2, 10), 0, 8), ranged(segment(3, 10), 2, 3)],
    vec![(vec![1, 2, 3], "cluster_again")], vec![]
)]
#[case::two_sets(
    vec![
        ranged(segment(1, 10), 5, 7), ranged(segment(2, 10), 0, 2), ranged(segment(3, 10), 6, 9),
        ranged(segment(4, 10), 1, 2),
    ],
    vec![(vec![1, 3], "cluster_again"), (vec![2, 4], "cluster_again")], vec![]
)]
#[case::a_value_at_the_edge_of_both(
    vec![ranged(segment(1, 10), 0, 5), ranged(segment(2, 10), 5, 9)], vec![(vec![1, 2], "cluster_again")], vec![]
)]
#[case::one_value_fills_several(
    vec![ranged(segment(1, 300), 5, 5), ranged(segment(2, 300), 5, 5), ranged(segment(3, 10), 6, 9)],
    vec![], vec!["clustered", "clustered", "clustered"]
)]
#[case::one_value_that_is_elsewhere_too(
    vec![ranged(segment(1, 300), 5, 5), ranged(segment(2, 300), 5, 5), ranged(segment(3, 10), 5, 9)],
    vec![(vec![1, 2, 3], "cluster_again")], vec![]
)]
fn rows_are_clustered_once(
    #[case] segments: Vec<Segment>,
    #[case] drafts: Vec<(Vec<i64>, &'static str)>,
    #[case] skips: Vec<&'static str>,
) {
    let case = Case { policy: Policy::Clustering, ..manual() };
    assert_eq!(case.drafts(&segments), drafts);
    assert_eq!(case.skips(&segments), skips);
    for draft in case.propose(&segments).drafts {
        assert_eq!(draft.kind == PlanKind::Clustering, draft.reason.code().starts_with("cluster"));
    }
}

#[test]
fn clustered_segments_are_rewritten_alone() {
    let segments = [clustered(deleted(1, 100, 50)), clustered(segment(2, 10)), segment(3, 10), segment(4, 10)];
    assert_eq!(automatic().drafts(&segments), [(vec![1], "delta_rows")]);
    assert_eq!(automatic().skips(&segments), ["level", "too_few_small", "too_few_small"]);
    assert_eq!(manual().drafts(&segments), [(vec![1], "manual_rewrite"), (vec![3, 4], "manual_merge")]);
    assert_eq!(force(100).drafts(&segments), [(vec![3, 4], "force_merge")]);
    assert_eq!(force(100).skips(&segments), ["level", "level"]);
}

/// A segment of `rows` deletes, the newest of them `age_ms` old.
fn l0(id: i64, rows: u64, bytes: u64, age_ms: u64) -> Segment {
    let ts = Timestamp::from_ms(NOW_MS - age_ms);
    Segment {
        level: SegmentLevel::L0,
        rows: 0,
        insert_bytes: 0,
        memory_bytes: 0,
        delta_rows: rows,
        delta_bytes: bytes,
        delta_logs: 1,
        delta_ts_from: ts,
        ts_from: ts,
        ts_to: ts,
        ..segment(id, 0)
    }
}

#[test]
fn deletes_of_level_0_are_spread_on_request() {
    let segments = [l0(1, 10, MB, 1), segment(2, 100), l0(3, 5, 15 * MB, 1), l0(4, 5, MB, 1), l0(5, 7, MB, 0)];
    let spread = Case { policy: Policy::L0Delete, ..manual() };
    assert_eq!(spread.drafts(&segments), [(vec![1, 3], "spread_deletes"), (vec![4, 5], "spread_deletes")]);
    assert_eq!(spread.skips(&segments), ["level"]);
    let drafts = spread.propose(&segments).drafts;
    assert!(drafts.iter().all(|d| d.kind == PlanKind::L0Delete));
    assert_eq!(drafts[0].reason, PlanReason::SpreadDeletes { delta_rows: 15 });
    // Deletes that are newer than a row in memory wait.
    let newer = [Segment { ts_to: Timestamp(Timestamp::from_ms(NOW_MS).0 + 1), ..l0(5, 7, MB, 0) }];
    assert_eq!(spread.skips(&newer), ["growing"]);
    // No other policy takes them.
    assert_eq!(manual().skips(&segments[..1]), ["level"]);
    assert_eq!(automatic().skips(&segments[..1]), ["level"]);
    assert_eq!(force(100).skips(&segments[..1]), ["level"]);
    assert_eq!(Case { policy: Policy::Clustering, ..manual() }.skips(&segments[..1]), ["level"]);
}

#[test]
fn automatic_triggers_ignore_the_policy_of_a_client() {
    let case = Case { policy: Policy::ForceMerge { target_bytes: MB }, ..automatic() };
    assert_eq!(case.drafts(&[segment(1, 300)]), []);
}

/// A store of 8 operations takes two records of the plan, one of the input, and two of each of two outputs.
#[rstest]
#[case::two_outputs(force(100), 200, None)]
#[case::three_outputs(force(100), 201, Some("about 3 outputs of at most 104857600 bytes, the limit is 2"))]
#[case::clustered(
    Case { policy: Policy::Clustering, ..manual() }, 1025,
    Some("about 3 outputs of at most 536870912 bytes, the limit is 2")
)]
#[case::of_an_older_configuration(
    automatic(),
    1500,
    Some("about 3 outputs of at most 536870912 bytes, the limit is 2")
)]
fn a_plan_has_no_more_outputs_than_its_commit_takes(
    #[case] case: Case,
    #[case] mb: u64,
    #[case] refused: Option<&str>,
) {
    let segments = [Segment { delta_bytes: 11 * MB, delta_rows: 1, ..segment(1, mb) }];
    assert_eq!(case.propose(&segments).drafts.len(), 1, "by a store without a limit");
    let proposals = Case { commit: CommitLimit::of(8), ..case }.propose(&segments);
    let why: Vec<String> = proposals.skipped.iter().map(|(_, reason)| reason.to_string()).collect();
    match refused {
        None => assert_eq!((proposals.drafts.len(), why), (1, vec![])),
        Some(text) => assert!(proposals.drafts.is_empty() && why.len() == 1 && why[0].contains(text), "{why:?}"),
    }
}

/// A request for small segments makes several plans instead of one that the commit would refuse.
#[test]
fn a_plan_of_a_size_is_trimmed_to_its_commit() {
    let segments: Vec<Segment> = (1..=6).map(|id| segment(id, 70)).collect();
    assert_eq!(force(100).drafts(&segments).len(), 1);
    let inputs = |case: Case| case.drafts(&segments).iter().map(|(inputs, _)| inputs.len()).collect::<Vec<_>>();
    // At most three inputs and three outputs.
    assert_eq!(
        inputs(Case {
            commit: CommitLimit::of(11),
            config: CompactionConfig { max_inputs: 3, ..CompactionConfig::default() },
            ..force(100)
        }),
        [3, 3]
    );
    assert_eq!(
        inputs(Case { commit: CommitLimit::of(8), config: CompactionConfig::default(), ..force(100) }),
        [2, 2, 2]
    );
}

#[rstest]
#[case(PlanKind::Mix, [false, true, false])]
#[case(PlanKind::Single, [false, true, true])]
#[case(PlanKind::Clustering, [false, true, true])]
#[case(PlanKind::L0Delete, [true, false, false])]
fn kinds_take_levels(#[case] kind: PlanKind, #[case] taken: [bool; 3]) {
    for (level, taken) in [SegmentLevel::L0, SegmentLevel::L1, SegmentLevel::L2].into_iter().zip(taken) {
        let segment = Segment { level, ..segment(1, 100) };
        let input = PlanInput { segment: segment.id, rows: segment.rows, bytes: 1, delta_rows: 0 };
        let rules = Rules { kind, group: &group(), max_inputs: 2, commit: CommitLimit::NONE, reserved: &|_| false };
        let result = validate(&[input], &rules, |_| Some(&segment));
        let refused = Violation::Level { segment: segment.id, level, kind };
        assert_eq!(result, if taken { Ok(()) } else { Err(refused) });
    }
}

#[rstest]
#[case::fine(&[1, 2], 2, None)]
#[case::empty(&[], 2, Some(Violation::Empty))]
#[case::too_many(&[1, 2], 1, Some(Violation::TooManyInputs { inputs: 2, limit: 1 }))]
#[case::twice(&[1, 1], 2, Some(Violation::Repeated { segment: SegmentId(1) }))]
#[case::missing(&[1, 9], 2, Some(Violation::Missing { segment: SegmentId(9) }))]
#[case::dropped(&[3], 2, Some(Violation::NotLive { segment: SegmentId(3), state: SegmentState::Dropped }))]
#[case::foreign(&[4], 2, Some(Violation::OtherGroup { segment: SegmentId(4) }))]
#[case::reserved(&[5], 2, Some(Violation::Reserved { segment: SegmentId(5) }))]
#[case::rows(&[6], 2, Some(Violation::RowsChanged { segment: SegmentId(6), planned: 100_000, found: 7 }))]
fn a_plan_meets_the_rules(#[case] ids: &[i64], #[case] max_inputs: u32, #[case] violation: Option<Violation>) {
    let elsewhere = Arc::new(Group { partition: PartitionId(3), ..(*group()).clone() });
    let segments = [
        segment(1, 100),
        segment(2, 100),
        Segment { state: SegmentState::Dropped, ..segment(3, 100) },
        Segment { group: elsewhere, ..segment(4, 100) },
        segment(5, 100),
        Segment { rows: 7, ..segment(6, 100) },
    ];
    let inputs: Vec<PlanInput> = ids
        .iter()
        .map(|id| PlanInput { segment: SegmentId(*id), rows: 100_000, bytes: 100 * MB, delta_rows: 0 })
        .collect();
    let rules = Rules {
        kind: PlanKind::Mix,
        group: &group(),
        max_inputs,
        commit: CommitLimit::NONE,
        reserved: &|id| id == SegmentId(5),
    };
    let result = validate(&inputs, &rules, |id| segments.iter().find(|s| s.id == id));
    assert_eq!(result.err(), violation);
}

proptest! {
    /// Bins hold every item once and keep both limits.
    #[test]
    fn packing_loses_nothing(
        sizes in prop::collection::vec(0u64..130, 0..60), max_items in 1usize..12, full in 0u64..100,
    ) {
        for bins in [packing::pack(&sizes, 100, full, max_items), packing::best_fit(&sizes, 100, max_items)] {
            let mut items: Vec<usize> = bins.iter().flat_map(|b| b.items.iter().copied()).collect();
            items.sort_unstable();
            prop_assert_eq!(items, (0..sizes.len()).collect::<Vec<_>>());
            for bin in &bins {
                prop_assert_eq!(bin.bytes, bin.items.iter().map(|i| sizes[*i]).sum::<u64>());
                prop_assert!(bin.items.len() <= max_items);
                prop_assert!(bin.bytes <= 100 || bin.items.len() == 1);
            }
        }
    }

    /// After best fit no two bins fit into one.
    #[test]
    fn packing_leaves_no_pair(sizes in prop::collection::vec(0u64..100, 0..60)) {
        let bins = packing::best_fit(&sizes, 100, usize::MAX);
        for (i, one) in bins.iter().enumerate() {
            for other in &bins[i + 1..] {
                prop_assert!(one.bytes + other.bytes > 100);
            }
        }
    }

    /// A prefix stays below the limit, has never one item, and removes the surplus unless a limit forbids it.
    #[test]
    fn a_prefix_keeps_its_limits(
        mut sizes in prop::collection::vec(0u64..100, 0..40), surplus in 1usize..30, max_items in 1usize..40,
    ) {
        sizes.sort_unstable();
        let count = packing::cheapest_prefix(&sizes, surplus, 300, max_items);
        prop_assert!(count != 1 && count <= max_items);
        prop_assert!(sizes[..count].iter().sum::<u64>() < 300);
        if count <= surplus && count < sizes.len() {
            let next = count.max(1) + 1;
            let stopped = next > max_items || next > sizes.len() || sizes[..next].iter().sum::<u64>() >= 300;
            prop_assert!(stopped, "{count} of {sizes:?}");
        }
    }
}
