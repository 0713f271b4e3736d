//! Time to look at a million segments in ten thousand groups, and at one group with many segments.
//!
//! `cargo bench --bench planning` prints the best of five rounds for each picture.

#[path = "../tests/kit/mod.rs"]
mod kit;

use std::{sync::Arc, time::Instant};

use datacoord::{
    config::CompactionConfig,
    model::{Group, Segment, Timestamp, Trigger},
    planner::{CommitLimit, GroupView, PlanContext, SegmentScope, propose},
};

use crate::kit::model;

const MB: u64 = 1 << 20;
const ROUNDS: usize = 5;

type Groups = Vec<(Arc<Group>, Vec<Segment>)>;

/// Groups of equally many segments; `bytes` and `delta_rows` (of 100,000 rows) by position inside the group.
fn groups(count: i64, segments: i64, bytes: impl Fn(i64) -> u64, delta_rows: impl Fn(i64) -> u64) -> Groups {
    (0..count)
        .map(|collection| {
            let channel = format!("by-dev-rootcoord-dml_0_{collection}v0");
            let group = Arc::new(model::group(collection, collection, &channel));
            let segments = (0..segments).map(|i| segment(collection * segments + i, &group, bytes(i), delta_rows(i)));
            (Arc::clone(&group), segments.collect())
        })
        .collect()
}

fn segment(id: i64, group: &Arc<Group>, insert_bytes: u64, delta_rows: u64) -> Segment {
    Segment {
        rows: 100_000,
        insert_bytes,
        memory_bytes: insert_bytes,
        delta_rows,
        delta_bytes: delta_rows * 20,
        delta_logs: 1,
        delta_ts_from: Timestamp::from_ms(1),
        ts_from: Timestamp::from_ms(1),
        ts_to: Timestamp::from_ms(1000),
        ..model::segment(id, group)
    }
}

fn measure(name: &str, groups: &Groups, trigger: Trigger) {
    let config = CompactionConfig::default();
    let reserved = |_| false;
    let mut best = f64::MAX;
    let mut slowest_group = f64::MAX;
    let (mut drafts, mut skipped) = (0, 0);
    for _ in 0..ROUNDS {
        (drafts, skipped) = (0, 0);
        let mut slowest = 0.0f64;
        let start = Instant::now();
        for (group, segments) in groups {
            let begin = Instant::now();
            let proposals = propose(
                &GroupView { group, segments },
                &PlanContext {
                    policy: Default::default(),
                    clustering_key: None,
                    growing_from: Timestamp::MAX,
                    now_ms: 2000,
                    trigger,
                    config: &config,
                    commit: CommitLimit::NONE,
                    collection_auto: true,
                    ttl: None,
                    reserved: &reserved,
                    failed: &|_| None,
                    indexed: &|_| true,
                    sized: &|_| false,
                    scope: SegmentScope::All,
                    retain_after: Timestamp::MAX,
                },
            );
            drafts += proposals.drafts.len();
            skipped += proposals.skipped.len();
            slowest = slowest.max(begin.elapsed().as_secs_f64());
        }
        best = best.min(start.elapsed().as_secs_f64());
        slowest_group = slowest_group.min(slowest);
    }
    println!(
        "{name:<52} {:>8.1} ms, slowest group {:>8.3} ms, {drafts} drafts, {skipped} skipped",
        best * 1e3,
        slowest_group * 1e3
    );
}

fn main() {
    // Sizes from 400 to 499 MB, no two of which fit together.
    let full = |i: i64| (400 + i as u64 % 100) * MB;
    let small = |i: i64| (1 + i as u64 * 7 % 117) * MB;
    let steady = groups(10_000, 100, full, |_| 0);
    measure("10,000 x 100 full, tick: nothing to do", &steady, Trigger::Tick);
    measure("10,000 x 100 full, manual: nothing to do", &steady, Trigger::Manual);
    drop(steady);
    let deleted = groups(10_000, 100, full, |i| if i % 5 == 0 { 30_000 } else { 0 });
    measure("10,000 x 100 full, tick: a fifth to rewrite", &deleted, Trigger::Tick);
    drop(deleted);
    let backlog = groups(10_000, 100, small, |_| 0);
    measure("10,000 x 100 small, tick: all to merge", &backlog, Trigger::Tick);
    drop(backlog);
    let one = groups(1, 100_000, small, |_| 0);
    measure("1 x 100,000 small, tick: all to merge", &one, Trigger::Tick);
    measure("1 x 100,000 small, manual: all to merge", &one, Trigger::Manual);
}
