//! A call of `datacoord.v1` from inside the process, in the name of the caller of a request.

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
    response::Response,
};
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::json;
use tonic::{Code, Request, Status};

use crate::{
    access::Caller,
    http::{answer, control::ControlCalls, guard, shared::RouteState},
    model::AccessRefusal,
};

/// A request's caller, beside the parts that all routes share.
#[derive(Clone)]
pub(super) struct PageCall {
    pub(super) shared: RouteState,
    pub(super) caller: Caller,
}

impl FromRequestParts<RouteState> for PageCall {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &RouteState) -> Result<Self, Response> {
        let caller = parts.extensions.get::<Caller>().cloned();
        let caller = caller.ok_or_else(|| guard::refused(&AccessRefusal::NotLookedAt))?;
        Ok(Self { shared: shared.clone(), caller })
    }
}

impl PageCall {
    /// Makes a call. `method` is its name in the proto file.
    pub(super) async fn ask<'s, T, R>(
        &'s self,
        method: &'static str,
        message: T,
        call: impl FnOnce(&'s ControlCalls, Request<T>) -> BoxFuture<'s, Result<tonic::Response<R>, Status>>,
    ) -> Result<R, Box<Status>> {
        let control = &self.shared.control;
        let mut request = Request::new(message);
        (control.let_in)(request.extensions_mut(), method, self.caller.clone());
        Ok(call(control.service.as_ref(), request).await.map_err(Box::new)?.into_inner())
    }

    /// The name under which an order of the caller is recorded.
    pub(super) fn orderer(&self) -> String {
        match self.caller.name() {
            Some(user) => format!("{user} (page)"),
            None => "the page".to_owned(),
        }
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum PageFault {
    /// The call has failed.
    Failed(Box<Status>),
    /// The request can't be read.
    Unreadable(String),
    /// Its body is of another type than JSON.
    NotJson,
    /// There are as many event streams as there may be.
    TooManyStreams(usize),
}

impl From<Box<Status>> for PageFault {
    fn from(status: Box<Status>) -> Self {
        Self::Failed(status)
    }
}

/// The answer, or `{"code": …, "message": …}` with the name of the gRPC code.
pub(super) fn answered<R: Serialize>(answer: Result<R, PageFault>) -> Response {
    match answer {
        Ok(answer) => answer::json(StatusCode::OK, &answer),
        Err(fault) => refused(&fault),
    }
}

pub(super) fn refused(fault: &PageFault) -> Response {
    let (status, code, message) = match fault {
        PageFault::Failed(status) => {
            let (http, name) = codes(status.code());
            (http, name, status.message().to_owned())
        }
        PageFault::Unreadable(reason) => (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", reason.clone()),
        PageFault::NotJson => {
            let text = "the body needs the header Content-Type: application/json".to_owned();
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "INVALID_ARGUMENT", text)
        }
        PageFault::TooManyStreams(most) => {
            let text = format!("{most} pages are watching, more may not; ask for /api/v2/overview instead");
            (StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED", text)
        }
    };
    answer::json(status, &json!({"code": code, "message": crate::error::cut(message)}))
}

/// The HTTP status and the name of a gRPC code.
fn codes(code: Code) -> (StatusCode, &'static str) {
    match code {
        Code::InvalidArgument => (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT"),
        Code::OutOfRange => (StatusCode::BAD_REQUEST, "OUT_OF_RANGE"),
        Code::Unauthenticated => (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED"),
        Code::PermissionDenied => (StatusCode::FORBIDDEN, "PERMISSION_DENIED"),
        Code::NotFound => (StatusCode::NOT_FOUND, "NOT_FOUND"),
        Code::AlreadyExists => (StatusCode::CONFLICT, "ALREADY_EXISTS"),
        Code::FailedPrecondition => (StatusCode::CONFLICT, "FAILED_PRECONDITION"),
        Code::Aborted => (StatusCode::CONFLICT, "ABORTED"),
        Code::ResourceExhausted => (StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED"),
        Code::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
        Code::DeadlineExceeded => (StatusCode::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED"),
        Code::Unimplemented => (StatusCode::NOT_IMPLEMENTED, "UNIMPLEMENTED"),
        Code::Ok | Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => {
            (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL")
        }
    }
}
