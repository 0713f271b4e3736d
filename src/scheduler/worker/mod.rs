//! Where a plan is executed: in this process, or later on a data node behind RPCs.
//!
//! A worker takes one [`Task`], reports its progress, and gives one [`TaskOutcome`] or one error. All of them are values
//! that can be sent. `conformance.rs` holds the rules for every worker.
//!
//! Must never: touch metadata. Objects that a worker wrote are garbage until its outcome is committed, so the scheduler
//! may drop an execution at any point.

#[cfg(test)]
pub(crate) mod conformance;
mod local;
mod task;

use futures::{FutureExt, future::BoxFuture};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use local::LocalWorker;
pub use task::{Task, TaskOutcome, WorkerError};

use crate::model::ProgressReport;

/// Executes tasks.
pub trait Worker: Send + Sync {
    /// Begins an execution, at once or when `done` is first polled. Does not block.
    ///
    /// `done` ends once, with the outcome or an error. It ends soon after `cancel` fires; the scheduler ignores the answer
    /// then. Dropping `done` ends the execution too, polled or not: nothing of it runs on after [`Self::rest_ended`].
    ///
    /// `reports` receives the progress. Within one execution neither the beat nor a count of work done falls. The beat
    /// has to change while the execution lives, also when it only waits for memory.
    fn start(&self, task: Task, reports: watch::Sender<ProgressReport>, cancel: CancellationToken) -> RunningTask;

    /// Waits until nothing is left of executions that have ended or were dropped: then they hold neither the catalog nor
    /// the store any more, and another process may open both. A worker whose executions live in `done` alone leaves
    /// nothing.
    fn rest_ended(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}

/// A running task as the scheduler holds it.
pub struct RunningTask {
    pub done: BoxFuture<'static, Result<TaskOutcome, WorkerError>>,
}
