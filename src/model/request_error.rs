//! Why a client's request is refused: names, ids and limits, and no wire code. `wire::status` words it for clients of
//! Milvus; the texts here are for logs, and for our own API where Milvus has no words.

use super::{
    CollectionId, IndexFault, JobId, LoadError, PartitionId, PlanId, ResourceGroupError, SearchError, SegmentId,
    name::BadName,
};
use crate::error::{Classify, ErrorKind};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("there is no database {0}")]
    DatabaseNotFound(String),
    /// A change of the names of a database that is not there. Milvus has other words for it.
    #[error("there is no database {0} to change")]
    NoDatabaseToChange(String),
    #[error("there is already a database {0}")]
    DatabaseExists(String),
    #[error("the default database can't be dropped")]
    DefaultDatabase,
    #[error("database {database} has {collections} collections")]
    DatabaseNotEmpty { database: String, collections: usize },
    #[error("there are {most} databases already, the limit")]
    TooManyDatabases { most: usize },
    /// `database` is the one that is full, none if all together are.
    #[error("there are {most} collections already, the limit")]
    TooManyCollections { most: usize, database: Option<String> },
    /// The database that a collection should move to.
    #[error("there is no database {0} to move to")]
    TargetNotFound(String),

    #[error("there is no collection {collection} in database {database}")]
    CollectionNotFound { database: String, collection: String },
    #[error("there is no collection with id {0}")]
    CollectionIdNotFound(CollectionId),
    /// The name of the collection is empty.
    #[error("no collection is named")]
    CollectionNotNamed,
    /// Neither a name nor an id above 0.
    #[error("no collection is named: the name is empty and the id is {id}")]
    NoCollection { id: i64 },
    /// A collection of this name exists and is different.
    #[error("there is another collection {0} with different parameters")]
    DuplicateCollection(String),
    /// The name of a collection to be created is an alias.
    #[error("{0} is an alias of another collection")]
    CollectionIsAlias(String),
    #[error("{0} is an alias: a collection is dropped by its own name")]
    DropThroughAlias(String),
    #[error("{0} is an alias: a collection is renamed by its own name")]
    RenameThroughAlias(String),
    #[error("the new name {0} is an alias")]
    RenameToAlias(String),
    #[error("the new name {name} is taken in database {database}")]
    RenameToCollection { database: String, name: String },
    /// Aliases stay in their database, so a collection with aliases can't leave it.
    #[error("the collection has {aliases} aliases, the first is {first}: it can't leave its database")]
    HasAliases { aliases: usize, first: String },
    #[error("an alteration names neither properties nor keys to delete")]
    NothingToAlter,
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    ResourceGroup(#[from] ResourceGroupError),

    #[error("there is no alias {alias} in database {database}")]
    AliasNotFound { database: String, alias: String },
    #[error("alias {alias} is the name of a collection in database {database}")]
    AliasIsCollection { database: String, alias: String },
    #[error("alias {alias} in database {database} is of collection {owner}")]
    AliasTaken { database: String, alias: String, owner: String },

    #[error("there is no partition {0}")]
    PartitionNotFound(String),
    #[error("there is no partition with id {0}")]
    PartitionIdNotFound(PartitionId),
    #[error("{count} partitions exceed the limit of {limit} in collection {collection}")]
    TooManyPartitions { count: usize, limit: usize, collection: String },
    #[error("the default partition can't be dropped")]
    DefaultPartition,
    /// `verb` is `create` or `drop`.
    #[error("collection {collection} has a partition key: clients can't {verb} its partitions")]
    PartitionKeyMode { verb: &'static str, collection: String },
    /// A write names a partition, and the partition key decides.
    #[error("partition {0} is named, and the partition key decides")]
    PartitionByKey(String),

    /// `got` is offset and limit together.
    #[error("offset and limit are {got} together, expected 1 to {most}")]
    QueryWindow { got: u64, most: u64 },

    #[error("there is no index {0}")]
    IndexNotFound(String),
    #[error("collection {0} has no index")]
    NoIndex(String),
    #[error("there is no field {0} to index")]
    NoFieldToIndex(String),
    #[error("field {field} has index {index} already")]
    FieldHasIndex { field: String, index: String },
    /// The name is one of another index, or of the same one with other parameters.
    #[error("index {0} is another one already")]
    IndexExists(String),
    /// A call about one index, which the empty name does not tell from the others.
    #[error("there are several indexes, and the call names none")]
    ManyIndexes,
    #[error(transparent)]
    BadIndex(#[from] IndexFault),

    #[error(transparent)]
    BadName(#[from] BadName),
    #[error(transparent)]
    Search(#[from] SearchError),

    #[error("compaction job {0} is not known: it never was, or its history has been dropped")]
    JobNotFound(JobId),
    #[error("job {0} has ended: there is nothing to pause")]
    JobEnded(JobId),
    #[error("another backup is under way: wait for its end")]
    BackupUnderWay,
    #[error("plan {0} is not known")]
    PlanNotFound(PlanId),
    #[error("segment {0} is not known: it never was, or it has been compacted and collected")]
    SegmentNotFound(SegmentId),
    #[error("collection {0} has no clustering key: no field has is_clustering_key")]
    NoClusteringKey(String),
    #[error("compaction disabled: dataCoord.enableCompaction is false")]
    CompactionDisabled,
}

impl Classify for RequestError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::DatabaseNotFound(_)
            | Self::NoDatabaseToChange(_)
            | Self::TargetNotFound(_)
            | Self::CollectionNotFound { .. }
            | Self::CollectionIdNotFound(_)
            | Self::CollectionNotNamed
            | Self::AliasNotFound { .. }
            | Self::PartitionNotFound(_)
            | Self::PartitionIdNotFound(_)
            | Self::IndexNotFound(_)
            | Self::NoIndex(_)
            | Self::JobNotFound(_)
            | Self::PlanNotFound(_)
            | Self::SegmentNotFound(_) => ErrorKind::NotFound,
            Self::NoCollection { .. }
            | Self::BadName(_)
            | Self::BadIndex(_)
            | Self::QueryWindow { .. }
            | Self::Search(_) => ErrorKind::Invalid,
            Self::CompactionDisabled => ErrorKind::Precondition,
            Self::Load(error) => error.kind(),
            Self::ResourceGroup(error) => error.kind(),
            Self::DatabaseExists(_)
            | Self::DuplicateCollection(_)
            | Self::CollectionIsAlias(_)
            | Self::RenameToAlias(_)
            | Self::RenameToCollection { .. }
            | Self::AliasIsCollection { .. }
            | Self::AliasTaken { .. }
            | Self::FieldHasIndex { .. }
            | Self::IndexExists(_) => ErrorKind::Conflict,
            Self::DefaultDatabase
            | Self::DatabaseNotEmpty { .. }
            | Self::TooManyDatabases { .. }
            | Self::TooManyCollections { .. }
            | Self::DropThroughAlias(_)
            | Self::RenameThroughAlias(_)
            | Self::HasAliases { .. }
            | Self::NothingToAlter
            | Self::TooManyPartitions { .. }
            | Self::DefaultPartition
            | Self::PartitionKeyMode { .. }
            | Self::PartitionByKey(_)
            | Self::NoFieldToIndex(_)
            | Self::ManyIndexes
            | Self::JobEnded(_)
            | Self::BackupUnderWay
            | Self::NoClusteringKey(_) => ErrorKind::Precondition,
        }
    }
}
