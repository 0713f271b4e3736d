//! The exit code of a job that was followed to its end.

use crate::{
    cli::exit::{CommandFailure, Exit},
    wire::proto::datacoord::{Compaction, JobState, Plan, PlanState},
};

/// An error unless all plans of a job that has ended have completed.
pub(super) fn check(job: &Compaction, plans: &[Plan]) -> anyhow::Result<()> {
    if job.state() == JobState::Completed {
        return Ok(());
    }
    let missed = job.deadline_ms > 0 && job.cancelled_plans > 0 && job.ended_at_ms >= job.deadline_ms;
    let exit = if missed { Exit::TooLong } else { Exit::Failed };
    let broken = plans.iter().find(|plan| plan.state() != PlanState::Completed);
    let why = broken.map(|plan| format!("plan {}: {}", plan.plan_id, plan.failure_reason)).unwrap_or_default();
    let counts = format!(
        "{} plans completed, {} failed, {} timed out, {} cancelled",
        job.completed_plans, job.failed_plans, job.timeout_plans, job.cancelled_plans
    );
    Err(CommandFailure::error(exit, format!("job {}: {counts}; {why}", job.job_id)))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn job(state: JobState, cancelled_plans: i64, deadline_ms: i64) -> Compaction {
        Compaction {
            job_id: 4,
            state: state as i32,
            cancelled_plans,
            deadline_ms,
            ended_at_ms: 100,
            ..Compaction::default()
        }
    }

    #[rstest]
    #[case::done(job(JobState::Completed, 0, 0), None)]
    #[case::failed(job(JobState::Failed, 0, 0), Some(Exit::Failed))]
    #[case::failed_before_its_deadline(job(JobState::Failed, 0, 50), Some(Exit::Failed))]
    #[case::partly(job(JobState::PartiallyCompleted, 0, 0), Some(Exit::Failed))]
    #[case::cancelled_by_somebody(job(JobState::Cancelled, 1, 200), Some(Exit::Failed))]
    #[case::cancelled_by_its_deadline(job(JobState::Cancelled, 1, 100), Some(Exit::TooLong))]
    fn only_a_completed_job_is_a_success(#[case] job: Compaction, #[case] exit: Option<Exit>) {
        assert_eq!(check(&job, &[]).err().map(|error| Exit::of(&error)), exit);
    }

    #[test]
    fn the_error_has_the_reason_of_the_first_plan_that_did_not_complete() {
        let plan = |plan_id, state: PlanState, why: &str| Plan {
            plan_id,
            state: state as i32,
            failure_reason: why.to_owned(),
            ..Plan::default()
        };
        let plans = [plan(1, PlanState::Completed, ""), plan(2, PlanState::Failed, "bad magic")];
        let failed = Compaction { completed_plans: 1, failed_plans: 1, ..job(JobState::PartiallyCompleted, 0, 0) };
        let text = check(&failed, &plans).unwrap_err().to_string();
        assert_eq!(text, "job 4: 1 plans completed, 1 failed, 0 timed out, 0 cancelled; plan 2: bad magic");
    }
}
