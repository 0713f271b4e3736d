//! `compact`: starts a compaction, and follows it to its end if asked.

use std::time::Duration;

use anyhow::Context as _;

use super::{
    outcome::check,
    plan,
    session::{Session, given, now_ms},
    watch,
};
use crate::{
    cli::{
        args::CompactFlags,
        exit::{CommandFailure, Exit},
        output::{self, OutputForm},
        progress::Screen,
        show,
    },
    wire::proto::datacoord::{
        GetCompactionRequest, ManualCompactionRequest, ManualCompactionResponse, PlanCompactionRequest,
        WatchCompactionRequest, plan_compaction_request::Trigger,
    },
};

pub(in crate::cli) async fn compact(session: Session, flags: CompactFlags) -> anyhow::Result<()> {
    let request = ManualCompactionRequest {
        priority: flags.priority,
        deadline_ms: flags.deadline.map_or(0, |deadline| deadline.at_ms(now_ms())),
        ..plan::request(&session, flags.scope).await?
    };
    if flags.dry_run {
        let request = PlanCompactionRequest { trigger: Some(Trigger::Manual(request)), collection: None };
        let answer = session.client.plan_compaction(request).await?;
        return session.output.answer(&answer, show::draft);
    }
    let started = session.client.manual_compaction(request).await?;
    if flags.quiet {
        output::ids([started.job_id]);
    } else if session.output == OutputForm::People || flags.wait.is_none() {
        session.output.answer(&started, started_text)?;
    }
    let Some(longest) = flags.wait else { return Ok(()) };
    wait(&session, started.job_id, longest).await?;
    let ended = session.client.get_compaction(GetCompactionRequest { job_id: started.job_id }).await?;
    if !flags.quiet {
        session.output.answer(&ended, show::job)?;
    }
    check(&given(ended.job, "job")?, &ended.plans)
}

fn started_text(started: &ManualCompactionResponse) -> String {
    match started.plans {
        0 => format!("job {}: nothing to do: {}\n", started.job_id, started.reason),
        1 => format!("job {}: 1 plan\n", started.job_id),
        plans => format!("job {}: {plans} plans\n", started.job_id),
    }
}

/// Shows the progress of a job until it has ended.
async fn wait(session: &Session, job: i64, longest: Option<Duration>) -> anyhow::Result<()> {
    let goes_on = format!("job {job} goes on: `datacoord watch {job}` follows it, `datacoord cancel {job}` ends it");
    let request = WatchCompactionRequest { job_id: job, ..WatchCompactionRequest::default() };
    let followed = watch::follow(session, request, Screen::beside());
    let patience = async {
        match longest {
            None => std::future::pending().await,
            #[expect(clippy::disallowed_methods, reason = "the user has set the time of this wait")]
            Some(longest) => tokio::time::sleep(longest).await,
        }
    };
    tokio::select! {
        ended = followed => ended.context(goes_on),
        () = patience => Err(CommandFailure::error(Exit::TooLong, goes_on)),
        signal = tokio::signal::ctrl_c() => {
            signal.context("waiting for an interrupt")?;
            Err(CommandFailure::error(Exit::Interrupted, goes_on))
        }
    }
}
