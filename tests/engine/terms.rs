//! Properties and settings that change while a plan waits or runs, and failures that pass. A plan that was made under
//! other terms must not cost a row when it is committed.

use std::time::Duration;

use datacoord::{
    coordinator::{CompactionRequest, JobView, control::PauseScope},
    model::{FailureKind, PlanState, Terms, Timestamp},
    standalone::CollectionName,
    wire::proto::milvus::AlterCollectionRequest,
};
use rstest::rstest;
use tonic::Request;

use crate::{
    kit::{rpc, within},
    world::{Process, World, ok},
};

const BOOK: &str = "book";
const TTL: &str = "collection.ttl.seconds";

async fn alter(process: &Process, set: &[(&str, &str)], delete: &[&str]) {
    let request = AlterCollectionRequest {
        collection_name: BOOK.into(),
        properties: rpc::pairs(set),
        delete_keys: delete.iter().map(|k| (*k).to_owned()).collect(),
        ..Default::default()
    };
    ok(Some(process.api.alter_collection(Request::new(request)).await.unwrap().into_inner()));
}

async fn set_ttl(process: &Process, seconds: Option<&str>) {
    match seconds {
        Some(seconds) => alter(process, &[(TTL, seconds)], &[]).await,
        None => alter(process, &[], &[TTL]).await,
    }
}

fn jobs(process: &Process) -> Vec<JobView> {
    let coordinator = &process.coordinator;
    let cell = process.standalone.resolve(CollectionName::new("", BOOK)).unwrap();
    coordinator.jobs().of_collection(cell.id)
}

