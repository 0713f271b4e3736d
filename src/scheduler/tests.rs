//! The loop with a clock moved by hand, a worker that does as it is told and a sink that writes everything down.
//!
//! Every test runs on one thread: when nothing is left to do but wait, everything that could happen has happened.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::FutureExt;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    clock::{Clock, ManualClock},
    compactor::{CompactionOutcome, CompactionTask},
    config::WorkerConfig,
    error::ErrorKind,
    kit::model,
    model::{CollectionId, JobId, Plan, PlanId, PlanState, Progress, ProgressReport, Trigger},
};

/// The behaviour of an execution.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    Succeed,
    Fail(ErrorKind),
    Panic,
    /// Runs until the test releases it, then succeeds; stops when it is told to.
    Work,
    /// The same, but hears nothing.
    Deaf,
    /// Succeeds when it is told to stop.
    Late,
}

struct Gauge {
    reports: watch::Sender<ProgressReport>,
    release: Notify,
}

impl Gauge {
    /// Reports that the execution got on, by so many rows of 100.
    fn advance(&self, rows: u64) {
        self.reports.send_modify(|report| {
            report.beat += rows;
            report.progress = Progress { total_rows: 100, done_rows: report.beat, total_bytes: 0, done_bytes: 0 };
        });
    }
}

#[derive(Default)]
struct World {
    /// Next steps of a plan; when they are used up it succeeds.
    script: Mutex<HashMap<i64, Vec<Step>>>,
    refusals: Mutex<HashMap<i64, Vec<SinkRefusal>>>,
    commit_refusals: Mutex<HashMap<i64, Vec<SinkRefusal>>>,
    gauges: Mutex<HashMap<i64, Arc<Gauge>>>,
    log: Mutex<Vec<String>>,
    /// While it is there, failures are recorded only after it fires.
    hold_failures: Mutex<Option<CancellationToken>>,
}

impl World {
    fn note(&self, line: String) {
        self.log.lock().push(line);
    }

    fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock())
    }

    fn gauge(&self, plan: i64) -> Arc<Gauge> {
        Arc::clone(&self.gauges.lock()[&plan])
    }
}

fn next<T>(steps: &Mutex<HashMap<i64, Vec<T>>>, plan: i64) -> Option<T> {
    let mut steps = steps.lock();
    let steps = steps.get_mut(&plan)?;
    (!steps.is_empty()).then(|| steps.remove(0))
}

impl Worker for World {
    fn start(&self, task: Task, reports: watch::Sender<ProgressReport>, cancel: CancellationToken) -> RunningTask {
        let plan = task.plan().0;
        let step = next(&self.script, plan).unwrap_or(Step::Succeed);
        let gauge = Arc::new(Gauge { reports, release: Notify::new() });
        self.gauges.lock().insert(plan, Arc::clone(&gauge));
        let done = async move {
            match step {
                Step::Succeed => Ok(outcome()),
                Step::Fail(kind) => Err(WorkerError { kind, message: format!("it is {}", kind.as_str()) }),
                Step::Panic => panic!("oops"),
                Step::Deaf => {
                    gauge.release.notified().await;
                    Ok(outcome())
                }
                Step::Work | Step::Late => tokio::select! {
                    () = gauge.release.notified() => Ok(outcome()),
                    () = cancel.cancelled() => match step {
                        Step::Late => Ok(outcome()),
                        _ => Err(WorkerError { kind: ErrorKind::Cancelled, message: "cancelled".into() }),
                    },
                },
            }
        };
        RunningTask { done: done.boxed() }
    }
}

#[async_trait]
impl JobSink for World {
    async fn prepare(&self, attempt: Attempt) -> Result<Task, SinkRefusal> {
        self.note(format!("{} begins {}", attempt.plan, attempt.number));
        match next(&self.refusals, attempt.plan.0) {
            Some(refusal) => Err(refusal),
            None => Ok(task(attempt.plan)),
        }
    }

    async fn completed(&self, attempt: Attempt, _: TaskOutcome) -> Result<(), SinkRefusal> {
        if let Some(refusal) = next(&self.commit_refusals, attempt.plan.0) {
            return Err(refusal);
        }
        self.note(format!("{} completed {}", attempt.plan, attempt.number));
        Ok(())
    }

