//! The handle that all calls share, and conversions that several of them need.

use std::sync::Arc;

use tonic::{Request, Status};

use crate::{
    coordinator::{CollectionCell, CompactionOptions, Coordinator},
    grpc::access::{Named, admit},
    model::CollectionId,
    standalone::{CollectionName, Standalone, StandaloneError},
    wire::{
        proto::datacoord::{CollectionRef, ManualCompactionRequest},
        status,
    },
};

#[derive(Debug, Clone)]
pub(crate) struct ControlApi {
    pub(super) standalone: Arc<Standalone>,
    /// Its DataCoord.
    pub(super) coordinator: Arc<Coordinator>,
}

impl ControlApi {
    pub(crate) fn new(standalone: Arc<Standalone>) -> Self {
        Self { coordinator: Arc::clone(standalone.coordinator()), standalone }
    }

    /// The request, if its caller may make it.
    pub(super) fn admit<T: Named>(&self, request: Request<T>) -> Result<Request<T>, Status> {
        admit(&self.standalone, request)
    }

    pub(super) fn collection(&self, named: Option<CollectionRef>) -> Result<Arc<CollectionCell>, Status> {
        let named = named.unwrap_or_default();
        let process = &self.standalone;
        if !named.collection_name.is_empty() {
            return process.resolve(CollectionName::new(&named.db_name, &named.collection_name)).map_err(grpc_status);
        }
        if named.collection_id <= 0 {
            return Err(Status::invalid_argument(format!(
                "collection: collection_name is empty and collection_id is {}, expected a name or an id above 0",
                named.collection_id
            )));
        }
        process.collection(CollectionId(named.collection_id)).map_err(grpc_status)
    }
}

/// The options of a request, for the compaction and for its dry run.
pub(super) fn options(request: ManualCompactionRequest) -> CompactionOptions {
    CompactionOptions {
        partition_id: request.partition_id,
        channel: request.channel,
        segment_ids: request.segment_ids,
        timetravel: request.timetravel,
        is_clustering: request.is_clustering,
        is_l0: request.is_l0,
        target_size_mb: request.target_size_mb,
        priority: request.priority,
        deadline_ms: request.deadline_ms,
    }
}

pub(super) fn grpc_status(error: impl Into<StandaloneError>) -> Status {
    let error = error.into();
    status::grpc_of_core(&error, error.request())
}
