//! Collections, aliases, partitions and their counts.

use super::{
    call_error::rejected,
    names::MessageNames,
    system::{pair, pairs_to_map},
    *,
};
use crate::{
    model::{Collection, CollectionId, PartitionId, RequestError},
    standalone::{CollectionName, NewCollection, StandaloneError},
    wire::{schema, status},
};

/// Key under which every client looks for a count.
const ROW_COUNT: &str = "row_count";

impl MilvusApi {
    pub(super) async fn do_create_collection(&self, request: Request<CreateCollectionRequest>) -> Outcome<()> {
        let (call, request) = self.read(request)?;
        let limits = &self.standalone.config().limits;
        let checked = schema::define(&request, limits).map_err(|e| CallError(e.status()))?;
        let new = NewCollection {
            database: CollectionName::new(call.database(&request.db_name), "").database.to_owned(),
            schema: checked.schema,
            shards: checked.shards,
            consistency_level: request.consistency_level,
            properties: pairs_to_map(request.properties),
            partitions: checked.partitions,
        };
        Ok(self.standalone.create_collection(new).await?)
    }

    pub(super) async fn do_drop_collection(&self, request: Request<DropCollectionRequest>) -> Outcome<()> {
        let (call, request) = self.read(request)?;
        let name = CollectionName::new(call.database(&request.db_name), &request.collection_name);
        Ok(self.standalone.drop_collection(name).await?)
    }

    pub(super) async fn do_truncate_collection(
        &self,
        request: Request<TruncateCollectionRequest>,
    ) -> Outcome<TruncateCollectionResponse> {
        let (call, request) = self.read(request)?;
        let name = CollectionName::new(call.database(&request.db_name), &request.collection_name);
        self.standalone.truncate_collection(name).await?;
        Ok(TruncateCollectionResponse::default())
    }

