//! The service itself: one method per call. Errors are gRPC status codes.

use tonic::{Request, Response, Status};

use super::{
    api::{ControlApi, grpc_status, options},
    backup::BackupStream,
    watch::EventStream,
};
use crate::{
    access::Caller,
    grpc::access::caller,
    model::JobId,
    wire::{
        compaction,
        proto::datacoord::{data_coord_server::DataCoord, *},
    },
};

#[tonic::async_trait]
impl DataCoord for ControlApi {
    async fn manual_compaction(
        &self,
        request: Request<ManualCompactionRequest>,
    ) -> Result<Response<ManualCompactionResponse>, Status> {
        let mut request = self.admit(request)?.into_inner();
        let cell = self.collection(request.collection.take())?;
        let request = options(request).parse().map_err(grpc_status)?;
        let triggered = self.coordinator.manual_compaction(&cell, request).await.map_err(grpc_status)?;
        Ok(Response::new(ManualCompactionResponse {
            job_id: triggered.job.0,
            plans: triggered.plans as i32,
            reason: triggered.nothing_to_do.unwrap_or_default(),
        }))
    }

    async fn get_compaction_state(
        &self,
        request: Request<GetCompactionStateRequest>,
    ) -> Result<Response<GetCompactionStateResponse>, Status> {
        let id = JobId(self.admit(request)?.into_inner().job_id);
        let view = self.coordinator.job(id).map_err(grpc_status)?;
        let progress = self.coordinator.job_progress(&view);
        Ok(Response::new(compaction::job_state(&view.job, &view.counts(), progress)))
    }

    async fn get_compaction_plans(
        &self,
        request: Request<GetCompactionPlansRequest>,
    ) -> Result<Response<GetCompactionPlansResponse>, Status> {
        let id = JobId(self.admit(request)?.into_inner().job_id);
        let view = self.coordinator.job(id).map_err(grpc_status)?;
        let plans = view
            .plans
            .iter()
            .map(|plan| compaction::plan_message(plan, Some(self.coordinator.plan_progress(plan))))
            .collect();
        Ok(Response::new(GetCompactionPlansResponse { plans }))
    }

    async fn list_segments(
        &self,
        request: Request<ListSegmentsRequest>,
    ) -> Result<Response<ListSegmentsResponse>, Status> {
        self.do_list_segments(self.admit(request)?.into_inner()).map(Response::new)
    }

    async fn list_compactions(
        &self,
        request: Request<ListCompactionsRequest>,
    ) -> Result<Response<ListCompactionsResponse>, Status> {
        self.do_list_compactions(self.admit(request)?.into_inner()).map(Response::new)
    }

    async fn get_compaction(
        &self,
        request: Request<GetCompactionRequest>,
    ) -> Result<Response<GetCompactionResponse>, Status> {
        self.do_get_compaction(self.admit(request)?.into_inner()).map(Response::new)
    }

    async fn cancel_compaction(
        &self,
        request: Request<CancelCompactionRequest>,
    ) -> Result<Response<CancelCompactionResponse>, Status> {
        self.do_cancel_compaction(self.admit(request)?.into_inner()).await.map(Response::new)
    }

    async fn plan_compaction(
        &self,
        request: Request<PlanCompactionRequest>,
    ) -> Result<Response<PlanCompactionResponse>, Status> {
        self.do_plan_compaction(self.admit(request)?.into_inner()).await.map(Response::new)
    }

    async fn explain_segment(
        &self,
        request: Request<ExplainSegmentRequest>,
    ) -> Result<Response<ExplainSegmentResponse>, Status> {
        self.do_explain_segment(self.admit(request)?.into_inner()).await.map(Response::new)
    }

    async fn explain_collection(
        &self,
        request: Request<ExplainCollectionRequest>,
    ) -> Result<Response<ExplainCollectionResponse>, Status> {
        self.do_explain_collection(self.admit(request)?.into_inner()).await.map(Response::new)
    }

    type WatchCompactionStream = EventStream;

    async fn watch_compaction(
        &self,
        request: Request<WatchCompactionRequest>,
    ) -> Result<Response<Self::WatchCompactionStream>, Status> {
        let request = self.admit(request)?;
        let caller = caller(&request).unwrap_or_else(Caller::nobody);
        self.do_watch_compaction(request.into_inner(), caller).map(Response::new)
    }

    async fn pause_compaction(
        &self,
        request: Request<PauseCompactionRequest>,
    ) -> Result<Response<PausesResponse>, Status> {
        self.do_pause_compaction(self.admit(request)?.into_inner()).await.map(Response::new)
    }

    async fn resume_compaction(
        &self,
        request: Request<ResumeCompactionRequest>,
    ) -> Result<Response<PausesResponse>, Status> {
        self.do_resume_compaction(self.admit(request)?.into_inner()).await.map(Response::new)
    }

    async fn set_throttle(&self, request: Request<SetThrottleRequest>) -> Result<Response<ThrottleResponse>, Status> {
        self.do_set_throttle(self.admit(request)?.into_inner()).await.map(Response::new)
    }

    async fn get_throttle(&self, request: Request<GetThrottleRequest>) -> Result<Response<ThrottleResponse>, Status> {
        self.admit(request)?;
        Ok(Response::new(self.do_get_throttle()))
    }

    async fn get_lineage(&self, request: Request<GetLineageRequest>) -> Result<Response<GetLineageResponse>, Status> {
        self.do_get_lineage(self.admit(request)?.into_inner()).map(Response::new)
    }

    async fn get_amplification(
        &self,
        request: Request<GetAmplificationRequest>,
    ) -> Result<Response<GetAmplificationResponse>, Status> {
        self.do_get_amplification(self.admit(request)?.into_inner()).map(Response::new)
    }

    async fn get_overview(
        &self,
        request: Request<GetOverviewRequest>,
    ) -> Result<Response<GetOverviewResponse>, Status> {
        let request = self.admit(request)?;
        let caller = caller(&request).unwrap_or_else(Caller::nobody);
        self.do_get_overview(&request.into_inner(), &caller).map(Response::new)
    }

    async fn collect_garbage(
        &self,
        request: Request<CollectGarbageRequest>,
    ) -> Result<Response<CollectGarbageResponse>, Status> {
        self.do_collect_garbage(self.admit(request)?.into_inner()).await.map(Response::new)
    }
    type BackupStream = BackupStream;

    async fn backup(&self, request: Request<BackupRequest>) -> Result<Response<Self::BackupStream>, Status> {
        let request = self.admit(request)?;
        let caller = caller(&request).unwrap_or_else(Caller::nobody);
        self.do_backup(request.into_inner(), caller).await
    }
}