    async fn failed(&self, attempt: Attempt, failure: AttemptFailure) {
        let hold = self.hold_failures.lock().clone();
        if let Some(hold) = hold {
            hold.cancelled().await;
        }
        let retry = failure.retry_at_ms.map_or("never again".to_owned(), |at| format!("again at {at}"));
        self.note(format!("{} failed {}: {}, {retry}", attempt.plan, attempt.number, failure.message));
    }

    async fn timed_out(&self, attempt: Attempt, message: String) {
        self.note(format!("{} timed out {}: {message}", attempt.plan, attempt.number));
    }
}

fn outcome() -> TaskOutcome {
    TaskOutcome::Compaction(CompactionOutcome {
        outputs: vec![],
        rows_in: 0,
        rows_deleted: 0,
        rows_expired: 0,
        expired_before: crate::model::Timestamp::ZERO,
        rows_out: 0,
        bytes_read: 0,
        bytes_written: 0,
        consumed_deltas: vec![],
    })
}

fn plan(id: i64, collection: i64) -> Plan {
    Plan { max_output_bytes: 1, ..model::plan(id, id / 100, model::group(collection, 1, "c_1v0"), vec![]) }
}

fn task(id: PlanId) -> Task {
    let schema = Arc::new(model::schema("c", vec![]));
    Task::Compaction(CompactionTask {
        plan: plan(id.0, 1),
        schema,
        inputs: vec![],
        now_ms: 0,
        ids: 0..0,
        max_outputs: u64::MAX,
    })
}

struct Bench {
    world: Arc<World>,
    clock: Arc<ManualClock>,
    scheduler: Scheduler,
    stop: CancellationToken,
    run: tokio::task::JoinHandle<()>,
}

impl Bench {
    /// Three attempts, one second between the first two; stuck after 80 seconds.
    fn new(slots: usize, script: &[(i64, &[Step])]) -> Self {
        let world = Arc::new(World::default());
        world.script.lock().extend(script.iter().map(|(plan, steps)| (*plan, steps.to_vec())));
        let clock = Arc::new(ManualClock::at(1_000_000));
        let config = WorkerConfig {
            max_concurrency: slots,
            progress_timeout: Duration::from_secs(80),
            max_attempts: 3,
            retry_backoff: Duration::from_secs(1),
            ..WorkerConfig::default()
        };
        let scheduler = Scheduler::new(
            &config,
            Arc::clone(&clock) as Arc<dyn Clock>,
            Arc::clone(&world) as Arc<dyn JobSink>,
            Arc::clone(&world) as Arc<dyn Worker>,
        );
        let stop = CancellationToken::new();
        let run = tokio::spawn({
            let (scheduler, stop) = (scheduler.clone(), stop.clone());
            async move { scheduler.run(stop).await }
        });
        Self { world, clock, scheduler, stop, run }
    }

    fn enqueue(&self, id: i64, collection: i64) {
        self.scheduler.enqueue(&plan(id, collection), Trigger::Tick, 0);
    }

    /// Lets everything happen that can happen at this time.
    async fn settle(&self) -> Vec<String> {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        self.world.take_log()
    }

    /// Moves the clock and has the loop look at it.
    async fn advance(&self, seconds: u64) -> Vec<String> {
        self.clock.advance(Duration::from_secs(seconds));
        self.scheduler.wake();
        self.settle().await
    }

    fn release(&self, plan: i64) {
        self.world.gauge(plan).release.notify_one();
    }

    fn executing(&self) -> usize {
        self.scheduler.stats().executing.total()
    }
}

#[tokio::test]
async fn runs_queued_plans() {
    let bench = Bench::new(2, &[]);
    bench.enqueue(1, 1);
    bench.enqueue(2, 1);
    let log = bench.settle().await;
    assert_eq!(log, ["1 begins 1", "1 completed 1", "2 begins 1", "2 completed 1"]);
    let stats = bench.scheduler.stats();
    assert_eq!((stats.queued.total(), stats.executing.total()), (0, 0));
    assert_eq!((stats.totals.started, stats.totals.completed), (2, 2));
}

#[tokio::test]
async fn never_more_than_the_slots() {
    let bench = Bench::new(2, &[(1, &[Step::Work]), (2, &[Step::Work]), (3, &[Step::Work])]);
    for id in [1, 2, 3] {
        bench.enqueue(id, 1);
    }
    assert_eq!(bench.settle().await, ["1 begins 1", "2 begins 1"]);
    bench.release(2);
    assert_eq!(bench.settle().await, ["2 completed 1", "3 begins 1"]);
    assert_eq!(bench.executing(), 2);
}

