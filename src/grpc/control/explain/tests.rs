//! Dry run and explanations.

use std::collections::BTreeMap;

use super::super::tests::*;
use crate::{
    coordinator::CompactionRequest,
    model::{PlanReason, SegmentId},
};

async fn dry(api: &ControlApi, trigger: plan_compaction_request::Trigger) -> PlanCompactionResponse {
    let request = PlanCompactionRequest { trigger: Some(trigger), ..Default::default() };
    api.plan_compaction(Request::new(request)).await.unwrap().into_inner()
}

fn manual(cell: &CollectionCell) -> ManualCompactionRequest {
    ManualCompactionRequest { collection: named(cell), ..Default::default() }
}

/// The parts of a dry-run plan that must equal those of the real one.
type Shape = (String, String, Vec<i64>, i64, i64);

fn drafted(plans: &[DraftPlan]) -> Vec<Shape> {
    let shape = |p: &DraftPlan| (p.kind.clone(), p.reason.clone(), p.sources.clone(), p.input_rows, p.input_bytes);
    plans.iter().map(shape).collect()
}

async fn executed(api: &ControlApi, job_id: i64) -> Vec<Shape> {
    let plans = api.get_compaction_plans(Request::new(GetCompactionPlansRequest { job_id })).await.unwrap();
    let shape = |p: Plan| {
        let total = p.progress.unwrap();
        (p.kind, p.reason, p.sources, total.total_rows, total.total_bytes)
    };
    plans.into_inner().plans.into_iter().map(shape).collect()
}

/// Segments with and without deletes, deletes that still wait in memory included.
async fn shelf(world: &World) -> std::sync::Arc<CollectionCell> {
    let cell = world.collection("books").await;
    for n in 0..5 {
        world.segment(&cell, n * 100..n * 100 + 100).await;
    }
    world.delete(&cell, 0..30).await;
    world.standalone.flush(&cell).await.unwrap();
    world.delete(&cell, 90..130).await;
    cell
}

#[tokio::test]
async fn a_dry_run_without_a_trigger_is_that_of_a_request() {
    let world = World::with(|config| config.compaction.max_segment_bytes = 4_000).await;
    let cell = shelf(&world).await;
    let api = api(&world);
    let asked = dry(&api, plan_compaction_request::Trigger::Manual(manual(&cell))).await;
    let collection = named(&cell);
    for trigger in [None, Some(plan_compaction_request::Trigger::Manual(ManualCompactionRequest::default()))] {
        let request = PlanCompactionRequest { collection: collection.clone(), trigger };
        let answer = api.plan_compaction(Request::new(request)).await.unwrap().into_inner();
        assert_eq!(drafted(&answer.plans), drafted(&asked.plans));
    }
    let nothing = api.plan_compaction(Request::new(PlanCompactionRequest::default())).await.unwrap_err();
    assert!(nothing.message().starts_with("collection: "), "{nothing}");
}

/// Right after a flush and while compaction is off the planner has not been asked: the answer says so.
#[tokio::test]
async fn a_segment_without_a_look_is_explained_too() {
    type Change = fn(&mut crate::config::Config);
    let table: [(Change, &str, &str); 4] = [
        (|c| c.compaction.enabled = false, "", "compaction is off: dataCoord.enableCompaction is false"),
        (|_| (), "", "nobody has asked for it, and automatic compaction is off: dataCoord.compaction.enable"),
        (|c| c.compaction.auto_enabled = true, "false", "nobody has asked for it, and automatic compaction is off by"),
        (|c| c.compaction.auto_enabled = true, "true", ""),
    ];
    for (change, own, expected) in table {
        let world = World::with(change).await;
        let own = (!own.is_empty()).then(|| ("collection.autocompaction.enabled".to_owned(), own.to_owned()));
        let cell = world.collection_with("books", own.into_iter().collect()).await;
        let segment = world.segment(&cell, 0..10).await;
        let why = world.coordinator.why_not_planned(&cell.segment(segment).unwrap()).unwrap();
        assert!(why.starts_with(expected) && !why.is_empty(), "{why}");
    }
}

