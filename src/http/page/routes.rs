//! The routes behind the page: one call each.
//!
//! Lists that may be long are cut to a number that the page can show, beside the number of all.

use axum::{extract::OriginalUri, http::HeaderMap, response::Response};
use serde::Serialize;

use super::{
    call::{PageCall, PageFault, answered},
    params::{
        CancelParams, CompactParams, ExplainParams, JobParams, JobsParams, ScopeParams, SegmentParams, SegmentsParams,
        ThrottleParams, collection, of_body, of_query,
    },
};
use crate::{
    http::request::ReceivedBody,
    wire::proto::datacoord::{cancel_compaction_request::Target, plan_compaction_request::Trigger, *},
};

/// Most plans of a job, ancestors of a segment and pieces of garbage in an answer.
const MOST_PLANS: usize = 20;
const MOST_ANCESTORS: usize = 300;
const MOST_GARBAGE: i32 = 100;

/// `GET /api/v2/overview`
pub(super) async fn overview(call: PageCall) -> Response {
    let request = GetOverviewRequest::default();
    answered(
        call.ask("GetOverview", request, |control, request| control.get_overview(request))
            .await
            .map_err(PageFault::from),
    )
}

/// `GET /api/v2/segments?collection_id=…`, in pages.
pub(super) async fn segments(call: PageCall, OriginalUri(uri): OriginalUri) -> Response {
    let asked = async {
        let params: SegmentsParams = of_query(&uri)?;
        let request = ListSegmentsRequest {
            collection: Some(collection(params.collection_id)),
            include_dropped: params.include_dropped,
            page_size: params.page_size()?,
            page_token: params.page_token,
        };
        Ok(call.ask("ListSegments", request, |control, request| control.list_segments(request)).await?)
    };
    answered(asked.await)
}

/// `GET /api/v2/explain?segment_id=…`, or `?collection_id=…` for the counts of its segments by reason.
pub(super) async fn explain(call: PageCall, OriginalUri(uri): OriginalUri) -> Response {
    let params: ExplainParams = match of_query(&uri) {
        Ok(params) => params,
        Err(fault) => return answered::<()>(Err(fault)),
    };
    if params.collection_id != 0 {
        let request = ExplainCollectionRequest { collection: Some(collection(params.collection_id)), max_segments: 1 };
        let asked = call.ask("ExplainCollection", request, |control, request| control.explain_collection(request));
        return answered(asked.await.map_err(PageFault::from));
    }
    let request = ExplainSegmentRequest { segment_id: params.segment_id };
    answered(
        call.ask("ExplainSegment", request, |control, request| control.explain_segment(request))
            .await
            .map_err(PageFault::from),
    )
}

/// The nearest ancestors, and the number of all.
#[derive(Serialize)]
struct LineageView {
    #[serde(flatten)]
    lineage: GetLineageResponse,
    total_segments: usize,
}

/// `GET /api/v2/lineage?segment_id=…`
pub(super) async fn lineage(call: PageCall, OriginalUri(uri): OriginalUri) -> Response {
    let asked = async {
        let params: SegmentParams = of_query(&uri)?;
        let request = GetLineageRequest { segment_id: params.segment_id };
        let mut lineage = call.ask("GetLineage", request, |control, request| control.get_lineage(request)).await?;
        let total_segments = lineage.segments.len();
        lineage.segments.truncate(MOST_ANCESTORS);
        Ok(LineageView { lineage, total_segments })
    };
    answered(asked.await)
}

/// `GET /api/v2/jobs`, newest first, in pages.
pub(super) async fn jobs(call: PageCall, OriginalUri(uri): OriginalUri) -> Response {
    let asked = async {
        let params: JobsParams = of_query(&uri)?;
        let named = (params.collection_id != 0).then(|| collection(params.collection_id));
        let request = ListCompactionsRequest {
            collection: named,
            page_size: params.page_size()?,
            page_token: params.page_token,
            ..ListCompactionsRequest::default()
        };
        Ok(call.ask("ListCompactions", request, |control, request| control.list_compactions(request)).await?)
    };
    answered(asked.await)
}

/// The first plans of a job, and the number of all.
#[derive(Serialize)]
struct JobDetails {
    #[serde(flatten)]
    found: GetCompactionResponse,
    total_plans: usize,
}

/// `GET /api/v2/job?job_id=…`
pub(super) async fn job(call: PageCall, OriginalUri(uri): OriginalUri) -> Response {
    let asked = async {
        let params: JobParams = of_query(&uri)?;
        let request = GetCompactionRequest { job_id: params.job_id };
        let mut found = call.ask("GetCompaction", request, |control, request| control.get_compaction(request)).await?;
        let total_plans = found.plans.len();
        found.plans.truncate(MOST_PLANS);
        Ok(JobDetails { found, total_plans })
    };
    answered(asked.await)
}

