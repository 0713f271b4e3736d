//! Resource groups: the one that there is. `standalone::resource_groups` decides.

use super::{call_error::done, load::NODE, *};
use crate::{
    model::{CollectionId, RESOURCE_GROUP, RequestError},
    standalone::resource_groups::{
        CAPACITY, NODES, check_group, check_group_drop, check_new_group, check_node_transfer, refused_replica_transfer,
    },
    wire::proto::rg::{ResourceGroupConfig, ResourceGroupLimit},
};

impl MilvusApi {
    pub(super) fn resource_groups(&self) -> ListResourceGroupsResponse {
        ListResourceGroupsResponse { resource_groups: vec![RESOURCE_GROUP.to_owned()], ..Default::default() }
    }

    /// The group, with the loaded collections of all databases by name: one replica each.
    pub(super) fn do_describe_resource_group(
        &self,
        request: Request<DescribeResourceGroupRequest>,
    ) -> Outcome<DescribeResourceGroupResponse> {
        check_group(&request.get_ref().resource_group).map_err(RequestError::from)?;
        let cells = self.standalone.collections(None);
        let loaded = cells.iter().map(|cell| cell.meta()).filter(|meta| !meta.loaded.is_empty());
        let limit = |node_num| Some(ResourceGroupLimit { node_num });
        let group = ResourceGroup {
            name: RESOURCE_GROUP.to_owned(),
            capacity: CAPACITY,
            num_available_node: NODES,
            num_loaded_replica: loaded.map(|meta| (meta.name.clone(), 1)).collect(),
            config: Some(ResourceGroupConfig { requests: limit(0), limits: limit(CAPACITY) }),
            nodes: vec![common::NodeInfo { node_id: NODE, ..Default::default() }],
            ..Default::default()
        };
        Ok(DescribeResourceGroupResponse { resource_group: Some(group), ..Default::default() })
    }

    /// Refuses a name as Milvus would, or else the call: there is no second group, and no way to make one.
    pub(super) fn do_create_resource_group(
        &self,
        request: Request<CreateResourceGroupRequest>,
    ) -> Result<Response<common::Status>, Status> {
        let checked = self.read(request).and_then(|(_, request)| {
            check_new_group(&request.resource_group).map_err(|error| RequestError::from(error).into())
        });
        match checked {
            Ok(()) => Err(Status::unimplemented(format!(
                "this server is one query node in the resource group {RESOURCE_GROUP}: there can be no other group"
            ))),
            refused => done(refused),
        }
    }

    pub(super) fn do_drop_resource_group(&self, request: Request<DropResourceGroupRequest>) -> Outcome<()> {
        Ok(check_group_drop(&request.get_ref().resource_group, self.any_loaded()).map_err(RequestError::from)?)
    }

    pub(super) fn do_transfer_node(&self, request: Request<TransferNodeRequest>) -> Outcome<()> {
        let (_, request) = self.read(request)?;
        let (source, target) = (&request.source_resource_group, &request.target_resource_group);
        Ok(check_node_transfer(source, target, request.num_node, self.any_loaded()).map_err(RequestError::from)?)
    }

    pub(super) fn do_transfer_replica(&self, request: Request<TransferReplicaRequest>) -> Outcome<()> {
        let (call, request) = self.read(request)?;
        let cell = self.collection(&call, &request.db_name, &request.collection_name)?;
        let is_loaded = !cell.meta().loaded.is_empty();
        let (source, target) = (&request.source_resource_group, &request.target_resource_group);
        let refusal = refused_replica_transfer(source, target, request.num_replica, is_loaded);
        Err(RequestError::from(refusal).into())
    }

    fn any_loaded(&self) -> Option<CollectionId> {
        let cells = self.standalone.collections(None);
        cells.iter().map(|cell| cell.meta()).find(|meta| !meta.loaded.is_empty()).map(|meta| meta.id)
    }
}

#[cfg(test)]
mod tests;
