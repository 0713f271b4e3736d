//! Pauses, the throttle, windows, priority and deadline.

use std::time::Instant;

use rstest::rstest;

use super::super::tests::*;
use crate::{
    coordinator::CompactionRequest,
    model::{PlanState, SegmentId},
    wire::proto::datacoord::pause_scope::Scope,
};

async fn pause(api: &ControlApi, scope: Scope) -> Vec<PauseEntry> {
    let scope = Some(PauseScope { scope: Some(scope) });
    let request = PauseCompactionRequest { scope, by: "the night shift".into() };
    api.pause_compaction(Request::new(request)).await.unwrap().into_inner().pauses
}

async fn resume(api: &ControlApi, scope: Scope) -> Vec<PauseEntry> {
    let request = ResumeCompactionRequest { scope: Some(PauseScope { scope: Some(scope) }) };
    api.resume_compaction(Request::new(request)).await.unwrap().into_inner().pauses
}

async fn shelf(world: &World, name: &str) -> std::sync::Arc<CollectionCell> {
    let cell = world.collection(name).await;
    world.segment(&cell, 0..10).await;
    world.segment(&cell, 10..20).await;
    cell
}

fn is_queued(world: &World, job: JobId) -> bool {
    world.view(job).plans.iter().all(|p| matches!(p.state, PlanState::Queued { .. }))
}

#[tokio::test]
async fn a_paused_collection_waits_over_restarts_and_hinders_no_other() {
    let world = World::new().await;
    let (paused, other) = (shelf(&world, "paused").await, shelf(&world, "other").await);
    let scope = || Scope::Collection(named(&paused).unwrap());
    let entries = pause(&api(&world), scope()).await;
    assert_eq!((entries.len(), entries[0].by.as_str()), (1, "the night shift"));
    assert_eq!(pause(&api(&world), scope()).await, entries, "again: the first stays");

    let waiting = world.compact(&paused).await;
    let done = world.compact(&other).await;
    assert_eq!(world.ended(done).await.counts().completed, 1);
    assert!(is_queued(&world, waiting));

    let world = world.restarted().await;
    let again = world.compact(&world.coordinator.collection(other.id).unwrap()).await;
    world.ended(again).await;
    assert!(is_queued(&world, waiting));
    let list = api(&world).list_compactions(Request::new(ListCompactionsRequest::default())).await.unwrap();
    let list = list.into_inner();
    let shown = list.jobs.iter().find(|j| j.job_id == waiting.0).unwrap();
    assert_eq!((shown.paused_by.as_str(), list.pauses.len()), ("the night shift", 1));
    let request = ExplainCollectionRequest { collection: named(&paused), max_segments: 0 };
    let explained = api(&world).explain_collection(Request::new(request)).await.unwrap().into_inner();
    assert_eq!(explained.explanations[0].held, "paused by the night shift");

    assert_eq!(resume(&api(&world), scope()).await, []);
    assert_eq!(world.ended(waiting).await.counts().completed, 1);
}

#[tokio::test]
async fn a_paused_job_waits_alone_and_its_executing_plans_go_on() {
    let world = World::with(|config| config.worker.max_concurrency = 1).await;
    let cell = world.collection("books").await;
    let mut segments = Vec::new();
    for n in 0..3 {
        segments.push(world.segment(&cell, n * 10..n * 10 + 10).await);
        world.delete(&cell, n * 10..n * 10 + 2).await;
    }
    let scope = |id: SegmentId| CompactionRequest { segments: vec![id], ..CompactionRequest::default() };
    world.hold();
    let mut jobs = Vec::new();
    for id in segments {
        jobs.push(world.coordinator.manual_compaction(&cell, scope(id)).await.unwrap().job);
    }
    world.executing(world.view(jobs[0]).plans[0].id).await;
    let api = api(&world);
    pause(&api, Scope::JobId(jobs[0].0)).await;
    assert_eq!(pause(&api, Scope::JobId(jobs[1].0)).await.len(), 2);
    world.release();
    world.ended(jobs[0]).await;
    world.ended(jobs[2]).await;
    assert!(is_queued(&world, jobs[1]));
    let events = api.watch_compaction(Request::new(WatchCompactionRequest { job_id: jobs[1].0, interval_ms: 0 })).await;
    let first = futures::StreamExt::next(&mut events.unwrap().into_inner()).await.unwrap().unwrap();
    assert_eq!(first.phase, PlanPhase::Paused as i32);
    // The pause of an ended job is forgotten.
    assert_eq!(resume(&api, Scope::JobId(jobs[1].0)).await, []);
    world.ended(jobs[1]).await;
    let scope = Some(PauseScope { scope: Some(Scope::JobId(jobs[1].0)) });
    let request = PauseCompactionRequest { scope, by: String::new() };
    let ended = api.pause_compaction(Request::new(request)).await.unwrap_err();
    assert!(ended.message().contains("has ended"), "{ended}");
}