    pub(super) async fn do_has_collection(&self, request: Request<HasCollectionRequest>) -> Outcome<BoolResponse> {
        let (call, request) = self.read(request)?;
        let name = CollectionName::new(call.database(&request.db_name), &request.collection_name);
        match self.standalone.resolve(name) {
            Ok(_) => Ok(BoolResponse { value: true, ..Default::default() }),
            Err(StandaloneError::Request(RequestError::CollectionNotFound { .. })) => Ok(BoolResponse::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// A missing collection has a code of its own here: clients take it for "does not exist".
    pub(super) async fn do_describe_collection(
        &self,
        request: Request<DescribeCollectionRequest>,
    ) -> Outcome<DescribeCollectionResponse> {
        let (call, request) = self.read(request)?;
        let database = CollectionName::new(call.database(&request.db_name), "").database;
        let process = &self.standalone;
        let found = match (request.collection_name.as_str(), request.collection_id) {
            ("", id) if id > 0 => process.collection(CollectionId(id)),
            (name, _) => process.resolve(CollectionName::new(database, name)),
        };
        let cell = found.map_err(|_| {
            CallError(match request.collection_name.as_str() {
                "" => status::collection_id_not_described(request.collection_id),
                name => status::collection_not_described(database, name),
            })
        })?;
        let meta = cell.meta();
        // None: the collection has moved meanwhile, and the database that it left is gone.
        let db_id = process.database(&meta.database).map_or(0, |database| database.number());
        Ok(DescribeCollectionResponse { db_id, ..describe(&meta, request.collection_name) })
    }

    /// The part of the question that a refused description repeats. A refusal of the name repeats nothing.
    pub(super) fn asked(&self, request: &Request<DescribeCollectionRequest>) -> Option<DescribeCollectionResponse> {
        let (call, message) = (CallContext::of(request), request.get_ref());
        message.check_names(self.standalone.config().limits.max_name_length).ok()?;
        Some(DescribeCollectionResponse {
            schema: Some(Default::default()),
            collection_name: message.collection_name.clone(),
            db_name: CollectionName::new(call.database(&message.db_name), "").database.to_owned(),
            ..Default::default()
        })
    }

    /// The names count only when the loaded collections are asked for, as in Milvus.
    pub(super) async fn do_show_collections(
        &self,
        request: Request<ShowCollectionsRequest>,
    ) -> Outcome<ShowCollectionsResponse> {
        let (call, request) = self.read(request)?;
        let process = &self.standalone;
        let database = process.database(call.database(&request.db_name))?;
        let in_memory = request.r#type == ShowType::InMemory as i32;
        for name in request.collection_names.iter().filter(|_| in_memory) {
            self.collection(&call, &request.db_name, name)?;
        }
        let mut answer = ShowCollectionsResponse::default();
        for cell in process.collections(Some(&database.name)) {
            let meta = cell.meta();
            let named = request.collection_names.is_empty() || request.collection_names.contains(&meta.name);
            if in_memory && (!named || meta.loaded.is_empty()) {
                continue;
            }
            answer.collection_names.push(meta.name.clone());
            answer.collection_ids.push(meta.id.0);
            answer.created_timestamps.push(meta.created_at.0);
            answer.created_utc_timestamps.push(meta.created_at.physical_ms());
            answer.shards_num.push(meta.channels.len() as i32);
            if in_memory {
                answer.in_memory_percentages.push(100);
                answer.query_service_available.push(true);
            }
        }
        Ok(answer)
    }

    pub(super) async fn do_alter_collection(&self, request: Request<AlterCollectionRequest>) -> Outcome<()> {
        let (call, request) = self.read(request)?;
        if request.collection_name.is_empty() {
            return Err(rejected("alter collection failed, collection name does not exists"));
        }
        let name = CollectionName::new(call.database(&request.db_name), &request.collection_name);
        let set = pairs_to_map(request.properties);
        Ok(self.standalone.alter_collection(name, set, &request.delete_keys).await?)
    }

    pub(super) async fn do_rename_collection(&self, request: Request<RenameCollectionRequest>) -> Outcome<()> {
        let (call, request) = self.read(request)?;
        let from = CollectionName::new(call.database(&request.db_name), &request.old_name);
        Ok(self.standalone.rename_collection(from, &request.new_db_name, &request.new_name).await?)
    }

    pub(super) async fn do_get_collection_statistics(
        &self,
        request: Request<GetCollectionStatisticsRequest>,
    ) -> Outcome<GetCollectionStatisticsResponse> {
        let (call, request) = self.read(request)?;
        let cell = self.collection(&call, &request.db_name, &request.collection_name)?;
        Ok(GetCollectionStatisticsResponse {
            stats: vec![pair(ROW_COUNT, cell.rows(None).to_string())],
            ..Default::default()
        })
    }

    pub(super) async fn do_create_alias(&self, request: Request<CreateAliasRequest>) -> Outcome<()> {
        let (call, request) = self.read(request)?;
        let name = CollectionName::new(call.database(&request.db_name), &request.collection_name);
        Ok(self.standalone.create_alias(name, &request.alias).await?)
    }

    pub(super) async fn do_alter_alias(&self, request: Request<AlterAliasRequest>) -> Outcome<()> {
        let (call, request) = self.read(request)?;
        let name = CollectionName::new(call.database(&request.db_name), &request.collection_name);
        self.standalone.alter_alias(name, &request.alias).await.map_err(|error| match error.request() {
            Some(RequestError::CollectionNotFound { collection, .. }) => {
                CallError(status::collection_not_found_anywhere(collection))
            }
            _ => error.into(),
        })
    }

    pub(super) async fn do_drop_alias(&self, request: Request<DropAliasRequest>) -> Outcome<()> {
        let (call, request) = self.read(request)?;
        let database = CollectionName::new(call.database(&request.db_name), "").database;
        Ok(self.standalone.drop_alias(database, &request.alias).await?)
    }

    pub(super) async fn do_describe_alias(
        &self,
        request: Request<DescribeAliasRequest>,
    ) -> Outcome<DescribeAliasResponse> {
        let (call, request) = self.read(request)?;
        let database = CollectionName::new(call.database(&request.db_name), "").database;
        let meta = self.standalone.describe_alias(database, &request.alias)?;
        Ok(DescribeAliasResponse {
            db_name: meta.database.clone(),
            alias: request.alias,
            collection: meta.name.clone(),
            ..Default::default()
        })
    }

    pub(super) async fn do_list_aliases(&self, request: Request<ListAliasesRequest>) -> Outcome<ListAliasesResponse> {
        let (call, request) = self.read(request)?;
        let name = CollectionName::new(call.database(&request.db_name), &request.collection_name);
        let aliases = if name.name.is_empty() {
            let process = &self.standalone;
            let database = process.database(name.database)?;
            process.collections(Some(&database.name)).iter().flat_map(|c| c.meta().aliases.clone()).collect()
        } else {
            self.standalone.list_aliases(name)?
        };
        let database = name.database.to_owned();
        Ok(ListAliasesResponse {
            db_name: database,
            collection_name: request.collection_name,
            aliases,
            ..Default::default()
        })
    }

    pub(super) async fn do_create_partition(&self, request: Request<CreatePartitionRequest>) -> Outcome<()> {
        let (call, request) = self.read(request)?;
        let name = CollectionName::new(call.database(&request.db_name), &request.collection_name);
        Ok(self.standalone.create_partition(name, &request.partition_name).await?)
    }

    pub(super) async fn do_drop_partition(&self, request: Request<DropPartitionRequest>) -> Outcome<()> {
        let (call, request) = self.read(request)?;
        let name = CollectionName::new(call.database(&request.db_name), &request.collection_name);
        Ok(self.standalone.drop_partition(name, &request.partition_name).await?)
    }

    pub(super) async fn do_has_partition(&self, request: Request<HasPartitionRequest>) -> Outcome<BoolResponse> {
        let (call, request) = self.read(request)?;
        let cell = self.collection(&call, &request.db_name, &request.collection_name)?;
        Ok(BoolResponse { value: cell.meta().partition(&request.partition_name).is_some(), ..Default::default() })
    }

    /// The names count only when the loaded partitions are asked for, as in Milvus.
    pub(super) async fn do_show_partitions(
        &self,
        request: Request<ShowPartitionsRequest>,
    ) -> Outcome<ShowPartitionsResponse> {
        let (call, request) = self.read(request)?;
        let cell = match (request.collection_name.as_str(), request.collection_id) {
            ("", id) if id > 0 => self.coordinator.collection(CollectionId(id))?,
            (name, _) => self.collection(&call, &request.db_name, name)?,
        };
        let meta = cell.meta();
        let in_memory = request.r#type == ShowType::InMemory as i32;
        for name in request.partition_names.iter().filter(|_| in_memory) {
            partition_id(&meta, name)?;
        }
        let mut answer = ShowPartitionsResponse::default();
        for partition in &meta.partitions {
            let named = request.partition_names.is_empty() || request.partition_names.contains(&partition.name);
            if in_memory && (!named || !meta.loaded.contains(&partition.id)) {
                continue;
            }
            answer.partition_names.push(partition.name.clone());
            answer.partition_i_ds.push(partition.id.0);
            answer.created_timestamps.push(partition.created_at.0);
            answer.created_utc_timestamps.push(partition.created_at.physical_ms());
            if in_memory {
                answer.in_memory_percentages.push(100);
            }
        }
        Ok(answer)
    }

    pub(super) async fn do_get_partition_statistics(
        &self,
        request: Request<GetPartitionStatisticsRequest>,
    ) -> Outcome<GetPartitionStatisticsResponse> {
        let (call, request) = self.read(request)?;
        let cell = self.collection(&call, &request.db_name, &request.collection_name)?;
        let partition = partition_id(&cell.meta(), &request.partition_name)?;
        Ok(GetPartitionStatisticsResponse {
            stats: vec![pair(ROW_COUNT, cell.rows(Some(partition)).to_string())],
            ..Default::default()
        })
    }
}

fn partition_id(meta: &Collection, name: &str) -> Outcome<PartitionId> {
    let found = meta.partition(name).ok_or_else(|| RequestError::PartitionNotFound(name.to_owned()))?;
    Ok(found.id)
}

/// `asked` is echoed: a client that asks by alias gets the alias back, and the real name in the schema.
fn describe(meta: &Collection, asked: String) -> DescribeCollectionResponse {
    DescribeCollectionResponse {
        schema: Some(schema::describe(&meta.schema)),
        collection_id: meta.id.0,
        virtual_channel_names: meta.channels.iter().map(|c| c.as_str().to_owned()).collect(),
        physical_channel_names: meta.channels.iter().map(|c| c.physical().to_owned()).collect(),
        created_timestamp: meta.created_at.0,
        created_utc_timestamp: meta.created_at.physical_ms(),
        shards_num: meta.channels.len() as i32,
        aliases: meta.aliases.clone(),
        consistency_level: meta.consistency_level,
        collection_name: asked,
        properties: meta.properties.iter().map(|(k, v)| pair(k, v)).collect(),
        db_name: meta.database.clone(),
        num_partitions: meta.partitions.len() as i64,
        update_timestamp: meta.updated_at.0,
        update_timestamp_str: meta.updated_at.to_string(),
        ..Default::default()
    }
}
