//! The invariants of the durable state, checked after every step, by number. The tests below break each of them once.
//!
//! 1. No segment is an input of two unfinished plans, and every input of an unfinished plan is live.
//! 2. Rows are conserved: each row that was flushed and not deleted is alive, once.
//! 3. Neither inputs nor outputs of a plan leave its group, and no output is larger than the plan allows.
//! 4. A plan takes effect exactly once or not at all: a Dropped segment was an input of one Completed plan, a segment that
//!    no flush wrote is an output of one Completed plan, and a Completed plan dropped all its inputs and wrote all its
//!    outputs.
//! 5. Attempts are bounded, and a plan that failed or timed out says why.
//! 6. A plan that has ended never changes again; no job or plan is forgotten; a job's counts add up.
//!
//! The others show in no state and are checked as things happen ([`crate::paper::world`], [`crate::paper::actors`]):
//! 7. While a collection's plan waits and may begin, no other collection begins two.
//! 8. The answer of an attempt that was told to stop is refused.
//! 9. Never more executions than slots, and a process that lost the lease can't write.
//! 10. Once nothing fails any more, every job ends, nothing is reserved, memory agrees with the catalog, and an unchanged
//!     set of segments leads to no plan.

use std::collections::{BTreeMap, BTreeSet};

use datacoord::model::{Job, JobCounts, Plan, PlanId, PlanState, Segment, SegmentId, SegmentLevel, SegmentState};

#[derive(Debug, Clone, Default)]
pub struct Picture {
    pub segments: Vec<Segment>,
    pub jobs: Vec<Job>,
    pub plans: Vec<Plan>,
    /// Rows that clients wrote, and rows that they deleted.
    pub flushed_rows: u64,
    pub deleted_rows: u64,
    pub max_attempts: u32,
}

/// The broken invariants, each with its number; `before` is an earlier picture of the same life.
pub fn broken(now: &Picture, before: &Picture) -> Vec<String> {
    let mut broken = Vec::new();
    let segments: BTreeMap<SegmentId, &Segment> = now.segments.iter().map(|s| (s.id, s)).collect();
    let plans: BTreeMap<PlanId, &Plan> = now.plans.iter().map(|p| (p.id, p)).collect();

    let mut reserved = BTreeMap::new();
    for plan in now.plans.iter().filter(|p| !p.state.is_terminal()) {
        for id in plan.input_ids() {
            if let Some(other) = reserved.insert(id, plan.id) {
                broken.push(format!("1: segment {id} is in plan {other} and in plan {}", plan.id));
            }
            if !segments.get(&id).is_some_and(|s| s.is_live()) {
                broken.push(format!("1: segment {id} of the unfinished plan {} is not live", plan.id));
            }
        }
    }

    let live = || now.segments.iter().filter(|s| s.is_live());
    let alive: i128 = live().map(|s| i128::from(s.rows) - i128::from(s.delta_rows)).sum();
    let expected = i128::from(now.flushed_rows) - i128::from(now.deleted_rows);
    if alive != expected {
        broken.push(format!("2: {alive} rows are alive, expected {expected}"));
    }
    for segment in live().filter(|s| s.level != SegmentLevel::L0 && s.delta_rows > s.rows) {
        broken.push(format!("2: segment {} has more deletes than rows", segment.id));
    }

    let (mut dropped_by, mut made_by) = (BTreeMap::new(), BTreeMap::new());
    for plan in &now.plans {
        let PlanState::Completed { targets, .. } = &plan.state else { continue };
        let inputs: Vec<SegmentId> = plan.input_ids().collect();
        for id in &inputs {
            if let Some(other) = dropped_by.insert(*id, plan.id) {
                broken.push(format!("4: segment {id} was replaced by plan {other} and by plan {}", plan.id));
            }
            match segments.get(id) {
                Some(s) if s.state == SegmentState::Dropped && s.compaction_to[..] == targets[..] => {}
                _ => broken.push(format!("4: segment {id} was replaced by plan {}, which does not show", plan.id)),
            }
        }
        for id in targets {
            if let Some(other) = made_by.insert(*id, plan.id) {
                broken.push(format!("4: segment {id} was made by plan {other} and by plan {}", plan.id));
            }
            let Some(target) = segments.get(id) else {
                broken.push(format!("4: segment {id} of plan {} is lost", plan.id));
                continue;
            };
            if target.compaction_from[..] != inputs[..] {
                broken.push(format!("4: segment {id} names other sources than plan {}", plan.id));
            }
            if target.insert_bytes > plan.max_output_bytes && target.rows > 1 {
                broken.push(format!("3: segment {id} is larger than plan {} allows", plan.id));
            }
        }
        for id in inputs.iter().chain(targets) {
            if segments.get(id).is_some_and(|s| *s.group != plan.group) {
                broken.push(format!("3: segment {id} of plan {} is of another group", plan.id));
            }
        }
    }
    for segment in &now.segments {
        if segment.state == SegmentState::Dropped && !dropped_by.contains_key(&segment.id) {
            broken.push(format!("4: segment {} was dropped by no completed plan", segment.id));
        }
        if !segment.compaction_from.is_empty() && !made_by.contains_key(&segment.id) {
            broken.push(format!("4: segment {} was made by no completed plan", segment.id));
        }
    }

    for plan in &now.plans {
        // Restarts may cut off as many again, and one more attempt finds that all are used up.
        if plan.attempts > 2 * now.max_attempts + 1 {
            broken.push(format!("5: plan {} was begun {} times", plan.id, plan.attempts));
        }
        if let PlanState::Failed { message, .. } | PlanState::TimedOut { message, .. } = &plan.state
            && message.is_empty()
        {
            broken.push(format!("5: plan {} does not say why it ended", plan.id));
        }
    }

    for plan in &before.plans {
        match plans.get(&plan.id) {
            None => broken.push(format!("6: plan {} is forgotten", plan.id)),
            Some(now) if plan.state.is_terminal() && **now != *plan => {
                broken.push(format!(
                    "6: plan {} had ended as {}, is {}",
                    plan.id,
                    plan.state.as_str(),
                    now.state.as_str()
                ));
            }
            Some(_) => {}
        }
    }
    let jobs: BTreeSet<_> = now.jobs.iter().map(|j| j.id).collect();
    for job in before.jobs.iter().filter(|j| !jobs.contains(&j.id)) {
        broken.push(format!("6: job {} is forgotten", job.id));
    }
    for job in &now.jobs {
        let counts = JobCounts::of(job.plans.iter().filter_map(|p| plans.get(p)).map(|p| &p.state));
        if counts.total != job.plans.len() as u64 {
            broken.push(format!("6: job {} has {} plans and counts {}", job.id, job.plans.len(), counts.total));
        }
    }
    broken
}

