//! Plans: those of a job, and those that a dry run would make.

use super::{style, table, units};
use crate::wire::proto::datacoord::{Plan, PlanCompactionResponse, PlanState};

/// Segment ids in a line, so that it fits a terminal.
const IDS_PER_LINE: usize = 4;

/// A plan with its reason, its sources and its targets.
pub(in crate::cli) fn plan_lines(plan: &Plan) -> String {
    let ids = |ids: &[i64]| {
        let lines = ids.chunks(IDS_PER_LINE).map(|line| line.iter().map(i64::to_string).collect::<Vec<_>>().join(", "));
        lines.collect::<Vec<_>>().join(",\n               ")
    };
    let targets = if plan.targets.is_empty() { "nothing".to_owned() } else { ids(&plan.targets) };
    format!(
        "    plan {} ({})\n      why:     {}\n      sources: {}\n      target:  {targets}",
        plan.plan_id,
        plan.kind,
        plan.reason,
        ids(&plan.sources)
    )
}

/// The same with its state, its progress and its failure.
pub(super) fn plan_details(plan: &Plan) -> String {
    let progress = plan.progress.unwrap_or_default();
    let mut text = format!("{}\n      state:   {}", plan_lines(plan), units::plan_state(plan.state()));
    match plan.state() {
        PlanState::Executing => {
            text += &format!(
                ", {} of {} rows, {} of {}",
                progress.done_rows,
                progress.total_rows,
                units::bytes(progress.done_bytes),
                units::bytes(progress.total_bytes)
            );
        }
        _ if plan.ended_at_ms > 0 => {
            let began = if plan.started_at_ms > 0 { plan.started_at_ms } else { plan.created_at_ms };
            text += &format!(" after {}", units::took(began, plan.ended_at_ms));
        }
        _ => {}
    }
    if plan.attempts > 1 {
        text += &format!(", attempt {}", plan.attempts);
    }
    if !plan.failure_reason.is_empty() {
        text += &format!("\n      failure: {} ({})", plan.failure_reason, style::bad(&plan.failure_kind));
    }
    text
}

/// The plans of a dry run, the segments that it would leave, and the time that it would take.
pub(in crate::cli) fn draft(answer: &PlanCompactionResponse) -> String {
    let mut text = String::new();
    if !answer.plans.is_empty() {
        let rows: Vec<Vec<String>> = answer
            .plans
            .iter()
            .map(|plan| {
                vec![
                    plan.kind.clone(),
                    plan.sources.len().to_string(),
                    plan.input_rows.to_string(),
                    units::bytes(plan.input_bytes),
                    units::bytes(plan.estimated_output_bytes),
                    plan.estimated_seconds.map_or_else(|| "-".to_owned(), units::seconds),
                    plan.partition_id.to_string(),
                    plan.reason.clone(),
                ]
            })
            .collect();
        let heading = ["kind", "segments", "rows", "reads", "writes", "takes", "partition", "because"];
        text += &table::table(&heading, &rows);
    }
    text += &format!("{} would be made", units::number(answer.plans.len(), "plan"));
    if !answer.shared_plans.is_empty() {
        text += &format!(", {} under way would be shared", units::number(answer.shared_plans.len(), "plan"));
    }
    if !answer.reason.is_empty() {
        text += &format!(": {}", answer.reason);
    }
    if let (Some(seconds), Some(rate)) = (answer.estimated_seconds, answer.merge_mb_per_second) {
        text += &format!("; about {} at {rate:.1} MB/s", units::seconds(seconds));
    }
    text.push('\n');
    if !answer.skipped.is_empty() {
        text += &format!("\n{} would stay:\n", units::number(answer.skipped.len(), "segment"));
        let rows: Vec<Vec<String>> = answer
            .skipped
            .iter()
            .map(|skipped| {
                let reason = skipped.reason.clone().unwrap_or_default();
                vec![skipped.segment_id.to_string(), reason.code, reason.text]
            })
            .collect();
        text += &table::table(&["segment", "code", "because"], &rows);
    }
    text
}
