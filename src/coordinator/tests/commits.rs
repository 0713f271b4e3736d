//! Commits and collections at moments that no client can choose: an input that is gone by then, an answer that was lost, a
//! log that is behind.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::super::*;
use crate::{
    compactor::{CompactionOutcome, Compactor, ProgressSink},
    kit::model as fixture,
    model::{CollectionId, Group, JobId, Plan, PlanId, PlanInput, PlanState, SegmentId},
    scheduler::{Attempt, JobSink, QueueHold, SinkRefusal, Task, TaskOutcome},
    standalone::tests::World,
};

/// A process whose plans wait, with two segments and a plan that merges them.
async fn planned(world: &World) -> (Arc<CollectionCell>, Plan) {
    let cell = world.collection("c").await;
    world.segment(&cell, 0..10).await;
    world.segment(&cell, 10..20).await;
    world.coordinator.scheduler.hold(QueueHold { everything: true, ..QueueHold::default() });
    let job = world.compact(&cell).await;
    let plan = world.view(job).plans.remove(0);
    (cell, plan)
}

#[tokio::test]
async fn a_merge_whose_inputs_are_gone_by_its_commit_takes_no_effect() {
    let world = World::new().await;
    let (cell, plan) = planned(&world).await;
    let core = &world.coordinator.core;
    let attempt = Attempt { plan: plan.id, number: 1 };
    let Task::Compaction(task) = core.prepare(attempt).await.unwrap() else { panic!("a build") };
    let compactor = Compactor::new(core.store.clone(), core.config.binlog.clone(), &core.config.worker);
    let outcome = compactor.run(&task, &ProgressSink::new(), &CancellationToken::new()).await.unwrap();

    // Another plan over the same segments, which finds no row that survives.
    let state = PlanState::Executing { started_at_ms: 0 };
    let other = Plan { id: PlanId(8), job: JobId(7), attempts: 1, state, ..plan };
    world.remember(fixture::job(7, cell.id.0, &[8]), vec![other]);
    let nothing = CompactionOutcome { outputs: Vec::new(), rows_out: 0, rows_deleted: 20, ..outcome.clone() };
    core.completed(Attempt { plan: PlanId(8), number: 1 }, TaskOutcome::Compaction(nothing)).await.unwrap();
    assert_eq!((cell.live().len(), cell.dropped().len()), (0, 2));

    let refused = core.completed(attempt, TaskOutcome::Compaction(outcome)).await.unwrap_err();
    assert!(matches!(refused, SinkRefusal::Failed { .. }), "{refused:?}");
    assert_eq!((cell.live().len(), cell.dropped().len()), (0, 2));
    world.standalone.shutdown().await;
}

#[tokio::test]
async fn a_flush_that_is_repeated_because_its_answer_was_lost_is_committed_once() {
    let world = World::new().await;
    let cell = world.collection("c").await;
    let id = world.segment(&cell, 0..10).await;
    let (core, segment) = (&world.coordinator.core, cell.segment(id).unwrap());
    let logs = core.catalog.segment_logs(&segment.group, id).await.unwrap();
    let again = core.commit_flush(segment.clone(), logs, Vec::new()).await.unwrap();
    assert_eq!((again, cell.live()), (FlushOutcome::Committed, vec![segment]));
    world.standalone.shutdown().await;
}

/// A write path that could still replay one segment.
struct Behind(SegmentId);

#[async_trait]
impl WritePath for Behind {
    fn unflushed(&self) -> Vec<UnflushedSegment> {
        Vec::new()
    }

    fn is_flushed(&self, segment: SegmentId) -> bool {
        segment != self.0
    }

    fn waiting_deletes(&self, _: CollectionId) -> Vec<DeleteBatch> {
        Vec::new()
    }

    async fn flush_deletes(&self, _: CollectionId) -> Result<(), WritePathError> {
        Ok(())
    }

    async fn flushes_noted(&self) -> Result<(), WritePathError> {
        Ok(())
    }

    fn ailments(&self) -> Vec<Ailment> {
        Vec::new()
    }

    async fn stop(&self) {}
}

#[tokio::test]
async fn a_segment_that_the_log_could_replay_or_a_plan_holds_is_not_collected() {
    let world = World::with(|config| config.gc.drop_tolerance = Duration::ZERO).await;
    let cell = world.collection("c").await;
    let sources = [world.segment(&cell, 0..10).await, world.segment(&cell, 10..20).await];
    assert_eq!(world.ended(world.compact(&cell).await).await.counts().completed, 1);
    let input = PlanInput { segment: sources[1], rows: 10, bytes: 1, delta_rows: 0 };
    let held = fixture::plan(8, 7, Group::clone(&cell.dropped()[1].group), vec![input]);
    world.remember(fixture::job(7, cell.id.0, &[8]), vec![held.clone()]);
    let core = &world.coordinator.core;
    let collected = core.collect_garbage(&Behind(sources[0])).await.unwrap();
    assert_eq!((collected.segments, cell.dropped().len()), (0, 2));

    world.coordinator.jobs().update(Plan { state: PlanState::Cancelled { by: String::new(), ended_at_ms: 0 }, ..held });
    let collected = core.collect_garbage(&Behind(SegmentId(1))).await.unwrap();
    assert_eq!((collected.segments, cell.dropped().len()), (2, 0));
    world.standalone.shutdown().await;
}
