//! How far plans and jobs are. Only reads: progress decides nothing.

use super::{Coordinator, JobView};
use crate::model::{Plan, PlanState, Progress};

impl Coordinator {
    /// How far a plan is: measured while it executes, all or nothing otherwise.
    pub fn plan_progress(&self, plan: &Plan) -> Progress {
        let (total_rows, total_bytes) = (plan.input_rows(), plan.input_bytes());
        match plan.state {
            PlanState::Executing { .. } => {
                self.scheduler.progress(plan.id).unwrap_or(Progress { total_rows, total_bytes, ..Progress::default() })
            }
            PlanState::Completed { .. } => {
                Progress { total_rows, done_rows: total_rows, total_bytes, done_bytes: total_bytes }
            }
            _ => Progress { total_rows, total_bytes, ..Progress::default() },
        }
    }

    pub fn job_progress(&self, job: &JobView) -> Progress {
        job.plans.iter().map(|plan| self.plan_progress(plan)).fold(Progress::default(), |sum, p| Progress {
            total_rows: sum.total_rows + p.total_rows,
            done_rows: sum.done_rows + p.done_rows,
            total_bytes: sum.total_bytes + p.total_bytes,
            done_bytes: sum.done_bytes + p.done_bytes,
        })
    }
}
