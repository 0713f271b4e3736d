//! The names in a message: its database, and the objects whose privileges count.
//!
//! Must give the names that the handler of the message will look up, in the same order of precedence.

use crate::{
    model::{CollectionId, access::ANY, collection::DEFAULT_DATABASE},
    wire::proto::{
        datacoord::{self as ours, CollectionRef, plan_compaction_request::Trigger},
        milvus::*,
    },
};

/// The objects that a message asks for.
pub(crate) enum Asked<'a> {
    /// All, or the server itself.
    Everything,
    One(&'a str),
    Each(&'a [String]),
    CollectionId(CollectionId),
}

/// A message that can be admitted.
pub(crate) trait Named {
    /// Empty: that of the header, or the default one.
    fn database(&self) -> &str;

    /// A second database that the message changes.
    fn other_database(&self) -> Option<&str> {
        None
    }

    fn asked(&self) -> Asked<'_>;
}

/// Messages that are about the server, or whose database is not where they work.
macro_rules! about_the_server {
    ($($message:ty),* $(,)?) => {
        $(impl Named for $message {
            fn database(&self) -> &str {
                ""
            }

            fn asked(&self) -> Asked<'_> {
                Asked::Everything
            }
        })*
    };
}

about_the_server!(
    ConnectRequest,
    GetVersionRequest,
    CheckHealthRequest,
    AllocTimestampRequest,
    GetMetricsRequest,
    GetComponentStatesRequest,
    CreateCredentialRequest,
    DeleteCredentialRequest,
    ListCredUsersRequest,
    CreateRoleRequest,
    DropRoleRequest,
    OperateUserRoleRequest,
    SelectRoleRequest,
    OperatePrivilegeRequest,
    SelectGrantRequest,
    ListDatabasesRequest,
    CreateDatabaseRequest,
    DropDatabaseRequest,
    DescribeDatabaseRequest,
    GetCompactionStateRequest,
    GetPersistentSegmentInfoRequest,
    GetQuerySegmentInfoRequest,
    GetReplicasRequest,
    ListResourceGroupsRequest,
    DescribeResourceGroupRequest,
    CreateResourceGroupRequest,
    DropResourceGroupRequest,
    TransferNodeRequest,
    ours::GetCompactionStateRequest,
    ours::GetCompactionPlansRequest,
    ours::ListCompactionsRequest,
    ours::GetCompactionRequest,
    ours::CancelCompactionRequest,
    ours::WatchCompactionRequest,
    ours::PauseCompactionRequest,
    ours::ResumeCompactionRequest,
    ours::SetThrottleRequest,
    ours::GetThrottleRequest,
    ours::GetOverviewRequest,
    ours::CollectGarbageRequest,
    ours::BackupRequest,
);

/// Messages whose privilege is one of the whole database.
macro_rules! in_a_database {
    ($($message:ty),* $(,)?) => {
        $(impl Named for $message {
            fn database(&self) -> &str {
                &self.db_name
            }

            fn asked(&self) -> Asked<'_> {
                Asked::Everything
            }
        })*
    };
}

in_a_database!(
    CreateCollectionRequest,
    DropCollectionRequest,
    HasCollectionRequest,
    ShowCollectionsRequest,
    TruncateCollectionRequest,
    CreateAliasRequest,
    AlterAliasRequest,
    DropAliasRequest,
    DescribeAliasRequest,
    ListAliasesRequest,
    FlushAllRequest,
    GetFlushAllStateRequest,
    GetPartitionStatisticsRequest,
    GetCompactionPlansRequest,
    TransferReplicaRequest,
);

/// Messages about one collection.
macro_rules! of_a_collection {
    ($($message:ty),* $(,)?) => {
        $(impl Named for $message {
            fn database(&self) -> &str {
                &self.db_name
            }

            fn asked(&self) -> Asked<'_> {
                Asked::One(&self.collection_name)
            }
        })*
    };
}