#[tokio::test]
async fn a_dry_run_equals_the_request_and_writes_nothing() {
    // Sizes at which one plan does not take all segments.
    let world = World::with(|config| config.compaction.max_segment_bytes = 4_000).await;
    let cell = shelf(&world).await;
    let api = api(&world);
    let (objects, segments) = (world.objects(), cell.live());

    let dry_run = dry(&api, plan_compaction_request::Trigger::Manual(manual(&cell))).await;
    assert!(dry_run.plans.len() > 1, "{dry_run:?}");
    assert_eq!((dry_run.estimated_seconds, dry_run.merge_mb_per_second), (None, None), "nothing was measured");
    assert!(dry_run.plans.iter().all(|p| p.estimated_output_bytes > 0 && p.estimated_seconds.is_none()));
    assert_eq!(world.objects(), objects);
    assert_eq!(cell.live(), segments);
    assert!(world.coordinator.jobs().is_empty());

    let job_id = api.manual_compaction(Request::new(manual(&cell))).await.unwrap().into_inner().job_id;
    assert_eq!(executed(&api, job_id).await, drafted(&dry_run.plans));

    world.ended(JobId(job_id)).await;
    let again = loop {
        let dry_run = dry(&api, plan_compaction_request::Trigger::Manual(manual(&cell))).await;
        if dry_run.plans.is_empty() {
            break dry_run;
        }
        assert!(dry_run.plans.iter().all(|p| p.estimated_seconds.is_some_and(|s| s > 0.0)), "{dry_run:?}");
        let job = world.compact(&cell).await;
        world.ended(job).await;
    };
    assert!(!again.reason.is_empty(), "{again:?}");
    assert!(again.merge_mb_per_second.is_some_and(|rate| rate > 0.0));
    assert_eq!(again.estimated_seconds, Some(0.0));
}

#[tokio::test]
async fn a_dry_run_shows_the_plans_that_the_request_would_share() {
    let world = World::new().await;
    let cell = shelf(&world).await;
    let api = api(&world);
    world.hold();
    let job = world.compact(&cell).await;
    let dry_run = dry(&api, plan_compaction_request::Trigger::Manual(manual(&cell))).await;
    let plans: Vec<i64> = world.view(job).job.plans.iter().map(|p| p.0).collect();
    assert_eq!((dry_run.shared_plans, dry_run.plans.len()), (plans, 0));
    assert!(dry_run.skipped.iter().all(|s| s.reason.as_ref().unwrap().code == "reserved"));
}

#[tokio::test]
async fn a_dry_run_of_the_automatic_round() {
    let world = World::with(|config| {
        config.compaction.auto_enabled = true;
        config.compaction.max_small_segments = 100;
    })
    .await;
    let cell = shelf(&world).await;
    let api = api(&world);
    // The flush of deletes had the first segment rewritten; the rest is not enough for anything.
    let dry_run = dry(&api, plan_compaction_request::Trigger::Automatic(named(&cell).unwrap())).await;
    let codes: Vec<String> = dry_run.skipped.iter().map(|s| s.reason.clone().unwrap().code).collect();
    assert!(codes.iter().any(|c| c == "too_few_small"), "{dry_run:?}");
    let few = dry_run.skipped.iter().find_map(|s| s.reason.clone().filter(|r| r.code == "too_few_small")).unwrap();
    assert_eq!((few.threshold, few.unit.as_str()), (Some(101.0), "segments"));
}

async fn explain(api: &ControlApi, id: SegmentId) -> Explanation {
    let request = ExplainSegmentRequest { segment_id: id.0 };
    api.explain_segment(Request::new(request)).await.unwrap().into_inner().explanation.unwrap()
}

