//! Manual compaction and its state, for `MilvusService` and for the same calls of `milvus.proto.data.DataCoord`.

use super::{failure::invalid, *};
use crate::{
    coordinator::{CompactionOptions, CoordinatorError, JobView},
    model::{CollectionId, JobId},
    wire::compaction,
};

impl MilvusApi {
    /// The name decides; the id serves clients that send nothing else. A request that names no collection is refused:
    /// stock reads it as *every* collection, and clients send it by accident.
    pub(in crate::grpc) async fn do_manual_compaction(
        &self,
        request: Request<ManualCompactionRequest>,
    ) -> Outcome<ManualCompactionResponse> {
        let (call, request) = CallContext::split(request);
        let cell = self.compaction_target(&call, &request.db_name, &request.collection_name, request.collection_id)?;
        let triggered = self.coordinator.manual_compaction(&cell, options(request).parse()?).await?;
        Ok(ManualCompactionResponse {
            compaction_id: triggered.job.0,
            compaction_plan_count: triggered.plans as i32,
            ..Default::default()
        })
    }

    fn compaction_target(
        &self,
        call: &CallContext,
        database: &str,
        name: &str,
        id: i64,
    ) -> Outcome<Arc<CollectionCell>> {
        if !name.is_empty() {
            return self.collection(call, database, name);
        }
        if id <= 0 {
            return Err(invalid(format!(
                "compaction needs a collection: collection_name is empty and collectionID is {id}, expected a name or an id above 0"
            )));
        }
        Ok(self.coordinator.collection(CollectionId(id))?)
    }

    pub(in crate::grpc) async fn do_get_compaction_state(
        &self,
        request: Request<GetCompactionStateRequest>,
    ) -> Outcome<GetCompactionStateResponse> {
        self.coordinator.check_compaction_enabled()?;
        let id = request.into_inner().compaction_id;
        let counts = self.coordinator.jobs().counts(JobId(id)).ok_or_else(|| unknown_job(id))?;
        Ok(compaction::state_response(&counts))
    }

    /// With a collection and no id: all plans of its jobs that are kept, newest job first.
    pub(in crate::grpc) async fn do_get_compaction_state_with_plans(
        &self,
        request: Request<GetCompactionPlansRequest>,
    ) -> Outcome<GetCompactionPlansResponse> {
        self.coordinator.check_compaction_enabled()?;
        let (call, request) = CallContext::split(request);
        let jobs = self.coordinator.jobs();
        let views: Vec<JobView> = if request.compaction_id != 0 {
            vec![jobs.job(JobId(request.compaction_id)).ok_or_else(|| unknown_job(request.compaction_id))?]
        } else {
            let cell =
                self.compaction_target(&call, &request.db_name, &request.collection_name, request.collection_id)?;
            jobs.of_collection(cell.id)
        };
        let mut plans: Vec<_> = views.into_iter().flat_map(|v| v.plans).collect();
        let mut seen = std::collections::HashSet::new();
        plans.retain(|p| seen.insert(p.id));
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

fn unknown_job(id: i64) -> Failure {
    CoordinatorError::JobNotFound(JobId(id)).into()
}
