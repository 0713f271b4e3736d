//! The gRPC service as the backend of REST: both edges give the same answers because there is one implementation.

use async_trait::async_trait;
use tonic::{Request, Status};

use super::{Backend, Health};
use crate::wire::proto::milvus::{
    GetCompactionPlansRequest, GetCompactionPlansResponse, GetCompactionStateRequest, GetCompactionStateResponse,
    ManualCompactionRequest, ManualCompactionResponse, milvus_service_server::MilvusService,
};

/// Calls a Milvus service in this process, asks `health` how the process is, and has `refresh` bring the
/// gauges up to date.
#[derive(Debug, Clone)]
pub struct ServiceBackend<S, H, R> {
    service: S,
    health: H,
    refresh: R,
}

impl<S, H, R> ServiceBackend<S, H, R>
where
    S: MilvusService,
    H: Fn() -> Health + Send + Sync,
    R: Fn() + Send + Sync,
{
    pub fn new(service: S, health: H, refresh: R) -> Self {
        Self { service, health, refresh }
    }
}

#[async_trait]
impl<S, H, R> Backend for ServiceBackend<S, H, R>
where
    S: MilvusService,
    H: Fn() -> Health + Send + Sync,
    R: Fn() + Send + Sync,
{
    async fn manual_compaction(&self, request: ManualCompactionRequest) -> Result<ManualCompactionResponse, Status> {
        Ok(self.service.manual_compaction(Request::new(request)).await?.into_inner())
    }

    async fn compaction_state(&self, request: GetCompactionStateRequest) -> Result<GetCompactionStateResponse, Status> {
        Ok(self.service.get_compaction_state(Request::new(request)).await?.into_inner())
    }

    async fn compaction_plans(&self, request: GetCompactionPlansRequest) -> Result<GetCompactionPlansResponse, Status> {
        Ok(self.service.get_compaction_state_with_plans(Request::new(request)).await?.into_inner())
    }

    fn health(&self) -> Health {
        (self.health)()
    }

    fn refresh_metrics(&self) {
        (self.refresh)();
    }
}
