//! The stream of progress.

use futures::StreamExt;

use super::super::tests::*;
use super::EventStream;

async fn watch(api: &ControlApi, job_id: i64) -> EventStream {
    let request = WatchCompactionRequest { job_id, interval_ms: 50 };
    api.watch_compaction(Request::new(request)).await.unwrap().into_inner()
}

async fn next(events: &mut EventStream) -> Option<CompactionEvent> {
    let event = tokio::time::timeout(std::time::Duration::from_secs(60), events.next()).await;
    event.expect("no event came").map(Result::unwrap)
}

fn phase(event: &CompactionEvent) -> PlanPhase {
    PlanPhase::try_from(event.phase).unwrap()
}

#[tokio::test]
async fn follows_a_job_to_its_end() {
    let world = World::new().await;
    let cell = world.collection("books").await;
    for n in 0..3 {
        world.segment(&cell, n * 100..n * 100 + 100).await;
    }
    world.hold();
    let job = world.compact(&cell).await;
    world.executing(world.view(job).plans[0].id).await;
    let mut events = watch(&api(&world), job.0).await;
    let first = next(&mut events).await.unwrap();
    assert_eq!(phase(&first), PlanPhase::Reading);
    assert_eq!(first.plan.as_ref().unwrap().job_id, job.0);
    world.release();
    let mut phases = Vec::new();
    let mut done = 0;
    let end = loop {
        let event = next(&mut events).await.unwrap();
        let Some(plan) = &event.plan else { break event };
        let progress = plan.progress.unwrap();
        assert!(progress.done_rows >= done && progress.done_rows <= progress.total_rows, "{progress:?}");
        done = progress.done_rows;
        phases.push(phase(&event));
    };
    assert_eq!((phases.last(), done), (Some(&PlanPhase::Ended), 300));
    let job = end.job.unwrap();
    assert_eq!((job.state, job.completed_plans), (JobState::Completed as i32, 1));
    assert!(next(&mut events).await.is_none(), "over");
}

#[tokio::test]
async fn a_job_that_has_ended_is_told_and_over() {
    let world = World::new().await;
    let cell = world.collection("books").await;
    let job = world.compact(&cell).await;
    let mut events = watch(&api(&world), job.0).await;
    let only = next(&mut events).await.unwrap();
    assert!(only.plan.is_none());
    assert_eq!(only.job.unwrap().reason, "there are no flushed segments in scope");
    assert!(next(&mut events).await.is_none());
}

#[tokio::test]
async fn everything_is_followed_until_the_server_stops() {
    let world = World::new().await;
    let mut events = watch(&api(&world), 0).await;
    for name in ["a", "b"] {
        let cell = world.collection(name).await;
        world.segment(&cell, 0..10).await;
        world.segment(&cell, 10..20).await;
        let job = world.compact(&cell).await;
        loop {
            let event = next(&mut events).await.unwrap();
            assert_eq!(event.plan.as_ref().unwrap().job_id, job.0);
            if phase(&event) == PlanPhase::Ended {
                break;
            }
        }
    }
    world.coordinator.end_watches();
    assert!(next(&mut events).await.is_none());
}

#[tokio::test]
async fn cancelling_ends_the_watch() {
    let world = World::new().await;
    let cell = world.collection("books").await;
    world.segment(&cell, 0..10).await;
    world.segment(&cell, 10..20).await;
    world.hold();
    let maker = world.compact(&cell).await;
    let sharer = world.compact(&cell).await;
    let api = api(&world);
    let (mut shared, mut made) = (watch(&api, sharer.0).await, watch(&api, maker.0).await);
    for id in [sharer, maker] {
        let target = Some(cancel_compaction_request::Target::JobId(id.0));
        api.cancel_compaction(Request::new(CancelCompactionRequest { target, by: String::new() })).await.unwrap();
    }
    // The plan was left to its maker, so the sharer ended without one.
    for (events, expected) in [(&mut shared, JobState::Completed), (&mut made, JobState::Cancelled)] {
        let end = loop {
            let event = next(events).await.unwrap();
            if event.plan.is_none() {
                break event;
            }
        };
        assert_eq!(end.job.unwrap().state(), expected);
    }
}

#[tokio::test]
async fn bad_requests() {
    let world = World::new().await;
    for (job_id, interval_ms, code, text) in
        [(5, 0, Code::NotFound, "job 5"), (0, 49, Code::InvalidArgument, "interval_ms: 49")]
    {
        let request = WatchCompactionRequest { job_id, interval_ms };
        let Err(status) = api(&world).watch_compaction(Request::new(request)).await else { panic!("accepted") };
        assert_eq!(status.code(), code);
        assert!(status.message().contains(text), "{status}");
    }
}
