//! Compaction as a client sees it.

use std::collections::BTreeMap;

use rstest::rstest;
use tokio_util::sync::CancellationToken;

use super::{super::*, world::*};
use crate::{
    compactor::{Compactor, ProgressSink},
    model::{
        Channel, Delete, PartitionId, Plan, PlanKind, PlanState, Scalar, SegmentId, SegmentLevel, SegmentState,
        Timestamp,
    },
    planner::Policy,
    scheduler::{Attempt, JobSink, Task, TaskOutcome},
    standalone::CollectionName,
};

fn targets(view: &JobView) -> Vec<SegmentId> {
    let of = |plan: &Plan| match &plan.state {
        PlanState::Completed { targets, .. } => targets.clone(),
        _ => vec![],
    };
    view.plans.iter().flat_map(of).collect()
}

const POLICIES: [Policy; 4] =
    [Policy::Standard, Policy::ForceMerge { target_bytes: MIB }, Policy::Clustering, Policy::L0Delete];

#[tokio::test]
async fn every_policy_refuses_a_scope_that_is_not_there_by_name() {
    let world = World::new();
    let (process, cell) = world.with_collection(true).await;
    let name = CollectionName::new("", "c");
    process.create_partition(name, "p").await.unwrap();
    process.flushed(&cell, "p", 0..10).await;
    let segment = cell.live()[0].id;
    let other = cell.meta().partition("_default").unwrap().id;
    for policy in POLICIES {
        let cases = [
            (
                CompactionRequest { partition: Some(PartitionId(77)), ..asked(policy) },
                "there is no partition with id 77",
            ),
            (
                CompactionRequest { partition: Some(PartitionId(-1)), ..asked(policy) },
                "there is no partition with id -1",
            ),
            (
                CompactionRequest { channel: Some(Channel::new("nowhere_v0")), ..asked(policy) },
                "channel nowhere_v0 is not",
            ),
            (CompactionRequest { segments: vec![segment, SegmentId(88)], ..asked(policy) }, "segment 88 is not"),
            (
                CompactionRequest { segments: vec![segment], partition: Some(other), ..asked(policy) },
                "outside of the scope",
            ),
        ];
        for (scope, text) in cases {
            let error = process.coordinator().manual_compaction(&cell, scope).await.unwrap_err().to_string();
            assert!(error.contains(text), "{policy:?}: {error}");
        }
    }
    assert_eq!(process.coordinator().jobs().len(), 0);
    process.shutdown().await;
}

/// Two partitions of two segments each; only segments in the scope are inputs.
#[rstest]
#[case(Policy::Standard, PlanKind::Mix)]
#[case(Policy::ForceMerge { target_bytes: MIB }, PlanKind::Mix)]
#[case(Policy::Clustering, PlanKind::Clustering)]
#[tokio::test]
async fn every_policy_keeps_to_its_scope(#[case] policy: Policy, #[case] kind: PlanKind) {
    let world = World::new();
    let (process, cell) = world.with_collection(true).await;
    process.create_partition(CollectionName::new("", "c"), "p").await.unwrap();
    for (number, partition) in ["p", "", "p", "", "p"].into_iter().enumerate() {
        let from = number as i64 * 100;
        process.flushed(&cell, partition, from..from + 100).await;
    }
    let partition = cell.meta().partition("p").unwrap().id;
    let of_p: Vec<SegmentId> = cell.live().iter().filter(|s| s.group.partition == partition).map(|s| s.id).collect();
    let of_default: Vec<SegmentId> = cell.live().iter().map(|s| s.id).filter(|id| !of_p.contains(id)).collect();

    let two = CompactionRequest { segments: of_p[..2].to_vec(), ..asked(policy) };
    let view = process.compacted(&cell, two).await;
    assert_eq!(view.plans.iter().map(|p| p.kind).collect::<Vec<_>>(), [kind]);
    assert_eq!(view.plans[0].input_ids().collect::<Vec<_>>(), of_p[..2]);

    let rest = CompactionRequest { partition: Some(partition), ..asked(policy) };
    let view = process.compacted(&cell, rest).await;
    assert_eq!(view.plans.len(), 1);
    assert_eq!(view.plans[0].group.partition, partition);

    let channel = CompactionRequest { channel: Some(cell.meta().channels[0].clone()), ..asked(policy) };
    let view = process.compacted(&cell, channel).await;
    assert_eq!(view.plans.len(), 1, "the other partition is left");
    assert_eq!(view.plans[0].input_ids().collect::<Vec<_>>(), of_default);
    assert_eq!(process.rows_of(&cell).await, 500);
    process.shutdown().await;
}

