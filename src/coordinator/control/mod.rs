//! What an operator can ask and order beside "compact": look at the history, end work, see it coming.
//!
//! Everything here answers from the state as it is now, or changes it through the catalog first. Nothing here decides
//! what to compact: questions about that go to the planner, with the same inputs as the triggers give it.

mod cancel;
mod clockwork;
mod dry_run;
mod explain;
mod garbage;
mod history;
mod lineage;
mod pause;
mod rate;
mod watch;

pub use cancel::{CancelTarget, Cancelled};
pub(super) use clockwork::Deadlines;
pub use dry_run::{DryPlan, DryRun};
pub use explain::{Explanation, Verdict};
pub use garbage::GarbageReport;
pub use history::{JobFilter, JobPage};
pub use lineage::{Amplification, Ancestor, Origin};
pub(super) use pause::apply_controls;
pub use pause::{PauseScope, ThrottleView};
pub(super) use rate::MergeRate;
pub use watch::{Phase, PlanEvent, Watch, WatchEvent};
