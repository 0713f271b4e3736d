//! `status`: the state of the server on one screen.

use super::session::Session;
use crate::{
    cli::{
        args::StatusFlags,
        show,
        view::{CollectionStatus, StatusView},
    },
    client::{Client, ClientError, ClientErrorKind},
    wire::proto::datacoord::{
        CollectionRef, ExplainCollectionRequest, GetAmplificationRequest, GetOverviewRequest, GetThrottleRequest,
        JobState, ListCompactionsRequest,
    },
};

/// Most jobs of a page, as the server allows.
const MOST_JOBS: i32 = 1000;
/// Verdicts that mean work: `datacoord.v1` declares them with `ExplainVerdict`.
const WORK: [&str; 2] = ["planned", "in_plan"];

pub(in crate::cli) async fn status(session: Session, flags: StatusFlags) -> anyhow::Result<()> {
    let client = &session.client;
    let version = client.version().await?;
    let health = client.health().await?;
    let overview = client.get_overview(GetOverviewRequest { max_collections: 1 }).await?;
    let jobs = ListCompactionsRequest {
        state: JobState::Executing as i32,
        page_size: MOST_JOBS,
        ..ListCompactionsRequest::default()
    };
    let jobs = client.list_compactions(jobs).await?;
    let mut named = Vec::new();
    let databases =
        if session.database.is_empty() { client.databases().await? } else { vec![session.database.clone()] };
    for database in databases {
        named.extend(client.collections(&database).await?);
    }
    let shown = named.len().min(flags.limit);
    let mut collections = Vec::with_capacity(shown);
    for collection in named.drain(..shown) {
        collections.extend(of_collection(client, collection).await?);
    }
    let status = StatusView {
        version,
        endpoint: session.endpoint,
        verdict: overview.verdict.unwrap_or_default(),
        is_healthy: health.is_healthy,
        health_reasons: health.reasons,
        throttle: client.get_throttle(GetThrottleRequest {}).await?,
        pauses: jobs.pauses,
        executing: jobs.jobs,
        collections,
        other_collections: named.len(),
    };
    session.output.answer(&status, show::status)
}

/// None if the collection has been dropped since it was listed.
async fn of_collection(client: &Client, collection: CollectionRef) -> Result<Option<CollectionStatus>, ClientError> {
    let request = GetAmplificationRequest { collection: Some(collection.clone()) };
    let explain = ExplainCollectionRequest { collection: Some(collection.clone()), max_segments: 1 };
    let answers = match client.get_amplification(request).await {
        Ok(amplification) => client.explain_collection(explain).await.map(|explained| (amplification, explained)),
        Err(error) => Err(error),
    };
    match answers {
        Ok((amplification, explained)) => {
            let work = explained.counts.iter().filter(|count| WORK.contains(&count.code.as_str()));
            let to_compact = work.map(|count| count.segments).sum();
            Ok(Some(CollectionStatus { collection, amplification, to_compact }))
        }
        Err(error) if error.kind() == ClientErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