/// The first job that ends.
async fn first_end(process: &Process) -> JobView {
    within("a job to end", async {
        loop {
            if let Some(view) = jobs(process).into_iter().find(|v| v.counts().is_finished()) {
                return view;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

fn assert_outdated(view: &JobView, why: &str) {
    let PlanState::Failed { kind, message, .. } = &view.plans[0].state else { panic!("{:?}", view.plans) };
    assert_eq!(*kind, FailureKind::Outdated, "{message}");
    assert!(message.contains(why), "{message}");
}

#[rstest]
#[case::raised(Some("1000"))]
#[case::dropped(None)]
#[case::none(Some("-1"))]
#[tokio::test]
async fn a_queued_plan_drops_no_row_by_an_old_time_to_live(#[case] now: Option<&str>) {
    let world = World::without_automatic_compaction();
    let process = world.start().await;
    process.create(BOOK, &[(TTL, "5")]).await;
    process.segment(BOOK, 0..10).await;
    process.segment(BOOK, 10..20).await;
    world.clock.advance(Duration::from_secs(10));
    process.coordinator.pause(PauseScope::Everything, "test").await.unwrap();
    process.compact(BOOK).await;
    set_ttl(&process, now).await;
    process.coordinator.resume(PauseScope::Everything).await.unwrap();
    assert_outdated(&first_end(&process).await, "time to live");
    assert_eq!(process.keys(BOOK).await, (0..20).collect::<Vec<_>>());
    let job = process.compact(BOOK).await;
    assert_eq!(process.ended(job).await.completed_plan_no, 1);
    assert_eq!(process.keys(BOOK).await, (0..20).collect::<Vec<_>>());
    process.stop().await;
}

#[tokio::test]
async fn a_running_plan_drops_no_row_by_an_old_time_to_live() {
    let world = World::without_automatic_compaction();
    let process = world.start().await;
    process.create(BOOK, &[(TTL, "5")]).await;
    process.insert(BOOK, 0..10).await;
    world.clock.advance(Duration::from_secs(10));
    process.segment(BOOK, 10..20).await;
    world.hold_writes();
    process.compact(BOOK).await;
    world.gate.arrival().await;
    set_ttl(&process, None).await;
    world.gate.open();
    assert_outdated(&first_end(&process).await, "time to live");
    assert_eq!(process.keys(BOOK).await, (0..20).collect::<Vec<_>>());
    process.stop().await;
}

#[tokio::test]
async fn a_shorter_time_to_live_outdates_no_plan() {
    let world = World::without_automatic_compaction();
    let process = world.start().await;
    process.create(BOOK, &[(TTL, "1000")]).await;
    process.segment(BOOK, 0..10).await;
    process.segment(BOOK, 10..20).await;
    process.coordinator.pause(PauseScope::Everything, "test").await.unwrap();
    let job = process.compact(BOOK).await;
    set_ttl(&process, Some("500")).await;
    process.coordinator.resume(PauseScope::Everything).await.unwrap();
    assert_eq!(process.ended(job).await.completed_plan_no, 1);
    process.stop().await;
}

#[tokio::test]
async fn an_automatic_plan_ends_when_its_collection_opts_out() {
    let world = World::new();
    let process = world.start().await;
    process.create(BOOK, &[]).await;
    process.segment(BOOK, 0..100).await;
    let before = process.segments(BOOK).await;
    world.hold_writes();
    process.delete(BOOK, &(0..30).collect::<Vec<_>>()).await;
    process.flush(BOOK).await;
    world.gate.arrival().await;
    alter(&process, &[("collection.autocompaction.enabled", "false")], &[]).await;
    world.gate.open();
    assert_outdated(&first_end(&process).await, "switched off");
    assert_eq!(process.segments(BOOK).await, before);
    assert_eq!(jobs(&process).len(), 1, "nothing is planned again");
    process.stop().await;
}

#[tokio::test]
async fn a_plan_applies_no_delete_that_a_longer_retention_window_protects() {
    let mut world = World::without_automatic_compaction();
    let process = world.start().await;
    process.create(BOOK, &[]).await;
    process.segment(BOOK, 0..10).await;
    process.segment(BOOK, 10..20).await;
    process.delete(BOOK, &[4, 14]).await;
    process.flush(BOOK).await;
    process.coordinator.pause(PauseScope::Everything, "test").await.unwrap();
    process.compact(BOOK).await;
    process.stop().await;

    world.config.compaction.retention = Duration::from_secs(1000);
    let process = world.start().await;
    process.coordinator.resume(PauseScope::Everything).await.unwrap();
    assert_outdated(&first_end(&process).await, "retention window");
    assert_eq!(process.segments(BOOK).await.into_iter().map(|(_, rows)| rows).sum::<i64>(), 20);

    // A time travel horizon in the request replaces the retention window.
    let cell = process.standalone.resolve(CollectionName::new("", BOOK)).unwrap();
    let scope = CompactionRequest {
        terms: Terms { timetravel: Some(Timestamp::MAX), ..Terms::default() },
        ..CompactionRequest::default()
    };
    let job = process.coordinator.manual_compaction(&cell, scope).await.unwrap().job;
    assert_eq!(process.ended(job.0).await.completed_plan_no, 1);
    assert_eq!(process.segments(BOOK).await.into_iter().map(|(_, rows)| rows).sum::<i64>(), 18);
    process.stop().await;
}

#[tokio::test]
async fn automatic_compaction_resumes_after_a_full_disk() {
    let mut world = World::new();
    world.config.worker.max_attempts = 1;
    let process = world.start().await;
    process.create(BOOK, &[]).await;
    process.segment(BOOK, 0..100).await;
    world.fill_disk();
    process.delete(BOOK, &(0..30).collect::<Vec<_>>()).await;
    process.flush(BOOK).await;
    let view = first_end(&process).await;
    let PlanState::Failed { kind, message, .. } = &view.plans[0].state else { panic!("{:?}", view.plans) };
    assert_eq!(*kind, FailureKind::Exhausted, "{message}");

    process.coordinator.tick().await;
    assert_eq!(jobs(&process).len(), 1, "it would only fail again");
    let cell = process.standalone.resolve(CollectionName::new("", BOOK)).unwrap();
    let why = process.coordinator.why_not_planned(&cell.live()[0]).unwrap();
    assert_eq!(why, "its last plan failed (exhausted), tried again from 2023-11-14T22:14:20Z on");

    world.gate.heal();
    world.clock.advance(Duration::from_secs(59));
    process.coordinator.tick().await;
    assert_eq!(jobs(&process).len(), 1, "not yet");
    world.clock.advance(Duration::from_secs(1));
    process.coordinator.tick().await;
    let again = process.ended(jobs(&process)[0].job.id.0).await;
    assert_eq!((jobs(&process).len(), again.completed_plan_no), (2, 1));
    assert_eq!(process.segments(BOOK).await.into_iter().map(|(_, rows)| rows).collect::<Vec<_>>(), [70]);
    process.stop().await;
}

/// SDKs send the largest number to get one segment of everything.
#[tokio::test]
async fn a_target_size_above_the_limit_is_lowered() {
    let world = World::without_automatic_compaction();
    let process = world.start().await;
    process.create(BOOK, &[]).await;
    process.segment(BOOK, 0..10).await;
    process.segment(BOOK, 10..20).await;
    let request = datacoord::wire::proto::milvus::ManualCompactionRequest {
        collection_name: BOOK.into(),
        target_size: 8_796_093_022_207,
        ..Default::default()
    };
    let answer = process.api.manual_compaction(Request::new(request)).await.unwrap().into_inner();
    ok(answer.status);
    assert_eq!(process.ended(answer.compaction_id).await.completed_plan_no, 1);
    assert_eq!(process.segments(BOOK).await.len(), 1);
    assert_eq!(jobs(&process)[0].plans[0].reason.to_string(), "asked for: segments of 17179869184 bytes");
    process.stop().await;
}
