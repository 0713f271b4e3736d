//! The service itself: each method hands its request to the file of its topic and puts the outcome into the answer.

use super::{
    call_error::{answer, done},
    *,
};
use crate::{
    memory::Account,
    wire::{
        proto::{milvus::milvus_service_server::MilvusService, schema::FieldData},
        rows::values::values_carried,
        status::Code,
    },
};

/// The number of rows that a request claims, if one of its columns has as many values; otherwise none. Trusting the
/// claim alone would let a tiny request cause an answer of any size.
fn carried_rows(columns: &[FieldData], num_rows: u32) -> u32 {
    let carried = columns.iter().map(values_carried).max().unwrap_or(0);
    if carried >= num_rows as usize { num_rows } else { 0 }
}

/// The answer to a write of rows. If it fails every row has failed, and clients count them.
fn written(outcome: Outcome<MutationResult>, rows: u32) -> Result<Response<MutationResult>, Status> {
    let failed = outcome.is_err();
    let mut response = answer(outcome)?;
    if failed {
        response.get_mut().err_index = (0..rows).collect();
    }
    Ok(response)
}

/// The answer to a search, with the memory that it takes.
fn found(outcome: Outcome<(SearchResults, Account)>) -> Result<Response<SearchResults>, Status> {
    let (outcome, memory) = match outcome {
        Ok((answer, memory)) => (Ok(answer), Some(memory)),
        Err(failure) => (Err(failure), None),
    };
    let mut response = answer(outcome)?;
    if let Some(memory) = memory {
        // Counts until the answer is sent: see `admission`.
        response.extensions_mut().insert(memory);
    }
    Ok(response)
}

#[tonic::async_trait]
impl MilvusService for MilvusApi {
    async fn search(&self, request: Request<SearchRequest>) -> Result<Response<SearchResults>, Status> {
        found(self.do_search(self.admit(request)?).await)
    }

    async fn hybrid_search(&self, request: Request<HybridSearchRequest>) -> Result<Response<SearchResults>, Status> {
        found(self.do_hybrid_search(self.admit(request)?).await)
    }

    async fn connect(&self, request: Request<ConnectRequest>) -> Result<Response<ConnectResponse>, Status> {
        answer(self.do_connect(self.admit(request)?).await)
    }

    async fn get_version(&self, request: Request<GetVersionRequest>) -> Result<Response<GetVersionResponse>, Status> {
        answer(self.do_get_version(self.admit(request)?).await)
    }

    async fn check_health(
        &self,
        request: Request<CheckHealthRequest>,
    ) -> Result<Response<CheckHealthResponse>, Status> {
        answer(self.do_check_health(self.admit(request)?).await)
    }

    async fn alloc_timestamp(
        &self,
        request: Request<AllocTimestampRequest>,
    ) -> Result<Response<AllocTimestampResponse>, Status> {
        answer(self.do_alloc_timestamp(self.admit(request)?).await)
    }

    async fn get_metrics(&self, request: Request<GetMetricsRequest>) -> Result<Response<GetMetricsResponse>, Status> {
        answer(self.do_get_metrics(self.admit(request)?).await)
    }

    async fn get_component_states(
        &self,
        request: Request<GetComponentStatesRequest>,
    ) -> Result<Response<ComponentStates>, Status> {
        answer(self.do_get_component_states(self.admit(request)?).await)
    }

    async fn create_credential(
        &self,
        request: Request<CreateCredentialRequest>,
    ) -> Result<Response<common::Status>, Status> {
        users::done(self.do_create_credential(self.admit(request)?).await)
    }

    async fn update_credential(
        &self,
        request: Request<UpdateCredentialRequest>,
    ) -> Result<Response<common::Status>, Status> {
        users::done(self.do_update_credential(self.admit(request)?).await)
    }

    async fn delete_credential(
        &self,
        request: Request<DeleteCredentialRequest>,
    ) -> Result<Response<common::Status>, Status> {
        users::done(self.do_delete_credential(self.admit(request)?).await)
    }

    async fn list_cred_users(
        &self,
        request: Request<ListCredUsersRequest>,
    ) -> Result<Response<ListCredUsersResponse>, Status> {
        self.admit(request)?;
        users::answer(Ok(self.list_users()))
    }

    async fn create_role(&self, request: Request<CreateRoleRequest>) -> Result<Response<common::Status>, Status> {
        users::done(self.do_create_role(self.admit(request)?).await)
    }

    async fn drop_role(&self, request: Request<DropRoleRequest>) -> Result<Response<common::Status>, Status> {
        users::done(self.do_drop_role(self.admit(request)?).await)
    }

    async fn operate_user_role(
        &self,
        request: Request<OperateUserRoleRequest>,
    ) -> Result<Response<common::Status>, Status> {
        users::done(self.do_operate_user_role(self.admit(request)?).await)
    }

