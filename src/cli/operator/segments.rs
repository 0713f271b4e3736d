//! `segments`, `explain`, `lineage`: the segments of a collection.

use super::session::{Session, given, now_ms};
use crate::{
    cli::{
        args::{CollectionArgument, ExplainFlags, SegmentFlags, SegmentsFlags},
        output, show,
    },
    client::{ClientError, ClientErrorKind},
    wire::proto::datacoord::{
        ExplainCollectionRequest, ExplainSegmentRequest, ExplainSegmentResponse, GetLineageRequest, ListSegmentsRequest,
    },
};

pub(in crate::cli) async fn segments(session: Session, flags: SegmentsFlags) -> anyhow::Result<()> {
    let collection = session.named(&flags.collection);
    let request = ListSegmentsRequest { collection, include_dropped: flags.dropped, ..Default::default() };
    let mut answer = session.client.list_segments(request).await?;
    answer.segments.sort_by_key(|segment| segment.segment_id);
    if flags.quiet {
        output::ids(answer.segments.iter().map(|segment| segment.segment_id));
        return Ok(());
    }
    session.output.answer(&answer, |answer| show::details(&answer.segments))
}

pub(in crate::cli) async fn explain(session: Session, flags: ExplainFlags) -> anyhow::Result<()> {
    // Ids are unique: at most one of both has this one.
    if let CollectionArgument::Id(id) = flags.subject
        && let Some(answer) = explained_segment(&session, id).await?
    {
        let explanation = given(answer.explanation.clone(), "explanation")?;
        return session.output.answer(&answer, |_| show::segment_explained(&explanation, now_ms()));
    }
    let collection = session.named(&flags.subject);
    let request = ExplainCollectionRequest { collection, max_segments: flags.limit };
    let answer = session.client.explain_collection(request).await?;
    session.output.answer(&answer, show::collection_explained)
}

/// The segment with this id, if there is one.
async fn explained_segment(session: &Session, segment_id: i64) -> Result<Option<ExplainSegmentResponse>, ClientError> {
    match session.client.explain_segment(ExplainSegmentRequest { segment_id }).await {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.kind() == ClientErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(in crate::cli) async fn lineage(session: Session, flags: SegmentFlags) -> anyhow::Result<()> {
    let answer = session.client.get_lineage(GetLineageRequest { segment_id: flags.segment }).await?;
    session.output.answer(&answer, show::lineage)
}
