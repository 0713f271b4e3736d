//! Jobs, and the orders that concern them.

use super::{plans, style, table, units};
use crate::wire::proto::datacoord::{
    CancelCompactionResponse, CollectionRef, Compaction, GetCompactionResponse, ListCompactionsResponse, PauseEntry,
    ThrottleResponse, pause_scope::Scope,
};

/// A table of jobs, then the pauses.
pub(in crate::cli) fn jobs(answer: &ListCompactionsResponse) -> String {
    let rows: Vec<Vec<String>> = answer
        .jobs
        .iter()
        .map(|job| {
            vec![
                job.job_id.to_string(),
                collection(job.collection.as_ref()),
                job.trigger.clone(),
                units::job_state(job.state()),
                plan_counts(job),
                units::time(job.created_at_ms),
                units::took(job.created_at_ms, job.ended_at_ms),
                remark(job),
            ]
        })
        .collect();
    let mut text = table::table(&["job", "collection", "trigger", "state", "plans", "made at", "took", ""], &rows);
    if !answer.next_page_token.is_empty() {
        text += "there are more: raise --limit\n";
    }
    text + &pauses(&answer.pauses)
}

/// `3`, or `2 of 3` if not all have completed.
fn plan_counts(job: &Compaction) -> String {
    let others = job.executing_plans + job.failed_plans + job.timeout_plans + job.cancelled_plans;
    match others {
        0 => job.completed_plans.to_string(),
        _ => format!("{} of {}", job.completed_plans, job.completed_plans + others),
    }
}

fn remark(job: &Compaction) -> String {
    if job.paused_by.is_empty() { job.reason.clone() } else { format!("paused by {}", job.paused_by) }
}

/// Name of a collection, with its database unless that is the default one; the id of a dropped one.
pub(super) fn collection(collection: Option<&CollectionRef>) -> String {
    let Some(collection) = collection else { return String::new() };
    match (collection.db_name.as_str(), collection.collection_name.as_str()) {
        (_, "") => collection.collection_id.to_string(),
        ("" | "default", name) => name.to_owned(),
        (database, name) => format!("{database}.{name}"),
    }
}

/// One job with all its plans.
pub(in crate::cli) fn job(answer: &GetCompactionResponse) -> String {
    let job = answer.job.clone().unwrap_or_default();
    let mut text = format!(
        "{} of {} ({}): {}\n  made at {}",
        style::title(&format!("job {}", job.job_id)),
        collection(job.collection.as_ref()),
        job.trigger,
        units::job_state(job.state()),
        units::time(job.created_at_ms)
    );
    if job.ended_at_ms > 0 {
        text += &format!(", took {}", units::took(job.created_at_ms, job.ended_at_ms));
    }
    if job.priority != 0 {
        text += &format!(", priority {}", job.priority);
    }
    if job.deadline_ms > 0 {
        text += &format!(", to end by {}", units::time(job.deadline_ms));
    }
    text += &format!(
        "\n  plans: {} executing, {} completed, {} failed, {} timed out, {} cancelled\n",
        job.executing_plans, job.completed_plans, job.failed_plans, job.timeout_plans, job.cancelled_plans
    );
    let remark = remark(&job);
    if !remark.is_empty() {
        text += &format!("  {remark}\n");
    }
    for plan in &answer.plans {
        text += &format!("{}\n", plans::plan_details(plan));
    }
    text
}

/// The outcome of cancelling.
pub(in crate::cli) fn cancelled(answer: &CancelCompactionResponse) -> String {
    let mut text = format!("{} cancelled", units::number(answer.cancelled.len(), "plan"));
    if !answer.ended_before.is_empty() {
        text += &format!(", {} had ended before", units::number(answer.ended_before.len(), "plan"));
    }
    if !answer.left_to_others.is_empty() {
        text += &format!(", {} left to other jobs", units::number(answer.left_to_others.len(), "plan"));
    }
    text + "\n"
}

/// A line for each pause; nothing without any.
pub(in crate::cli) fn pauses(pauses: &[PauseEntry]) -> String {
    pauses
        .iter()
        .map(|pause| {
            let scope = match pause.scope.as_ref().and_then(|scope| scope.scope.as_ref()) {
                Some(Scope::Everything(_)) => "everything".to_owned(),
                Some(Scope::Collection(named)) => format!("collection {}", collection(Some(named))),
                Some(Scope::JobId(id)) => format!("job {id}"),
                None => "nothing".to_owned(),
            };
            format!("{}: {scope}, by {} since {}\n", style::busy("paused"), pause.by, units::time(pause.since_ms))
        })
        .collect()
}

/// The limit of the speed of merges, and their speed now.
pub(in crate::cli) fn throttle(answer: &ThrottleResponse) -> String {
    format!("{}; now {:.1} MB/s\n", answer.in_effect, answer.measured_mb_per_second.unwrap_or_default())
}