of_a_collection!(
    GetCollectionStatisticsRequest,
    CreatePartitionRequest,
    DropPartitionRequest,
    HasPartitionRequest,
    InsertRequest,
    UpsertRequest,
    DeleteRequest,
    GetFlushStateRequest,
    CreateIndexRequest,
    DescribeIndexRequest,
    DropIndexRequest,
    GetIndexBuildProgressRequest,
    GetIndexStatisticsRequest,
    GetIndexStateRequest,
    LoadCollectionRequest,
    ReleaseCollectionRequest,
    LoadPartitionsRequest,
    ReleasePartitionsRequest,
    GetLoadingProgressRequest,
    GetLoadStateRequest,
    LoadBalanceRequest,
    QueryRequest,
    SearchRequest,
    HybridSearchRequest,
);

/// Messages about one collection, by name or else by id.
macro_rules! of_a_collection_or_id {
    ($($message:ty),* $(,)?) => {
        $(impl Named for $message {
            fn database(&self) -> &str {
                &self.db_name
            }

            fn asked(&self) -> Asked<'_> {
                by_name_or_id(&self.collection_name, self.collection_id)
            }
        })*
    };
}

of_a_collection_or_id!(
    AlterCollectionRequest,
    DescribeCollectionRequest,
    ManualCompactionRequest,
    ShowPartitionsRequest,
);

fn by_name_or_id(name: &str, id: i64) -> Asked<'_> {
    match (name, id) {
        ("", id) if id != 0 => Asked::CollectionId(CollectionId(id)),
        (name, _) => Asked::One(name),
    }
}

impl Named for FlushRequest {
    fn database(&self) -> &str {
        &self.db_name
    }

    fn asked(&self) -> Asked<'_> {
        Asked::Each(&self.collection_names)
    }
}

impl Named for RenameCollectionRequest {
    fn database(&self) -> &str {
        &self.db_name
    }

    fn other_database(&self) -> Option<&str> {
        Some(self.new_db_name.as_str()).filter(|name| !name.is_empty())
    }

    fn asked(&self) -> Asked<'_> {
        Asked::Everything
    }
}

impl Named for UpdateCredentialRequest {
    fn database(&self) -> &str {
        ""
    }

    fn asked(&self) -> Asked<'_> {
        Asked::One(&self.username)
    }
}

impl Named for SelectUserRequest {
    fn database(&self) -> &str {
        ""
    }

    fn asked(&self) -> Asked<'_> {
        match &self.user {
            Some(user) if !user.name.is_empty() => Asked::One(&user.name),
            _ => Asked::Everything,
        }
    }
}

/// The calls of our own service take no database from a header.
fn database_of(named: Option<&CollectionRef>) -> &str {
    named.map(|named| named.db_name.as_str()).filter(|name| !name.is_empty()).unwrap_or(DEFAULT_DATABASE)
}

fn asked_of(named: Option<&CollectionRef>) -> Asked<'_> {
    named.map_or(Asked::One(""), |named| by_name_or_id(&named.collection_name, named.collection_id))
}

macro_rules! of_a_reference {
    ($($message:ty),* $(,)?) => {
        $(impl Named for $message {
            fn database(&self) -> &str {
                database_of(self.collection.as_ref())
            }

            fn asked(&self) -> Asked<'_> {
                asked_of(self.collection.as_ref())
            }
        })*
    };
}

of_a_reference!(
    ours::ManualCompactionRequest,
    ours::ListSegmentsRequest,
    ours::ExplainCollectionRequest,
    ours::GetAmplificationRequest,
);

/// The collection that a dry run is about.
fn planned(request: &ours::PlanCompactionRequest) -> Option<&CollectionRef> {
    match &request.trigger {
        Some(Trigger::Manual(manual)) => manual.collection.as_ref().or(request.collection.as_ref()),
        Some(Trigger::Automatic(collection)) => Some(collection),
        None => request.collection.as_ref(),
    }
}

impl Named for ours::PlanCompactionRequest {
    fn database(&self) -> &str {
        database_of(planned(self))
    }

    fn asked(&self) -> Asked<'_> {
        asked_of(planned(self))
    }
}

/// A segment may be of any database.
macro_rules! of_a_segment {
    ($($message:ty),* $(,)?) => {
        $(impl Named for $message {
            fn database(&self) -> &str {
                ANY
            }

            fn asked(&self) -> Asked<'_> {
                Asked::Everything
            }
        })*
    };
}

of_a_segment!(ours::ExplainSegmentRequest, ours::GetLineageRequest);
