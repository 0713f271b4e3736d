//! A job: one trigger's work. SDKs call its id the compaction id.

use serde::{Deserialize, Serialize};

use super::{CollectionId, JobId, PlanId, PlanState, Timestamp};
use crate::fault::{self, Planted};

/// The cause of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// A client called ManualCompaction: no thresholds apply.
    Manual,
    /// A segment became Flushed: its group is planned.
    Flush,
    /// The global timer: every group is planned.
    Tick,
}

impl Trigger {
    pub const ALL: [Self; 3] = [Self::Manual, Self::Flush, Self::Tick];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Flush => "flush",
            Self::Tick => "tick",
        }
    }
}

/// Conditions that a request attaches to its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Terms {
    /// Greater runs sooner, among the requests for one collection; 0 is the default.
    #[serde(default)]
    pub priority: i32,
    /// Plans that have not ended by then are cancelled, milliseconds since 1970; none: no deadline.
    #[serde(default)]
    pub deadline_ms: Option<u64>,
    /// Deletes newer than this stay, even outside the retention window; none: only the window counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timetravel: Option<Timestamp>,
}

impl Terms {
    fn are_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// Stored as JSON, like plans. Its state is not stored: it follows from its plans.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    pub id: JobId,
    pub trigger: Trigger,
    pub collection: CollectionId,
    pub created_at_ms: u64,
    /// Plans in the order in which they were made.
    pub plans: Vec<PlanId>,
    /// The reason, if there are no plans.
    pub nothing_to_do: Option<String>,
    #[serde(default, skip_serializing_if = "Terms::are_usual")]
    pub terms: Terms,
}

/// State of a job, derived from the states of its plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    Executing,
    /// All plans have completed, or there were none.
    Completed,
    /// Some plans have completed; the others failed, timed out or were cancelled.
    PartiallyCompleted,
    /// No plan has completed, and not all of them were cancelled.
    Failed,
    Cancelled,
}

/// Plans of a job by state.
///
/// Invariant: `total` is the sum of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JobCounts {
    pub total: u64,
    /// Queued or executing.
    pub executing: u64,
    pub completed: u64,
    pub failed: u64,
    pub timed_out: u64,
    pub cancelled: u64,
}

impl JobCounts {
    pub fn of<'a>(states: impl IntoIterator<Item = &'a PlanState>) -> Self {
        let mut counts = Self::default();
        for state in states {
            counts.total += 1;
            match state {
                PlanState::Queued { .. } | PlanState::Executing { .. } => counts.executing += 1,
                PlanState::Completed { .. } => counts.completed += 1,
                PlanState::Failed { .. } if fault::planted(Planted::FailedIsCompleted) => counts.completed += 1,
                PlanState::Failed { .. } => counts.failed += 1,
                PlanState::TimedOut { .. } => counts.timed_out += 1,
                PlanState::Cancelled { .. } => counts.cancelled += 1,
            }
        }
        counts
    }

    pub fn is_finished(&self) -> bool {
        self.executing == 0
    }

    pub fn state(&self) -> JobState {
        match *self {
            Self { executing: 1.., .. } => JobState::Executing,
            Self { completed, total, .. } if completed == total => JobState::Completed,
            Self { completed: 1.., .. } => JobState::PartiallyCompleted,
            Self { cancelled, total, .. } if cancelled == total => JobState::Cancelled,
            _ => JobState::Failed,
        }
    }
}