#[tokio::test]
async fn nothing_is_planned_by_itself_while_everything_is_paused() {
    let world = World::with(|config| {
        config.compaction.auto_enabled = true;
        config.compaction.max_small_segments = 1;
    })
    .await;
    let api = api(&world);
    pause(&api, Scope::Everything(true)).await;
    let cell = shelf(&world, "books").await;
    let trigger = plan_compaction_request::Trigger::Automatic(named(&cell).unwrap());
    let dry_run = api
        .plan_compaction(Request::new(PlanCompactionRequest { trigger: Some(trigger), ..Default::default() }))
        .await
        .unwrap();
    let dry_run = dry_run.into_inner();
    assert_eq!((dry_run.plans.len(), dry_run.reason.as_str()), (0, "paused by the night shift"));
    assert!(world.coordinator.jobs().is_empty());
    // Resuming looks at the groups at once, without the next tick.
    resume(&api, Scope::Everything(true)).await;
    world.until(|| (world.coordinator.jobs().len() == 1).then_some(())).await;
}

#[rstest]
#[case::none(None, Code::InvalidArgument, "scope: missing")]
#[case::false_(Some(Scope::Everything(false)), Code::InvalidArgument, "scope.everything: false")]
#[case::job(Some(Scope::JobId(4)), Code::NotFound, "job 4")]
#[case::collection(
    Some(Scope::Collection(CollectionRef { collection_id: 9, ..Default::default() })), Code::NotFound, "9")]
#[tokio::test]
async fn bad_scopes(#[case] scope: Option<Scope>, #[case] code: Code, #[case] text: &str) {
    let world = World::new().await;
    let request = PauseCompactionRequest { scope: Some(PauseScope { scope }), by: String::new() };
    let status = api(&world).pause_compaction(Request::new(request)).await.unwrap_err();
    assert_eq!(status.code(), code);
    assert!(status.message().contains(text), "{status}");
}

async fn set(api: &ControlApi, mb_per_second: Option<f64>) -> ThrottleResponse {
    api.set_throttle(Request::new(SetThrottleRequest { mb_per_second })).await.unwrap().into_inner()
}

#[tokio::test]
async fn the_throttle_stays_until_it_is_given_back() {
    let world = World::with(|config| config.worker.throttle_bytes = 3 << 20).await;
    let get = async |world: &World| {
        let answer = api(world).get_throttle(Request::new(GetThrottleRequest {})).await.unwrap().into_inner();
        (answer.mb_per_second.unwrap(), answer.configured_mb_per_second.unwrap())
    };
    assert_eq!(get(&world).await, (3.0, 3.0));
    assert_eq!(set(&api(&world), Some(0.5)).await.mb_per_second.unwrap(), 0.5);
    let world = world.restarted().await;
    assert_eq!(get(&world).await, (0.5, 3.0));
    assert_eq!(set(&api(&world), Some(0.0)).await.mb_per_second.unwrap(), 0.0);
    let world = world.restarted().await;
    assert_eq!(get(&world).await, (0.0, 3.0));
    // Both answers would be empty in JSON if they left zeros out.
    assert_eq!(set(&api(&world), Some(0.0)).await.in_effect, "no limit, set by SetThrottle");
    let back = set(&api(&world), None).await;
    assert_eq!(back.mb_per_second.unwrap(), 3.0);
    assert_eq!(back.in_effect, "3 MB per second, as configured by datacoord.compaction.throttle");
    for bad in [-1.0, f64::NAN, f64::INFINITY, 1e-9, 2e6] {
        let status = api(&world).set_throttle(Request::new(SetThrottleRequest { mb_per_second: Some(bad) })).await;
        let status = status.unwrap_err();
        assert!(status.message().starts_with("mb_per_second: "), "{status}");
    }
}

/// A second's worth of input: reading it takes a second, and writing the output takes more.
#[tokio::test]
async fn merges_keep_to_the_throttle() {
    let world = World::new().await;
    let cell = world.collection("books").await;
    for n in 0..3 {
        world.segment(&cell, n * 5000..n * 5000 + 5000).await;
    }
    let bytes: u64 = cell.live().iter().map(|s| s.insert_bytes).sum();
    let api = api(&world);
    set(&api, Some(bytes as f64 / 1_048_576.0)).await;
    let began = Instant::now();
    let job = world.compact(&cell).await;
    world.ended(job).await;
    // The last object is not waited for.
    let seconds = began.elapsed().as_secs_f64();
    assert!(seconds > 0.95, "{seconds} s for {bytes} bytes in and less out");
}

