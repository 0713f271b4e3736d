//! Answers of the gRPC machinery itself, in the words and codes of a stock server.
//!
//! The Rust stack refuses an oversized request with OUT_OF_RANGE and an undecodable one with INTERNAL; pymilvus retries
//! both for 210 s. Milvus says RESOURCE_EXHAUSTED, which no client retries, and an undecodable request can't get
//! better by being sent again either. Also puts a sentence into the empty UNIMPLEMENTED of unknown methods.
//!
//! Counts every call on the way. Never touches an answer of a handler: those carry their own status.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use http::{HeaderMap, HeaderValue, Request, Response};
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::telemetry::Metrics;

#[derive(Debug, Clone)]
pub(crate) struct StockStatusLayer {
    pub(crate) max_request_bytes: usize,
    pub(crate) metrics: Arc<Metrics>,
}

impl<S> Layer<S> for StockStatusLayer {
    type Service = StockStatus<S>;

    fn layer(&self, inner: S) -> Self::Service {
        StockStatus { inner, max_request_bytes: self.max_request_bytes, metrics: Arc::clone(&self.metrics) }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct StockStatus<S> {
    inner: S,
    max_request_bytes: usize,
    metrics: Arc<Metrics>,
}

impl<S, A, B> Service<Request<A>> for StockStatus<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let path = request.uri().path().to_owned();
        let limit = self.max_request_bytes;
        let metrics = Arc::clone(&self.metrics);
        let begun = Instant::now();
        let answer = self.inner.call(request);
        Box::pin(async move {
            metrics.grpc.in_flight.inc();
            let answered = answer.await;
            metrics.grpc.in_flight.dec();
            let mut response = answered?;
            let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
            metrics.grpc_request(&path, code, begun.elapsed());
            if let Some(better) = Status::from_header_map(response.headers()).and_then(|s| translate(&s, &path, limit))
            {
                replace(response.headers_mut(), &better);
            }
            Ok(response)
        })
    }
}

/// The stock server's answer in place of `status`, if they differ.
fn translate(status: &Status, path: &str, max_request_bytes: usize) -> Option<Status> {
    match status.code() {
        Code::OutOfRange => {
            let received = status.message().split_whitespace().find_map(|w| w.parse::<u64>().ok());
            let received = received.map_or_else(|| "more".to_owned(), |n| n.to_string());
            Some(Status::resource_exhausted(format!(
                "grpc: received message larger than max ({received} vs. {max_request_bytes})"
            )))
        }
        Code::Internal => Some(Status::invalid_argument(format!("grpc: bad request: {}", status.message()))),
        Code::Unimplemented if status.message().is_empty() => {
            let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
            Some(Status::unimplemented(format!(
                "unknown method {method} for service {service}: datacoord does not serve it"
            )))
        }
        _ => None,
    }
}

fn replace(headers: &mut HeaderMap, status: &Status) {
    headers.remove("grpc-message");
    headers.remove("grpc-status");
    if status.add_header(headers).is_err() {
        // A message that is no header value: the code alone still stops the retries.
        headers.insert("grpc-status", HeaderValue::from(status.code() as i32));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oversized_is_resource_exhausted() {
        let found = Status::out_of_range(
            "Error, decoded message length too large: found 70000000 bytes, the limit is: 67108864 bytes",
        );
        let better = translate(&found, "/a/b", 67_108_864).unwrap();
        assert_eq!(better.code(), Code::ResourceExhausted);
        assert_eq!(better.message(), "grpc: received message larger than max (70000000 vs. 67108864)");
    }

    #[test]
    fn unknown_method_is_named() {
        let better = translate(&Status::unimplemented(""), "/milvus.proto.milvus.MilvusService/Import", 1).unwrap();
        assert!(better.message().starts_with("unknown method Import for service milvus.proto.milvus.MilvusService"));
        assert!(translate(&Status::unimplemented("search is not served"), "/a/b", 1).is_none());
    }
}
