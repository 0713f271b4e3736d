//! Jobs and plans in the messages of both APIs.
//!
//! SDKs know two states: *Executing* while a plan is queued or running, and *Completed* when all plans have ended. They
//! learn of failures only from the counters. Must never: send state 0, which makes waiting clients loop for ever.

use super::{
    proto::{
        common::{CompactionState, CompactionTaskState, CompactionType},
        datacoord, milvus,
    },
    segment::signed,
    status,
};
use crate::model::{Job, JobCounts, JobId, JobState, Plan, PlanKind, PlanState, Progress};

/// Target of a plan that has no output, now or for ever.
const NO_TARGET: i64 = -1;
/// Target of a completed plan of which no row survived.
const EMPTY_TARGET: i64 = 0;

/// Milvus' `ManualCompaction`.
pub fn started_response(job: JobId, plans: usize) -> milvus::ManualCompactionResponse {
    milvus::ManualCompactionResponse {
        status: Some(status::ok()),
        compaction_id: job.0,
        compaction_plan_count: plans as i32,
    }
}

/// Milvus' `GetCompactionState`. It has no counter for cancelled plans: they count as failed, so that the counters add up to
/// the number of plans.
pub fn state_response(counts: &JobCounts) -> milvus::GetCompactionStateResponse {
    milvus::GetCompactionStateResponse {
        status: Some(status::ok()),
        state: state(counts.is_finished()) as i32,
        executing_plan_no: signed(counts.executing),
        timeout_plan_no: signed(counts.timed_out),
        completed_plan_no: signed(counts.completed),
        failed_plan_no: signed(counts.failed.saturating_add(counts.cancelled)),
    }
}

/// Milvus' `GetCompactionStateWithPlans`: the plans of one job, or of all jobs of a collection.
pub fn plans_response<'a>(plans: impl IntoIterator<Item = &'a Plan>) -> milvus::GetCompactionPlansResponse {
    let plans: Vec<&Plan> = plans.into_iter().collect();
    milvus::GetCompactionPlansResponse {
        status: Some(status::ok()),
        state: state(plans.iter().all(|plan| plan.state.is_terminal())) as i32,
        merge_infos: plans.into_iter().map(merge_info).collect(),
    }
}

fn state(is_finished: bool) -> CompactionState {
    if is_finished { CompactionState::Completed } else { CompactionState::Executing }
}

/// One plan for SDKs. SDKs before 3.0 read only `sources` and `target`.
pub fn merge_info(plan: &Plan) -> milvus::CompactionMergeInfo {
    let (target, targets) = match &plan.state {
        PlanState::Completed { targets, .. } => {
            let targets: Vec<i64> = targets.iter().map(|id| id.0).collect();
            (targets.first().copied().unwrap_or(EMPTY_TARGET), targets)
        }
        _ => (NO_TARGET, Vec::new()),
    };
    milvus::CompactionMergeInfo {
        sources: plan.input_ids().map(|id| id.0).collect(),
        target,
        plan_id: plan.id.0,
        trigger_id: plan.job.0,
        collection_id: plan.group.collection.0,
        partition_id: plan.group.partition.0,
        channel: plan.group.channel.as_str().to_owned(),
        r#type: compaction_type(plan.kind) as i32,
        state: task_state(&plan.state) as i32,
        failure_reason: failure(&plan.state).1,
        targets,
    }
}

fn compaction_type(kind: PlanKind) -> CompactionType {
    match kind {
        PlanKind::Mix => CompactionType::Mix,
        PlanKind::Single => CompactionType::Single,
        PlanKind::Clustering => CompactionType::Clustering,
        PlanKind::L0Delete => CompactionType::Level0Delete,
        // Milvus builds indexes elsewhere; no list of compactions has such a plan.
        PlanKind::Index => CompactionType::Undefined,
    }
}

/// Milvus has no cancelled plans, so they are sent as failed; the reason names the canceller.
fn task_state(state: &PlanState) -> CompactionTaskState {
    match state {
        PlanState::Queued { .. } => CompactionTaskState::Pipelining,
        PlanState::Executing { .. } => CompactionTaskState::Executing,
        PlanState::Completed { .. } => CompactionTaskState::Completed,
        PlanState::Failed { .. } | PlanState::Cancelled { .. } => CompactionTaskState::Failed,
        PlanState::TimedOut { .. } => CompactionTaskState::Timeout,
    }
}