    async fn select_role(&self, request: Request<SelectRoleRequest>) -> Result<Response<SelectRoleResponse>, Status> {
        users::answer(self.do_select_role(self.admit(request)?))
    }

    async fn select_user(&self, request: Request<SelectUserRequest>) -> Result<Response<SelectUserResponse>, Status> {
        users::answer(self.do_select_user(self.admit(request)?))
    }

    async fn operate_privilege(
        &self,
        request: Request<OperatePrivilegeRequest>,
    ) -> Result<Response<common::Status>, Status> {
        users::done(self.do_operate_privilege(self.admit(request)?).await)
    }

    async fn select_grant(
        &self,
        request: Request<SelectGrantRequest>,
    ) -> Result<Response<SelectGrantResponse>, Status> {
        users::answer(self.do_select_grant(self.admit(request)?))
    }

    async fn list_databases(
        &self,
        request: Request<ListDatabasesRequest>,
    ) -> Result<Response<ListDatabasesResponse>, Status> {
        answer(self.do_list_databases(self.admit(request)?).await)
    }

    async fn create_database(
        &self,
        request: Request<CreateDatabaseRequest>,
    ) -> Result<Response<common::Status>, Status> {
        done(self.do_create_database(self.admit(request)?).await)
    }

    async fn drop_database(&self, request: Request<DropDatabaseRequest>) -> Result<Response<common::Status>, Status> {
        done(self.do_drop_database(self.admit(request)?).await)
    }

    async fn describe_database(
        &self,
        request: Request<DescribeDatabaseRequest>,
    ) -> Result<Response<DescribeDatabaseResponse>, Status> {
        answer(self.do_describe_database(self.admit(request)?).await)
    }

    async fn create_collection(
        &self,
        request: Request<CreateCollectionRequest>,
    ) -> Result<Response<common::Status>, Status> {
        done(self.do_create_collection(self.admit(request)?).await)
    }

    async fn drop_collection(
        &self,
        request: Request<DropCollectionRequest>,
    ) -> Result<Response<common::Status>, Status> {
        done(self.do_drop_collection(self.admit(request)?).await)
    }

    async fn has_collection(&self, request: Request<HasCollectionRequest>) -> Result<Response<BoolResponse>, Status> {
        answer(self.do_has_collection(self.admit(request)?).await)
    }

    async fn describe_collection(
        &self,
        request: Request<DescribeCollectionRequest>,
    ) -> Result<Response<DescribeCollectionResponse>, Status> {
        let request = self.admit(request)?;
        let asked = self.asked(&request);
        let mut response = answer(self.do_describe_collection(request).await)?;
        if response.get_ref().schema.is_none()
            && let Some(asked) = asked
        {
            // A refusal repeats the question.
            let DescribeCollectionResponse { status, .. } = std::mem::take(response.get_mut());
            *response.get_mut() = DescribeCollectionResponse { status, ..asked };
        }
        Ok(response)
    }

    async fn show_collections(
        &self,
        request: Request<ShowCollectionsRequest>,
    ) -> Result<Response<ShowCollectionsResponse>, Status> {
        answer(self.do_show_collections(self.admit(request)?).await)
    }

    async fn alter_collection(
        &self,
        request: Request<AlterCollectionRequest>,
    ) -> Result<Response<common::Status>, Status> {
        done(self.do_alter_collection(self.admit(request)?).await)
    }

    async fn rename_collection(
        &self,
        request: Request<RenameCollectionRequest>,
    ) -> Result<Response<common::Status>, Status> {
        done(self.do_rename_collection(self.admit(request)?).await)
    }

    async fn truncate_collection(
        &self,
        request: Request<TruncateCollectionRequest>,
    ) -> Result<Response<TruncateCollectionResponse>, Status> {
        answer(self.do_truncate_collection(self.admit(request)?).await)
    }

    async fn get_collection_statistics(
        &self,
        request: Request<GetCollectionStatisticsRequest>,
    ) -> Result<Response<GetCollectionStatisticsResponse>, Status> {
        answer(self.do_get_collection_statistics(self.admit(request)?).await)
    }

    async fn create_alias(&self, request: Request<CreateAliasRequest>) -> Result<Response<common::Status>, Status> {
        done(self.do_create_alias(self.admit(request)?).await)
    }

    async fn alter_alias(&self, request: Request<AlterAliasRequest>) -> Result<Response<common::Status>, Status> {
        done(self.do_alter_alias(self.admit(request)?).await)
    }

    async fn drop_alias(&self, request: Request<DropAliasRequest>) -> Result<Response<common::Status>, Status> {
        done(self.do_drop_alias(self.admit(request)?).await)
    }