#[tokio::test]
async fn a_throttle_is_changed_while_merges_wait_for_it() {
    let world = World::new().await;
    let cell = shelf(&world, "books").await;
    let api = api(&world);
    // A byte per second: this would take most of an hour.
    set(&api, Some(1.0 / 1_048_576.0)).await;
    let job = world.compact(&cell).await;
    world.executing(world.view(job).plans[0].id).await;
    set(&api, Some(0.0)).await;
    world.ended(job).await;
}

fn request(cell: &CollectionCell, segment: SegmentId, priority: i32, deadline_ms: i64) -> ManualCompactionRequest {
    let segment_ids = vec![segment.0];
    ManualCompactionRequest { collection: named(cell), segment_ids, priority, deadline_ms, ..Default::default() }
}

async fn ask(api: &ControlApi, request: ManualCompactionRequest) -> JobId {
    JobId(api.manual_compaction(Request::new(request)).await.unwrap().into_inner().job_id)
}

#[tokio::test]
async fn the_more_urgent_request_is_executed_first_also_after_a_restart() {
    let world = World::with(|config| config.worker.max_concurrency = 1).await;
    let cell = world.collection("books").await;
    let mut segments = Vec::new();
    for n in 0..4 {
        segments.push(world.segment(&cell, n * 10..n * 10 + 10).await);
        world.delete(&cell, n * 10..n * 10 + 2).await;
    }
    pause(&api(&world), Scope::Everything(true)).await;
    let mut jobs = Vec::new();
    for (segment, priority) in segments.into_iter().zip([0, -100, 100, 50]) {
        jobs.push(ask(&api(&world), request(&cell, segment, priority, 0)).await);
    }
    let world = world.restarted().await;
    resume(&api(&world), Scope::Everything(true)).await;
    let mut targets = Vec::new();
    for job in &jobs {
        let view = world.ended(*job).await;
        let PlanState::Completed { targets: ids, .. } = &view.plans[0].state else { panic!("{view:?}") };
        targets.push((ids[0], *job));
    }
    // Ids of outputs are given when a plan executes.
    targets.sort();
    let order: Vec<JobId> = targets.into_iter().map(|(_, job)| job).collect();
    assert_eq!(order, [jobs[2], jobs[3], jobs[0], jobs[1]]);
    let get = GetCompactionRequest { job_id: jobs[1].0 };
    let job = api(&world).get_compaction(Request::new(get)).await.unwrap().into_inner().job.unwrap();
    assert_eq!(job.priority, -100);
}

#[tokio::test]
async fn a_job_ends_at_its_deadline() {
    let world = World::new().await;
    let cell = world.collection("books").await;
    let segment = world.segment(&cell, 0..10).await;
    world.delete(&cell, 0..2).await;
    let api = api(&world);
    let now_ms = crate::clock::Clock::now_ms(&crate::clock::SystemClock::new()) as i64;
    world.hold();
    let job = ask(&api, request(&cell, segment, 0, now_ms + 300)).await;
    let view = world.ended(job).await;
    let PlanState::Cancelled { by, .. } = &view.plans[0].state else { panic!("{view:?}") };
    assert_eq!(by, "the deadline of its request");

    for (bad, text) in [
        (request(&cell, segment, 0, now_ms - 1), "deadline_ms"),
        (request(&cell, segment, 0, -1), "deadline_ms: -1"),
        (request(&cell, segment, 101, 0), "priority: 101"),
    ] {
        let trigger = Some(plan_compaction_request::Trigger::Manual(bad.clone()));
        let dry_run = api
            .plan_compaction(Request::new(PlanCompactionRequest { trigger, ..Default::default() }))
            .await
            .unwrap_err();
        let status = api.manual_compaction(Request::new(bad)).await.unwrap_err();
        assert_eq!(dry_run.code(), status.code());
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(text), "{status}");
    }
}

/// An hour that begins in two hours.
fn closed_now() -> crate::config::Windows {
    let now_ms = crate::clock::Clock::now_ms(&crate::clock::SystemClock::new());
    let hour = |later: u64| (now_ms / 3_600_000 + later) % 24;
    crate::config::Windows::parse(&format!("{:02}:00-{:02}:00", hour(2), hour(3))).unwrap()
}

#[tokio::test]
async fn outside_of_the_windows_only_requests_are_carried_out() {
    let world = World::with(|config| {
        config.compaction.auto_enabled = true;
        config.compaction.max_small_segments = 1;
        config.compaction.windows = closed_now();
    })
    .await;
    let cell = shelf(&world, "books").await;
    let api = api(&world);
    let trigger = plan_compaction_request::Trigger::Automatic(named(&cell).unwrap());
    let dry_run = api
        .plan_compaction(Request::new(PlanCompactionRequest { trigger: Some(trigger), ..Default::default() }))
        .await
        .unwrap();
    assert!(dry_run.into_inner().reason.starts_with("outside of the configured windows"));
    assert!(world.coordinator.jobs().is_empty());
    let job = world.compact(&cell).await;
    assert_eq!(world.ended(job).await.counts().completed, 1);
}
