//! `milvus.proto.data.DataCoord`: the compaction calls as other roles of a Milvus cluster make them.
//!
//! Same messages and same answers as in `MilvusService`; one implementation serves both.

use tonic::{Request, Response, Status};

use super::{failure::answer, milvus::MilvusApi};
use crate::wire::proto::{data::data_coord_server::DataCoord, milvus::*};

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
        answer(self.milvus.do_manual_compaction(request).await)
    }

    async fn get_compaction_state(
        &self,
        request: Request<GetCompactionStateRequest>,
    ) -> Result<Response<GetCompactionStateResponse>, Status> {
        answer(self.milvus.do_get_compaction_state(request).await)
    }

    async fn get_compaction_state_with_plans(
        &self,
        request: Request<GetCompactionPlansRequest>,
    ) -> Result<Response<GetCompactionPlansResponse>, Status> {
        answer(self.milvus.do_get_compaction_state_with_plans(request).await)
    }
}