#[tokio::test]
async fn a_busy_collection_delays_another_by_one_plan_per_slot() {
    let work: Vec<(i64, &[Step])> = (1..=1001).map(|id| (id, &[Step::Work][..])).collect();
    let bench = Bench::new(2, &work);
    for id in 1..=1000 {
        bench.enqueue(id, 1);
    }
    bench.settle().await;
    bench.enqueue(1001, 2);
    let mut begun = Vec::new();
    let mut running = vec![1, 2];
    // Each slot may turn to one more plan of the first collection before the second one has its turn.
    for _ in 0..2 {
        bench.release(running.remove(0));
        let log = bench.settle().await;
        let begins = log.iter().filter_map(|l| l.strip_suffix(" begins 1")).map(|id| id.parse::<i64>().unwrap());
        begun.extend(begins.inspect(|id| running.push(*id)));
    }
    assert!(begun.contains(&1001), "{begun:?}");
}

/// The bound: of N collections with work that may run, each stands once in the ring of turns, and a collection that had a turn goes
/// behind all that wait. So between the arrival of a collection's first plan and its beginning at most N - 1 other plans
/// begin, however many the others have queued, whether they ever succeed, and however many slots there are.
#[rstest::rstest]
#[tokio::test]
async fn a_new_collection_waits_for_one_plan_of_each_other(
    #[values(1, 2, 4)] slots: usize,
    #[values(0, 1, 2, 3)] plans_before: usize,
) {
    const BUSY: i64 = 1;
    const FAILING: i64 = 2;
    const OFF: i64 = 3;
    const NEW: i64 = 9;
    let fails = [Step::Fail(ErrorKind::Transient), Step::Fail(ErrorKind::Transient), Step::Fail(ErrorKind::Transient)];
    let mut script: Vec<(i64, &[Step])> = Vec::new();
    for (collection, plans) in [(BUSY, 1000), (FAILING, 300), (OFF, 300), (4, 2), (5, 2), (NEW, 1)] {
        let steps = if collection == FAILING { &fails[..] } else { &[Step::Work][..] };
        script.extend((0..plans).map(|plan| (collection * 10_000 + plan, steps)));
    }
    let bench = Bench::new(slots, &script);
    bench.scheduler.hold(QueueHold { collections: [CollectionId(OFF)].into(), ..QueueHold::default() });
    for (id, _) in script.iter().filter(|(id, _)| id / 10_000 != NEW) {
        bench.enqueue(*id, id / 10_000);
    }
    let (mut working, mut begun) = (Vec::new(), Vec::new());
    let new = NEW * 10_000;
    for step in 0.. {
        if step == plans_before {
            begun.clear();
            bench.enqueue(new, NEW);
        }
        // Repetitions of failing plans become due again and again.
        for line in bench.advance(1).await {
            let (id, what) = line.split_once(' ').unwrap();
            let id: i64 = id.parse().unwrap();
            if what.starts_with("begins") {
                begun.push(id);
                working.push(id);
            } else {
                working.retain(|w| *w != id);
            }
        }
        if begun.contains(&new) {
            break;
        }
        assert!(step < 50 && !working.is_empty(), "the newcomer never began");
        bench.release(working.remove(0));
    }
    let others = begun.iter().position(|id| *id == new).unwrap();
    let collections_that_may_run = 5;
    assert!(others < collections_that_may_run, "{others} other plans began first: {begun:?}");
    assert!(begun[..others].iter().all(|id| id / 10_000 != OFF));
}

#[tokio::test]
async fn transient_failures_are_repeated_with_doubling_pauses_and_an_end() {
    let flaky = [Step::Fail(ErrorKind::Transient), Step::Fail(ErrorKind::Transient), Step::Fail(ErrorKind::Exhausted)];
    let bench = Bench::new(1, &[(1, &flaky)]);
    bench.enqueue(1, 1);
    assert_eq!(bench.settle().await, ["1 begins 1", "1 failed 1: it is transient, again at 1001000"]);
    assert_eq!(bench.scheduler.stats().queued.total(), 1);
    bench.clock.advance(Duration::from_millis(999));
    assert_eq!(bench.advance(0).await, [""; 0]);
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!(bench.advance(0).await, ["1 begins 2", "1 failed 2: it is transient, again at 1003000"]);
    assert_eq!(bench.advance(2).await, ["1 begins 3", "1 failed 3: it is exhausted, never again"]);
    assert_eq!(bench.advance(1000).await, [""; 0]);
    let totals = bench.scheduler.stats().totals;
    assert_eq!((totals.started, totals.retried, totals.failed), (3, 2, 1));
}