mod tests {
    use std::sync::Arc;

    use datacoord::model::{FailureKind, Group, PlanInput, Trigger};
    use rstest::rstest;

    use super::*;
    use crate::kit::model;

    fn group(collection: i64) -> Arc<Group> {
        Arc::new(model::group(collection, 1, "c_1v0"))
    }

    fn segment(id: i64, rows: u64, delta_rows: u64) -> Segment {
        Segment { rows, insert_bytes: rows * 1024, delta_rows, ..model::segment(id, &group(1)) }
    }

    fn plan(id: i64, inputs: &[i64], state: PlanState) -> Plan {
        let input = |id: &i64| PlanInput { segment: SegmentId(*id), rows: 10, bytes: 0, delta_rows: 0 };
        let inputs = inputs.iter().map(input).collect();
        Plan { max_output_bytes: 20 * 1024, attempts: 1, state, ..model::plan(id, 50, Group::clone(&group(1)), inputs) }
    }

    fn completed(targets: &[i64]) -> PlanState {
        let targets = targets.iter().copied().map(SegmentId).collect();
        PlanState::Completed { targets, rows_out: 0, bytes_out: 0, ended_at_ms: 1 }
    }

    /// Segments 1 and 2 were merged into 3; 4 and 5 wait for plan 8; plan 9 failed.
    fn sound() -> Picture {
        let dropped = |id, rows| Segment {
            state: SegmentState::Dropped,
            compaction_to: Box::new([SegmentId(3)]),
            ..segment(id, rows, 1)
        };
        let merged = Segment { compaction_from: Box::new([SegmentId(1), SegmentId(2)]), ..segment(3, 18, 2) };
        let failed = PlanState::Failed { kind: FailureKind::Corrupt, message: "bad".into(), ended_at_ms: 2 };
        Picture {
            segments: vec![dropped(1, 10), dropped(2, 10), merged, segment(4, 10, 0), segment(5, 10, 3)],
            jobs: vec![Job { trigger: Trigger::Tick, ..model::job(50, 1, &[7, 8, 9]) }],
            plans: vec![
                plan(7, &[1, 2], completed(&[3])),
                plan(8, &[4, 5], PlanState::Queued { not_before_ms: 0 }),
                plan(9, &[4], failed),
            ],
            flushed_rows: 40,
            deleted_rows: 7,
            max_attempts: 3,
        }
    }

