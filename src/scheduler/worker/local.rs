//! Executes plans in this process, with the compactor.

use std::sync::Arc;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use super::{Execution, Observe, Worker, WorkerError};
use crate::{
    compactor::{CompactError, CompactionTask, Compactor, ProgressCell},
    error::Classify,
    model::Progress,
};

/// The in-process worker. Its memory and threads are the compactor's, which bounds both over all plans.
pub struct LocalWorker {
    compactor: Arc<Compactor>,
}

impl LocalWorker {
    pub fn new(compactor: Arc<Compactor>) -> Self {
        Self { compactor }
    }
}

impl Worker for LocalWorker {
    fn start(&self, task: CompactionTask, cancel: CancellationToken) -> Execution {
        let compactor = Arc::clone(&self.compactor);
        let progress = Arc::new(ProgressCell::new());
        let cell = Arc::clone(&progress);
        let done = async move { compactor.run(&task, &cell, &cancel).await.map_err(WorkerError::from) };
        Execution { progress, done: done.boxed() }
    }
}

impl Observe for ProgressCell {
    fn progress(&self) -> Progress {
        self.snapshot()
    }

    fn beat(&self) -> u64 {
        ProgressCell::beat(self)
    }
}

impl From<CompactError> for WorkerError {
    fn from(error: CompactError) -> Self {
        Self { kind: error.kind(), message: error.to_string() }
    }
}
