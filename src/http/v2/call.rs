//! A call of the Milvus service from inside the process, in the name of its caller.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::FromRequestParts,
    http::{HeaderName, request::Parts},
    response::Response,
};
use futures::future::BoxFuture;
use tonic::Request;

use super::{
    answer::Fault,
    members::{Members, ValueRoom},
};
use crate::{
    access::{Caller, Need},
    http::{answer::too_large, bounds::copies, guard, request::ReceivedBody, shared::RouteState},
    memory::Account,
    model::{AccessRefusal, Collection, Privilege, collection::DEFAULT_DATABASE},
    standalone::CollectionName,
    wire::{
        proto::{
            common,
            milvus::{milvus_service_server::MilvusService, *},
        },
        status,
    },
};

/// Names the database of a request that names none.
const DATABASE: HeaderName = HeaderName::from_static("db-name");
/// Asks for numbers of 64 bits as numbers. Without it they are strings, because browsers lose digits.
const ALLOW_INT64: HeaderName = HeaderName::from_static("accept-type-allow-int64");

/// Where a request is about.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) database: String,
    pub(super) name: String,
}

/// The parts of a request beside its body.
pub(super) struct RestCall {
    shared: RouteState,
    caller: Caller,
    /// Empty: none.
    database: String,
    /// Memory that the body was let in with, for each of its bytes.
    copies: u64,
    pub(super) allows_int64: bool,
}

impl FromRequestParts<RouteState> for RestCall {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &RouteState) -> Result<Self, Response> {
        let caller = parts.extensions.get::<Caller>().cloned();
        let header = |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
        Ok(Self {
            caller: caller.ok_or_else(|| guard::refused(&AccessRefusal::NotLookedAt))?,
            database: header(DATABASE).to_owned(),
            copies: copies(parts.uri.path()),
            allows_int64: matches!(header(ALLOW_INT64), "1" | "t" | "T" | "true" | "TRUE" | "True"),
            shared: shared.clone(),
        })
    }
}

impl RestCall {
    pub(super) fn whole(&self, body: ReceivedBody) -> Result<Bytes, Fault> {
        body.map_err(|_| Fault::Answered(Box::new(too_large(self.shared.large.most))))
    }

    /// The members of the body. They hold memory for their values.
    ///
    /// # Errors
    /// A body that is no JSON object, or whose values find no memory.
    pub(super) fn members<'b>(&self, request: &'static str, body: &'b [u8]) -> Result<Members<'b>, Fault> {
        let length = body.len() as u64;
        let room = ValueRoom {
            admitted: length.saturating_mul(self.copies - 1),
            extra: self.shared.growth.of_call(length.saturating_mul(self.copies)),
        };
        Members::read(request, body, room)
    }

    /// The database that a request is about.
    pub(super) fn database(&self, members: &Members<'_>) -> Result<String, Fault> {
        let named = [members.text("dbName")?, self.database.clone()];
        Ok(named.into_iter().find(|name| !name.is_empty()).unwrap_or_else(|| DEFAULT_DATABASE.to_owned()))
    }

    /// The collection that a request is about.
    pub(super) fn target(&self, members: &Members<'_>) -> Result<Target, Fault> {
        Ok(Target { database: self.database(members)?, name: members.required("collectionName")? })
    }

    /// The definition of a collection, for a caller with a privilege on it.
    pub(super) fn definition(&self, target: &Target, privilege: Privilege) -> Result<Arc<Collection>, Fault> {
        let standalone = &self.shared.standalone;
        let need = Need::collection(privilege);
        let permitted = standalone.gatekeeper().permit(&self.caller, need, &target.database, &target.name);
        permitted.map_err(|refusal| Box::new(guard::refused(&refusal)))?;
        let found = standalone.resolve(CollectionName::new(&target.database, &target.name));
        found.map(|cell| cell.meta()).map_err(|error| {
            let status = status::of_core(&error, error.request());
            Fault::of_status(&status).unwrap_or_else(|| Fault::invalid(error.to_string()))
        })
    }

    /// Makes a call. With the answer comes the memory that it takes.
    pub(super) async fn ask<'s, T, R: Answered>(
        &'s self,
        method: &'static str,
        message: T,
        call: impl FnOnce(&'s dyn MilvusService, Request<T>) -> BoxFuture<'s, Result<tonic::Response<R>, tonic::Status>>,
    ) -> Result<(R, Option<Account>), Fault> {
        let milvus = &self.shared.milvus;
        let mut request = Request::new(message);
        (milvus.let_in)(request.extensions_mut(), method, self.caller.clone());
        let mut response = call(milvus.service.as_ref(), request).await?;
        let memory = response.extensions_mut().remove::<Account>();
        let answer = response.into_inner();
        match answer.status().and_then(Fault::of_status) {
            Some(fault) => Err(fault),
            None => Ok((answer, memory)),
        }
    }
}

/// An answer of the service, with its status.
pub(super) trait Answered {
    fn status(&self) -> Option<&common::Status>;
}

impl Answered for common::Status {
    fn status(&self) -> Option<&common::Status> {
        Some(self)
    }
}

macro_rules! answered {
    ($($name:ident),* $(,)?) => {
        $(impl Answered for $name {
            fn status(&self) -> Option<&common::Status> {
                self.status.as_ref()
            }
        })*
    };
}

answered!(
    BoolResponse,
    DescribeCollectionResponse,
    DescribeIndexResponse,
    FlushResponse,
    GetCollectionStatisticsResponse,
    GetLoadStateResponse,
    GetLoadingProgressResponse,
    ListAliasesResponse,
    MutationResult,
    QueryResults,
    SearchResults,
    ShowCollectionsResponse,
);
