//! The latest state of each plan that events have told of.

use std::collections::{BTreeMap, VecDeque};

use crate::wire::proto::datacoord::{CompactionEvent, Plan, PlanPhase, Progress};

/// Ended plans that are kept, the newest ones; a watch may last for months.
const MOST_ENDED: usize = 100;
/// Share of a plan's rows after which a line tells of its progress again.
const STEP: f64 = 0.1;

/// A plan as the last event told it.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct PlanLine {
    pub(super) plan: Plan,
    pub(super) phase: PlanPhase,
    /// MB (2^20 bytes).
    pub(super) mb_per_second: Option<f64>,
    pub(super) eta_seconds: Option<f64>,
    /// Phase and share of the last line that told of it.
    told: Option<(PlanPhase, f64)>,
}

impl PlanLine {
    pub(super) fn progress(&self) -> Progress {
        self.plan.progress.unwrap_or_default()
    }

    pub(super) fn is_ended(&self) -> bool {
        self.phase == PlanPhase::Ended
    }

    /// Share of the bytes that are merged, 0 to 1.
    pub(super) fn share(&self) -> f64 {
        let Progress { total_bytes, done_bytes, .. } = self.progress();
        match self.phase {
            PlanPhase::Ended => 1.0,
            _ if total_bytes <= 0 => 0.0,
            _ => (done_bytes as f64 / total_bytes as f64).clamp(0.0, 1.0),
        }
    }
}

/// All plans that were told of.
#[derive(Debug, Default)]
pub(in crate::cli) struct Board {
    pub(super) open: BTreeMap<i64, PlanLine>,
    /// Oldest first.
    pub(super) ended: VecDeque<PlanLine>,
    /// Plans that have ended, those that are not kept included.
    pub(super) ended_count: u64,
    /// Milliseconds since 1970, of the last event.
    pub(super) at_ms: i64,
}

impl Board {
    /// Takes an event. Its plan comes back when a line should tell of it: at a change of its phase, and after each tenth of
    /// its bytes.
    pub(in crate::cli) fn take(&mut self, event: &CompactionEvent) -> Option<PlanLine> {
        self.at_ms = self.at_ms.max(event.at_ms);
        let plan = event.plan.clone()?;
        let told = self.open.get(&plan.plan_id).and_then(|line| line.told);
        let mut line = PlanLine {
            phase: event.phase(),
            mb_per_second: event.mb_per_second,
            eta_seconds: event.eta_seconds,
            plan,
            told,
        };
        let (phase, share) = (line.phase, line.share());
        let is_news = told.is_none_or(|(before, at)| before != phase || share - at >= STEP);
        if is_news {
            line.told = Some((phase, share));
        }
        let news = is_news.then(|| line.clone());
        if line.is_ended() {
            self.open.remove(&line.plan.plan_id);
            self.ended.push_back(line);
            self.ended_count += 1;
            if self.ended.len() > MOST_ENDED {
                self.ended.pop_front();
            }
        } else {
            self.open.insert(line.plan.plan_id, line);
        }
        news
    }

    /// Plans under way first, then those that wait; each by id.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &PlanLine> {
        let waits = |line: &&PlanLine| matches!(line.phase, PlanPhase::Queued | PlanPhase::Paused);
        self.open.values().filter(move |line| !waits(line)).chain(self.open.values().filter(waits))
    }
}