#[tokio::test]
async fn permanent_failures_are_not_repeated() {
    for step in [Step::Fail(ErrorKind::Corrupt), Step::Fail(ErrorKind::Conflict)] {
        let bench = Bench::new(1, &[(1, std::slice::from_ref(&step))]);
        bench.enqueue(1, 1);
        let log = bench.settle().await;
        assert!(log[1].starts_with("1 failed 1: ") && log[1].ends_with(", never again"), "{log:?}");
        assert_eq!(bench.executing(), 0, "the slot is free again");
    }
}

#[tokio::test]
async fn a_failing_plan_does_not_hold_up_others() {
    let bench = Bench::new(1, &[(1, &[Step::Fail(ErrorKind::Transient), Step::Fail(ErrorKind::Transient)])]);
    bench.enqueue(1, 1);
    bench.enqueue(2, 1);
    let log = bench.settle().await;
    assert_eq!(log[2..], ["2 begins 1", "2 completed 1"], "the pause of the first one is no pause of the second");
}

#[tokio::test]
async fn the_sink_may_refuse_before_and_after() {
    let bench = Bench::new(1, &[]);
    let transient = SinkRefusal::Failed { kind: ErrorKind::Transient, message: "the store is away".into() };
    let outdated = SinkRefusal::Failed { kind: ErrorKind::Conflict, message: "segment 7 is gone".into() };
    bench.world.refusals.lock().extend([
        (1, vec![SinkRefusal::Ended]),
        (2, vec![transient.clone()]),
        (3, vec![outdated]),
    ]);
    bench.world.commit_refusals.lock().insert(4, vec![transient]);
    for id in 1..=4 {
        bench.enqueue(id, 1);
    }
    assert_eq!(
        bench.settle().await,
        [
            "1 begins 1",
            "2 begins 1",
            "2 failed 1: the store is away, again at 1001000",
            "3 begins 1",
            "3 failed 1: segment 7 is gone, never again",
            "4 begins 1",
            "4 failed 1: the store is away, again at 1001000",
        ]
    );
    assert_eq!(bench.advance(1).await, ["2 begins 2", "2 completed 2", "4 begins 2", "4 completed 2"]);
}

#[tokio::test]
async fn an_execution_without_progress_is_stuck() {
    let bench = Bench::new(2, &[(1, &[Step::Work]), (2, &[Step::Work])]);
    // Waits in the queue first: that time does not count.
    bench.scheduler.hold(QueueHold { everything: true, ..QueueHold::default() });
    bench.enqueue(1, 1);
    bench.enqueue(2, 1);
    assert_eq!(bench.advance(500).await, [""; 0]);
    bench.scheduler.hold(QueueHold::default());
    assert_eq!(bench.settle().await, ["1 begins 1", "2 begins 1"]);
    for _ in 0..7 {
        bench.world.gauge(1).advance(1);
        assert_eq!(bench.advance(11).await, [""; 0]);
    }
    bench.world.gauge(1).advance(1);
    let stalled = |plan| format!("{plan} failed 1: no progress for 80 s in attempt 1, again at ");
    assert_eq!(bench.advance(3).await, [stalled(2) + "1581000"]);
    bench.scheduler.cancel(PlanId(2)).await;
    assert_eq!(bench.advance(79).await, [""; 0], "the other one moved 3 seconds before that");
    assert_eq!(bench.advance(1).await, [stalled(1) + "1661000"]);
    assert_eq!(bench.executing(), 0);
}

