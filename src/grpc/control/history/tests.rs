//! Listing and cancelling.

use rstest::rstest;

use super::super::tests::*;
use crate::model::{CollectionId, Job, PlanState, Trigger};

fn job(id: i64, collection: i64, trigger: Trigger, created_at_ms: u64) -> Job {
    let collection = CollectionId(collection);
    let (plans, nothing_to_do) = (vec![], Some("tidy".to_owned()));
    Job { id: JobId(id), trigger, collection, created_at_ms, plans, nothing_to_do, terms: Default::default() }
}

async fn list(api: &ControlApi, request: ListCompactionsRequest) -> ListCompactionsResponse {
    api.list_compactions(Request::new(request)).await.unwrap().into_inner()
}

fn ids(answer: &ListCompactionsResponse) -> Vec<i64> {
    answer.jobs.iter().map(|j| j.job_id).collect()
}

/// Ten jobs: odd ones of collection 7 by flush, even ones of collection 8 by tick; made at 100 times their id.
async fn ten_jobs() -> World {
    let world = World::new().await;
    for id in 1..=10 {
        let (collection, trigger) = if id % 2 == 1 { (7, Trigger::Flush) } else { (8, Trigger::Tick) };
        world.remember(job(id, collection, trigger, 100 * id as u64), vec![]);
    }
    world
}

#[tokio::test]
async fn pages_go_from_the_newest_to_the_oldest_and_end() {
    let world = ten_jobs().await;
    let api = api(&world);
    let mut request = ListCompactionsRequest { page_size: 4, ..Default::default() };
    let mut pages = Vec::new();
    loop {
        let page = list(&api, request.clone()).await;
        pages.push(ids(&page));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
        // A job that is made meanwhile is on no later page.
        world.remember(job(100 + pages.len() as i64, 7, Trigger::Flush, 5000), vec![]);
    }
    assert_eq!(pages, [vec![10, 9, 8, 7], vec![6, 5, 4, 3], vec![2, 1]]);
}

#[tokio::test]
async fn a_full_last_page_is_the_last() {
    let world = ten_jobs().await;
    let page = list(&api(&world), ListCompactionsRequest { page_size: 10, ..Default::default() }).await;
    assert_eq!((page.jobs.len(), page.next_page_token.as_str()), (10, ""));
}

#[tokio::test]
async fn filters() {
    let world = ten_jobs().await;
    let api = api(&world);
    let of = |id| Some(CollectionRef { collection_id: id, ..CollectionRef::default() });
    let request = ListCompactionsRequest::default;
    for (request, expected) in [
        (ListCompactionsRequest { collection: of(7), ..request() }, vec![9, 7, 5, 3, 1]),
        (ListCompactionsRequest { collection: of(9), ..request() }, vec![]),
        (ListCompactionsRequest { trigger: "tick".into(), ..request() }, vec![10, 8, 6, 4, 2]),
        (ListCompactionsRequest { created_from_ms: 300, created_until_ms: 500, ..request() }, vec![4, 3]),
        (ListCompactionsRequest { state: JobState::Executing as i32, ..request() }, vec![]),
        (ListCompactionsRequest { collection: of(8), created_from_ms: 900, state: 2, ..request() }, vec![10]),
        (
            ListCompactionsRequest {
                collection: Some(CollectionRef { db_name: "default".into(), ..Default::default() }),
                ..request()
            },
            vec![],
        ),
    ] {
        assert_eq!(ids(&list(&api, request.clone()).await), expected, "{request:?}");
    }
}

#[rstest]
#[case::size(ListCompactionsRequest { page_size: 1001, ..Default::default() }, Code::InvalidArgument, "page_size: 1001")]
#[case::negative(ListCompactionsRequest { page_size: -1, ..Default::default() }, Code::InvalidArgument, "page_size: -1")]
#[case::token(
    ListCompactionsRequest { page_token: "x".into(), ..Default::default() }, Code::InvalidArgument, "page_token: \"x\"")]
#[case::trigger(
    ListCompactionsRequest { trigger: "me".into(), ..Default::default() }, Code::InvalidArgument, "trigger: \"me\"")]
#[case::state(ListCompactionsRequest { state: 9, ..Default::default() }, Code::InvalidArgument, "state: 9")]
#[case::time(
    ListCompactionsRequest { created_from_ms: -5, ..Default::default() }, Code::InvalidArgument, "created_from_ms: -5")]
#[case::database(
    ListCompactionsRequest {
        collection: Some(CollectionRef { db_name: "nope".into(), ..Default::default() }), ..Default::default()
    }, Code::NotFound, "nope")]
#[tokio::test]
async fn bad_filters_are_named(#[case] request: ListCompactionsRequest, #[case] code: Code, #[case] text: &str) {
    let world = World::new().await;
    let status = api(&world).list_compactions(Request::new(request)).await.unwrap_err();
    assert_eq!(status.code(), code);
    assert!(status.message().contains(text), "{}", status.message());
}

async fn cancel(api: &ControlApi, target: cancel_compaction_request::Target) -> CancelCompactionResponse {
    let request = CancelCompactionRequest { target: Some(target), by: "the test".into() };
    api.cancel_compaction(Request::new(request)).await.unwrap().into_inner()
}

use cancel_compaction_request::Target;

fn counts(world: &World, id: JobId) -> (u64, u64, u64) {
    let counts = world.view(id).counts();
    (counts.executing, counts.completed, counts.cancelled)
}

