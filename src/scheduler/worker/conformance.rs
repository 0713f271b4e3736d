//! Rules for every [`Worker`]. `conformance!(bench, slow)` runs the suite: `bench` is a worker with work that it can do,
//! `slow` the same with work that only ends when it is told to.

use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{RunningTask, Task, TaskOutcome, Worker, WorkerError};
use crate::{
    error::ErrorKind,
    model::{Progress, ProgressReport},
};

/// Far more than any of this takes.
const SOON: Duration = Duration::from_secs(60);

/// A worker under test with its store.
#[async_trait]
pub(crate) trait WorkerBench: Sync {
    fn worker(&self) -> &dyn Worker;

    /// Work that succeeds and has an output.
    fn good(&self) -> Task;

    /// Damages an object of the work. The kind of the error, and the object's name, which the error has to contain.
    async fn damaged(&self) -> (Task, ErrorKind, String);

    /// Names of all objects in the store, sorted.
    async fn objects(&self) -> Vec<String>;
}

type TaskAnswer = Result<TaskOutcome, WorkerError>;

/// Runs a task to its end and collects the reports.
async fn run(bench: &dyn WorkerBench, task: Task) -> (TaskAnswer, Vec<ProgressReport>) {
    let (sender, mut reports) = watch::channel(ProgressReport::default());
    let RunningTask { done } = bench.worker().start(task, sender, CancellationToken::new());
    let collect = async {
        let mut seen = vec![*reports.borrow_and_update()];
        while reports.changed().await.is_ok() {
            seen.push(*reports.borrow_and_update());
        }
        seen.push(*reports.borrow());
        seen
    };
    tokio::time::timeout(SOON, async { tokio::join!(done, collect) }).await.expect("ends, and lets go of the reports")
}

fn ids_of(task: &Task) -> std::ops::Range<i64> {
    match task {
        Task::Compaction(task) => task.ids.clone(),
        // An index is named by its plan.
        Task::Index(task) => task.plan.id.0..task.plan.id.0 + 1,
    }
}

/// Ids of the output segments and of their objects.
fn ids_used(outcome: &TaskOutcome) -> Vec<i64> {
    match outcome {
        TaskOutcome::Compaction(outcome) => {
            let of_output = |output: &crate::compactor::OutputSegment| {
                let logs = &output.logs;
                let of_fields = logs.insert.iter().chain(&logs.stats).flat_map(|(_, files)| files);
                let files: Vec<i64> = of_fields.chain(&logs.delta).map(|file| file.id.0).collect();
                std::iter::once(output.id.0).chain(files).collect::<Vec<_>>()
            };
            outcome.outputs.iter().flat_map(of_output).collect()
        }
        TaskOutcome::Index(outcome) => vec![outcome.index.build],
    }
}

pub(crate) async fn gives_one_outcome_made_of_its_own_ids(bench: &dyn WorkerBench) {
    let before = bench.objects().await;
    let task = bench.good();
    let reserved = ids_of(&task);
    let outcome = run(bench, task).await.0.unwrap();
    let used = ids_used(&outcome);
    assert!(!used.is_empty() && used.iter().all(|id| reserved.contains(id)), "{used:?} of {reserved:?}");
    assert_eq!(used.iter().collect::<BTreeSet<_>>().len(), used.len(), "no id twice");
    bench.worker().rest_ended().await;
    let after = bench.objects().await;
    assert!(before.iter().all(|name| after.contains(name)), "the inputs are untouched");
    assert!(after.len() > before.len());
}

pub(crate) async fn reports_progress_that_never_falls(bench: &dyn WorkerBench) {
    let (outcome, reports) = run(bench, bench.good()).await;
    outcome.unwrap();
    for pair in reports.windows(2) {
        let [before, after] = pair else { continue };
        let (old, new) = (before.progress, after.progress);
        assert!(before.beat <= after.beat && old.done_rows <= new.done_rows && old.done_bytes <= new.done_bytes);
        assert!(new.done_rows <= new.total_rows && new.done_bytes <= new.total_bytes);
    }
    let last = reports.last().unwrap();
    let Progress { total_rows, done_rows, total_bytes, done_bytes } = last.progress;
    assert!(total_rows > 0 && last.beat > 0);
    assert_eq!((done_rows, done_bytes), (total_rows, total_bytes));
}

