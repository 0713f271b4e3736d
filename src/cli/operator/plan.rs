//! `plan`: a dry run, and the request that it has in common with `compact`.

use super::session::Session;
use crate::{
    cli::{
        args::{CommandScope, PlanFlags},
        show,
    },
    wire::proto::datacoord::{ManualCompactionRequest, PlanCompactionRequest, plan_compaction_request::Trigger},
};

pub(in crate::cli) async fn plan(session: Session, flags: PlanFlags) -> anyhow::Result<()> {
    let trigger = if flags.automatic {
        session.named(&flags.scope.collection).map(Trigger::Automatic)
    } else {
        Some(Trigger::Manual(request(&session, flags.scope).await?))
    };
    let answer = session.client.plan_compaction(PlanCompactionRequest { trigger, collection: None }).await?;
    session.output.answer(&answer, show::draft)
}

/// The request for a scope; a partition's name is looked up.
pub(super) async fn request(session: &Session, scope: CommandScope) -> anyhow::Result<ManualCompactionRequest> {
    let partition_id = match &scope.partition {
        None => 0,
        Some(partition) => session.partition(&scope.collection, partition).await?,
    };
    Ok(ManualCompactionRequest {
        collection: session.named(&scope.collection),
        partition_id,
        channel: scope.channel.unwrap_or_default(),
        segment_ids: scope.segments,
        target_size_mb: scope.target_size.unwrap_or_default(),
        is_clustering: scope.clustering,
        is_l0: scope.l0,
        ..ManualCompactionRequest::default()
    })
}
