//! `jobs`, `job`, `cancel`.

use super::session::{Session, now_ms};
use crate::{
    cli::{
        args::{CancelFlags, JobFlags, JobsFlags},
        output, show,
    },
    wire::proto::datacoord::{
        CancelCompactionRequest, CollectionRef, GetCompactionRequest, JobState, ListCompactionsRequest,
        ListCompactionsResponse, cancel_compaction_request::Target,
    },
};

/// Most jobs of a page, as the server allows.
const PAGE: u32 = 1000;

pub(in crate::cli) async fn jobs(session: Session, flags: JobsFlags) -> anyhow::Result<()> {
    let since_ms = flags.since.map(|since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    let database = || CollectionRef { db_name: session.database.clone(), ..CollectionRef::default() };
    let mut request = ListCompactionsRequest {
        collection: flags.collection.as_ref().map_or_else(|| Some(database()), |name| session.named(name)),
        state: flags.state.map_or(0, |state| JobState::from(state) as i32),
        trigger: flags.trigger.unwrap_or_default(),
        created_from_ms: since_ms.map_or(0, |since| now_ms().saturating_sub(since).max(1)),
        ..ListCompactionsRequest::default()
    };
    let mut answer = ListCompactionsResponse::default();
    let limit = flags.limit as usize;
    loop {
        let left = limit - answer.jobs.len();
        request.page_size = left.min(PAGE as usize) as i32;
        let page = session.client.list_compactions(request.clone()).await?;
        answer.jobs.extend(page.jobs);
        answer.next_page_token.clone_from(&page.next_page_token);
        answer.pauses = page.pauses;
        if answer.jobs.len() >= limit || page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    if flags.quiet {
        output::ids(answer.jobs.iter().map(|job| job.job_id));
        return Ok(());
    }
    session.output.answer(&answer, show::jobs)
}

pub(in crate::cli) async fn job(session: Session, flags: JobFlags) -> anyhow::Result<()> {
    let answer = session.client.get_compaction(GetCompactionRequest { job_id: flags.job }).await?;
    session.output.answer(&answer, show::job)
}

pub(in crate::cli) async fn cancel(session: Session, flags: CancelFlags) -> anyhow::Result<()> {
    let target = flags.plan.map(Target::PlanId).or(flags.job.map(Target::JobId));
    let request = CancelCompactionRequest { target, by: session.author(flags.by) };
    let answer = session.client.cancel_compaction(request).await?;
    session.output.answer(&answer, show::cancelled)
}
