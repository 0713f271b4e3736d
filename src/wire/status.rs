//! Errors as answers: `common.Status` for Milvus' services, gRPC codes for our own.
//!
//! The only place that knows Milvus' code numbers. Clients look at `code`
//! and `error_code`, rarely at a phrase of the text. A business error of Milvus' services is never a gRPC error: most
//! gRPC codes make SDKs retry for minutes.

mod access;
mod code;
mod index;
mod load;
mod names;
mod resource_groups;
mod search;

use std::fmt::Display;

use super::proto::common::{self, ErrorCode};
use crate::{
    error::{Classify, ErrorKind, cut},
    model::{
        Channel, RequestError,
        collection::DEFAULT_DATABASE,
        name::{BadName, NameFault, NameKind},
    },
};

pub use access::{of_access_error, of_refusal, refusal_text};
pub use code::{Code, unexpected};
pub use load::{of_load_error, of_query_refusal, of_search_refusal};

/// Success: every number zero.
pub fn ok() -> common::Status {
    common::Status::default()
}

/// An error of the core, as Milvus words it. `request` is the client's mistake behind it, if it is one.
pub fn of_core(error: &(impl Classify + Display + ?Sized), request: Option<&RequestError>) -> common::Status {
    match request {
        Some(request) => of_request(request),
        None => {
            if error.kind() == ErrorKind::Internal {
                tracing::error!(%error, "a call failed");
            }
            of_error(error)
        }
    }
}

/// The same error on our own API: Milvus' words, gRPC's codes.
pub fn grpc_of_core(error: &(impl Classify + Display + ?Sized), request: Option<&RequestError>) -> tonic::Status {
    match request {
        // Without Milvus' `service unavailable` in front.
        Some(RequestError::CompactionDisabled) | None => grpc_of_error(error),
        // Without a database: an id needs none.
        Some(RequestError::CollectionIdNotFound(id)) => {
            tonic::Status::not_found(format!("collection not found[collection={id}]"))
        }
        Some(request) => tonic::Status::new(grpc_code(request.kind()), of_request(request).reason),
    }
}