#[tokio::test]
async fn explains_from_the_state_as_it_is() {
    let world = World::with(|config| config.compaction.auto_enabled = true).await;
    let cell = world.collection("books").await;
    let api = api(&world);
    let first = world.segment(&cell, 0..100).await;
    let alone = explain(&api, first).await;
    let (automatic, on_request) = (alone.automatic.unwrap(), alone.on_request.unwrap());
    assert_eq!((automatic.code.as_str(), on_request.code.as_str()), ("alone", "planned"));
    assert!(automatic.remedy.contains("another segment"), "{}", automatic.remedy);
    assert!(alone.next_look_ms > 0);

    // Without another round of planning: the answer follows the state, not the rounds.
    world.segment(&cell, 100..200).await;
    let two = explain(&api, first).await;
    let (automatic, on_request) = (two.automatic.unwrap(), two.on_request.unwrap());
    assert_eq!((automatic.code.as_str(), on_request.code.as_str()), ("too_few_small", "planned"));
    assert_eq!(automatic.skipped.unwrap().value, Some(2.0));
    assert!(automatic.remedy.starts_with("9 more small segments"), "{}", automatic.remedy);
    assert_eq!(on_request.plan.unwrap().sources.len(), 2);

    world.hold();
    let job = world.compact(&cell).await;
    let plan = world.view(job).plans[0].id;
    let busy = explain(&api, first).await.automatic.unwrap();
    assert_eq!((busy.code.as_str(), busy.plan_id), ("in_plan", plan.0));
    world.release();
    world.ended(job).await;
    let gone = explain(&api, first).await;
    assert_eq!(gone.automatic.unwrap().code, "dropped");
    assert_eq!((gone.compaction_to.len(), gone.next_look_ms), (1, 0));

    let unknown = api.explain_segment(Request::new(ExplainSegmentRequest { segment_id: 3 })).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn explains_a_collection_with_counts() {
    let world = World::with(|config| config.compaction.auto_enabled = true).await;
    let off = BTreeMap::from([("collection.autocompaction.enabled".to_owned(), "false".to_owned())]);
    let cell = world.collection_with("off", off).await;
    let api = api(&world);
    for n in 0..3 {
        world.segment(&cell, n * 10..n * 10 + 10).await;
    }
    world.standalone.insert(&cell, "", crate::standalone::tests::rows(100..105)).await.unwrap();
    let request = ExplainCollectionRequest { collection: named(&cell), max_segments: 2 };
    let answer = api.explain_collection(Request::new(request)).await.unwrap().into_inner();
    assert_eq!((answer.segments, answer.explanations.len()), (4, 2));
    let counts: Vec<(&str, i64)> = answer.counts.iter().map(|c| (c.code.as_str(), c.segments)).collect();
    assert_eq!(counts, [("auto_off", 3), ("not_flushed", 1)]);
    assert_eq!(answer.explanations[0].next_look_ms, 0, "no timer looks at it");

    let request = ExplainCollectionRequest { collection: named(&cell), max_segments: -1 };
    let error = api.explain_collection(Request::new(request)).await.unwrap_err();
    assert!(error.message().starts_with("max_segments: -1"), "{error}");
}

/// Clients of Milvus wait until each of their segments is a source. The same rows are not written again and again.
#[tokio::test]
async fn a_request_rewrites_a_lone_segment_once_and_says_why_not_again() {
    let world = World::new().await;
    let cell = world.collection("books").await;
    let flushed = world.segment(&cell, 0..10).await;
    let job = world.compact(&cell).await;
    let plans = world.ended(job).await.plans;
    let [plan] = plans.as_slice() else { panic!("{plans:?}") };
    assert_eq!((&plan.reason, plan.inputs[0].segment), (&PlanReason::ManualFirst, flushed));
    let live = cell.live();
    let [written] = live.as_slice() else { panic!("{live:?}") };
    assert_eq!((written.rows, &*written.compaction_from), (10, &[flushed][..]));

    let again = world.coordinator.manual_compaction(&cell, CompactionRequest::default()).await.unwrap();
    assert_eq!(again.plans, 0);
    let why = again.nothing_to_do.unwrap();
    assert_eq!(why, format!("segment {}: alone in its group, and a compaction has written it already", written.id));
    assert_eq!(cell.live()[0].id, written.id);
}
