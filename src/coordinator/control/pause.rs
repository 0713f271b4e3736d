//! Standing orders: pauses and the throttle. Durable before they take effect, and in effect again after a restart.

use std::sync::Arc;

use crate::{
    coordinator::{CollectionCell, Coordinator, CoordinatorError, Core},
    model::{CollectionId, Controls, JobId, Pause, Pauses, PlanId, RequestError},
    scheduler::{QueueHold, Scheduler},
};

/// The target of a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseScope {
    Everything,
    Collection(CollectionId),
    Job(JobId),
}

/// The limit on merging, and the measured rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ThrottleView {
    /// Bytes per second; 0: no limit.
    pub limit: u64,
    /// The limit of the configuration, in effect unless a call has set another.
    pub configured: u64,
    /// A call has set the limit that is in effect.
    pub is_set: bool,
    /// Bytes per second that merges have read and written over the last seconds.
    pub measured: f64,
}

impl Coordinator {
    /// Pauses a scope: its queued plans wait, and automatic planning leaves it out; plans under way go on. A second
    /// pause of a scope changes nothing. Returns all pauses.
    ///
    /// # Errors
    /// `CollectionIdNotFound`, `JobNotFound`, `JobEnded`.
    pub async fn pause(&self, scope: PauseScope, by: &str) -> Result<Pauses, CoordinatorError> {
        match scope {
            PauseScope::Everything => {}
            PauseScope::Collection(id) => {
                self.core.collections.by_id(id)?;
            }
            PauseScope::Job(id) => {
                let counts = self.core.jobs.counts(id).ok_or(RequestError::JobNotFound(id))?;
                if counts.is_finished() {
                    return Err(RequestError::JobEnded(id).into());
                }
            }
        }
        let pause = Pause { by: by.to_owned(), at_ms: self.core.clock.now_ms() };
        let pause = |controls: &mut Controls| {
            let pauses = &mut controls.pauses;
            match scope {
                PauseScope::Everything => {
                    pauses.everything.get_or_insert(pause);
                }
                PauseScope::Collection(id) => {
                    pauses.collections.entry(id).or_insert(pause);
                }
                PauseScope::Job(id) => {
                    pauses.jobs.entry(id).or_insert(pause);
                }
            }
        };
        self.change_controls(pause, |_| ()).await?;
        Ok(self.pauses())
    }

    /// Ends one pause; others that cover the same plans stay. Without a pause of this scope it changes nothing. Returns
    /// all pauses.
    pub async fn resume(&self, scope: PauseScope) -> Result<Pauses, CoordinatorError> {
        let resume = |controls: &mut Controls| {
            let pauses = &mut controls.pauses;
            match scope {
                PauseScope::Everything => pauses.everything = None,
                PauseScope::Collection(id) => {
                    pauses.collections.remove(&id);
                }
                PauseScope::Job(id) => {
                    pauses.jobs.remove(&id);
                }
            }
        };
        // Changes during the pause have not been planned.
        self.change_controls(resume, |core| core.look_again.notify_one()).await?;
        Ok(self.pauses())
    }

    pub fn pauses(&self) -> Pauses {
        self.core.controls.read().pauses.clone()
    }

    /// Limits merging from now on; none: as configured. Durable when it returns.
    pub async fn set_throttle(&self, bytes_per_second: Option<u64>) -> Result<ThrottleView, CoordinatorError> {
        self.change_controls(|controls| controls.throttle_bytes_per_second = bytes_per_second, |_| ()).await?;
        Ok(self.throttle())
    }

    pub fn throttle(&self) -> ThrottleView {
        let throttle = &self.core.throttle;
        let configured = self.core.config.worker.throttle_bytes;
        let is_set = self.core.controls.read().throttle_bytes_per_second.is_some();
        ThrottleView { limit: throttle.limit(), configured, is_set, measured: throttle.measured() }
    }

    /// Why automatic compaction of the collection waits now, apart from its switches.
    pub fn automatic_held(&self, cell: &CollectionCell) -> Option<String> {
        if let Some(pause) = self.core.controls.read().pauses.of_collection(cell.id) {
            return Some(format!("paused by {}", pause.by));
        }
        let windows = &self.core.config.compaction.windows;
        (!windows.is_open(self.core.clock.now_ms()))
            .then(|| format!("outside of the configured windows {windows} (UTC)"))
    }

    /// Changes the standing orders, durably, and applies them; `then` runs once they are in effect.
    async fn change_controls(
        &self,
        change: impl FnOnce(&mut Controls),
        then: impl FnOnce(&Core) + Send + 'static,
    ) -> Result<(), CoordinatorError> {
        let turn = Arc::clone(&self.core.controls_change).lock_owned().await;
        let before = self.core.controls.read().clone();
        let mut next = before.clone();
        self.forget_ended(&mut next.pauses);
        change(&mut next);
        if next == before {
            then(&self.core);
            return Ok(());
        }
        let mut txn = self.core.catalog.txn();
        txn.put_controls(&next);
        let (core, scheduler) = (Arc::clone(&self.core), self.scheduler.clone());
        let fold = move || {
            tracing::info!(
                paused = next.pauses.everything.is_some(),
                collections = next.pauses.collections.len(),
                jobs = next.pauses.jobs.len(),
                throttle = next.throttle_bytes_per_second,
                "standing orders changed"
            );
            *core.controls.write() = next;
            apply_controls(&core, &scheduler);
            then(&core);
        };
        self.core.catalog.commit(txn, turn, fold).await
    }

    /// Drops pauses of finished jobs and dropped collections.
    pub(in crate::coordinator) fn forget_ended(&self, pauses: &mut Pauses) {
        pauses.jobs.retain(|id, _| self.core.jobs.counts(*id).is_some_and(|counts| !counts.is_finished()));
        pauses.collections.retain(|id, _| self.core.collections.by_id(*id).is_ok());
    }
}

/// Hands the standing orders and the state of the windows to the scheduler and the throttle.
pub(in crate::coordinator) fn apply_controls(core: &Core, scheduler: &Scheduler) {
    let controls = core.controls.read().clone();
    scheduler.hold(QueueHold {
        everything: controls.pauses.everything.is_some(),
        automatic: !core.config.compaction.windows.is_open(core.clock.now_ms()),
        collections: controls.pauses.collections.keys().copied().collect(),
        jobs: controls.pauses.jobs.keys().copied().collect(),
    });
    core.throttle.set(controls.throttle_bytes_per_second.unwrap_or(core.config.worker.throttle_bytes));
    let waiting: Vec<PlanId> = core.jobs.unfinished().iter().map(|p| p.id).collect();
    core.jobs.announce(waiting);
}
