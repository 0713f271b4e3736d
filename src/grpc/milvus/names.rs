//! The names in a message that Milvus checks before it does anything else, one table for all calls.
//!
//! A message that is not listed as taking names is looked up as it came: its wrong name is then one that was not found.
//! Names of partitions that Milvus looks at later, after it has found their collection, are checked where they are
//! looked up (`standalone`). Must never look anything up.

use crate::{
    model::name::{BadName, NameKind, check_asked, check_name},
    wire::proto::milvus::*,
};

/// The names of a message, each with its kind, in the order of Milvus' checks.
pub(super) trait MessageNames {
    fn names(&self) -> Vec<(NameKind, &str)>;

    /// # Errors
    /// The first name that breaks a rule.
    fn check_names(&self, most: usize) -> Result<(), BadName> {
        self.names().into_iter().try_for_each(|(kind, name)| match kind {
            // Spaces around it are a fault, as in Milvus.
            NameKind::Database | NameKind::ResourceGroup => check_name(kind, name, most),
            kind => check_asked(kind, name, most),
        })
    }
}

macro_rules! names {
    ($($message:ty: |$request:ident| $names:expr;)*) => {
        $(impl MessageNames for $message {
            fn names(&self) -> Vec<(NameKind, &str)> {
                let $request = self;
                $names
            }
        })*
    };
}

/// Messages that name one collection.
macro_rules! of_a_collection {
    ($($message:ty),* $(,)?) => {
        names!($($message: |request| vec![(NameKind::Collection, &request.collection_name)];)*);
    };
}

/// Messages without a name, or whose names are only looked up.
macro_rules! unchecked {
    ($($message:ty),* $(,)?) => {
        names!($($message: |_request| Vec::new();)*);
    };
}

of_a_collection!(
    DropCollectionRequest,
    TruncateCollectionRequest,
    HasCollectionRequest,
    CreatePartitionRequest,
    DropPartitionRequest,
    LoadCollectionRequest,
    ReleaseCollectionRequest,
    LoadPartitionsRequest,
    ReleasePartitionsRequest,
    GetLoadingProgressRequest,
    GetLoadStateRequest,
    DescribeIndexRequest,
    GetIndexStateRequest,
    GetIndexBuildProgressRequest,
    GetIndexStatisticsRequest,
    DeleteRequest,
    QueryRequest,
);

unchecked!(
    // Its names are in the schema, which `wire::schema` checks.
    CreateCollectionRequest,
    AlterCollectionRequest,
    GetCollectionStatisticsRequest,
    GetPartitionStatisticsRequest,
    CreateIndexRequest,
    InsertRequest,
    UpsertRequest,
    SearchRequest,
    HybridSearchRequest,
    FlushRequest,
    FlushAllRequest,
    GetFlushAllStateRequest,
    GetPersistentSegmentInfoRequest,
    GetQuerySegmentInfoRequest,
    GetReplicasRequest,
    ManualCompactionRequest,
    GetCompactionPlansRequest,
);

names!(
    DescribeCollectionRequest: |request| match (request.collection_name.as_str(), request.collection_id) {
        ("", id) if id != 0 => Vec::new(),
        (name, _) => vec![(NameKind::Collection, name)],
    };
    ShowCollectionsRequest: |request| match request.r#type == ShowType::InMemory as i32 {
        true => of_kind(NameKind::Collection, &request.collection_names).collect(),
        false => Vec::new(),
    };
    ShowPartitionsRequest: |request| {
        let collection = match (request.collection_name.as_str(), request.collection_id) {
            ("", id) if id > 0 => None,
            (name, _) => Some((NameKind::Collection, name)),
        };
        let is_asked = request.r#type == ShowType::InMemory as i32;
        let partitions = request.partition_names.iter().filter(|_| is_asked);
        collection.into_iter().chain(partitions.map(|name| (NameKind::Partition, name.as_str()))).collect()
    };
    HasPartitionRequest: |request| {
        vec![(NameKind::Collection, &request.collection_name), (NameKind::Partition, &request.partition_name)]
    };
    RenameCollectionRequest: |request| vec![(NameKind::Collection, &request.new_name)];
    CreateAliasRequest: |request| {
        vec![(NameKind::Alias, &request.alias), (NameKind::Collection, &request.collection_name)]
    };
    AlterAliasRequest: |request| {
        vec![(NameKind::Alias, &request.alias), (NameKind::Collection, &request.collection_name)]
    };
    DropAliasRequest: |request| vec![(NameKind::Alias, &request.alias)];
    DescribeAliasRequest: |request| vec![(NameKind::Alias, &request.alias)];
    ListAliasesRequest: |request| given(NameKind::Collection, &request.collection_name).collect();
    DropIndexRequest: |request| {
        let collection = (NameKind::Collection, request.collection_name.as_str());
        std::iter::once(collection).chain(given(NameKind::Field, &request.field_name)).collect()
    };
    GetFlushStateRequest: |request| given(NameKind::Collection, &request.collection_name).collect();
    CreateDatabaseRequest: |request| vec![(NameKind::Database, &request.db_name)];
    DropDatabaseRequest: |request| vec![(NameKind::Database, &request.db_name)];
    CreateResourceGroupRequest: |request| vec![(NameKind::ResourceGroup, &request.resource_group)];
    TransferNodeRequest: |request| groups(&request.source_resource_group, &request.target_resource_group);
    TransferReplicaRequest: |request| groups(&request.source_resource_group, &request.target_resource_group);
);

fn of_kind(kind: NameKind, names: &[String]) -> impl Iterator<Item = (NameKind, &str)> {
    names.iter().map(move |name| (kind, name.as_str()))
}

fn groups<'r>(source: &'r str, target: &'r str) -> Vec<(NameKind, &'r str)> {
    vec![(NameKind::ResourceGroup, source), (NameKind::ResourceGroup, target)]
}

/// A name that a client may leave out.
fn given(kind: NameKind, name: &str) -> impl Iterator<Item = (NameKind, &str)> {
    std::iter::once((kind, name)).filter(|(_, name)| !name.is_empty())
}

#[cfg(test)]
mod tests;