#[tokio::test]
async fn a_job_with_its_plans() {
    let world = World::new().await;
    let cell = world.collection("books").await;
    world.segment(&cell, 0..10).await;
    world.segment(&cell, 10..20).await;
    let id = world.compact(&cell).await;
    world.ended(id).await;
    let answer = api(&world).get_compaction(Request::new(GetCompactionRequest { job_id: id.0 })).await;
    let GetCompactionResponse { job: Some(job), plans } = answer.unwrap().into_inner() else { panic!("no job") };
    assert_eq!((job.job_id, job.state, job.completed_plans), (id.0, JobState::Completed as i32, 1));
    assert_eq!(job.collection.unwrap().collection_name, "books");
    assert!(job.ended_at_ms >= job.created_at_ms);
    assert_eq!(plans.len(), 1);
    assert_eq!((plans[0].sources.len(), plans[0].targets.len()), (2, 1));

    let unknown = api(&world).get_compaction(Request::new(GetCompactionRequest { job_id: 1 })).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

/// A queued plan ends at once; the executing one stops, leaves no object, and its inputs can be planned again. All of it
/// is still so after a restart.
#[tokio::test]
async fn cancelling_ends_queued_and_executing_plans_for_good() {
    let world = World::with(|config| config.worker.max_concurrency = 1).await;
    let cell = world.collection("books").await;
    let mut segments = Vec::new();
    for n in 0..4 {
        segments.push(world.segment(&cell, n * 10..n * 10 + 10).await);
        world.delete(&cell, n * 10..n * 10 + 4).await;
    }
    let before = {
        world.standalone.flush(&cell).await.unwrap();
        world.objects()
    };
    world.hold();
    let scope = |ids: &[crate::model::SegmentId]| crate::coordinator::CompactionRequest {
        segments: ids.to_vec(),
        ..Default::default()
    };
    let first = world.coordinator.manual_compaction(&cell, scope(&segments[..2])).await.unwrap().job;
    let second = world.coordinator.manual_compaction(&cell, scope(&segments[2..])).await.unwrap().job;
    let (running, waiting) = (world.view(first).plans[0].id, world.view(second).plans[0].id);
    world.executing(running).await;
    assert!(matches!(world.plan(waiting).state, PlanState::Queued { .. }));

    let api = api(&world);
    // The store gives no answer all the while: the merge has to stop without its reads coming back.
    let answer = cancel(&api, Target::PlanId(waiting.0)).await;
    assert_eq!((answer.cancelled, answer.ended_before), (vec![waiting.0], vec![]));
    let answer = cancel(&api, Target::JobId(first.0)).await;
    assert_eq!((answer.cancelled, answer.ended_before), (vec![running.0], vec![]));
    assert_eq!((counts(&world, first), counts(&world, second)), ((0, 0, 1), (0, 0, 1)));
    assert_eq!(world.objects(), before, "nothing of the stopped merge is left");

    let again = cancel(&api, Target::JobId(first.0)).await;
    assert_eq!((again.cancelled, again.ended_before), (vec![], vec![running.0]));

    drop(api);
    let world = world.restarted().await;
    assert_eq!((counts(&world, first), counts(&world, second)), ((0, 0, 1), (0, 0, 1)));
    let PlanState::Cancelled { by, .. } = world.plan(running).state else { panic!("not cancelled") };
    assert_eq!(by, "the test");
    // Released: the same segments are planned again, and this time it is done.
    let cell = world.coordinator.collection(cell.id).unwrap();
    let third = world.compact(&cell).await;
    let view = world.ended(third).await;
    assert_eq!(view.counts().completed, view.counts().total);
    let rows: u64 = cell.live().iter().map(|s| s.rows).sum();
    assert_eq!(rows, 4 * 6);
}

/// A job that shares another one's plan does not end it.
#[tokio::test]
async fn a_shared_plan_goes_on_for_the_job_that_made_it() {
    let world = World::new().await;
    let cell = world.collection("books").await;
    world.segment(&cell, 0..10).await;
    world.segment(&cell, 10..20).await;
    world.hold();
    let maker = world.compact(&cell).await;
    let plan = world.view(maker).plans[0].id;
    let sharer = world.compact(&cell).await;
    assert_eq!(world.view(sharer).job.plans, [plan]);

    let answer = cancel(&api(&world), Target::JobId(sharer.0)).await;
    assert_eq!((answer.cancelled, answer.left_to_others), (vec![], vec![plan.0]));
    assert_eq!((counts(&world, sharer), counts(&world, maker)), ((0, 0, 0), (1, 0, 0)));
    world.release();
    assert_eq!(world.ended(maker).await.counts().completed, 1);
}

#[rstest]
#[case::job(Some(Target::JobId(5)), "", Code::NotFound, "job 5")]
#[case::plan(Some(Target::PlanId(6)), "", Code::NotFound, "plan 6")]
#[case::nothing(None, "", Code::InvalidArgument, "target")]
#[case::long(Some(Target::JobId(5)), "x", Code::InvalidArgument, "by: 1001 bytes")]
#[tokio::test]
async fn unknown_targets_of_a_cancellation_are_refused(
    #[case] target: Option<Target>,
    #[case] by: &str,
    #[case] code: Code,
    #[case] text: &str,
) {
    let world = World::new().await;
    let request = CancelCompactionRequest { target, by: by.repeat(1001) };
    let status = api(&world).cancel_compaction(Request::new(request)).await.unwrap_err();
    assert_eq!(status.code(), code);
    assert!(status.message().contains(text), "{}", status.message());
}
