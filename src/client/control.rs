//! Calls of `datacoord.v1`, one method each.

use futures::{Stream, StreamExt as _};

use super::{Client, ClientError, connection::answered};
use crate::wire::proto::datacoord::*;

/// A method that sends a request and returns the answer, for each call without a stream.
macro_rules! calls {
    ($($(#[$about:meta])* $method:ident: $call:literal, $request:ident -> $answer:ident;)*) => {
        impl Client {
            $($(#[$about])*
            ///
            /// # Errors
            /// Those of a call.
            pub async fn $method(&self, request: $request) -> Result<$answer, ClientError> {
                answered($call, self.datacoord.clone().$method(request).await)
            })*
        }
    };
}

calls! {
    /// Plans and starts a compaction.
    manual_compaction: "ManualCompaction", ManualCompactionRequest -> ManualCompactionResponse;
    /// The plans that a request, or the next automatic round, would make.
    plan_compaction: "PlanCompaction", PlanCompactionRequest -> PlanCompactionResponse;
    /// The segments of a collection.
    list_segments: "ListSegments", ListSegmentsRequest -> ListSegmentsResponse;
    /// A page of jobs, newest first.
    list_compactions: "ListCompactions", ListCompactionsRequest -> ListCompactionsResponse;
    /// A job with its plans.
    get_compaction: "GetCompaction", GetCompactionRequest -> GetCompactionResponse;
    /// Ends a job or a plan.
    cancel_compaction: "CancelCompaction", CancelCompactionRequest -> CancelCompactionResponse;
    /// Why a segment is not compacted.
    explain_segment: "ExplainSegment", ExplainSegmentRequest -> ExplainSegmentResponse;
    /// Why segments of a collection are not compacted.
    explain_collection: "ExplainCollection", ExplainCollectionRequest -> ExplainCollectionResponse;
    /// Has the plans of a scope wait.
    pause_compaction: "PauseCompaction", PauseCompactionRequest -> PausesResponse;
    /// Ends a pause.
    resume_compaction: "ResumeCompaction", ResumeCompactionRequest -> PausesResponse;
    /// Limits the speed of merges.
    set_throttle: "SetThrottle", SetThrottleRequest -> ThrottleResponse;
    /// The limit of the speed of merges.
    get_throttle: "GetThrottle", GetThrottleRequest -> ThrottleResponse;
    /// A segment with its ancestors.
    get_lineage: "GetLineage", GetLineageRequest -> GetLineageResponse;
    /// Bytes read, written and stored per byte of live rows.
    get_amplification: "GetAmplification", GetAmplificationRequest -> GetAmplificationResponse;
    /// The whole server at a glance.
    get_overview: "GetOverview", GetOverviewRequest -> GetOverviewResponse;
    /// A round of garbage collection, or a dry run of one.
    collect_garbage: "CollectGarbage", CollectGarbageRequest -> CollectGarbageResponse;
}

impl Client {
    /// Everything that was acknowledged at the moment of the call, in parts.
    ///
    /// # Errors
    /// Those of a call, from the call itself and from each part.
    pub async fn backup(
        &self,
        request: BackupRequest,
    ) -> Result<impl Stream<Item = Result<BackupPart, ClientError>> + Unpin + use<>, ClientError> {
        let call = "Backup";
        let parts = answered(call, self.datacoord.clone().backup(request).await)?;
        let failed = move |status| ClientError::Failed { call, status: Box::new(status) };
        Ok(parts.map(move |part| part.map_err(failed)))
    }

    /// The progress of plans: of one job until it ends, or of all for as long as the stream is kept.
    ///
    /// # Errors
    /// Those of a call, from the call itself and from each event.
    pub async fn watch_compaction(
        &self,
        request: WatchCompactionRequest,
    ) -> Result<impl Stream<Item = Result<CompactionEvent, ClientError>> + Unpin + use<>, ClientError> {
        let call = "WatchCompaction";
        let events = answered(call, self.datacoord.clone().watch_compaction(request).await)?;
        let failed = move |status| ClientError::Failed { call, status: Box::new(status) };
        Ok(events.map(move |event| event.map_err(failed)))
    }
}