#[tokio::test]
async fn force_merge_packs_and_splits_once() {
    let world = World::new();
    let (process, cell) = world.with_collection(false).await;
    // 2.7 MB and twice 0.3 MB.
    process.flushed(&cell, "", 0..10_000).await;
    process.flushed(&cell, "", 10_000..11_000).await;
    process.flushed(&cell, "", 11_000..12_000).await;
    let sources: Vec<SegmentId> = cell.live().iter().map(|s| s.id).collect();
    let force = asked(Policy::ForceMerge { target_bytes: MIB });
    let view = process.compacted(&cell, force.clone()).await;
    assert_eq!(view.plans.len(), 1);
    let live = cell.live();
    assert_eq!(targets(&view), live.iter().map(|s| s.id).collect::<Vec<_>>());
    let sizes: Vec<u64> = live.iter().map(|s| s.insert_bytes).collect();
    assert!(sizes.len() >= 3 && sizes.iter().all(|bytes| *bytes <= MIB), "{sizes:?}");
    assert!(sizes.iter().filter(|bytes| **bytes * 5 < MIB * 4).count() <= 1, "{sizes:?}");
    for source in sources {
        assert_eq!(&*cell.segment(source).unwrap().compaction_to, targets(&view));
    }
    assert_eq!(process.rows_of(&cell).await, 12_000);

    let again = process.coordinator().manual_compaction(&cell, force).await.unwrap();
    assert_eq!(again.plans, 0);
    let why = again.nothing_to_do.unwrap();
    assert!(why.contains("segments needs compaction"), "{why}");
    process.shutdown().await;
}

/// Clients check that every segment was a source of such a request, also one that another request has written.
#[tokio::test]
async fn force_merge_rewrites_a_lone_segment_once() {
    let world = World::new();
    let (process, cell) = world.with_collection(false).await;
    process.flushed(&cell, "", 0..100).await;
    let written = process.compacted(&cell, asked(Policy::Standard)).await;
    let force = asked(Policy::ForceMerge { target_bytes: MIB });
    let view = process.compacted(&cell, force.clone()).await;
    assert_eq!(view.plans[0].input_ids().collect::<Vec<_>>(), targets(&written));
    assert_eq!(process.rows_of(&cell).await, 100);

    let again = process.coordinator().manual_compaction(&cell, force.clone()).await.unwrap();
    let why = again.nothing_to_do.unwrap();
    assert!(again.plans == 0 && why.contains("a compaction has written it already"), "{why}");
    // A plain request is another one.
    process.flushed(&cell, "", 100..200).await;
    let merged = process.compacted(&cell, asked(Policy::Standard)).await;
    let view = process.compacted(&cell, force).await;
    assert_eq!(view.plans[0].input_ids().collect::<Vec<_>>(), targets(&merged));
    process.shutdown().await;
}