    async fn describe_alias(
        &self,
        request: Request<DescribeAliasRequest>,
    ) -> Result<Response<DescribeAliasResponse>, Status> {
        answer(self.do_describe_alias(self.admit(request)?).await)
    }

    async fn list_aliases(
        &self,
        request: Request<ListAliasesRequest>,
    ) -> Result<Response<ListAliasesResponse>, Status> {
        answer(self.do_list_aliases(self.admit(request)?).await)
    }

    async fn create_partition(
        &self,
        request: Request<CreatePartitionRequest>,
    ) -> Result<Response<common::Status>, Status> {
        done(self.do_create_partition(self.admit(request)?).await)
    }

    async fn drop_partition(&self, request: Request<DropPartitionRequest>) -> Result<Response<common::Status>, Status> {
        done(self.do_drop_partition(self.admit(request)?).await)
    }

    async fn has_partition(&self, request: Request<HasPartitionRequest>) -> Result<Response<BoolResponse>, Status> {
        answer(self.do_has_partition(self.admit(request)?).await)
    }

    async fn show_partitions(
        &self,
        request: Request<ShowPartitionsRequest>,
    ) -> Result<Response<ShowPartitionsResponse>, Status> {
        answer(self.do_show_partitions(self.admit(request)?).await)
    }

    async fn get_partition_statistics(
        &self,
        request: Request<GetPartitionStatisticsRequest>,
    ) -> Result<Response<GetPartitionStatisticsResponse>, Status> {
        answer(self.do_get_partition_statistics(self.admit(request)?).await)
    }

    async fn insert(&self, request: Request<InsertRequest>) -> Result<Response<MutationResult>, Status> {
        let rows = carried_rows(&request.get_ref().fields_data, request.get_ref().num_rows);
        written(self.do_insert(self.admit(request)?).await, rows)
    }

