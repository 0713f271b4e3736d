//! `pause`, `resume`, `throttle`, `gc`: standing orders and garbage.

use super::session::Session;
use crate::{
    cli::{
        args::{CollectionArgument, GcFlags, Limit, PauseFlags, ThrottleFlags},
        show,
    },
    wire::proto::datacoord::{
        CollectGarbageRequest, GetThrottleRequest, PauseCompactionRequest, PauseScope, PausesResponse,
        ResumeCompactionRequest, SetThrottleRequest, pause_scope::Scope,
    },
};

pub(in crate::cli) async fn pause(session: Session, flags: PauseFlags) -> anyhow::Result<()> {
    let scope = scope(&session, flags.collection, flags.job);
    let request = PauseCompactionRequest { scope, by: session.author(flags.by) };
    let answer = session.client.pause_compaction(request).await?;
    session.output.answer(&answer, what_is_paused)
}

pub(in crate::cli) async fn resume(session: Session, flags: PauseFlags) -> anyhow::Result<()> {
    let request = ResumeCompactionRequest { scope: scope(&session, flags.collection, flags.job) };
    let answer = session.client.resume_compaction(request).await?;
    session.output.answer(&answer, what_is_paused)
}

/// The parser allows exactly one scope, so neither of both is `--everything`.
fn scope(session: &Session, collection: Option<CollectionArgument>, job: Option<i64>) -> Option<PauseScope> {
    let collection = collection.and_then(|name| session.named(&name)).map(Scope::Collection);
    let scope = collection.or(job.map(Scope::JobId)).unwrap_or(Scope::Everything(true));
    Some(PauseScope { scope: Some(scope) })
}

fn what_is_paused(answer: &PausesResponse) -> String {
    if answer.pauses.is_empty() { "nothing is paused\n".to_owned() } else { show::pauses(&answer.pauses) }
}

pub(in crate::cli) async fn throttle(session: Session, flags: ThrottleFlags) -> anyhow::Result<()> {
    let set = |mb_per_second| session.client.set_throttle(SetThrottleRequest { mb_per_second });
    let answer = match flags.limit {
        None => session.client.get_throttle(GetThrottleRequest {}).await?,
        Some(Limit::Configured) => set(None).await?,
        Some(Limit::None) => set(Some(0.0)).await?,
        Some(Limit::MbPerSecond(mb)) => set(Some(mb)).await?,
    };
    session.output.answer(&answer, show::throttle)
}

pub(in crate::cli) async fn gc(session: Session, flags: GcFlags) -> anyhow::Result<()> {
    let request = CollectGarbageRequest { dry_run: flags.dry_run, max_items: flags.limit };
    let answer = session.client.collect_garbage(request).await?;
    session.output.answer(&answer, |answer| show::garbage(answer, flags.dry_run))
}