    #[test]
    fn a_sound_state_breaks_no_invariant() {
        assert_eq!(broken(&sound(), &sound()), [""; 0]);
    }

    type P<'a> = &'a mut Picture;
    type Break = fn(P<'_>);

    #[rstest]
    #[case::reserved_twice(|p: P<'_>| p.plans[2].state = PlanState::Executing { started_at_ms: 0 }, "1: segment 4 is in plan 8 and")]
    #[case::input_gone(|p: P<'_>| p.plans[1].inputs[0].segment = SegmentId(1), "1: segment 1 of the unfinished")]
    #[case::row_lost(|p: P<'_>| p.segments[3].rows -= 1, "2: 32 rows are alive, expected 33")]
    #[case::row_back(|p: P<'_>| p.segments[4].delta_rows -= 1, "2: 34 rows are alive, expected 33")]
    #[case::segment_twice(|p: P<'_>| p.segments[0].state = SegmentState::Flushed, "2: 42 rows")]
    #[case::over_deleted(|p: P<'_>| (p.segments[3].delta_rows, p.deleted_rows) = (11, 18), "2: segment 4 has more deletes")]
    #[case::too_large(|p: P<'_>| p.plans[0].max_output_bytes = 17 * 1024, "3: segment 3 is larger")]
    #[case::other_group(|p: P<'_>| p.segments[2].group = group(2), "3: segment 3 of plan 7 is of another group")]
    #[case::took_effect_twice(|p: P<'_>| p.plans[2] = plan(9, &[1], completed(&[])), "4: segment 1 was replaced by plan 7 and")]
    #[case::made_twice(|p: P<'_>| p.plans[2] = plan(9, &[], completed(&[3])), "4: segment 3 was made by plan 7 and")]
    #[case::effect_lost(|p: P<'_>| { p.segments.remove(2); }, "4: segment 3 of plan 7 is lost")]
    #[case::half_an_effect(|p: P<'_>| p.segments[0].compaction_to = Box::default(), "4: segment 1 was replaced by plan 7, which")]
    #[case::other_sources(|p: P<'_>| p.segments[2].compaction_from = Box::new([SegmentId(1)]), "4: segment 3 names other")]
    #[case::effect_of_the_cancelled(
        |p: P<'_>| p.plans[0].state = PlanState::Cancelled { by: "me".into(), ended_at_ms: 1 }, "4: segment 1 was dropped by no"
    )]
    #[case::late_result(
        |p: P<'_>| p.segments[3].compaction_from = Box::new([SegmentId(4)]), "4: segment 4 was made by no completed plan"
    )]
    #[case::for_ever(|p: P<'_>| p.plans[1].attempts = 8, "5: plan 8 was begun 8 times")]
    #[case::no_reason(
        |p: P<'_>| p.plans[2].state = PlanState::TimedOut { message: String::new(), ended_at_ms: 1 }, "5: plan 9 does not say why"
    )]
    #[case::rose_again(
        |p: P<'_>| p.plans[2].state = PlanState::Queued { not_before_ms: 0 }, "6: plan 9 had ended as failed, is queued"
    )]
    #[case::plan_forgotten(|p: P<'_>| { p.plans.remove(1); }, "6: plan 8 is forgotten")]
    #[case::job_forgotten(|p: P<'_>| p.jobs.clear(), "6: job 50 is forgotten")]
    #[case::miscounted(|p: P<'_>| p.jobs[0].plans.push(PlanId(99)), "6: job 50 has 4 plans and counts 3")]
    fn a_broken_state_is_noticed(#[case] break_it: Break, #[case] expected: &str) {
        let mut picture = sound();
        break_it(&mut picture);
        let found = broken(&picture, &sound());
        assert!(found.iter().any(|b| b.starts_with(expected)), "{found:?}");
    }
}