/// A delete between the read of the inputs and the commit is on every output that may hold its key, and on no other.
/// The outputs of force merge have keys apart, those of clustering all span the same ones.
#[rstest]
#[case(Policy::ForceMerge { target_bytes: MIB })]
#[case(Policy::Clustering)]
#[tokio::test]
async fn a_delete_that_arrives_meanwhile_reaches_the_output_with_its_row(#[case] policy: Policy) {
    let world = World::new();
    let (process, cell) = world.with_collection(true).await;
    process.flushed(&cell, "", 0..20_000).await;
    process.coordinator().scheduler.hold(crate::scheduler::QueueHold { everything: true, ..Default::default() });
    let job = process.coordinator().manual_compaction(&cell, asked(policy)).await.unwrap().job;
    let plan = process.coordinator().jobs().job(job).unwrap().plans[0].id;
    let attempt = Attempt { plan, number: 1 };
    let core = &process.coordinator().core;
    let Task::Compaction(task) = core.prepare(attempt).await.unwrap() else { panic!("a build") };
    let compactor = Compactor::new(world.store.clone(), core.config.binlog.clone(), &core.config.worker);
    let outcome = compactor.run(&task, &ProgressSink::new(), &CancellationToken::new()).await.unwrap();
    process.deleted(&cell, "f100 < 100 or f100 >= 19900").await;
    core.completed(attempt, TaskOutcome::Compaction(outcome)).await.unwrap();

    let live = cell.live();
    assert!(live.len() >= 2);
    // One in twenty keys passes a filter that does not hold it.
    let entries: u64 = live.iter().map(|s| s.delta_rows).sum();
    assert!((200..=230).contains(&entries), "{entries} entries for 200 deletes");
    assert!(live.iter().all(|s| s.delta_logs <= 1));
    if policy != Policy::Clustering {
        assert!(live[0].delta_rows == 100 && live[live.len() - 1].delta_rows > 0);
        assert!(live.iter().filter(|s| s.delta_rows > 0).count() <= 3, "those in the middle are far from both");
    }
    assert_eq!(process.rows_of(&cell).await, 19_800);
    process.shutdown().await;
}

/// A commit that began before a change of properties was acknowledged goes by the old ones; a later commit can't.
#[tokio::test]
async fn a_change_of_properties_takes_turns_with_commits() {
    let world = World::new();
    let (process, cell) = world.with_collection(false).await;
    let turn = cell.commit_turn().await;
    let alter = || {
        let set = BTreeMap::from([("collection.ttl.seconds".to_owned(), "5".to_owned())]);
        process.alter_collection(CollectionName::new("", "c"), set, &[])
    };
    assert!(futures::poll!(Box::pin(alter())).is_pending());
    assert_eq!(cell.meta().ttl(), None);
    drop(turn);
    alter().await.unwrap();
    assert_eq!(cell.meta().ttl(), Some(std::time::Duration::from_secs(5)));
    process.shutdown().await;
}

#[tokio::test]
async fn after_a_step_that_died_nothing_is_changed_or_collected_and_health_says_so() {
    let world = World::new();
    let (process, cell) = world.with_collection(false).await;
    process.flushed(&cell, "", 0..10).await;
    assert!(process.health().takes_calls());
    let out_of_luck = || -> u32 { panic!("out of luck") };
    let died =
        process.coordinator().core.catalog.commit(process.coordinator().core.catalog.txn(), (), out_of_luck).await;
    let why = died.unwrap_err().to_string();
    assert_eq!(process.health().reasons(), [format!("catalog failed: {why}")]);
    let name = CollectionName::new("", "c");
    assert_eq!(process.drop_collection(name).await.unwrap_err().to_string(), why);
    let compaction = process.coordinator().manual_compaction(&cell, CompactionRequest::default()).await;
    assert_eq!(compaction.unwrap_err().to_string(), why);
    assert_eq!(process.coordinator().collect_garbage().await.unwrap_err().to_string(), why);
    // Acknowledged rows are in the log, and reads go on.
    process.insert(&cell, "", rows(10..15)).await.unwrap();
    assert_eq!(process.rows_of(&cell).await, 15);
    process.shutdown().await;
    drop(process);

    let process = world.start().await;
    assert!(process.health().takes_calls());
    assert_eq!(process.rows_of(&self::cell(&process)).await, 15);
    process.shutdown().await;
}

