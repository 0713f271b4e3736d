//! Watching plans while they run.
//!
//! A watch follows the job book's announcements for changes of state, and samples executing plans at intervals for rows
//! and bytes. It keeps no history: a slow reader gets the latest state, never a backlog, and never misses an end.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::sync::broadcast::{self, error::RecvError};

use crate::{
    coordinator::{Coordinator, CoordinatorError, JobView},
    model::{JobId, Pauses, Plan, PlanId, PlanState, Progress, RequestError},
};

/// Speed is measured over this much of the past.
const WINDOW: Duration = Duration::from_secs(10);
/// Samples closer together than this tell nothing about speed.
const SAMPLE: Duration = Duration::from_millis(50);

/// The stage that a plan is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Queued,
    /// Waits because it, its collection or everything is paused.
    Paused,
    /// Reading deletes and keys, to find out which rows survive.
    Reading,
    Merging,
    /// All rows are merged; statistics are written and the result is committed.
    Committing,
    Ended,
}

impl Phase {
    fn of(plan: &Plan, progress: Progress, pauses: &Pauses) -> Self {
        match plan.state {
            PlanState::Queued { .. } if pauses.of_job(plan.job, plan.group.collection).is_some() => Self::Paused,
            PlanState::Queued { .. } => Self::Queued,
            PlanState::Executing { .. } if progress.done_bytes == 0 => Self::Reading,
            PlanState::Executing { .. } if progress.done_bytes < progress.total_bytes => Self::Merging,
            PlanState::Executing { .. } => Self::Committing,
            _ => Self::Ended,
        }
    }
}

/// One plan at one moment.
#[derive(Debug, Clone)]
pub struct PlanEvent {
    pub plan: Plan,
    pub progress: Progress,
    pub phase: Phase,
    /// Bytes of inputs per second over the last seconds; none until two looks found it executing.
    pub bytes_per_second: Option<f64>,
    /// Until all rows are merged, at that speed; none while it is not known.
    pub eta: Option<Duration>,
    /// Milliseconds since 1970.
    pub at_ms: u64,
}

/// An event of a watch.
#[derive(Debug, Clone)]
pub enum WatchEvent {
    Plan(Box<PlanEvent>),
    /// All plans of the job that is watched have ended: the last event.
    JobEnded(Box<JobView>),
}

/// A running watch; dropping it ends it.
pub struct Watch {
    coordinator: Arc<Coordinator>,
    /// None: everything.
    job: Option<JobId>,
    every: Duration,
    changes: broadcast::Receiver<PlanId>,
    ready: VecDeque<PlanEvent>,
    /// Plans whose end has not been reported.
    followed: BTreeMap<PlanId, Followed>,
    is_over: bool,
}

/// The last event of a plan, and the samples for its speed.
#[derive(Debug, Default)]
struct Followed {
    last: Option<(PlanState, Progress, Phase)>,
    samples: VecDeque<(Duration, u64)>,
}

impl Followed {
    fn sample(&mut self, now: Duration, bytes: u64) {
        // An attempt that begins anew begins at zero.
        if self.samples.back().is_some_and(|(_, before)| bytes < *before) {
            self.samples.clear();
        }
        if self.samples.back().is_none_or(|(at, _)| now.saturating_sub(*at) >= SAMPLE) {
            self.samples.push_back((now, bytes));
        }
        while self.samples.front().is_some_and(|(at, _)| now.saturating_sub(*at) > WINDOW) {
            self.samples.pop_front();
        }
    }

    fn bytes_per_second(&self) -> Option<f64> {
        let ((from, before), (to, after)) = (self.samples.front()?, self.samples.back()?);
        let seconds = to.saturating_sub(*from).as_secs_f64();
        (seconds > 0.0).then(|| (after - before) as f64 / seconds)
    }
}

impl Coordinator {
    /// Watches a job until its plans have ended, or everything until the watch is dropped or the server stops. Begins
    /// with the present state of each plan: all of the job's, or all that are unfinished. Looks every `every`.
    ///
    /// # Errors
    /// `JobNotFound`.
    pub fn watch(self: &Arc<Self>, job: Option<JobId>, every: Duration) -> Result<Watch, CoordinatorError> {
        // Listening comes first, so that nothing falls between.
        let changes = self.core.jobs.changes();
        let plans = match job {
            Some(id) => self.core.jobs.job(id).ok_or(RequestError::JobNotFound(id))?.plans,
            None => self.core.jobs.unfinished(),
        };
        let followed = plans.iter().map(|plan| (plan.id, Followed::default())).collect();
        let mut watch = Watch {
            coordinator: Arc::clone(self),
            job,
            every,
            changes,
            ready: VecDeque::new(),
            followed,
            is_over: false,
        };
        watch.look_at_all();
        Ok(watch)
    }