/// `GET /api/v2/garbage`: a dry run. It lists the store, so the page asks for it only when it is told to.
pub(super) async fn garbage(call: PageCall) -> Response {
    let request = CollectGarbageRequest { dry_run: true, max_items: MOST_GARBAGE };
    answered(
        call.ask("CollectGarbage", request, |control, request| control.collect_garbage(request))
            .await
            .map_err(PageFault::from),
    )
}

/// A dry run in sums: its lists are as long as the collection.
#[derive(Serialize)]
struct DraftSummary {
    plans: usize,
    /// Unfinished plans of others that the job would share.
    shared_plans: usize,
    segments: usize,
    rows: i64,
    bytes: i64,
    estimated_output_bytes: i64,
    estimated_seconds: Option<f64>,
    /// Why there are no plans.
    reason: String,
}

impl DraftSummary {
    fn of(draft: &PlanCompactionResponse) -> Self {
        Self {
            plans: draft.plans.len(),
            shared_plans: draft.shared_plans.len(),
            segments: draft.plans.iter().map(|plan| plan.sources.len()).sum(),
            rows: draft.plans.iter().map(|plan| plan.input_rows).sum(),
            bytes: draft.plans.iter().map(|plan| plan.input_bytes).sum(),
            estimated_output_bytes: draft.plans.iter().map(|plan| plan.estimated_output_bytes).sum(),
            estimated_seconds: draft.estimated_seconds,
            reason: draft.reason.clone(),
        }
    }
}

fn manual(params: &CompactParams) -> ManualCompactionRequest {
    ManualCompactionRequest {
        collection: Some(collection(params.collection_id)),
        target_size_mb: params.target_size_mb,
        is_clustering: params.is_clustering,
        priority: params.priority,
        ..ManualCompactionRequest::default()
    }
}

/// `POST /api/v2/plan`: the plans that `compact` with the same body would make, in sums.
pub(super) async fn plan(call: PageCall, headers: HeaderMap, body: ReceivedBody) -> Response {
    let asked = async {
        let trigger = Some(Trigger::Manual(manual(&of_body(&headers, body)?)));
        let request = PlanCompactionRequest { trigger, collection: None };
        let draft = call.ask("PlanCompaction", request, |control, request| control.plan_compaction(request)).await?;
        Ok(DraftSummary::of(&draft))
    };
    answered(asked.await)
}

/// `POST /api/v2/compact`
pub(super) async fn compact(call: PageCall, headers: HeaderMap, body: ReceivedBody) -> Response {
    let asked = async {
        let request = manual(&of_body(&headers, body)?);
        Ok(call.ask("ManualCompaction", request, |control, request| control.manual_compaction(request)).await?)
    };
    answered(asked.await)
}

/// `POST /api/v2/cancel`
pub(super) async fn cancel(call: PageCall, headers: HeaderMap, body: ReceivedBody) -> Response {
    let asked = async {
        let target = match of_body(&headers, body)? {
            CancelParams { job_id, plan_id: 0 } if job_id != 0 => Target::JobId(job_id),
            CancelParams { job_id: 0, plan_id } if plan_id != 0 => Target::PlanId(plan_id),
            _ => return Err(PageFault::Unreadable("expected one of job_id and plan_id".to_owned())),
        };
        let request = CancelCompactionRequest { target: Some(target), by: call.orderer() };
        Ok(call.ask("CancelCompaction", request, |control, request| control.cancel_compaction(request)).await?)
    };
    answered(asked.await)
}

/// `POST /api/v2/pause`
pub(super) async fn pause(call: PageCall, headers: HeaderMap, body: ReceivedBody) -> Response {
    let asked = async {
        let scope = of_body::<ScopeParams>(&headers, body)?.scope()?;
        let request = PauseCompactionRequest { scope: Some(scope), by: call.orderer() };
        Ok(call.ask("PauseCompaction", request, |control, request| control.pause_compaction(request)).await?)
    };
    answered(asked.await)
}

/// `POST /api/v2/resume`
pub(super) async fn resume(call: PageCall, headers: HeaderMap, body: ReceivedBody) -> Response {
    let asked = async {
        let scope = of_body::<ScopeParams>(&headers, body)?.scope()?;
        let request = ResumeCompactionRequest { scope: Some(scope) };
        Ok(call.ask("ResumeCompaction", request, |control, request| control.resume_compaction(request)).await?)
    };
    answered(asked.await)
}

/// `POST /api/v2/throttle`
pub(super) async fn throttle(call: PageCall, headers: HeaderMap, body: ReceivedBody) -> Response {
    let asked = async {
        let ThrottleParams { mb_per_second } = of_body(&headers, body)?;
        let request = SetThrottleRequest { mb_per_second };
        Ok(call.ask("SetThrottle", request, |control, request| control.set_throttle(request)).await?)
    };
    answered(asked.await)
}