#[tokio::test]
async fn clustering_divides_rows_by_key_once() {
    let world = World::new();
    let (process, cell) = world.with_collection(true).await;
    for n in 0..5 {
        process.flushed(&cell, "", n * 5000..(n + 1) * 5000).await;
    }
    process.deleted(&cell, "f100 < 100").await;
    let view = process.compacted(&cell, asked(Policy::Clustering)).await;
    assert_eq!(view.plans.iter().map(|p| p.kind).collect::<Vec<_>>(), [PlanKind::Clustering]);
    let check = |cell: &CollectionCell| {
        let mut ranges: Vec<(Scalar, Scalar)> = vec![];
        for segment in cell.live() {
            assert_eq!(segment.level, SegmentLevel::L2);
            assert!(segment.insert_bytes <= 4 * MIB);
            let range = segment.cluster_range.unwrap();
            assert_eq!(range.field, CLUSTER);
            ranges.push((range.min, range.max));
        }
        ranges.sort();
        assert!(ranges.len() >= 2 && ranges.windows(2).all(|pair| pair[0].1 < pair[1].0), "{ranges:?}");
        ranges
    };
    let ranges = check(&cell);
    assert_eq!(process.rows_of(&cell).await, 24_900);

    let again = process.coordinator().manual_compaction(&cell, asked(Policy::Clustering)).await.unwrap();
    assert_eq!(again.plans, 0);
    assert!(again.nothing_to_do.unwrap().contains("already clustered by field 101"));

    // Deletes of a clustered segment are applied without undoing the clustering.
    process.deleted(&cell, "f100 in [20000]").await;
    let view = process.compacted(&cell, CompactionRequest::default()).await;
    assert_eq!(view.plans.iter().map(|p| (p.kind, p.inputs.len())).collect::<Vec<_>>(), [(PlanKind::Single, 1)]);
    assert_eq!(check(&cell), ranges);
    process.shutdown().await;

    let process = world.start().await;
    let cell = self::cell(&process);
    assert_eq!(check(&cell), ranges, "statistics outlive a restart");
    assert_eq!(process.rows_of(&cell).await, 24_899);
    process.flushed(&cell, "", 25_000..25_100).await;
    let view = process.compacted(&cell, asked(Policy::Clustering)).await;
    assert_eq!(view.plans[0].inputs.len(), ranges.len() + 1, "a new segment has to be divided too");
    check(&cell);
    process.shutdown().await;
}

#[tokio::test]
async fn clustering_needs_a_key() {
    let world = World::new();
    let (process, cell) = world.with_collection(false).await;
    let error = process.coordinator().manual_compaction(&cell, asked(Policy::Clustering)).await.unwrap_err();
    assert!(error.to_string().contains("collection c has no clustering key"), "{error}");
    process.shutdown().await;
}

