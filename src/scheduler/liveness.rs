//! Which executions are stuck: their progress beat has not moved for too long.
//!
//! A value with a time argument. Only executions are watched, so time in the queue never counts; and an execution that
//! moves, however slowly, is never given up.

use std::{collections::HashMap, time::Duration};

use crate::{
    fault::{self, Planted},
    model::PlanId,
};

#[derive(Debug)]
struct Heartbeat {
    beat: u64,
    /// Since when it shows this beat, on the monotonic clock.
    since: Duration,
}

#[derive(Debug)]
pub(super) struct Liveness {
    timeout: Duration,
    watched: HashMap<PlanId, Heartbeat>,
}

impl Liveness {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, watched: HashMap::new() }
    }

    /// How often to look: a stall is noticed at most this long after its deadline.
    pub(super) fn interval(&self) -> Duration {
        (self.timeout / 8).max(Duration::from_millis(1))
    }

    pub(super) fn is_idle(&self) -> bool {
        self.watched.is_empty()
    }

    pub(super) fn begin(&mut self, plan: PlanId, beat: u64, now: Duration) {
        self.watched.insert(plan, Heartbeat { beat, since: now });
    }

    pub(super) fn end(&mut self, plan: PlanId) {
        self.watched.remove(&plan);
    }

    /// Notes the current beat. Returns for how long it has been the same, once that is too long.
    pub(super) fn observe(&mut self, plan: PlanId, beat: u64, now: Duration) -> Option<Duration> {
        let watch = self.watched.get_mut(&plan)?;
        if watch.beat != beat {
            *watch = Heartbeat { beat, since: now };
        }
        let idle = now.saturating_sub(watch.since);
        (idle >= self.timeout && !fault::planted(Planted::HangUnnoticed)).then_some(idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: PlanId = PlanId(7);

    fn seconds(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn only_time_without_progress_counts() {
        let mut liveness = Liveness::new(seconds(10));
        liveness.begin(PLAN, 0, seconds(100));
        assert_eq!(liveness.observe(PLAN, 0, seconds(109)), None);
        assert_eq!(liveness.observe(PLAN, 1, seconds(111)), None, "moved just in time");
        assert_eq!(liveness.observe(PLAN, 1, seconds(120)), None);
        assert_eq!(liveness.observe(PLAN, 1, seconds(121)), Some(seconds(10)));
    }

    #[test]
    fn a_plan_that_does_not_execute_is_not_stuck() {
        let mut liveness = Liveness::new(seconds(10));
        assert_eq!(liveness.observe(PLAN, 0, seconds(1000)), None);
        liveness.begin(PLAN, 5, seconds(1000));
        liveness.end(PLAN);
        assert_eq!(liveness.observe(PLAN, 5, seconds(2000)), None);
        // A new execution starts from its own beginning.
        liveness.begin(PLAN, 5, seconds(2000));
        assert_eq!(liveness.observe(PLAN, 5, seconds(2009)), None);
    }

    #[test]
    fn looks_often_enough() {
        assert_eq!(Liveness::new(seconds(80)).interval(), seconds(10));
        assert_eq!(Liveness::new(Duration::ZERO).interval(), Duration::from_millis(1));
    }
}