#[tokio::test]
async fn a_plan_that_hangs_is_dispatched_again_and_times_out_when_attempts_are_used_up() {
    let bench = Bench::new(1, &[(1, &[Step::Work, Step::Late]), (2, &[Step::Late, Step::Late, Step::Late])]);
    bench.enqueue(1, 1);
    assert_eq!(bench.settle().await, ["1 begins 1"]);
    assert_eq!(bench.advance(80).await, ["1 failed 1: no progress for 80 s in attempt 1, again at 1081000"]);
    assert_eq!(bench.advance(1).await, ["1 begins 2"]);
    // The second one answers after its stop: that is refused, and the third is the one that counts.
    assert_eq!(bench.advance(80).await, ["1 failed 2: no progress for 80 s in attempt 2, again at 1163000"]);
    assert_eq!(bench.advance(2).await, ["1 begins 3", "1 completed 3"]);

    bench.enqueue(2, 1);
    let mut log = bench.settle().await;
    for seconds in [80, 1, 80, 2, 80] {
        log.extend(bench.advance(seconds).await);
    }
    let numbers: Vec<String> = (1..=3).map(|number| format!("2 begins {number}")).collect();
    assert_eq!(log.iter().filter(|l| l.contains("begins")).cloned().collect::<Vec<_>>(), numbers);
    assert_eq!(log.last().unwrap(), "2 timed out 3: no progress for 80 s in attempt 3");
    assert_eq!(bench.advance(1000).await, [""; 0]);
    let totals = bench.scheduler.stats().totals;
    assert_eq!((totals.started, totals.retried, totals.timed_out, totals.completed), (6, 4, 1, 1));
}

#[tokio::test]
async fn a_plan_whose_worker_dies_is_dispatched_again_a_bounded_number_of_times() {
    let bench = Bench::new(1, &[(1, &[Step::Panic]), (2, &[Step::Panic, Step::Panic, Step::Panic])]);
    bench.enqueue(1, 1);
    assert_eq!(bench.settle().await, ["1 begins 1", "1 failed 1: panicked: oops, again at 1001000"]);
    assert_eq!(bench.advance(1).await, ["1 begins 2", "1 completed 2"]);
    bench.enqueue(2, 1);
    let mut log = bench.settle().await;
    for seconds in [1, 2] {
        log.extend(bench.advance(seconds).await);
    }
    assert_eq!(log.last().unwrap(), "2 failed 3: panicked: oops, never again");
    assert_eq!((bench.advance(1000).await, bench.executing()), (vec![], 0), "the slot is free again");
}

#[tokio::test]
async fn cancelling_beats_the_repetition_of_a_hang() {
    let bench = Bench::new(1, &[(1, &[Step::Work])]);
    bench.enqueue(1, 1);
    bench.settle().await;
    bench.advance(80).await;
    assert!(bench.scheduler.cancel(PlanId(1)).await, "waits for its second attempt");
    assert_eq!(bench.advance(1000).await, [""; 0]);
}

#[tokio::test]
async fn cancels_waiting_and_running_plans() {
    let bench = Bench::new(1, &[(1, &[Step::Work])]);
    bench.enqueue(1, 1);
    bench.enqueue(2, 1);
    bench.settle().await;
    assert!(bench.scheduler.cancel(PlanId(2)).await, "waits");
    assert!(bench.scheduler.cancel(PlanId(1)).await, "executes");
    assert_eq!(bench.executing(), 0);
    assert_eq!(bench.settle().await, [""; 0], "neither is reported, and neither begins again");
    assert!(!bench.scheduler.cancel(PlanId(1)).await, "has ended");
    assert!(!bench.scheduler.cancel(PlanId(99)).await, "never was");
    assert_eq!(bench.scheduler.stats().totals.cancelled, 2);
}

#[tokio::test]
async fn cancels_jobs() {
    let work: Vec<(i64, &[Step])> = [101, 201, 202].map(|id| (id, &[Step::Work][..])).into();
    let bench = Bench::new(2, &work);
    for (id, collection) in [(101, 1), (201, 2), (102, 1), (202, 2), (103, 2)] {
        bench.enqueue(id, collection);
    }
    bench.settle().await;
    assert_eq!(bench.scheduler.cancel_job(JobId(1)).await, [101, 102, 103].map(PlanId));
    assert_eq!(bench.scheduler.cancel_job(JobId(2)).await, [201, 202].map(PlanId));
}

#[tokio::test]
async fn a_result_after_the_stop_is_refused() {
    let bench = Bench::new(2, &[(1, &[Step::Late]), (2, &[Step::Late])]);
    bench.enqueue(1, 1);
    bench.enqueue(2, 1);
    bench.settle().await;
    assert!(bench.scheduler.cancel(PlanId(1)).await);
    let stalled = "2 failed 1: no progress for 80 s in attempt 1, again at 1081000";
    assert_eq!(bench.advance(80).await, [stalled]);
    assert_eq!(bench.scheduler.stats().totals.completed, 0);
}

