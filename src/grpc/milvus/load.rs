//! Load states. Rows are always readable here; a load succeeds at once and is stored, because clients ask for it.

use super::*;
use crate::{
    model::{Collection, RequestError},
    standalone::{CollectionName, StandaloneError, partition_ids},
};

impl MilvusApi {
    pub(super) async fn do_load_collection(&self, request: Request<LoadCollectionRequest>) -> Outcome<()> {
        let (call, request) = self.read(request)?;
        let name = CollectionName::new(call.database(&request.db_name), &request.collection_name);
        Ok(self.standalone.load(name, &[]).await?)
    }

    pub(super) async fn do_load_partitions(&self, request: Request<LoadPartitionsRequest>) -> Outcome<()> {
        let (call, request) = self.read(request)?;
        let name = CollectionName::new(call.database(&request.db_name), &request.collection_name);
        Ok(self.standalone.load(name, &request.partition_names).await?)
    }

    pub(super) async fn do_release_collection(&self, request: Request<ReleaseCollectionRequest>) -> Outcome<()> {
        let (call, request) = self.read(request)?;
        let name = CollectionName::new(call.database(&request.db_name), &request.collection_name);
        Ok(self.standalone.release(name, &[]).await?)
    }

    pub(super) async fn do_release_partitions(&self, request: Request<ReleasePartitionsRequest>) -> Outcome<()> {
        let (call, request) = self.read(request)?;
        let name = CollectionName::new(call.database(&request.db_name), &request.collection_name);
        Ok(self.standalone.release(name, &request.partition_names).await?)
    }

    /// Every load is complete at once. A collection that is not loaded has no progress, which is an error.
    pub(super) async fn do_get_loading_progress(
        &self,
        request: Request<GetLoadingProgressRequest>,
    ) -> Outcome<GetLoadingProgressResponse> {
        let (call, request) = self.read(request)?;
        let cell = self.collection(&call, &request.db_name, &request.collection_name)?;
        let meta = cell.meta();
        if !is_loaded(&meta, &request.partition_names)? {
            return Err(RequestError::NotLoaded(meta.id).into());
        }
        Ok(GetLoadingProgressResponse { progress: 100, refresh_progress: 100, ..Default::default() })
    }

    pub(super) async fn do_get_load_state(
        &self,
        request: Request<GetLoadStateRequest>,
    ) -> Outcome<GetLoadStateResponse> {
        let (call, request) = self.read(request)?;
        let name = CollectionName::new(call.database(&request.db_name), &request.collection_name);
        let state = match self.standalone.resolve(name) {
            Ok(cell) if is_loaded(&cell.meta(), &request.partition_names)? => common::LoadState::Loaded,
            Ok(_) => common::LoadState::NotLoad,
            Err(StandaloneError::Request(RequestError::CollectionNotFound { .. })) => common::LoadState::NotExist,
            Err(error) => return Err(error.into()),
        };
        Ok(GetLoadStateResponse { state: state.into(), ..Default::default() })
    }

    /// One replica on this one node, for a loaded collection.
    pub(super) async fn do_get_replicas(&self, request: Request<GetReplicasRequest>) -> Outcome<GetReplicasResponse> {
        let (call, request) = self.read(request)?;
        let cell = match (request.collection_name.as_str(), request.collection_id) {
            ("", id) if id > 0 => self.coordinator.collection(crate::model::CollectionId(id))?,
            (name, _) => self.collection(&call, &request.db_name, name)?,
        };
        let meta = cell.meta();
        if meta.loaded.is_empty() {
            return Err(RequestError::NotLoaded(meta.id).into());
        }
        let replica = ReplicaInfo {
            replica_id: meta.id.0,
            collection_id: meta.id.0,
            partition_ids: meta.loaded.iter().map(|p| p.0).collect(),
            shard_replicas: meta
                .channels
                .iter()
                .map(|c| ShardReplica {
                    leader_id: 1,
                    leader_addr: String::new(),
                    dm_channel_name: c.as_str().to_owned(),
                    node_ids: vec![1],
                })
                .collect(),
            node_ids: vec![1],
            ..Default::default()
        };
        Ok(GetReplicasResponse { replicas: vec![replica], ..Default::default() })
    }
}

/// All of the named partitions are loaded; without names, any.
fn is_loaded(meta: &Collection, names: &[String]) -> Outcome<bool> {
    if names.is_empty() {
        return Ok(!meta.loaded.is_empty());
    }
    Ok(partition_ids(meta, names)?.iter().all(|p| meta.loaded.contains(p)))
}
