//! The table: the need of each method.
//!
//! Rows of `MilvusService` are those of Milvus 2.3.5, as its protocol files declare them. It declares nothing for
//! AlterAlias, so that every user may move every alias; here it needs the privilege of CreateAlias. A newer call needs the
//! privilege of the nearest call of 2.3.5. In our own service a look at one collection needs the privilege of
//! DescribeCollection, a look at jobs a login, as in Milvus, and a change that concerns others the role `admin`.

use crate::{access::Need, model::Privilege as P};

/// The need of a caller of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Nothing.
    Open,
    /// To be a user.
    Login,
    /// A privilege on the objects that the message names.
    Holds(Need),
    /// To be `root`, or to have the role `admin`.
    Admin,
}

const fn collection(privilege: P) -> Rule {
    Rule::Holds(Need::collection(privilege))
}

const fn global(privilege: P) -> Rule {
    Rule::Holds(Need::global(privilege))
}

const fn user(privilege: P) -> Rule {
    Rule::Holds(Need::user(privilege))
}

/// Methods by service.
pub(super) const TABLE: &[(&str, &[(&str, Rule)])] = &[
    (
        "milvus.proto.milvus.MilvusService",
        &[
            ("Connect", Rule::Login),
            ("GetVersion", Rule::Login),
            ("CheckHealth", Rule::Login),
            ("AllocTimestamp", Rule::Login),
            ("GetMetrics", Rule::Login),
            ("GetComponentStates", Rule::Login),
            ("CreateCredential", global(P::CreateOwnership)),
            ("UpdateCredential", user(P::UpdateUser)),
            ("DeleteCredential", global(P::DropOwnership)),
            ("ListCredUsers", global(P::SelectOwnership)),
            ("CreateRole", global(P::CreateOwnership)),
            ("DropRole", global(P::DropOwnership)),
            ("OperateUserRole", global(P::ManageOwnership)),
            ("SelectRole", global(P::SelectOwnership)),
            ("SelectUser", user(P::SelectUser)),
            ("OperatePrivilege", global(P::ManageOwnership)),
            ("SelectGrant", global(P::SelectOwnership)),
            ("ListDatabases", global(P::ListDatabases)),
            ("CreateDatabase", global(P::CreateDatabase)),
            ("DropDatabase", global(P::DropDatabase)),
            ("DescribeDatabase", global(P::ListDatabases)),
            ("CreateCollection", global(P::CreateCollection)),
            ("DropCollection", global(P::DropCollection)),
            ("HasCollection", Rule::Login),
            ("DescribeCollection", global(P::DescribeCollection)),
            ("ShowCollections", global(P::ShowCollections)),
            ("AlterCollection", global(P::CreateCollection)),
            ("RenameCollection", global(P::RenameCollection)),
            ("TruncateCollection", global(P::DropCollection)),
            ("GetCollectionStatistics", collection(P::GetStatistics)),
            ("CreateAlias", global(P::CreateAlias)),
            ("AlterAlias", global(P::CreateAlias)),
            ("DropAlias", global(P::DropAlias)),
            ("DescribeAlias", global(P::DescribeAlias)),
            ("ListAliases", global(P::ListAliases)),
            ("CreatePartition", collection(P::CreatePartition)),
            ("DropPartition", collection(P::DropPartition)),
            ("HasPartition", collection(P::HasPartition)),
            ("ShowPartitions", collection(P::ShowPartitions)),
            ("GetPartitionStatistics", Rule::Login),
            ("Insert", collection(P::Insert)),
            ("Upsert", collection(P::Upsert)),
            ("Delete", collection(P::Delete)),
            ("Flush", collection(P::Flush)),
            ("GetFlushState", collection(P::GetFlushState)),
            ("FlushAll", global(P::FlushAll)),
            ("GetFlushAllState", Rule::Login),
            ("ManualCompaction", collection(P::Compaction)),
            ("GetCompactionState", Rule::Login),
            ("GetCompactionStateWithPlans", Rule::Login),
            ("GetPersistentSegmentInfo", Rule::Login),
            ("GetQuerySegmentInfo", Rule::Login),
            ("CreateIndex", collection(P::CreateIndex)),
            ("DescribeIndex", collection(P::IndexDetail)),
            ("DropIndex", collection(P::DropIndex)),
            ("GetIndexBuildProgress", collection(P::IndexDetail)),
            ("GetIndexStatistics", collection(P::IndexDetail)),
            ("GetIndexState", collection(P::IndexDetail)),
            ("LoadCollection", collection(P::Load)),
            ("ReleaseCollection", collection(P::Release)),
            ("LoadPartitions", collection(P::Load)),
            ("ReleasePartitions", collection(P::Release)),
            ("GetLoadingProgress", collection(P::Load)),
            ("GetLoadState", collection(P::Load)),
            ("LoadBalance", collection(P::LoadBalance)),
            ("GetReplicas", Rule::Login),
            ("ListResourceGroups", global(P::ListResourceGroups)),
            ("DescribeResourceGroup", global(P::DescribeResourceGroup)),
            ("CreateResourceGroup", global(P::CreateResourceGroup)),
            ("DropResourceGroup", global(P::DropResourceGroup)),
            ("TransferNode", global(P::TransferNode)),
            ("TransferReplica", global(P::TransferReplica)),
            ("Query", collection(P::Query)),
            ("Search", collection(P::Search)),
            ("HybridSearch", collection(P::Search)),
        ],
    ),
    (
        "milvus.proto.data.DataCoord",
        &[
            ("ManualCompaction", collection(P::Compaction)),
            ("GetCompactionState", Rule::Login),
            ("GetCompactionStateWithPlans", Rule::Login),
        ],
    ),
    (
        "datacoord.v1.DataCoord",
        &[
            ("ManualCompaction", collection(P::Compaction)),
            ("PlanCompaction", collection(P::Compaction)),
            ("GetCompactionState", Rule::Login),
            ("GetCompactionPlans", Rule::Login),
            ("ListCompactions", Rule::Login),
            ("GetCompaction", Rule::Login),
            ("WatchCompaction", Rule::Login),
            ("GetThrottle", Rule::Login),
            ("GetOverview", Rule::Login),
            ("ListSegments", global(P::DescribeCollection)),
            ("ExplainSegment", global(P::DescribeCollection)),
            ("ExplainCollection", global(P::DescribeCollection)),
            ("GetLineage", global(P::DescribeCollection)),
            ("GetAmplification", global(P::DescribeCollection)),
            ("CancelCompaction", Rule::Admin),
            ("PauseCompaction", Rule::Admin),
            ("ResumeCompaction", Rule::Admin),
            ("SetThrottle", Rule::Admin),
            ("CollectGarbage", Rule::Admin),
            ("Backup", Rule::Admin),
        ],
    ),
    // An orchestrator asks before anybody can give it a password. The answer is one word.
    ("grpc.health.v1.Health", &[("Check", Rule::Open), ("Watch", Rule::Open)]),
    ("grpc.reflection.v1.ServerReflection", &[("ServerReflectionInfo", Rule::Login)]),
    ("grpc.reflection.v1alpha.ServerReflection", &[("ServerReflectionInfo", Rule::Login)]),
];

/// The row of a path, `/package.Service/Method`.
pub(super) fn row(path: &str) -> Option<Rule> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let (_, methods) = TABLE.iter().find(|(name, _)| *name == service)?;
    methods.iter().find(|(name, _)| *name == method).map(|(_, rule)| *rule)
}