/// A client's mistake in Milvus' codes and words.
pub fn of_request(error: &RequestError) -> common::Status {
    use RequestError as E;
    match error {
        E::DatabaseNotFound(name) => database_not_found(name),
        E::NoDatabaseToChange(name) => unexpected(format_args!("database:{name} not found")),
        E::DatabaseExists(name) => unexpected(format_args!("database already exist: {name}")),
        E::DefaultDatabase => unexpected("can not drop default database"),
        E::DatabaseNotEmpty { database, .. } => {
            unexpected(format_args!("database:{database} not empty, must drop all collections before drop database"))
        }
        E::TooManyDatabases { most } => too_many_databases(*most),
        E::TooManyCollections { most, .. } => too_many_collections(*most),
        E::TargetNotFound(name) => unexpected(format_args!("target database:{name} not found")),
        E::CollectionNotFound { database, collection } => collection_not_found(database, collection),
        E::CollectionIdNotFound(id) => collection_not_found(DEFAULT_DATABASE, id),
        E::CollectionNotNamed => collection_not_found_anywhere(0),
        E::NoCollection { id } => parameter_invalid(format_args!(
            "compaction needs a collection: collection_name is empty and collectionID is {id}, expected a name or an id above 0"
        )),
        E::DuplicateCollection(name) | E::CollectionIsAlias(name) => duplicate_collection(name),
        E::DropThroughAlias(alias) => drop_through_alias(alias),
        E::RenameThroughAlias(alias) => {
            unexpected(format_args!("unsupported use an alias to rename collection, alias:{alias}"))
        }
        E::RenameToAlias(alias) => unexpected(format_args!("cannot rename collection to an existing alias: {alias}")),
        E::RenameToCollection { database, name } => unexpected(format_args!(
            "duplicated new collection name {database}:{name} with other collection name or alias"
        )),
        E::HasAliases { .. } => {
            unexpected("fail to rename db name, must drop all aliases of this collection before rename")
        }
        E::NothingToAlter => unexpected("only support alter collection properties, but collection properties is empty"),
        E::Load(error) => of_load_error(error),
        E::ResourceGroup(error) => resource_groups::of_resource_group_error(error),
        E::AliasNotFound { database, alias } => alias_not_found(database, alias),
        E::AliasIsCollection { database, alias } => alias_conflict(database, alias),
        E::AliasTaken { database, alias, owner } => alias_taken(database, alias, owner),
        E::PartitionNotFound(name) => partition_not_found(name),
        E::PartitionIdNotFound(id) => partition_not_found(id),
        E::QueryWindow { got, most } => unexpected(format_args!(
            "invalid max query result window, (offset+limit) should be in range [1, {most}], but got {got}"
        )),
        E::TooManyPartitions { count, limit, collection } => unexpected(format_args!(
            "partition number ({count}) exceeds max configuration ({limit}), collection: {collection}"
        )),
        E::DefaultPartition => unexpected("default partition cannot be deleted"),
        E::PartitionKeyMode { verb, .. } => {
            unexpected(format_args!("disable {verb} partition if partition key mode is used"))
        }
        E::PartitionByKey(_) => {
            unexpected("not support manually specifying the partition names if partition key mode is used")
        }
        E::IndexNotFound(name) => Code::INDEX_NOT_FOUND.with(format_args!("index not found[indexName={name}]")),
        E::NoIndex(name) => Code::INDEX_NOT_FOUND.with(format_args!("index not found[collection={name}]")),
        E::NoFieldToIndex(field) => unexpected(format_args!("cannot create index on non-exist field: {field}")),
        E::FieldHasIndex { .. } => {
            unexpected("CreateIndex failed: creating multiple indexes on same field is not supported")
        }
        E::IndexExists(_) => unexpected("CreateIndex failed: at most one distinct index is allowed per field"),
        E::ManyIndexes => unexpected(MANY_INDEXES),
        E::BadIndex(fault) if index::is_parameter(fault) => parameter_invalid(index::text(fault)),
        E::BadIndex(fault) => unexpected(index::text(fault)),
        E::BadName(bad) => bad_name(bad),
        E::Search(error) if search::is_newer(error) => parameter_invalid(search::text(error)),
        E::Search(error) => unexpected(search::text(error)),
        E::JobNotFound(_) | E::PlanNotFound(_) => parameter_invalid(error),
        E::CompactionDisabled => compaction_disabled(),
        E::JobEnded(_) | E::BackupUnderWay | E::SegmentNotFound(_) | E::NoClusteringKey(_) => unexpected(error),
    }
}

/// A name that Milvus' rules refuse: each kind of name has its own code.
pub fn bad_name(bad: &BadName) -> common::Status {
    let code = match bad.kind {
        NameKind::Collection | NameKind::Alias => Code::PARAMETER_INVALID,
        NameKind::Partition | NameKind::Index => Code::UNEXPECTED,
        NameKind::Field => Code::FIELD_NAME_INVALID,
        NameKind::Database => Code::DATABASE_NAME_INVALID,
        NameKind::ResourceGroup if bad.fault == NameFault::Empty => Code::UNEXPECTED,
        NameKind::ResourceGroup => Code::PARAMETER_INVALID,
    };
    code.with(names::text(bad))
}

/// An error of any module that has no code of its own in the catalogue.
///
/// `Exhausted` becomes the rate limit, after which SDKs retry.
pub fn of_error(error: &(impl Classify + Display + ?Sized)) -> common::Status {
    let code = match error.kind() {
        ErrorKind::Invalid => Code::PARAMETER_INVALID,
        ErrorKind::Transient | ErrorKind::Fenced => Code::SERVICE_UNAVAILABLE,
        ErrorKind::Exhausted => Code::RATE_LIMIT,
        ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::Precondition
        | ErrorKind::Corrupt
        | ErrorKind::Cancelled
        | ErrorKind::Internal => Code::UNEXPECTED,
    };
    code.with(error)
}