pub(crate) async fn an_error_keeps_its_kind_and_names_the_object(bench: &dyn WorkerBench) {
    let (task, kind, object) = bench.damaged().await;
    let before = bench.objects().await;
    let (answer, reports) = run(bench, task).await;
    let error = answer.unwrap_err();
    assert_eq!(error.kind, kind, "{error}");
    assert!(error.message.contains(&object), "{error}");
    assert!(reports.last().unwrap().beat > 0, "it moved before it failed");
    assert_eq!(bench.objects().await, before, "a failed execution removes its objects");
}

pub(crate) async fn a_dropped_execution_leaves_nothing_running(bench: &dyn WorkerBench) {
    let (sender, mut reports) = watch::channel(ProgressReport::default());
    drop(bench.worker().start(bench.good(), sender, CancellationToken::new()));
    tokio::time::timeout(SOON, bench.worker().rest_ended()).await.expect("ends");
    while reports.changed().await.is_ok() {}
    let objects = bench.objects().await;
    tokio::task::yield_now().await;
    assert_eq!(bench.objects().await, objects, "nothing is written any more");
}

/// Of a worker whose work does not end by itself.
pub(crate) async fn ends_soon_when_it_is_told_to(slow: &dyn WorkerBench) {
    let before = slow.objects().await;
    let (sender, mut reports) = watch::channel(ProgressReport::default());
    let cancel = CancellationToken::new();
    let RunningTask { mut done } = slow.worker().start(slow.good(), sender, cancel.clone());
    // It is at work.
    tokio::select! {
        answer = &mut done => panic!("ended by itself: {answer:?}"),
        begun = reports.wait_for(|report| report.beat > 0) => assert!(begun.is_ok()),
    }
    cancel.cancel();
    let answer = tokio::time::timeout(SOON, done).await.expect("ends");
    assert_eq!(answer.unwrap_err().kind, ErrorKind::Cancelled);
    tokio::time::timeout(SOON, slow.worker().rest_ended()).await.expect("ends");
    assert_eq!(slow.objects().await, before);
}

pub(crate) async fn is_told_to_end_before_it_begins(bench: &dyn WorkerBench) {
    let before = bench.objects().await;
    let (sender, _) = watch::channel(ProgressReport::default());
    let cancel = CancellationToken::new();
    cancel.cancel();
    let RunningTask { done } = bench.worker().start(bench.good(), sender, cancel);
    let answer = tokio::time::timeout(SOON, done).await.expect("ends");
    assert_eq!(answer.unwrap_err().kind, ErrorKind::Cancelled);
    assert_eq!(bench.objects().await, before);
}

pub(crate) async fn two_executions_do_not_disturb_each_other(bench: &dyn WorkerBench) {
    let (first, second) = (bench.good(), in_other_ids(bench.good()));
    let ((first, _), (second, _)) = tokio::join!(run(bench, first), run(bench, second));
    let (mut first, second) = (ids_used(&first.unwrap()), ids_used(&second.unwrap()));
    first.retain(|id| second.contains(id));
    assert!(first.is_empty(), "ids of both: {first:?}");
}

/// The same task with the next range of ids.
fn in_other_ids(task: Task) -> Task {
    match task {
        Task::Compaction(mut task) => {
            let reserved = task.ids.clone();
            task.ids = reserved.end..reserved.end + (reserved.end - reserved.start);
            Task::Compaction(task)
        }
        Task::Index(mut task) => {
            task.plan.id.0 += 1;
            Task::Index(task)
        }
    }
}

macro_rules! conformance {
    ($bench:expr, $slow:expr) => {
        crate::scheduler::worker::conformance::conformance!(@ $bench,
            gives_one_outcome_made_of_its_own_ids,
            reports_progress_that_never_falls,
            an_error_keeps_its_kind_and_names_the_object,
            a_dropped_execution_leaves_nothing_running,
            is_told_to_end_before_it_begins,
            two_executions_do_not_disturb_each_other);
        crate::scheduler::worker::conformance::conformance!(@ $slow, ends_soon_when_it_is_told_to);
    };
    (@ $bench:expr, $($rule:ident),+) => {
        $(#[tokio::test]
        async fn $rule() {
            let bench = $bench.await;
            crate::scheduler::worker::conformance::$rule(&bench).await;
        })+
    };
}
pub(crate) use conformance;
