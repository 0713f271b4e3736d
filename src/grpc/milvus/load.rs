//! Load states, and the calls that change them. `standalone::loading` decides.

use super::*;
use crate::{
    model::{Collection, CollectionId, LoadError, PartitionId, RESOURCE_GROUP, RequestError, SegmentId},
    standalone::{CollectionName, LoadRequest, StandaloneError, check_loaded, partition_ids},
};

/// Of the only node: this process.
pub(super) const NODE: i64 = 1;

impl MilvusApi {
    pub(super) async fn do_load_collection(&self, request: Request<LoadCollectionRequest>) -> Outcome<()> {
        let (call, request) = self.read(request)?;
        let name = CollectionName::new(call.database(&request.db_name), &request.collection_name);
        let load = LoadRequest {
            partitions: None,
            replicas: request.replica_number,
            resource_groups: &request.resource_groups,
            refresh: request.refresh,
        };
        Ok(self.standalone.load(name, load).await?)
    }

    pub(super) async fn do_load_partitions(&self, request: Request<LoadPartitionsRequest>) -> Outcome<()> {
        let (call, request) = self.read(request)?;
        let name = CollectionName::new(call.database(&request.db_name), &request.collection_name);
        let load = LoadRequest {
            partitions: Some(&request.partition_names),
            replicas: request.replica_number,
            resource_groups: &request.resource_groups,
            refresh: request.refresh,
        };
        Ok(self.standalone.load(name, load).await?)
    }

    pub(super) async fn do_release_collection(&self, request: Request<ReleaseCollectionRequest>) -> Outcome<()> {
        let (call, request) = self.read(request)?;
        let name = CollectionName::new(call.database(&request.db_name), &request.collection_name);
        Ok(self.standalone.release_collection(name).await?)
    }

    pub(super) async fn do_release_partitions(&self, request: Request<ReleasePartitionsRequest>) -> Outcome<()> {
        let (call, request) = self.read(request)?;
        let name = CollectionName::new(call.database(&request.db_name), &request.collection_name);
        Ok(self.standalone.release_partitions(name, &request.partition_names).await?)
    }

    /// Every load is complete at once. A collection that is not loaded has no progress, which is an error.
    pub(super) async fn do_get_loading_progress(
        &self,
        request: Request<GetLoadingProgressRequest>,
    ) -> Outcome<GetLoadingProgressResponse> {
        let (call, request) = self.read(request)?;
        let cell = self.collection(&call, &request.db_name, &request.collection_name)?;
        let meta = cell.meta();
        check_loaded(&meta, &named(&meta, &request.partition_names)?).map_err(RequestError::from)?;
        Ok(GetLoadingProgressResponse { progress: 100, refresh_progress: 100, ..Default::default() })
    }

    pub(super) async fn do_get_load_state(
        &self,
        request: Request<GetLoadStateRequest>,
    ) -> Outcome<GetLoadStateResponse> {
        let (call, request) = self.read(request)?;
        let name = CollectionName::new(call.database(&request.db_name), &request.collection_name);
        let state = match self.standalone.resolve(name) {
            Ok(cell) => {
                let meta = cell.meta();
                match check_loaded(&meta, &named(&meta, &request.partition_names)?) {
                    Ok(()) => common::LoadState::Loaded,
                    Err(_not_loaded) => common::LoadState::NotLoad,
                }
            }
            Err(StandaloneError::Request(RequestError::CollectionNotFound { .. })) => common::LoadState::NotExist,
            Err(error) => return Err(error.into()),
        };
        Ok(GetLoadStateResponse { state: state.into(), ..Default::default() })
    }

    /// Moves segments between query nodes. There is one, so nothing ever moves; a request without a meaning is refused.
    pub(super) async fn do_load_balance(&self, request: Request<LoadBalanceRequest>) -> Outcome<()> {
        let (call, request) = CallContext::split(request);
        let cell = self.collection(&call, &request.db_name, &request.collection_name)?;
        let meta = cell.meta();
        let refused = |error: LoadError| RequestError::from(error);
        if meta.loaded.is_empty() {
            return Err(refused(LoadError::NotFullyLoaded(meta.id)).into());
        }
        if request.src_node_id != NODE {
            return Err(refused(LoadError::NoSourceNode { collection: meta.id, node: request.src_node_id }).into());
        }
        if let Some(node) = request.dst_node_i_ds.iter().find(|node| **node != NODE) {
            return Err(refused(LoadError::NoTargetNode(*node)).into());
        }
        let live: Vec<_> = cell.live().iter().map(|segment| segment.id.0).collect();
        match request.sealed_segment_i_ds.iter().find(|id| !live.contains(id)) {
            Some(segment) => Err(refused(LoadError::NoSegmentToMove(SegmentId(*segment))).into()),
            None => Ok(()),
        }
    }

    /// One replica on this one node, for a loaded collection.
    pub(super) async fn do_get_replicas(&self, request: Request<GetReplicasRequest>) -> Outcome<GetReplicasResponse> {
        let (call, request) = self.read(request)?;
        let cell = match (request.collection_name.as_str(), CollectionId(request.collection_id)) {
            // An id is not looked up: it has a replica or not.
            ("", id) => self.coordinator.collection(id).map_err(|_| RequestError::from(LoadError::NoReplica(id)))?,
            (name, _) => self.collection(&call, &request.db_name, name)?,
        };
        let meta = cell.meta();
        if meta.loaded.is_empty() {
            return Err(RequestError::from(LoadError::NoReplica(meta.id)).into());
        }
        let replica = ReplicaInfo {
            replica_id: meta.id.0,
            collection_id: meta.id.0,
            shard_replicas: meta
                .channels
                .iter()
                .map(|c| ShardReplica {
                    leader_id: NODE,
                    leader_addr: String::new(),
                    dm_channel_name: c.as_str().to_owned(),
                    node_ids: vec![NODE],
                })
                .collect(),
            node_ids: vec![NODE],
            resource_group_name: RESOURCE_GROUP.to_owned(),
            ..Default::default()
        };
        Ok(GetReplicasResponse { replicas: vec![replica], ..Default::default() })
    }
}

/// Ids of the partitions that a request names; none if it names none.
fn named(meta: &Collection, names: &[String]) -> Outcome<Vec<PartitionId>> {
    if names.is_empty() { Ok(Vec::new()) } else { Ok(partition_ids(meta, names)?) }
}