/// The same error on our own API.
pub fn grpc_of_error(error: &(impl Classify + Display + ?Sized)) -> tonic::Status {
    tonic::Status::new(grpc_code(error.kind()), cut(error.to_string()))
}

/// The gRPC code of a kind.
pub fn grpc_code(kind: ErrorKind) -> tonic::Code {
    match kind {
        ErrorKind::Invalid => tonic::Code::InvalidArgument,
        ErrorKind::NotFound => tonic::Code::NotFound,
        ErrorKind::Conflict => tonic::Code::AlreadyExists,
        ErrorKind::Precondition => tonic::Code::FailedPrecondition,
        ErrorKind::Corrupt => tonic::Code::DataLoss,
        ErrorKind::Transient => tonic::Code::Unavailable,
        ErrorKind::Exhausted => tonic::Code::ResourceExhausted,
        ErrorKind::Cancelled => tonic::Code::Cancelled,
        ErrorKind::Fenced => tonic::Code::Aborted,
        ErrorKind::Internal => tonic::Code::Internal,
    }
}

/// For every call but DescribeCollection.
fn collection_not_found(database: &str, collection: impl Display) -> common::Status {
    Code::COLLECTION_NOT_FOUND.with(format_args!("collection not found[database={database}][collection={collection}]"))
}

/// For AlterAlias, and for calls without a name: without a database.
pub fn collection_not_found_anywhere(collection: impl Display) -> common::Status {
    Code::COLLECTION_NOT_FOUND.with(format_args!("collection not found[collection={collection}]"))
}

/// For DescribeCollection by name: SDKs look for the first words.
pub fn collection_not_described(database: &str, collection: &str) -> common::Status {
    not_described(format_args!("collection not found[database={database}][collection={collection}]"))
}

/// For DescribeCollection by id.
pub fn collection_id_not_described(id: i64) -> common::Status {
    not_described(format_args!("collection not found[collection={id}]"))
}

/// The detail has the cause alone, as in Milvus.
fn not_described(why: impl Display) -> common::Status {
    let detail = cut(why.to_string());
    common::Status { detail, ..Code::COLLECTION_NOT_DESCRIBED.with(format_args!("can't find collection {why}")) }
}

fn partition_not_found(partition: impl Display) -> common::Status {
    Code::PARTITION_NOT_FOUND.with(format_args!("partition not found[partition={partition}]"))
}

fn database_not_found(database: &str) -> common::Status {
    Code::DATABASE_NOT_FOUND.with(format_args!("database not found[database={database}]"))
}

fn alias_not_found(database: &str, alias: &str) -> common::Status {
    Code::ALIAS_NOT_FOUND.with(format_args!("alias not found[database={database}][alias={alias}]"))
}

/// An alias that is the name of a collection.
fn alias_conflict(database: &str, alias: &str) -> common::Status {
    Code::ALIAS_CONFLICT.with(format_args!("alias and collection name conflict[database={database}][alias={alias}]"))
}

/// An alias that means another collection.
fn alias_taken(database: &str, alias: &str, owner: &str) -> common::Status {
    Code::ALIAS_TAKEN.with(format_args!(
        "{alias} is alias to another collection: {owner}: alias already exist[database={database}][alias={alias}]"
    ))
}

fn too_many_databases(most: usize) -> common::Status {
    Code::TOO_MANY_DATABASES.with(format_args!("exceeded the limit number of database[limit={most}]"))
}

/// Of a database, or of all together: Milvus does not tell which.
fn too_many_collections(most: usize) -> common::Status {
    Code::TOO_MANY_COLLECTIONS.with(format_args!("exceeded the limit number of collections[limit={most}]"))
}

