//! Forwards each call to its twin in `MilvusService`.

use tonic::{Request, Response, Status};

use crate::{
    grpc::milvus::{MilvusApi, answer},
    wire::proto::{data::data_coord_server::DataCoord, milvus::*},
};

#[derive(Debug, Clone)]
pub(crate) struct DataCoordApi {
    milvus: MilvusApi,
}

impl DataCoordApi {
    pub(crate) fn new(milvus: MilvusApi) -> Self {
        Self { milvus }
    }
}

#[tonic::async_trait]
impl DataCoord for DataCoordApi {
    async fn manual_compaction(
        &self,
        request: Request<ManualCompactionRequest>,
    ) -> Result<Response<ManualCompactionResponse>, Status> {
        answer(self.milvus.do_manual_compaction(self.milvus.admit(request)?).await)
    }

    async fn get_compaction_state(
        &self,
        request: Request<GetCompactionStateRequest>,
    ) -> Result<Response<GetCompactionStateResponse>, Status> {
        answer(self.milvus.do_get_compaction_state(self.milvus.admit(request)?).await)
    }

    async fn get_compaction_state_with_plans(
        &self,
        request: Request<GetCompactionPlansRequest>,
    ) -> Result<Response<GetCompactionPlansResponse>, Status> {
        answer(self.milvus.do_get_compaction_state_with_plans(self.milvus.admit(request)?).await)
    }
}
