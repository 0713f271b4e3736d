//! The control surface for an operator: history, cancelling, pauses, the throttle, dry runs, explanations, watching.
//!
//! Answers from the current state, or changes it through the catalog first. Must never decide what to compact: such
//! questions go to the planner, with the inputs that the triggers give it.

mod cancel;
mod dry_run;
mod explain;
mod garbage;
mod history;
mod lineage;
mod load;
mod pause;
mod segment_page;
mod timers;
mod watch;

pub use cancel::{CancelTarget, Cancelled};
pub use dry_run::{DryPlan, DryRun};
pub use explain::{Explanation, SegmentVerdict};
pub use garbage::GarbageReport;
pub use history::{JobFilter, JobPage};
pub use lineage::{Amplification, Ancestor, Origin};
pub use load::UnfinishedWork;
pub(super) use pause::apply_controls;
pub use pause::{PauseScope, ThrottleView};
pub use segment_page::SegmentPage;
pub use watch::{Phase, PlanEvent, Watch, WatchEvent};

/// Parts of the answers.
pub use crate::coordinator::{IndexExplanation, IndexStanding};
pub use crate::planner::{PlanDraft, SkipReason};