/// Another collection or an alias has this name.
fn duplicate_collection(collection: impl Display) -> common::Status {
    Code::UNEXPECTED
        .with(format_args!("create duplicate collection with different parameters, collection: {collection}"))
}

fn drop_through_alias(alias: &str) -> common::Status {
    Code::UNEXPECTED.with(format_args!("cannot drop the collection via alias = {alias}"))
}

/// Compaction is switched off: answered at once.
fn compaction_disabled() -> common::Status {
    service_unavailable("compaction disabled: dataCoord.enableCompaction is false")
}

fn service_unavailable(why: impl Display) -> common::Status {
    Code::SERVICE_UNAVAILABLE.with(format_args!("service unavailable: {why}"))
}

/// A kind of metrics that is not served.
pub fn metric_not_found(kind: &str) -> common::Status {
    Code::new(1200, ErrorCode::UnexpectedError).with(format_args!("metric not found[metric={kind}]"))
}

/// Too much at once: clients of Milvus wait and try again.
pub fn rate_limited(why: impl Display) -> common::Status {
    Code::RATE_LIMIT.with(why)
}

pub fn parameter_invalid(reason: impl Display) -> common::Status {
    Code::PARAMETER_INVALID.with(reason)
}

/// The same answer, with the step that failed in front of the reason.
pub fn within(step: &str, status: common::Status) -> common::Status {
    let reason = cut(format!("{step}: {}", status.reason));
    common::Status { detail: reason.clone(), reason, ..status }
}

/// The same answer, with the step that failed in front of the reason in the detail only.
pub fn detailed(step: &str, status: common::Status) -> common::Status {
    common::Status { detail: cut(format!("{step}: {}", status.reason)), ..status }
}

const MANY_INDEXES: &str = "index duplicates[indexName=]";

/// The progress of one of several indexes, none of which is named. Other calls have no code for this.
pub fn progress_of_many() -> common::Status {
    Code::INDEX_DUPLICATE.with(MANY_INDEXES)
}

/// A delete without an expression, which Milvus sends to the channel's node all the same.
pub fn no_expression(channel: Option<&Channel>) -> common::Status {
    let why = "invalid expression: invalid parameter[expected=valid expr][actual=empty expr]";
    let detail = load::tried_twice(&format!("{}: {why}", load::delegator(channel)));
    common::Status { detail: cut(detail), ..parameter_invalid(why) }
}

/// A flag of a query that can't be read.
pub fn bad_stop_flag(value: &str) -> common::Status {
    parameter_invalid(format_args!(
        "value for reduce_stop_for_best is invalid: invalid parameter[expected=true or false][actual={value}]"
    ))
}

