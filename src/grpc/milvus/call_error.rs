//! Failures of Milvus calls: a `Status` inside an OK answer, as every Milvus client expects.
//!
//! A gRPC error code would make pymilvus retry for minutes, so no failure of these calls becomes one.

use tonic::Response;

use crate::{
    coordinator::CoordinatorError,
    grpc::stock_status::MilvusRefusal,
    model::{RequestError, SearchError},
    standalone::StandaloneError,
    wire::{
        proto::{common, milvus},
        status,
    },
};

/// A failed call, as the client reads it.
#[derive(Debug)]
pub(crate) struct CallError(pub(crate) common::Status);

impl CallError {
    /// The step of the call that failed, before the reason.
    pub(crate) fn within(self, step: &str) -> Self {
        Self(status::within(step, self.0))
    }

    /// The step of the call that failed, before the reason in the detail only.
    pub(crate) fn detailed(self, step: &str) -> Self {
        Self(status::detailed(step, self.0))
    }
}

impl From<StandaloneError> for CallError {
    fn from(error: StandaloneError) -> Self {
        Self(status::of_core(&error, error.request()))
    }
}

impl From<CoordinatorError> for CallError {
    fn from(error: CoordinatorError) -> Self {
        Self(status::of_core(&error, error.request()))
    }
}

impl From<RequestError> for CallError {
    fn from(error: RequestError) -> Self {
        Self(status::of_request(&error))
    }
}

/// Wrong parameters, found at the edge: code 1100.
pub(crate) fn invalid(text: impl AsRef<str>) -> CallError {
    CallError(status::parameter_invalid(text.as_ref()))
}

/// Refused for another reason: code 65535.
pub(crate) fn rejected(text: impl AsRef<str>) -> CallError {
    CallError(status::unexpected(text.as_ref()))
}

/// A search that is refused.
pub(super) fn refused(error: SearchError) -> CallError {
    RequestError::from(error).into()
}

/// A search that asks for something that is not served.
pub(super) fn unsupported(what: &str) -> CallError {
    refused(SearchError::Unsupported(what.to_owned()))
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
    DescribeResourceGroupResponse,
    FlushAllResponse,
    FlushResponse,
    GetCollectionStatisticsResponse,
    GetCompactionPlansResponse,
    GetCompactionStateResponse,
    GetFlushAllStateResponse,
    GetFlushStateResponse,
    GetIndexBuildProgressResponse,
    GetIndexStatisticsResponse,
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
    ListCredUsersResponse,
    ListDatabasesResponse,
    ListResourceGroupsResponse,
    ManualCompactionResponse,
    MutationResult,
    QueryResults,
    SearchResults,
    SelectGrantResponse,
    SelectRoleResponse,
    SelectUserResponse,
    ShowCollectionsResponse,
    ShowPartitionsResponse,
    TruncateCollectionResponse,
);

/// Turns an outcome into the answer: a success carries an all-zero status, a failure only its status.
pub(crate) fn answer<T: Answer>(outcome: Result<T, CallError>) -> Result<Response<T>, tonic::Status> {
    Ok(match outcome {
        Ok(mut answer) => {
            answer.set_status(common::Status::default());
            Response::new(answer)
        }
        Err(CallError(status)) => {
            tracing::debug!(code = status.code, reason = status.reason, "refused");
            let mut answer = T::default();
            answer.set_status(status);
            let mut response = Response::new(answer);
            // For the count of calls.
            response.extensions_mut().insert(MilvusRefusal);
            response
        }
    })
}

/// As [`answer`], for calls whose answer is a bare status.
pub(crate) fn done(outcome: Result<(), CallError>) -> Result<Response<common::Status>, tonic::Status> {
    answer(outcome.map(|()| common::Status::default()))
}