/// Kind and text of a plan's failure; both empty unless it failed, timed out or was cancelled.
fn failure(state: &PlanState) -> (&'static str, String) {
    match state {
        PlanState::Queued { .. } | PlanState::Executing { .. } | PlanState::Completed { .. } => ("", String::new()),
        PlanState::Failed { kind, message, .. } => (kind.as_str(), message.clone()),
        PlanState::TimedOut { message, .. } => ("timeout", message.clone()),
        PlanState::Cancelled { by, .. } => ("cancelled", format!("cancelled by {by}")),
    }
}

/// Our own `GetCompactionState`, which tells a failed job from a completed one. `progress` is that of the whole job.
pub fn job_state(job: &Job, counts: &JobCounts, progress: Progress) -> datacoord::GetCompactionStateResponse {
    let state = match counts.state() {
        JobState::Executing => datacoord::JobState::Executing,
        JobState::Completed => datacoord::JobState::Completed,
        JobState::PartiallyCompleted => datacoord::JobState::PartiallyCompleted,
        JobState::Failed => datacoord::JobState::Failed,
        JobState::Cancelled => datacoord::JobState::Cancelled,
    };
    datacoord::GetCompactionStateResponse {
        state: state as i32,
        executing_plans: signed(counts.executing),
        completed_plans: signed(counts.completed),
        failed_plans: signed(counts.failed),
        timeout_plans: signed(counts.timed_out),
        cancelled_plans: signed(counts.cancelled),
        trigger: job.trigger.as_str().to_owned(),
        reason: job.nothing_to_do.clone().unwrap_or_default(),
        progress: Some(progress_message(progress)),
    }
}

/// One plan of our own `GetCompactionPlans`; `progress` while it is executing.
pub fn plan_message(plan: &Plan, progress: Option<Progress>) -> datacoord::Plan {
    let (failure_kind, failure_reason) = failure(&plan.state);
    let (mut targets, mut started_at_ms, mut ended_at_ms) = (Vec::new(), 0, 0);
    let state = match &plan.state {
        PlanState::Queued { .. } => datacoord::PlanState::Queued,
        PlanState::Executing { started_at_ms: at } => {
            started_at_ms = *at;
            datacoord::PlanState::Executing
        }
        PlanState::Completed { targets: ids, ended_at_ms: at, .. } => {
            targets = ids.iter().map(|id| id.0).collect();
            ended_at_ms = *at;
            datacoord::PlanState::Completed
        }
        PlanState::Failed { ended_at_ms: at, .. } => {
            ended_at_ms = *at;
            datacoord::PlanState::Failed
        }
        PlanState::TimedOut { ended_at_ms: at, .. } => {
            ended_at_ms = *at;
            datacoord::PlanState::Timeout
        }
        PlanState::Cancelled { ended_at_ms: at, .. } => {
            ended_at_ms = *at;
            datacoord::PlanState::Cancelled
        }
    };
    datacoord::Plan {
        plan_id: plan.id.0,
        job_id: plan.job.0,
        collection_id: plan.group.collection.0,
        partition_id: plan.group.partition.0,
        channel: plan.group.channel.as_str().to_owned(),
        kind: plan.kind.as_str().to_owned(),
        reason: plan.reason.to_string(),
        state: state as i32,
        sources: plan.input_ids().map(|id| id.0).collect(),
        targets,
        failure_kind: failure_kind.to_owned(),
        failure_reason,
        attempts: i32::try_from(plan.attempts).unwrap_or(i32::MAX),
        progress: progress.map(progress_message),
        created_at_ms: signed(plan.created_at_ms),
        started_at_ms: signed(started_at_ms),
        ended_at_ms: signed(ended_at_ms),
    }
}

