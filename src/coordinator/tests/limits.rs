//! Changes that have more operations than the metadata store takes in one transaction.

use rstest::rstest;

use super::{super::*, world::*};
use crate::{
    meta::Catalog,
    model::{Delete, JobId, PartitionId, Plan, PlanId, SegmentState},
    planner::Policy,
    standalone::CollectionName,
};

#[tokio::test]
async fn a_store_of_small_transactions_takes_deletes_of_many_segments() {
    let world = World::with_max_operations(8);
    let (process, cell) = world.with_collection(false).await;
    for n in 0..20 {
        process.flushed(&cell, "", n * 10..n * 10 + 10).await;
    }
    let each = |digit: i64| (0..20).map(|n| (n * 10 + digit).to_string()).collect::<Vec<_>>().join(",");
    process.deleted(&cell, &format!("f100 in [{}]", each(3))).await;
    let logs = || cell.live().iter().map(|s| (s.delta_rows, s.delta_logs)).collect::<Vec<_>>();
    assert_eq!(logs(), vec![(1, 1); 20]);

    let now = process.timestamp().await.unwrap();
    let deletes: Vec<Delete> = (0..20).map(|n| delete(n * 10 + 5, now)).collect();
    let l0 = process.put_l0(&cell, PartitionId::ALL, &deletes).await;
    process.compacted(&cell, asked(Policy::L0Delete)).await;
    assert_eq!(cell.segment(l0).unwrap().state, SegmentState::Dropped);
    assert_eq!((logs(), process.rows_of(&cell).await), (vec![(2, 2); 20], 160));
    process.shutdown().await;

    let process = world.start().await;
    assert_eq!(process.rows_of(&self::cell(&process)).await, 160);
    process.shutdown().await;
}

/// A commit has two records for each output, one for each input, and one each for the plan and the write statistics.
#[tokio::test]
async fn a_plan_has_no_more_inputs_than_its_commit_can_drop() {
    let world = World::with_max_operations(8);
    let (process, cell) = world.with_collection(false).await;
    for n in 0..20 {
        process.flushed(&cell, "", n * 10..n * 10 + 10).await;
    }
    let view = process.compacted(&cell, CompactionRequest::default()).await;
    let inputs: Vec<usize> = view.plans.iter().map(|p| p.inputs.len()).collect();
    assert_eq!((inputs.iter().max(), process.rows_of(&cell).await), (Some(&2), 200), "{inputs:?}");
    process.shutdown().await;
}

/// All segments that are not clustered are inputs of one plan, so its commit can't be divided.
#[tokio::test]
async fn a_group_whose_commit_would_be_too_large_is_not_clustered() {
    let world = World::with_max_operations(8);
    let (process, cell) = world.with_collection(true).await;
    for n in 0..20 {
        process.flushed(&cell, "", n * 10..n * 10 + 10).await;
    }
    let refused = process.coordinator().manual_compaction(&cell, asked(Policy::Clustering)).await.unwrap();
    let why = refused.nothing_to_do.unwrap_or_default();
    assert!(refused.plans == 0 && why.contains("20 inputs, the limit is 2"), "{} plans: {why}", refused.plans);
    process.shutdown().await;
}

/// Otherwise all of the work would be done before its commit is refused.
#[rstest]
#[case::of_a_size(Policy::ForceMerge { target_bytes: 1 << 20 }, 10_000)]
#[case::clustered(Policy::Clustering, 40_000)]
#[tokio::test]
async fn a_plan_of_too_many_outputs_is_not_made(#[case] policy: Policy, #[case] keys: i64) {
    let world = World::with_max_operations(8);
    let (process, cell) = world.with_collection(true).await;
    process.flushed(&cell, "", 0..keys).await;
    let refused = process.coordinator().manual_compaction(&cell, asked(policy)).await.unwrap();
    let why = refused.nothing_to_do.unwrap_or_default();
    assert!(refused.plans == 0 && why.contains(" outputs of at most ") && why.contains("the limit is 2"), "{why}");
    process.shutdown().await;
}

#[tokio::test]
async fn a_job_may_have_more_plans_than_a_transaction_has_operations() {
    let world = World::with_max_operations(8);
    let (process, cell) = world.with_collection(false).await;
    for n in 0..12 {
        let partition = format!("p{n}");
        process.create_partition(CollectionName::new("", "c"), &partition).await.unwrap();
        for part in 0..2 {
            process.flushed(&cell, &partition, n * 100 + part * 10..n * 100 + part * 10 + 10).await;
        }
    }
    let view = process.compacted(&cell, CompactionRequest::default()).await;
    assert_eq!(view.plans.len(), 12);
    process.shutdown().await;

    // Plans were stored, and the process ended before it stored their job.
    let catalog = Catalog::open(world.meta.clone()).await.unwrap();
    let mut txn = catalog.txn();
    let lost = Plan { id: PlanId(2), job: JobId(1), ..view.plans[0].clone() };
    txn.put_plan(&lost);
    txn.commit().await.unwrap();

    for _ in 0..2 {
        let process = world.start().await;
        let jobs = process.coordinator().jobs();
        assert_eq!(jobs.job(view.job.id).unwrap().plans.len(), 12);
        assert!(jobs.plan(lost.id).is_none());
        process.shutdown().await;
    }
}
