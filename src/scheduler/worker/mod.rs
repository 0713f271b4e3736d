//! Who executes a plan: in this process, or later a data node behind RPCs.
//!
//! A worker must never touch metadata: whatever it wrote is garbage until its outcome is committed. So the scheduler may
//! drop an execution at any point.

mod local;

use std::sync::Arc;

use futures::{FutureExt, future::BoxFuture};
use tokio_util::sync::CancellationToken;

pub use local::LocalWorker;

use crate::{
    compactor::{CompactionTask, Outcome},
    error::{Classify, ErrorKind},
    model::Progress,
};

/// Executes plans.
pub trait Worker: Send + Sync {
    /// Begins an execution; nothing happens before `done` is polled.
    ///
    /// After `cancel` fires, `done` should end soon; what it then returns is not looked at. It may also be dropped.
    fn start(&self, task: CompactionTask, cancel: CancellationToken) -> Execution;

    /// Waits until nothing is left of executions that have ended or were dropped: then they hold neither the catalog nor
    /// the store any more, and both may be opened by another. One whose executions live in `done` alone has no rest.
    fn rest_ended(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}

/// A running plan as the scheduler holds it.
pub struct Execution {
    pub progress: Arc<dyn Observe>,
    pub done: BoxFuture<'static, Result<Outcome, WorkerError>>,
}

/// How far an execution is. Read from other threads while it runs.
pub trait Observe: Send + Sync {
    fn progress(&self) -> Progress;
    /// A number that changes whenever the execution gets on; the same number for too long means that it is stuck.
    fn beat(&self) -> u64;
}

/// Why an execution failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct WorkerError {
    pub kind: ErrorKind,
    /// Lower case, no full stop; names the object and the offset where there is one.
    pub message: String,
}

impl Classify for WorkerError {
    fn kind(&self) -> ErrorKind {
        self.kind
    }
}
