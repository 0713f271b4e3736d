//! Failures of Milvus calls: a `Status` inside an OK answer, as every Milvus client expects.
//!
//! A gRPC error code would make pymilvus retry for minutes, so no failure of these calls becomes one.

use tonic::Response;

use crate::{
    coordinator::CoordinatorError,
    error::{Classify, ErrorKind},
    model::collection::DEFAULT_DATABASE,
    standalone::{NameError, StandaloneError},
    wire::{
        proto::{common, milvus},
        status,
    },
};

/// A failed call, as the client reads it.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) common::Status);

impl From<StandaloneError> for Failure {
    fn from(error: StandaloneError) -> Self {
        use StandaloneError as E;
        if let E::Coordinator(error) = error {
            return error.into();
        }
        Self(match &error {
            E::DatabaseNotFound(name) => status::database_not_found(name),
            E::CollectionNotFound { database, collection } => status::collection_not_found(database, collection),
            E::PartitionNotFound(name) => status::partition_not_found(name),
            E::Name(NameError::AliasNotFound { database, alias }) => status::alias_not_found(database, alias),
            E::Name(NameError::AliasIsCollection { database, alias }) => status::alias_conflict(database, alias),
            E::Name(NameError::AliasTaken { database, alias, owner }) => status::alias_taken(database, alias, owner),
            E::Name(NameError::TooManyDatabases { most }) => status::too_many_databases(*most),
            E::IndexNotFound(index) => status::index_not_found(index),
            E::NotLoaded(collection) => status::collection_not_loaded(collection),
            _ => status_of_kind(&error),
        })
    }
}

impl From<CoordinatorError> for Failure {
    fn from(error: CoordinatorError) -> Self {
        use CoordinatorError as E;
        Self(match &error {
            E::CollectionIdNotFound(id) => status::collection_not_found(DEFAULT_DATABASE, id),
            E::PartitionNotFound(name) => status::partition_not_found(name),
            E::JobNotFound(_) | E::PlanNotFound(_) => status::parameter_invalid(&error),
            E::CompactionDisabled => status::compaction_disabled(),
            _ => status_of_kind(&error),
        })
    }
}

/// Errors that have no code of their own go by their kind.
fn status_of_kind(error: &(impl Classify + std::fmt::Display)) -> common::Status {
    if error.kind() == ErrorKind::Internal {
        tracing::error!(%error, "a call failed");
    }
    status::of_error(error)
}

/// Wrong parameters, found at the edge: code 1100.
pub(crate) fn invalid(text: impl AsRef<str>) -> Failure {
    Failure(status::parameter_invalid(text.as_ref()))
}

/// Refused for another reason: code 65535.
pub(crate) fn rejected(text: impl AsRef<str>) -> Failure {
    Failure(status::unexpected(text.as_ref()))
}

/// An answer that can carry a failure.
pub(crate) trait Answer: Default {
    fn set_status(&mut self, status: common::Status);
}

impl Answer for common::Status {
    fn set_status(&mut self, status: common::Status) {
        *self = status;
    }
}

macro_rules! answers {
    ($($name:ident),* $(,)?) => {
        $(impl Answer for milvus::$name {
            fn set_status(&mut self, status: common::Status) {
                self.status = Some(status);
            }
        })*
    };
}

answers!(
    AllocTimestampResponse,
    BoolResponse,
    CheckHealthResponse,
    ComponentStates,
    ConnectResponse,
    DescribeAliasResponse,
    DescribeCollectionResponse,
    DescribeDatabaseResponse,
    DescribeIndexResponse,
    FlushAllResponse,
    FlushResponse,
    GetCollectionStatisticsResponse,
    GetCompactionPlansResponse,
    GetCompactionStateResponse,
    GetFlushAllStateResponse,
    GetFlushStateResponse,
    GetIndexBuildProgressResponse,
    GetIndexStateResponse,
    GetLoadStateResponse,
    GetLoadingProgressResponse,
    GetMetricsResponse,
    GetPartitionStatisticsResponse,
    GetPersistentSegmentInfoResponse,
    GetQuerySegmentInfoResponse,
    GetReplicasResponse,
    GetVersionResponse,
    ListAliasesResponse,
    ListDatabasesResponse,
    ManualCompactionResponse,
    MutationResult,
    QueryResults,
    ShowCollectionsResponse,
    ShowPartitionsResponse,
    TruncateCollectionResponse,
);

/// Turns an outcome into the answer: a success carries an all-zero status, a failure only its status.
pub(crate) fn answer<T: Answer>(outcome: Result<T, Failure>) -> Result<Response<T>, tonic::Status> {
    let answer = match outcome {
        Ok(mut answer) => {
            answer.set_status(common::Status::default());
            answer
        }
        Err(Failure(status)) => {
            tracing::debug!(code = status.code, reason = status.reason, "refused");
            let mut answer = T::default();
            answer.set_status(status);
            answer
        }
    };
    Ok(Response::new(answer))
}

/// As [`answer`], for calls whose answer is a bare status.
pub(crate) fn done(outcome: Result<(), Failure>) -> Result<Response<common::Status>, tonic::Status> {
    answer(outcome.map(|()| common::Status::default()))
}
