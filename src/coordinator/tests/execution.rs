//! Merges that hang, on a whole coordinator with real files: noticed, begun again, and given up in the end.

use std::time::Duration;

use crate::{
    config::Config,
    coordinator::JobView,
    model::{Plan, PlanId, PlanState},
    standalone::tests::World,
};

fn impatient(config: &mut Config, timeout: Duration, attempts: u32) {
    config.worker.progress_timeout = timeout;
    config.worker.max_attempts = attempts;
    config.worker.retry_backoff = Duration::from_millis(1);
}

async fn until_attempt(world: &World, plan: PlanId, number: u32) {
    let executes = |p: &Plan| p.attempts >= number && matches!(p.state, PlanState::Executing { .. });
    world.until(|| Some(world.plan(plan)).filter(executes)).await;
}

#[tokio::test]
async fn a_merge_that_hangs_is_begun_again_and_takes_effect_once() {
    let world = World::with(|config| impatient(config, Duration::from_millis(500), 50)).await;
    let cell = world.collection("c").await;
    world.segment(&cell, 0..100).await;
    world.segment(&cell, 100..200).await;
    world.hold();
    let job = world.compact(&cell).await;
    let plan = world.view(job).plans[0].id;
    until_attempt(&world, plan, 3).await;
    assert_eq!(cell.live().len(), 2, "nothing of the first two attempts has happened");
    world.release();
    let view = world.ended(job).await;
    assert!(matches!(view.plans[0].state, PlanState::Completed { rows_out: 200, .. }), "{:?}", view.plans[0].state);
    assert_eq!((cell.live().len(), cell.rows(None)), (1, 200));
}

#[tokio::test]
async fn a_merge_that_hangs_in_every_attempt_times_out_and_is_not_planned_again_by_itself() {
    let world = World::with(|config| {
        impatient(config, Duration::from_secs(1), 2);
        config.compaction.auto_enabled = true;
    })
    .await;
    let cell = world.collection("c").await;
    let segment = world.segment(&cell, 0..100).await;
    world.hold();
    world.delete(&cell, 0..50).await;
    world.standalone.ingest().flush_deltas(cell.id).await.unwrap();
    let timed_out = |view: &JobView| view.counts().timed_out == 1;
    let of_cell = || world.coordinator.jobs().of_collection(cell.id);
    let view = world.until(|| of_cell().into_iter().find(timed_out)).await;
    let plan = &view.plans[0];
    assert_eq!(plan.attempts, 2);
    let PlanState::TimedOut { message, .. } = &plan.state else { panic!("{:?}", plan.state) };
    assert!(message.starts_with("no progress for ") && message.ends_with(" in attempt 2"), "{message}");

    world.coordinator.tick().await;
    assert_eq!(of_cell().len(), 1, "it would only hang again");
    let why = world.coordinator.why_not_planned(&cell.segment(segment).unwrap()).unwrap();
    assert!(why.starts_with("its last plan failed (exhausted), tried again from "), "{why}");

    world.release();
    let view = world.ended(world.compact(&cell).await).await;
    assert!(matches!(view.plans[0].state, PlanState::Completed { rows_out: 50, .. }), "{:?}", view.plans[0].state);
}