    async fn upsert(&self, request: Request<UpsertRequest>) -> Result<Response<MutationResult>, Status> {
        let rows = carried_rows(&request.get_ref().fields_data, request.get_ref().num_rows);
        let outcome = self.do_upsert(self.admit(request)?).await;
        // Without a collection no row is counted, other than by an insert.
        let is_lost = matches!(&outcome, Err(CallError(status)) if status.code == Code::COLLECTION_NOT_FOUND.code);
        written(outcome, if is_lost { 0 } else { rows })
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Result<Response<MutationResult>, Status> {
        answer(self.do_delete(self.admit(request)?).await)
    }

    async fn flush(&self, request: Request<FlushRequest>) -> Result<Response<FlushResponse>, Status> {
        answer(self.do_flush(self.admit(request)?).await)
    }

    async fn get_flush_state(
        &self,
        request: Request<GetFlushStateRequest>,
    ) -> Result<Response<GetFlushStateResponse>, Status> {
        answer(self.do_get_flush_state(self.admit(request)?).await)
    }

    async fn flush_all(&self, request: Request<FlushAllRequest>) -> Result<Response<FlushAllResponse>, Status> {
        answer(self.do_flush_all(self.admit(request)?).await)
    }

    async fn get_flush_all_state(
        &self,
        request: Request<GetFlushAllStateRequest>,
    ) -> Result<Response<GetFlushAllStateResponse>, Status> {
        answer(self.do_get_flush_all_state(self.admit(request)?).await)
    }

    async fn manual_compaction(
        &self,
        request: Request<ManualCompactionRequest>,
    ) -> Result<Response<ManualCompactionResponse>, Status> {
        answer(self.do_manual_compaction(self.admit(request)?).await)
    }

    async fn get_compaction_state(
        &self,
        request: Request<GetCompactionStateRequest>,
    ) -> Result<Response<GetCompactionStateResponse>, Status> {
        answer(self.do_get_compaction_state(self.admit(request)?).await)
    }

    async fn get_compaction_state_with_plans(
        &self,
        request: Request<GetCompactionPlansRequest>,
    ) -> Result<Response<GetCompactionPlansResponse>, Status> {
        answer(self.do_get_compaction_state_with_plans(self.admit(request)?).await)
    }

    async fn get_persistent_segment_info(
        &self,
        request: Request<GetPersistentSegmentInfoRequest>,
    ) -> Result<Response<GetPersistentSegmentInfoResponse>, Status> {
        answer(self.do_get_persistent_segment_info(self.admit(request)?).await)
    }

    async fn get_query_segment_info(
        &self,
        request: Request<GetQuerySegmentInfoRequest>,
    ) -> Result<Response<GetQuerySegmentInfoResponse>, Status> {
        answer(self.do_get_query_segment_info(self.admit(request)?).await)
    }

    async fn create_index(&self, request: Request<CreateIndexRequest>) -> Result<Response<common::Status>, Status> {
        done(self.do_create_index(self.admit(request)?).await)
    }

    async fn describe_index(
        &self,
        request: Request<DescribeIndexRequest>,
    ) -> Result<Response<DescribeIndexResponse>, Status> {
        answer(self.do_describe_index(self.admit(request)?).await)
    }

    async fn drop_index(&self, request: Request<DropIndexRequest>) -> Result<Response<common::Status>, Status> {
        done(self.do_drop_index(self.admit(request)?).await)
    }

    async fn get_index_build_progress(
        &self,
        request: Request<GetIndexBuildProgressRequest>,
    ) -> Result<Response<GetIndexBuildProgressResponse>, Status> {
        answer(self.do_get_index_build_progress(self.admit(request)?).await)
    }

    async fn get_index_statistics(
        &self,
        request: Request<GetIndexStatisticsRequest>,
    ) -> Result<Response<GetIndexStatisticsResponse>, Status> {
        answer(self.do_get_index_statistics(self.admit(request)?).await)
    }

    async fn get_index_state(
        &self,
        request: Request<GetIndexStateRequest>,
    ) -> Result<Response<GetIndexStateResponse>, Status> {
        answer(self.do_get_index_state(self.admit(request)?).await)
    }

    async fn load_collection(
        &self,
        request: Request<LoadCollectionRequest>,
    ) -> Result<Response<common::Status>, Status> {
        done(self.do_load_collection(self.admit(request)?).await)
    }

    async fn release_collection(
        &self,
        request: Request<ReleaseCollectionRequest>,
    ) -> Result<Response<common::Status>, Status> {
        done(self.do_release_collection(self.admit(request)?).await)
    }

    async fn load_partitions(
        &self,
        request: Request<LoadPartitionsRequest>,
    ) -> Result<Response<common::Status>, Status> {
        done(self.do_load_partitions(self.admit(request)?).await)
    }

    async fn release_partitions(
        &self,
        request: Request<ReleasePartitionsRequest>,
    ) -> Result<Response<common::Status>, Status> {
        done(self.do_release_partitions(self.admit(request)?).await)
    }

    async fn get_loading_progress(
        &self,
        request: Request<GetLoadingProgressRequest>,
    ) -> Result<Response<GetLoadingProgressResponse>, Status> {
        answer(self.do_get_loading_progress(self.admit(request)?).await)
    }

    async fn get_load_state(
        &self,
        request: Request<GetLoadStateRequest>,
    ) -> Result<Response<GetLoadStateResponse>, Status> {
        answer(self.do_get_load_state(self.admit(request)?).await)
    }

    async fn load_balance(&self, request: Request<LoadBalanceRequest>) -> Result<Response<common::Status>, Status> {
        done(self.do_load_balance(self.admit(request)?).await)
    }

    async fn get_replicas(
        &self,
        request: Request<GetReplicasRequest>,
    ) -> Result<Response<GetReplicasResponse>, Status> {
        answer(self.do_get_replicas(self.admit(request)?).await)
    }

    async fn list_resource_groups(
        &self,
        request: Request<ListResourceGroupsRequest>,
    ) -> Result<Response<ListResourceGroupsResponse>, Status> {
        self.admit(request)?;
        answer(Ok(self.resource_groups()))
    }

    async fn describe_resource_group(
        &self,
        request: Request<DescribeResourceGroupRequest>,
    ) -> Result<Response<DescribeResourceGroupResponse>, Status> {
        answer(self.do_describe_resource_group(self.admit(request)?))
    }

    async fn create_resource_group(
        &self,
        request: Request<CreateResourceGroupRequest>,
    ) -> Result<Response<common::Status>, Status> {
        self.do_create_resource_group(self.admit(request)?)
    }

    async fn drop_resource_group(
        &self,
        request: Request<DropResourceGroupRequest>,
    ) -> Result<Response<common::Status>, Status> {
        done(self.do_drop_resource_group(self.admit(request)?))
    }

    async fn transfer_node(&self, request: Request<TransferNodeRequest>) -> Result<Response<common::Status>, Status> {
        done(self.do_transfer_node(self.admit(request)?))
    }

    async fn transfer_replica(
        &self,
        request: Request<TransferReplicaRequest>,
    ) -> Result<Response<common::Status>, Status> {
        done(self.do_transfer_replica(self.admit(request)?))
    }

    async fn query(&self, request: Request<QueryRequest>) -> Result<Response<QueryResults>, Status> {
        let (outcome, memory) = match self.do_query(self.admit(request)?).await {
            Ok((answer, memory)) => (Ok(answer), memory),
            Err(failure) => (Err(failure), None),
        };
        let mut response = answer(outcome)?;
        if let Some(memory) = memory {
            // Counts until the answer is sent: see `admission`.
            response.extensions_mut().insert(memory);
        }
        Ok(response)
    }
}
