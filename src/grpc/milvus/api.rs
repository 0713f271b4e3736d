//! The handle that all calls share, and the context of a call besides its message.

use std::sync::Arc;

use tonic::{Request, Status};

use super::{call_error::CallError, names::MessageNames};
use crate::{
    coordinator::{CollectionCell, Coordinator},
    grpc::access::{Named, admit},
    memory::Growth,
    model::RequestError,
    standalone::{CollectionName, Standalone},
};

/// The Milvus service of one process.
#[derive(Debug, Clone)]
pub(crate) struct MilvusApi {
    pub(super) standalone: Arc<Standalone>,
    /// Its DataCoord.
    pub(super) coordinator: Arc<Coordinator>,
    /// Where calls take memory beyond that of their message.
    pub(super) growth: Growth,
}

impl MilvusApi {
    pub(crate) fn new(standalone: Arc<Standalone>, growth: Growth) -> Self {
        Self { coordinator: Arc::clone(standalone.coordinator()), standalone, growth }
    }

    /// The request, if its caller may make it.
    pub(in crate::grpc) fn admit<T: Named>(&self, request: Request<T>) -> Result<Request<T>, Status> {
        admit(&self.standalone, request)
    }

    /// Splits a request whose names the rules allow.
    pub(super) fn read<T: MessageNames>(&self, request: Request<T>) -> Outcome<(CallContext, T)> {
        let (call, request) = CallContext::split(request);
        request.check_names(self.standalone.config().limits.max_name_length).map_err(RequestError::BadName)?;
        Ok((call, request))
    }

    /// The collection a request names, by name or alias.
    pub(super) fn collection(
        &self,
        call: &CallContext,
        database: &str,
        name: &str,
    ) -> Result<Arc<CollectionCell>, CallError> {
        if name.is_empty() {
            return Err(RequestError::CollectionNotNamed.into());
        }
        Ok(self.standalone.resolve(CollectionName::new(call.database(database), name))?)
    }
}

/// The part of a call that is not its message.
#[derive(Debug, Clone, Default)]
pub(super) struct CallContext {
    database: String,
}

impl CallContext {
    /// Splits a request; the database comes from the `dbname` header when the message names none.
    pub(super) fn split<T>(request: Request<T>) -> (Self, T) {
        (Self::of(&request), request.into_inner())
    }

    pub(super) fn of<T>(request: &Request<T>) -> Self {
        let database = request.metadata().get("dbname").and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
        Self { database }
    }

    /// The database to look in; empty means the default one.
    pub(super) fn database<'a>(&'a self, named: &'a str) -> &'a str {
        if named.is_empty() { &self.database } else { named }
    }
}

pub(super) type Outcome<T> = Result<T, CallError>;