#[tokio::test]
async fn an_execution_that_ignores_its_stop_is_dropped() {
    let bench = Bench::new(1, &[(1, &[Step::Deaf])]);
    bench.enqueue(1, 1);
    bench.settle().await;
    let gauge = bench.world.gauge(1);
    let cancelled = tokio::time::timeout(Duration::from_secs(1), bench.scheduler.cancel(PlanId(1))).await;
    assert_eq!(cancelled, Ok(true));
    bench.world.gauges.lock().clear();
    assert_eq!(Arc::strong_count(&gauge), 1, "nothing of it is left");
}

#[tokio::test]
async fn cancelling_catches_a_plan_on_its_way_back_to_the_queue() {
    let bench = Bench::new(1, &[(1, &[Step::Fail(ErrorKind::Transient)])]);
    let hold = CancellationToken::new();
    *bench.world.hold_failures.lock() = Some(hold.clone());
    bench.enqueue(1, 1);
    assert_eq!(bench.settle().await, ["1 begins 1"]);
    let cancel = tokio::spawn({
        let scheduler = bench.scheduler.clone();
        async move { scheduler.cancel(PlanId(1)).await }
    });
    bench.settle().await;
    assert!(!cancel.is_finished(), "the failure is being recorded");
    hold.cancel();
    assert!(cancel.await.unwrap());
    assert_eq!(bench.settle().await.len(), 1);
    assert_eq!(bench.advance(10).await, [""; 0]);
    assert_eq!(bench.scheduler.stats().queued.total(), 0);
}

#[tokio::test]
async fn a_pause_lets_work_go_on() {
    let bench = Bench::new(2, &[(1, &[Step::Work])]);
    bench.enqueue(1, 1);
    bench.settle().await;
    bench.scheduler.hold(QueueHold { everything: true, ..QueueHold::default() });
    bench.enqueue(2, 1);
    bench.release(1);
    assert_eq!(bench.settle().await, ["1 completed 1"]);
    assert!(bench.scheduler.stats().paused);
    bench.scheduler.hold(QueueHold::default());
    assert_eq!(bench.settle().await, ["2 begins 1", "2 completed 1"]);
}

#[tokio::test]
async fn progress_is_that_of_the_execution() {
    let bench = Bench::new(1, &[(1, &[Step::Work])]);
    bench.enqueue(1, 1);
    assert_eq!(bench.scheduler.progress(PlanId(1)), None, "queued");
    bench.settle().await;
    bench.world.gauge(1).advance(42);
    assert_eq!(bench.scheduler.progress(PlanId(1)).map(|p| (p.done_rows, p.total_rows)), Some((42, 100)));
    bench.release(1);
    bench.settle().await;
    assert_eq!(bench.scheduler.progress(PlanId(1)), None, "ended");
}

#[tokio::test]
async fn stopping_reports_nothing() {
    let bench = Bench::new(1, &[(1, &[Step::Work])]);
    bench.enqueue(1, 1);
    bench.enqueue(2, 1);
    bench.settle().await;
    bench.stop.cancel();
    bench.run.await.unwrap();
    assert_eq!(bench.world.take_log(), [""; 0], "the plans are durable as they were and begin again at the next start");
}

#[tokio::test]
async fn a_plan_is_not_queued_twice() {
    let bench = Bench::new(1, &[(1, &[Step::Work])]);
    bench.enqueue(1, 1);
    bench.enqueue(1, 1);
    bench.settle().await;
    bench.enqueue(1, 1);
    assert_eq!((bench.executing(), bench.scheduler.stats().queued.total()), (1, 0));
}

#[tokio::test]
async fn attempts_go_on_counting_after_a_restart() {
    let bench = Bench::new(1, &[(1, &[Step::Fail(ErrorKind::Transient)])]);
    bench.scheduler.enqueue(&Plan { attempts: 2, ..plan(1, 1) }, Trigger::Tick, 0);
    assert_eq!(bench.settle().await, ["1 begins 3", "1 failed 3: it is transient, never again"]);
    let interrupted = Plan { attempts: 6, state: PlanState::Executing { started_at_ms: 1 }, ..plan(2, 1) };
    bench.scheduler.enqueue(&interrupted, Trigger::Tick, 0);
    assert_eq!(bench.settle().await, ["2 failed 7: begun 6 times without an end, never again"]);
}