    /// Ends all watches: they would keep a server that is stopping from getting its calls done.
    pub fn end_watches(&self) {
        self.watches.cancel();
    }
}

impl Watch {
    /// The next event; none: the watch is over. Cancel safe.
    #[expect(clippy::disallowed_methods, reason = "a bounded wait; tests move tokio's clock")]
    pub async fn next(&mut self) -> Option<WatchEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(WatchEvent::Plan(Box::new(event)));
            }
            if self.is_over {
                return None;
            }
            if let Some(id) = self.job
                && self.followed.is_empty()
            {
                self.is_over = true;
                let view = self.coordinator.core.jobs.job(id)?;
                return Some(WatchEvent::JobEnded(Box::new(view)));
            }
            tokio::select! {
                biased;
                () = self.coordinator.watches.cancelled() => return None,
                changed = self.changes.recv() => match changed {
                    Ok(plan) => self.changed(plan),
                    Err(RecvError::Lagged(_)) => self.look_at_all(),
                    Err(RecvError::Closed) => return None,
                },
                () = tokio::time::sleep(self.every) => self.look_at_executing(),
            }
        }
    }

    fn changed(&mut self, plan: PlanId) {
        if self.job.is_none() {
            self.followed.entry(plan).or_default();
        }
        self.look_at(plan);
    }

    fn look_at_all(&mut self) {
        if self.job.is_none() {
            for plan in self.coordinator.core.jobs.unfinished() {
                self.followed.entry(plan.id).or_default();
            }
        }
        let all: Vec<PlanId> = self.followed.keys().copied().collect();
        all.into_iter().for_each(|plan| self.look_at(plan));
    }

    /// Waiting plans change only by announcement.
    fn look_at_executing(&mut self) {
        let executes = |m: &Followed| m.last.as_ref().is_some_and(|(s, ..)| matches!(s, PlanState::Executing { .. }));
        let executing: Vec<PlanId> = self.followed.iter().filter(|(_, m)| executes(m)).map(|(id, _)| *id).collect();
        executing.into_iter().for_each(|plan| self.look_at(plan));
        self.forget_left_plans();
    }

    /// A job that was cancelled no longer waits for plans that it shared.
    fn forget_left_plans(&mut self) {
        let Some(view) = self.job.and_then(|id| self.coordinator.core.jobs.job(id)) else { return };
        self.followed.retain(|id, _| view.job.plans.contains(id));
    }

    fn look_at(&mut self, id: PlanId) {
        let Some(followed) = self.followed.get_mut(&id) else { return };
        let Some(plan) = self.coordinator.core.jobs.plan(id) else {
            self.followed.remove(&id);
            return;
        };
        let progress = self.coordinator.plan_progress(&plan);
        let phase = Phase::of(&plan, progress, &self.coordinator.core.controls.read().pauses);
        if matches!(plan.state, PlanState::Executing { .. }) {
            followed.sample(self.coordinator.core.clock.monotonic(), progress.done_bytes);
        }
        let told = Some((plan.state.clone(), progress, phase));
        if followed.last == told {
            return;
        }
        followed.last = told;
        let bytes_per_second = followed.bytes_per_second();
        let left = progress.total_bytes.saturating_sub(progress.done_bytes) as f64;
        let seconds = bytes_per_second.filter(|rate| *rate > 0.0 && phase != Phase::Ended).map(|rate| left / rate);
        self.ready.push_back(PlanEvent {
            progress,
            phase,
            bytes_per_second,
            eta: seconds.and_then(|s| Duration::try_from_secs_f64(s).ok()),
            at_ms: self.coordinator.core.clock.now_ms(),
            plan,
        });
        if phase == Phase::Ended {
            self.followed.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn speed_is_that_of_the_last_seconds() {
        let mut followed = Followed::default();
        followed.sample(ms(0), 0);
        assert_eq!(followed.bytes_per_second(), None);
        followed.sample(ms(10), 5);
        assert_eq!(followed.bytes_per_second(), None, "too close to tell");
        followed.sample(ms(1000), 100);
        assert_eq!(followed.bytes_per_second(), Some(100.0));
        for second in 2..=30 {
            followed.sample(ms(second * 1000), 100 + (second - 1) * 1000);
        }
        assert_eq!(followed.bytes_per_second(), Some(1000.0), "the slow beginning is forgotten");
        followed.sample(ms(31_000), 3);
        assert_eq!(followed.bytes_per_second(), None, "another attempt");
    }
}
