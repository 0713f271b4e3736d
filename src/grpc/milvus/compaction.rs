//! Manual compaction and its state, for `MilvusService` and for the same calls of `milvus.proto.data.DataCoord`.

use super::*;
use crate::{coordinator::CompactionOptions, model::JobId, wire::compaction};

impl MilvusApi {
    /// The name decides; the id serves clients that send nothing else.
    pub(in crate::grpc) async fn do_manual_compaction(
        &self,
        request: Request<ManualCompactionRequest>,
    ) -> Outcome<ManualCompactionResponse> {
        let (call, request) = self.read(request)?;
        let name = CollectionName::new(call.database(&request.db_name), &request.collection_name);
        let cell = self.standalone.compaction_target(name, request.collection_id)?;
        let triggered = self.coordinator.manual_compaction(&cell, options(request).parse()?).await?;
        Ok(compaction::started_response(triggered.job, triggered.plans))
    }

    pub(in crate::grpc) async fn do_get_compaction_state(
        &self,
        request: Request<GetCompactionStateRequest>,
    ) -> Outcome<GetCompactionStateResponse> {
        let counts = self.coordinator.job_counts(JobId(request.into_inner().compaction_id))?;
        Ok(compaction::state_response(&counts))
    }

    /// With a collection and no id: all plans of its jobs that are kept.
    pub(in crate::grpc) async fn do_get_compaction_state_with_plans(
        &self,
        request: Request<GetCompactionPlansRequest>,
    ) -> Outcome<GetCompactionPlansResponse> {
        let (call, request) = self.read(request)?;
        let name = CollectionName::new(call.database(&request.db_name), &request.collection_name);
        let plans = self.standalone.compaction_plans(JobId(request.compaction_id), name, request.collection_id)?;
        Ok(compaction::plans_response(&plans))
    }
}

fn options(request: ManualCompactionRequest) -> CompactionOptions {
    CompactionOptions {
        partition_id: request.partition_id,
        channel: request.channel,
        segment_ids: request.segment_ids,
        timetravel: request.timetravel,
        is_clustering: request.major_compaction,
        is_l0: request.l0_compaction,
        target_size_mb: request.target_size,
        ..CompactionOptions::default()
    }
}
