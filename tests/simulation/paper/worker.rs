//! A worker that merges records only, and fails in every way that a worker can.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use datacoord::{
    compactor::{CompactionOutcome, CompactionTask, OutputSegment},
    error::ErrorKind,
    model::{
        ClusterRange, FieldId, LogFile, LogId, PlanKind, ProgressReport, Scalar, SegmentId, SegmentLogs, Timestamp,
    },
    scheduler::{RunningTask, Task, TaskOutcome, Worker, WorkerError},
};
use futures::FutureExt;
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    kit::{model, numbers::Numbers},
    paper::world::Journal,
};

pub const ROW_BYTES: u64 = 1024;
pub const DELETE_BYTES: u64 = 20;
pub const CLUSTERING_KEY: FieldId = FieldId(101);

/// The course of an attempt that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Succeeds after so many beats of ten seconds. Many beats take longer than the limit for an attempt without progress,
    /// but each of them is progress.
    Work {
        beats: u64,
    },
    Transient,
    Corrupt,
    Panic,
    /// Makes no progress; ends when it is told to.
    Hang,
    /// Makes no progress and ignores its cancellation.
    Deaf,
    /// Makes no progress, and answers with a result when it is told to stop.
    Late,
}

pub struct PaperWorker {
    pub seed: u64,
    /// While this is false, everything succeeds.
    pub faults: Arc<AtomicBool>,
    pub journal: Journal,
}

impl PaperWorker {
    fn fate(&self, task: &CompactionTask) -> Fate {
        let mut numbers = Numbers::of(self.seed, &[task.plan.id.0 as u64, u64::from(task.plan.attempts)]);
        if !self.faults.load(Ordering::SeqCst) {
            return Fate::Work { beats: numbers.below(3) };
        }
        match numbers.below(100) {
            0..14 => Fate::Transient,
            14..17 => Fate::Corrupt,
            17..22 => Fate::Panic,
            22..28 => Fate::Hang,
            28..31 => Fate::Deaf,
            31..37 => Fate::Late,
            37..42 => Fate::Work { beats: 40 },
            _ => Fate::Work { beats: numbers.below(8) },
        }
    }
}

impl Worker for PaperWorker {
    fn start(&self, task: Task, reports: watch::Sender<ProgressReport>, cancel: CancellationToken) -> RunningTask {
        let Task::Compaction(task) = task else { panic!("there are no indexes on paper") };
        let (fate, journal) = (self.fate(&task), self.journal.clone());
        let done = async move {
            let error = |kind: ErrorKind| Err(WorkerError { kind, message: format!("it is {}", kind.as_str()) });
            match fate {
                Fate::Work { beats } => {
                    for _ in 0..beats {
                        tokio::select! {
                            biased;
                            () = cancel.cancelled() => return error(ErrorKind::Cancelled),
                            () = sleep(Duration::from_secs(10)) => {}
                        }
                        reports.send_modify(|report| report.beat += 1);
                    }
                    Ok(TaskOutcome::Compaction(merge(&task)))
                }
                Fate::Transient => {
                    sleep(Duration::from_secs(5)).await;
                    error(ErrorKind::Transient)
                }
                Fate::Corrupt => error(ErrorKind::Corrupt),
                // Without the panic hook: it would fill the output with traces of intended panics.
                Fate::Panic => std::panic::resume_unwind(Box::new("on purpose")),
                Fate::Hang => {
                    cancel.cancelled().await;
                    error(ErrorKind::Cancelled)
                }
                Fate::Deaf => std::future::pending().await,
                Fate::Late => {
                    cancel.cancelled().await;
                    journal.note_late(task.plan.id, task.plan.attempts);
                    Ok(TaskOutcome::Compaction(merge(&task)))
                }
            }
        };
        RunningTask { done: done.boxed() }
    }
}

pub fn log(ids: &AtomicI64, rows: u64, row_bytes: u64) -> LogFile {
    let ts = Timestamp::from_ms(1_700_000_000_000);
    model::log_file(ids.fetch_add(1, Ordering::SeqCst), rows, rows * row_bytes, ts)
}

pub fn logs(ids: &AtomicI64, rows: u64) -> SegmentLogs {
    let insert = vec![(FieldId(100), vec![log(ids, rows, ROW_BYTES)])];
    SegmentLogs { insert, ..SegmentLogs::default() }
}

/// Each delete kills a row of its own; outputs are cut as the compactor cuts them.
fn merge(task: &CompactionTask) -> CompactionOutcome {
    let ids = AtomicI64::new(task.ids.start);
    let consumed: Vec<(SegmentId, LogId)> =
        task.inputs.iter().flat_map(|i| i.logs.delta.iter().map(|log| (i.segment.id, log.id))).collect();
    let rows_in: u64 = task.inputs.iter().map(|i| i.logs.rows()).sum();
    let deletes: u64 = task.inputs.iter().flat_map(|i| &i.logs.delta).map(|log| log.rows).sum();
    let mut outcome = CompactionOutcome {
        outputs: vec![],
        rows_in,
        rows_deleted: 0,
        rows_expired: 0,
        rows_out: 0,
        expired_before: Timestamp::ZERO,
        bytes_read: 0,
        bytes_written: 0,
        consumed_deltas: consumed,
    };
    if task.plan.kind == PlanKind::L0Delete {
        return outcome;
    }
    outcome.rows_deleted = deletes;
    outcome.rows_out = rows_in - deletes;
    outcome.bytes_written = outcome.rows_out * ROW_BYTES;
    let limit = (task.plan.max_output_bytes / ROW_BYTES).max(1);
    let even = outcome.rows_out.div_ceil(outcome.rows_out.div_ceil(limit).max(1)).max(1);
    let clustering = task.plan.kind == PlanKind::Clustering;
    let limit = if clustering || even * 25 >= limit * 22 { even } else { limit };
    let mut left = outcome.rows_out;
    while left > 0 {
        let rows = left.min(limit);
        left -= rows;
        let id = SegmentId(ids.fetch_add(1, Ordering::SeqCst));
        let cluster_range = clustering.then(|| ClusterRange::of(CLUSTERING_KEY, Scalar::Int(id.0)));
        outcome.outputs.push(OutputSegment { id, logs: logs(&ids, rows), rows, pk_range: None, cluster_range });
    }
    assert!(ids.load(Ordering::SeqCst) <= task.ids.end, "more ids than the task brings");
    outcome
}
