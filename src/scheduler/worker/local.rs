//! Executes tasks in this process, with the compactor.
//!
//! On threads of its own: a merge reads and writes as much as it computes, and all of that gives way to calls. Must never
//! let a merge run on a thread that answers clients.

use std::{io, sync::Arc};

use futures::{FutureExt, future::BoxFuture};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{RunningTask, Task, TaskOutcome, Worker, WorkerError};
use crate::{
    background::Background,
    compactor::{CompactError, Compactor, ProgressSink},
    error::{Classify, ErrorKind},
    model::ProgressReport,
};

/// Threads that begin reads and writes.
const THREADS: usize = 2;

/// The in-process worker. Its memory and cores are the compactor's, which bounds both over all plans. Objects that a merge
/// left half-way when this is dropped are garbage.
pub struct LocalWorker {
    compactor: Arc<Compactor>,
    merges: Background,
}

impl LocalWorker {
    /// # Errors
    /// Threads that can't be started.
    pub fn new(compactor: Arc<Compactor>) -> io::Result<Self> {
        Ok(Self { compactor, merges: Background::new("merge-io", THREADS)? })
    }
}

impl Worker for LocalWorker {
    /// Begins at once.
    fn start(&self, task: Task, reports: watch::Sender<ProgressReport>, cancel: CancellationToken) -> RunningTask {
        let compactor = Arc::clone(&self.compactor);
        let progress = ProgressSink::from(reports);
        let work = async move {
            match task {
                Task::Compaction(task) => {
                    let outcome = compactor.run(&task, &progress, &cancel).await;
                    outcome.map(TaskOutcome::Compaction).map_err(WorkerError::from)
                }
                Task::Index(task) => {
                    let outcome = compactor.build_index(&task, &progress, &cancel).await;
                    outcome.map(TaskOutcome::Index).map_err(WorkerError::from)
                }
            }
        };
        // Dropping the handle ends the work.
        let work = self.merges.spawn(work);
        let done = async move {
            work.await.unwrap_or_else(|error| {
                Err(WorkerError { kind: ErrorKind::Internal, message: format!("the merge ended early: {error}") })
            })
        };
        RunningTask { done: done.boxed() }
    }

    fn rest_ended(&self) -> BoxFuture<'_, ()> {
        self.merges.idle().boxed()
    }
}

impl From<CompactError> for WorkerError {
    fn from(error: CompactError) -> Self {
        Self { kind: error.kind(), message: error.to_string() }
    }
}

#[cfg(test)]
mod tests;
