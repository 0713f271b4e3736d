//! The run of a plan from its task to its outcome.
//!
//! Must never: return an outcome while an object that it names may be missing or damaged.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use tokio_util::sync::CancellationToken;

use super::{
    CompactError, CompactionOutcome, CompactionTask, ProgressSink, Throttle,
    finish::{finish, pass_on_deletes},
    first_pass::{RowSurvey, survey},
    inputs::Inputs,
    l0_delete,
    memory::MemoryBudget,
    merge_run::{CompactorParts, Cores, MergeRun},
    piece_work::Selections,
    ranges, write,
};
use crate::{
    config::{BinlogConfig, WorkerConfig},
    model::{PlanKind, Timestamp},
    storage::SegmentStore,
};

/// Executes plans, several at once if asked. Cheap to clone; clones share the memory budget and the cores.
#[derive(Clone)]
pub struct Compactor {
    pub(super) shared: CompactorParts,
}

impl Compactor {
    /// The memory limit of `worker` holds for all plans that this compactor and its clones run.
    pub fn new(store: SegmentStore, binlog: BinlogConfig, worker: &WorkerConfig) -> Self {
        let budget = MemoryBudget::new(worker.memory_limit_bytes);
        let copied_bytes = binlog.max_bytes;
        let binlog = BinlogConfig {
            max_bytes: budget.binlog_bytes(binlog.max_bytes),
            page_bytes: budget.page_bytes(binlog.page_bytes),
            ..binlog
        };
        let cores = Cores::of_machine();
        Self { shared: CompactorParts { store, binlog, copied_bytes, budget, cores, throttle: None } }
    }

    /// Bytes of the memory limit that are taken.
    pub fn memory_used(&self) -> u64 {
        self.shared.budget.used_bytes()
    }

    /// Reads and writes no more than this allows.
    pub fn throttled(self, throttle: Arc<Throttle>) -> Self {
        Self { shared: CompactorParts { throttle: Some(throttle), ..self.shared } }
    }

    /// Merges the inputs of a task into new segments. Waits for memory first if other plans hold it.
    ///
    /// The inputs are never touched. After an error or a cancellation the objects of this run are deleted as far as the
    /// store allows. If the future is dropped, they are left for garbage collection.
    ///
    /// # Errors
    /// [`CompactError::Cancelled`] soon after `cancel`; errors of kind corrupt name object and offset.
    pub async fn run(
        &self,
        task: &CompactionTask,
        progress: &ProgressSink,
        cancel: &CancellationToken,
    ) -> Result<CompactionOutcome, CompactError> {
        let stop = cancel.child_token();
        // Work on other threads ends early if this future is dropped.
        let _stop_on_drop = stop.clone().drop_guard();
        let exec = MergeRun::new(&self.shared, task, progress, stop);
        let outcome = match task.plan.kind {
            PlanKind::L0Delete => l0_delete::check(&exec).await,
            PlanKind::Mix | PlanKind::Single | PlanKind::Clustering => merge(&exec).await,
            PlanKind::Index => Err(CompactError::Internal("a plan of an index as a merge".to_owned())),
        };
        // Objects that were decoded window by window are checked before the outcome can be committed.
        let outcome = match outcome {
            Ok(outcome) => exec.check_windows().await.map(|()| outcome),
            failed => failed,
        };
        match outcome {
            Ok(outcome) => Ok(outcome),
            Err(error) => {
                exec.clean_up().await;
                Err(if cancel.is_cancelled() { CompactError::Cancelled } else { error })
            }
        }
    }
}

/// Reads all inputs and writes all outputs.
async fn merge(exec: &MergeRun<'_>) -> Result<CompactionOutcome, CompactError> {
    let task = exec.task;
    let inputs = Inputs::open(task)?;
    exec.progress.start(inputs.rows(), inputs.bytes());
    let RowSurvey { selections, retained } = survey(exec, &inputs).await?;
    let selections: Selections = selections.into();
    for (batch, selection) in inputs.batches.iter().zip(selections.iter()) {
        // A batch without survivors is not looked at again.
        if selection.kept == 0 {
            exec.progress.add_rows(batch.rows);
            exec.progress.add_bytes(batch.bytes());
        }
    }

    let drafts = match task.plan.kind {
        PlanKind::Clustering => ranges::cluster(exec, &inputs, &selections).await?,
        _ => write::write(exec, &inputs, &selections).await?,
    };
    let mut outputs = Vec::with_capacity(drafts.len());
    for draft in drafts {
        outputs.push(finish(exec, &inputs, draft).await?);
    }
    if retained > 0 {
        pass_on_deletes(exec, &inputs, &mut outputs).await?;
    }
    exec.flush().await?;

    let rows_expired = selections.iter().map(|s| s.expired).sum();
    let bound = task.plan.ttl.filter(|_| rows_expired > 0).map(|ttl| Timestamp::expire_before(ttl, task.now_ms));
    Ok(CompactionOutcome {
        rows_in: inputs.rows(),
        rows_deleted: selections.iter().map(|s| s.deleted).sum(),
        rows_expired,
        expired_before: bound.unwrap_or_default(),
        rows_out: outputs.iter().map(|(output, _)| output.rows).sum(),
        outputs: outputs.into_iter().map(|(output, _)| output).collect(),
        bytes_read: exec.bytes_read.load(Relaxed),
        bytes_written: exec.bytes_written.load(Relaxed),
        consumed_deltas: exec.consumed(),
    })
}