#[rstest]
#[case::of_one_partition(false, 400 - 2)]
#[case::of_all_partitions(true, 400 - 3)]
#[tokio::test]
async fn deletes_of_level_0_go_to_the_segments_they_hit(#[case] all_partitions: bool, #[case] left: u64) {
    let world = World::new();
    let (process, cell) = world.with_collection(false).await;
    process.create_partition(CollectionName::new("", "c"), "p").await.unwrap();
    process.flushed(&cell, "", 0..100).await;
    process.flushed(&cell, "", 100..200).await;
    process.flushed(&cell, "", 200..300).await;
    process.flushed(&cell, "p", 300..400).await;
    let [first, second, third, in_p] = [0, 1, 2, 3].map(|n| cell.live()[n].id);
    let now = process.timestamp().await.unwrap();
    let partition = cell.meta().partition("_default").unwrap().id;
    let partition = if all_partitions { PartitionId::ALL } else { partition };
    // One is older than its row, one is of a key that no row has.
    let deletes = [delete(5, now), delete(150, now), delete(350, now), delete(250, Timestamp(1)), delete(9999, now)];
    let l0 = process.put_l0(&cell, partition, &deletes).await;

    let view = process.compacted(&cell, asked(Policy::L0Delete)).await;
    assert_eq!(view.plans.iter().map(|p| p.kind).collect::<Vec<_>>(), [PlanKind::L0Delete]);
    assert_eq!(targets(&view), []);
    let logs = |id: SegmentId| (cell.segment(id).unwrap().delta_rows, cell.segment(id).unwrap().delta_logs);
    assert_eq!([logs(first), logs(second), logs(third)], [(1, 1), (1, 1), (0, 0)]);
    assert_eq!(logs(in_p), if all_partitions { (1, 1) } else { (0, 0) });
    assert_eq!(cell.segment(l0).unwrap().state, SegmentState::Dropped);
    assert_eq!(process.rows_of(&cell).await, left);
    process.shutdown().await;

    let process = world.start().await;
    let cell = self::cell(&process);
    assert_eq!(process.rows_of(&cell).await, left);
    let again = process.coordinator().manual_compaction(&cell, asked(Policy::L0Delete)).await.unwrap();
    assert_eq!(again.plans, 0);
    let why = again.nothing_to_do.unwrap();
    assert!(why.contains("there are no L0 segments in scope"), "{why}");
    assert!(process.finished(again.job).await.plans.is_empty());
    process.shutdown().await;
}

/// More deletes than are in memory at once: nothing is lost between the parts, and each part is a log.
#[tokio::test]
async fn deletes_of_level_0_are_spread_part_by_part() {
    let world = World::new();
    let (process, cell) = world.with_collection(false).await;
    process.flushed(&cell, "", 0..100).await;
    process.flushed(&cell, "", 100..200).await;
    let now = process.timestamp().await.unwrap();
    // Of keys that no row has, but for one at each end and those at the border of the two segments.
    let strange = |keys: std::ops::Range<i64>| keys.map(|key| delete(1_000_000 + key, now));
    let first: Vec<Delete> = [delete(5, now)].into_iter().chain(strange(0..400_000)).collect();
    let second: Vec<Delete> = strange(0..400_000).chain([99, 98, 100, 199].map(|key| delete(key, now))).collect();
    process.put_l0(&cell, PartitionId::ALL, &first).await;
    process.put_l0(&cell, PartitionId::ALL, &second).await;

    let view = process.compacted(&cell, asked(Policy::L0Delete)).await;
    assert_eq!(view.plans.len(), 1);
    let logs: Vec<(u64, u32)> = cell.live().iter().map(|s| (s.delta_rows, s.delta_logs)).collect();
    assert_eq!(logs, [(3, 2), (2, 1)]);
    assert_eq!(process.rows_of(&cell).await, 200 - 5);
    process.shutdown().await;
}

#[tokio::test]
async fn deletes_that_rows_in_memory_are_older_than_wait() {
    let world = World::new();
    let (process, cell) = world.with_collection(false).await;
    process.insert(&cell, "", rows(0..10)).await.unwrap();
    let now = process.timestamp().await.unwrap();
    process.put_l0(&cell, PartitionId::ALL, &[delete(5, now)]).await;
    let waits = process.coordinator().manual_compaction(&cell, asked(Policy::L0Delete)).await.unwrap();
    assert_eq!(waits.plans, 0);
    let why = waits.nothing_to_do.unwrap();
    assert!(why.contains("newer than the oldest row in memory"), "{why}");
    process.flush(&cell).await.unwrap();
    process.compacted(&cell, asked(Policy::L0Delete)).await;
    assert_eq!(process.rows_of(&cell).await, 9);
    process.shutdown().await;
}
