//! Admission of calls: a message takes its memory *before* it is read, and a body that stops arriving ends its call.
//!
//! The head of a message tells its length. Until that much memory is free, the rest of the body stays unread, so the
//! client stops sending when its window is full (HTTP/2's back-pressure). Small messages have a pool of their own:
//! state calls and health checks never queue behind large inserts. A call's memory is given back when the call is
//! answered, that of a query's answer when the answer is sent or its client does not take it (`answer`).
//!
//! The length of a message does not tell its memory once it is decoded, so it is measured as it arrives (`measure`). Memory
//! beyond its admission is added at once, or the call is refused before anything is decoded.
//!
//! ```text
//!   limit of requests = windows of waiting calls (3/16) + small messages (1/16) + large messages (11/16)
//!                     + growth of calls under way (1/16)
//! ```
//!
//! A call that waits longer than `datacoord.grpc.queueTimeout` is refused; beyond a number of waiting calls the next
//! one is refused at once. A refused write or query gets Milvus' rate limit, after which its clients wait and retry;
//! any other call gets RESOURCE_EXHAUSTED.

mod body;
mod measure;
mod requests;

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
};

use body::Admitted;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::{Body as HttpBody, Frame};
use prost::Message;
pub use requests::Requests;
pub(super) use requests::UNMEASURED_BYTES;
use requests::{CallMemory, HeldMemory};
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use super::answer::Counted;
use crate::{
    memory::Account,
    wire::{
        footprint,
        proto::milvus::{MutationResult, QueryResults},
        status,
    },
};

/// One message and the trailers of a successful call.
struct Whole {
    message: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl HttpBody for Whole {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let message = self.message.take().map(Frame::data);
        Poll::Ready(message.or_else(|| self.trailers.take().map(Frame::trailers)).map(Ok))
    }
}

/// Milvus' rate limit, after which clients retry, for the calls whose answer can carry it.
fn rate_limited(path: &str, reason: &str) -> Option<Response<Body>> {
    let status = Some(status::rate_limited(reason));
    let message = match path.strip_prefix("/milvus.proto.milvus.MilvusService/")? {
        "Insert" | "Upsert" | "Delete" => MutationResult { status, ..Default::default() }.encode_to_vec(),
        "Query" => QueryResults { status, ..Default::default() }.encode_to_vec(),
        _ => return None,
    };
    let mut bytes = BytesMut::with_capacity(5 + message.len());
    bytes.put_u8(0);
    bytes.put_u32(message.len() as u32);
    bytes.put_slice(&message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Whole { message: Some(bytes.freeze()), trailers: Some(trailers) };
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Some(response)
}

#[derive(Debug, Clone)]
pub(crate) struct AdmissionLayer {
    pub(crate) requests: Requests,
}

impl<S> Layer<S> for AdmissionLayer {
    type Service = Admission<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Admission { inner, requests: self.requests.clone() }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Admission<S> {
    inner: S,
    requests: Requests,
}

impl<S> Service<Request<Body>> for Admission<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path().to_owned();
        let call = Arc::new(CallMemory::default());
        let (requests, admitted) = (self.requests.clone(), Arc::clone(&call));
        let idle_timeout = requests.idle_timeout;
        let is_stream = path.starts_with("/grpc.reflection.");
        let input = footprint::input_of(&path);
        let request = request.map(|body| Body::new(Admitted::new(body, requests, admitted, input, is_stream)));
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            *call.held.lock() = HeldMemory::default();
            if call.is_refused.load(Relaxed)
                && let Some(refused) = Status::from_header_map(response.headers())
                && let Some(answer) = rate_limited(&path, refused.message())
            {
                return Ok(answer);
            }
            if let Some(memory) = response.extensions_mut().remove::<Account>() {
                return Ok(response.map(|body| Body::new(Counted::new(body, memory, idle_timeout))));
            }
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests;
