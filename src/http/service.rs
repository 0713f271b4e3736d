//! The gRPC service as the backend of REST: both edges give the same answers because there is one implementation.

use async_trait::async_trait;
use tonic::{Request, Status};

use super::{Backend, Component};
use crate::wire::proto::milvus::{
    GetCompactionPlansRequest, GetCompactionPlansResponse, GetCompactionStateRequest, GetCompactionStateResponse,
    ManualCompactionRequest, ManualCompactionResponse, milvus_service_server::MilvusService,
};

/// Calls a Milvus service in this process, and asks `health` for the state of the components.
#[derive(Debug, Clone)]
pub struct ServiceBackend<S, H> {
    service: S,
    health: H,
}

impl<S, H> ServiceBackend<S, H>
where
    S: MilvusService,
    H: Fn() -> Vec<Component> + Send + Sync,
{
    pub fn new(service: S, health: H) -> Self {
        Self { service, health }
    }
}

#[async_trait]
impl<S, H> Backend for ServiceBackend<S, H>
where
    S: MilvusService,
    H: Fn() -> Vec<Component> + Send + Sync,
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

    fn health(&self) -> Vec<Component> {
        (self.health)()
    }
}