fn progress_message(progress: Progress) -> datacoord::Progress {
    datacoord::Progress {
        total_rows: signed(progress.total_rows),
        done_rows: signed(progress.done_rows),
        total_bytes: signed(progress.total_bytes),
        done_bytes: signed(progress.done_bytes),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::model::{
        Channel, CollectionId, FailureKind, Group, JobId, PartitionId, PlanId, PlanInput, PlanReason, SegmentId,
        Timestamp, Trigger,
    };

    fn plan(kind: PlanKind, state: PlanState) -> Plan {
        let input = |id| PlanInput { segment: SegmentId(id), rows: 1, bytes: 2, delta_rows: 3 };
        Plan {
            id: PlanId(50),
            job: JobId(40),
            group: Group {
                collection: CollectionId(7),
                partition: PartitionId(8),
                channel: Channel::new("by-dev-rootcoord-dml_0_7v0"),
            },
            kind,
            reason: PlanReason::DeltaLogs { delta_logs: 201, threshold: 200 },
            inputs: vec![input(3), input(4)],
            keep_deletes_after: Timestamp::ZERO,
            ttl: None,
            max_output_bytes: 1,
            created_at_ms: 1000,
            attempts: 2,
            state,
        }
    }

    fn completed(targets: &[i64]) -> PlanState {
        let targets = targets.iter().copied().map(SegmentId).collect();
        PlanState::Completed { targets, rows_out: 1, bytes_out: 1, ended_at_ms: 3000 }
    }

    fn queued() -> PlanState {
        PlanState::Queued { not_before_ms: 0 }
    }

    fn executing() -> PlanState {
        PlanState::Executing { started_at_ms: 2000 }
    }

    fn failed() -> PlanState {
        PlanState::Failed { kind: FailureKind::Corrupt, message: "bad magic".to_owned(), ended_at_ms: 3000 }
    }

    fn timed_out() -> PlanState {
        PlanState::TimedOut { message: "no progress".to_owned(), ended_at_ms: 3000 }
    }

    fn cancelled() -> PlanState {
        PlanState::Cancelled { by: "an operator".to_owned(), ended_at_ms: 3000 }
    }

    /// state, executing, timeout, completed, failed
    #[rstest]
    #[case::nothing_to_do(vec![], (2, 0, 0, 0, 0))]
    #[case::queued_counts_as_executing(vec![queued(), executing()], (1, 2, 0, 0, 0))]
    #[case::two_of_three(vec![completed(&[9]), executing(), completed(&[8])], (1, 1, 0, 2, 0))]
    #[case::all_failed(vec![failed(), timed_out()], (2, 0, 1, 0, 1))]
    #[case::cancelled_counts_as_failed(vec![cancelled(), completed(&[9])], (2, 0, 0, 1, 1))]
    fn state_of_a_job(#[case] states: Vec<PlanState>, #[case] expected: (i32, i64, i64, i64, i64)) {
        let r = state_response(&JobCounts::of(&states));
        let counts = (r.state, r.executing_plan_no, r.timeout_plan_no, r.completed_plan_no, r.failed_plan_no);
        assert_eq!(counts, expected);
        assert_eq!(counts.1 + counts.2 + counts.3 + counts.4, states.len() as i64);
        let plans: Vec<Plan> = states.into_iter().map(|s| plan(PlanKind::Mix, s)).collect();
        let r = plans_response(&plans);
        assert_eq!((r.state, r.merge_infos.len()), (expected.0, plans.len()));
        assert_eq!(r.status, Some(Default::default()));
    }

    /// target, targets, type, task state, failure reason: numbers of the published enumerations.
    #[rstest]
    #[case(plan(PlanKind::Mix, queued()), -1, &[], 3, 2, "")]
    #[case(plan(PlanKind::Single, executing()), -1, &[], 4, 1, "")]
    #[case(plan(PlanKind::Mix, completed(&[9, 10])), 9, &[9, 10], 3, 3, "")]
    #[case::no_row_survived(plan(PlanKind::Mix, completed(&[])), 0, &[], 3, 3, "")]
    #[case(plan(PlanKind::Clustering, completed(&[9, 10])), 9, &[9, 10], 8, 3, "")]
    #[case::deletes_went_elsewhere(plan(PlanKind::L0Delete, completed(&[])), 0, &[], 7, 3, "")]
    #[case(plan(PlanKind::Mix, failed()), -1, &[], 3, 4, "bad magic")]
    #[case(plan(PlanKind::Mix, timed_out()), -1, &[], 3, 5, "no progress")]
    #[case(plan(PlanKind::Mix, cancelled()), -1, &[], 3, 4, "cancelled by an operator")]
    fn plan_for_sdks(
        #[case] plan: Plan,
        #[case] target: i64,
        #[case] targets: &[i64],
        #[case] kind: i32,
        #[case] state: i32,
        #[case] reason: &str,
    ) {
        let info = merge_info(&plan);
        let expected = milvus::CompactionMergeInfo {
            sources: vec![3, 4],
            target,
            plan_id: 50,
            trigger_id: 40,
            collection_id: 7,
            partition_id: 8,
            channel: "by-dev-rootcoord-dml_0_7v0".to_owned(),
            r#type: kind,
            state,
            failure_reason: reason.to_owned(),
            targets: targets.to_vec(),
        };
        assert_eq!(info, expected);
    }

    #[rstest]
    #[case(queued(), datacoord::PlanState::Queued, "", 0, 0)]
    #[case(executing(), datacoord::PlanState::Executing, "", 2000, 0)]
    #[case(completed(&[9]), datacoord::PlanState::Completed, "", 0, 3000)]
    #[case(failed(), datacoord::PlanState::Failed, "corrupt", 0, 3000)]
    #[case(timed_out(), datacoord::PlanState::Timeout, "timeout", 0, 3000)]
    #[case(cancelled(), datacoord::PlanState::Cancelled, "cancelled", 0, 3000)]
    fn own_plan(
        #[case] state: PlanState,
        #[case] number: datacoord::PlanState,
        #[case] kind: &str,
        #[case] started: i64,
        #[case] ended: i64,
    ) {
        let progress = Progress { total_rows: 4, done_rows: 1, total_bytes: 40, done_bytes: 10 };
        let message = plan_message(&plan(PlanKind::Single, state), Some(progress));
        assert_eq!((message.state, message.failure_kind.as_str()), (number as i32, kind));
        assert_eq!((message.created_at_ms, message.started_at_ms, message.ended_at_ms), (1000, started, ended));
        assert_eq!((message.kind.as_str(), message.attempts), ("single", 2));
        assert_eq!(message.reason, "201 delta logs exceed 200");
        assert_eq!(message.progress.map(|p| (p.total_rows, p.done_bytes)), Some((4, 10)));
    }

    #[rstest]
    #[case::nothing_to_do(vec![], datacoord::JobState::Completed)]
    #[case::queued(vec![queued(), failed()], datacoord::JobState::Executing)]
    #[case::completed(vec![completed(&[9]), completed(&[])], datacoord::JobState::Completed)]
    #[case::failed(vec![failed()], datacoord::JobState::Failed)]
    #[case::timed_out(vec![timed_out(), cancelled()], datacoord::JobState::Failed)]
    #[case::partly(vec![completed(&[9]), failed()], datacoord::JobState::PartiallyCompleted)]
    #[case::partly_cancelled(vec![completed(&[9]), cancelled()], datacoord::JobState::PartiallyCompleted)]
    #[case::cancelled(vec![cancelled(), cancelled()], datacoord::JobState::Cancelled)]
    fn own_state_never_calls_a_failed_job_completed(
        #[case] states: Vec<PlanState>,
        #[case] expected: datacoord::JobState,
    ) {
        let job = Job {
            id: JobId(40),
            trigger: Trigger::Manual,
            collection: CollectionId(7),
            created_at_ms: 1,
            plans: vec![],
            nothing_to_do: None,
            terms: Default::default(),
        };
        assert_eq!(job_state(&job, &JobCounts::of(&states), Progress::default()).state(), expected);
    }

    #[test]
    fn own_state_tells_cancelled_from_failed() {
        let job = Job {
            id: JobId(40),
            trigger: Trigger::Flush,
            collection: CollectionId(7),
            created_at_ms: 1,
            plans: vec![PlanId(50)],
            nothing_to_do: Some("no deletes".to_owned()),
            terms: Default::default(),
        };
        let counts = JobCounts::of(&[cancelled(), failed(), executing()]);
        let state = job_state(&job, &counts, Progress::default());
        assert_eq!((state.cancelled_plans, state.failed_plans, state.executing_plans), (1, 1, 1));
        assert_eq!((state.state, state.trigger.as_str(), state.reason.as_str()), (1, "flush", "no deletes"));
    }
}