/// An expression that does not parse or does not fit the schema.
pub fn bad_expression(expression: &str, why: impl Display) -> common::Status {
    Code::UNEXPECTED.with(format_args!("failed to create expr plan, expr = {expression}: {why}"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::model::{CollectionId, LoadError};

    /// Numbers and phrases of the error catalogue.
    #[rstest]
    #[case(collection_not_found("default", "X"), 100, 4, "collection not found[database=default][collection=X]")]
    #[case(
        collection_not_described("default", "X"),
        100,
        1,
        "can't find collection collection not found[database=default][collection=X]"
    )]
    #[case(collection_id_not_described(7), 100, 1, "can't find collection collection not found[collection=7]")]
    #[case(of_load_error(&LoadError::CollectionNotLoaded(CollectionId(5))), 101, 1, "collection not loaded[collection=5]")]
    #[case(partition_not_found("p"), 200, 15, "partition not found[partition=p]")]
    #[case(database_not_found("d"), 800, 1, "database not found[database=d]")]
    #[case(parameter_invalid("text"), 1100, 5, "text")]
    #[case(alias_not_found("default", "a"), 1600, 1, "alias not found")]
    #[case(alias_conflict("default", "a"), 1601, 1, "alias and collection name conflict")]
    #[case(alias_taken("default", "a", "c"), 1602, 1, "a is alias to another collection: c: alias already exist[")]
    #[case(too_many_databases(64), 801, 1, "exceeded the limit number of database[limit=64]")]
    #[case(unexpected("text"), 65535, 1, "text")]
    #[case(duplicate_collection("X"), 65535, 1, "create duplicate collection with different parameters, collection: X")]
    #[case(drop_through_alias("a"), 65535, 1, "cannot drop the collection via alias = a")]
    #[case(bad_expression("a >", "end"), 65535, 1, "failed to create expr plan, expr = a >")]
    fn catalogue(#[case] status: common::Status, #[case] code: i32, #[case] error_code: i32, #[case] starts: &str) {
        assert_eq!((status.code, status.error_code, status.retriable), (code, error_code, false));
        assert!(status.reason.starts_with(starts), "{}", status.reason);
        assert_eq!(status.reason.strip_prefix("can't find collection ").unwrap_or(&status.reason), status.detail);
    }

    #[test]
    fn no_reason_repeats_a_long_input_whole() {
        let name = "x".repeat(1 << 20);
        for status in [collection_not_found(&name, &name), parameter_invalid(&name), of_error(&Long(&name))] {
            assert!(status.reason.len() <= crate::error::MAX_TEXT_BYTES, "{}", status.reason.len());
            assert_eq!(status.detail, status.reason);
        }
        assert!(grpc_of_error(&Long(&name)).message().len() <= crate::error::MAX_TEXT_BYTES);
    }

    #[test]
    fn switched_off_is_retriable() {
        let status = compaction_disabled();
        assert_eq!((status.code, status.error_code, status.retriable), (2, 1, true));
        // The first words are the real server's; the key names the setting to change.
        assert_eq!(status.reason, "service unavailable: compaction disabled: dataCoord.enableCompaction is false");
    }

    #[derive(Debug)]
    struct Long<'a>(&'a str);

    impl Display for Long<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Classify for Long<'_> {
        fn kind(&self) -> ErrorKind {
            ErrorKind::Invalid
        }
    }

    #[derive(Debug)]
    struct Failed(ErrorKind);

    impl Display for Failed {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "{} failure", self.0.as_str())
        }
    }

    impl Classify for Failed {
        fn kind(&self) -> ErrorKind {
            self.0
        }
    }

    #[rstest]
    #[case(ErrorKind::Invalid, 1100, tonic::Code::InvalidArgument)]
    #[case(ErrorKind::NotFound, 65535, tonic::Code::NotFound)]
    #[case(ErrorKind::Conflict, 65535, tonic::Code::AlreadyExists)]
    #[case(ErrorKind::Precondition, 65535, tonic::Code::FailedPrecondition)]
    #[case(ErrorKind::Corrupt, 65535, tonic::Code::DataLoss)]
    #[case(ErrorKind::Transient, 2, tonic::Code::Unavailable)]
    #[case(ErrorKind::Exhausted, 8, tonic::Code::ResourceExhausted)]
    #[case(ErrorKind::Cancelled, 65535, tonic::Code::Cancelled)]
    #[case(ErrorKind::Fenced, 2, tonic::Code::Aborted)]
    #[case(ErrorKind::Internal, 65535, tonic::Code::Internal)]
    fn kinds(#[case] kind: ErrorKind, #[case] code: i32, #[case] grpc: tonic::Code) {
        let status = of_error(&Failed(kind));
        assert_eq!((status.code, status.retriable), (code, kind.is_retryable() || kind == ErrorKind::Fenced));
        assert_eq!(status.reason, format!("{} failure", kind.as_str()));
        assert_ne!(status.error_code, 0, "both numbers say that it failed");
        let own = grpc_of_error(&Failed(kind));
        assert_eq!((own.code(), own.message()), (grpc, status.reason.as_str()));
    }
}
