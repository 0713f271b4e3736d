//! Answers of the gRPC machinery itself, in the words and codes of a stock server.
//!
//! The Rust stack refuses an oversized request with OUT_OF_RANGE and an undecodable one with INTERNAL; pymilvus retries
//! both for 210 s. Milvus says RESOURCE_EXHAUSTED, which no client retries. An undecodable request fails again when it
//! is sent again, so it becomes INVALID_ARGUMENT. The empty UNIMPLEMENTED of unknown methods gets a sentence.
//!
//! Counts every call and gives it an id for the log. Changes a handler's own answer in one way: it cuts a text that is
//! too long for a client.

use std::{
    collections::HashSet,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::time::Instant;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::{Instrument as _, field};

use crate::{
    connections::Peer,
    error::{MAX_TEXT_BYTES, cut},
    telemetry::{CallOutcome, Metrics, follow, request_id},
};

#[derive(Debug, Clone)]
pub(crate) struct StockStatusLayer {
    pub(crate) metrics: Arc<Metrics>,
    /// Paths of all methods, `/package.Service/Method`. Other paths are a client's invention and must not become
    /// labels.
    pub(crate) methods: Arc<HashSet<String>>,
    /// The setting that limits the size of a message.
    pub(crate) size_key: &'static str,
}

impl<S> Layer<S> for StockStatusLayer {
    type Service = StockStatus<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let (metrics, methods) = (Arc::clone(&self.metrics), Arc::clone(&self.methods));
        StockStatus { inner, metrics, methods, size_key: self.size_key }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct StockStatus<S> {
    inner: S,
    metrics: Arc<Metrics>,
    methods: Arc<HashSet<String>>,
    size_key: &'static str,
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
        let peer = request.extensions().get::<Peer>().map(|peer| field::display(peer.address));
        let (path, id) = (request.uri().path(), request_id(request.headers()));
        let is_known = self.methods.contains(path);
        let method = if is_known { path.trim_start_matches('/') } else { "other" };
        let span = tracing::info_span!("call", id, method, user = field::Empty, peer);
        follow(&span, request.headers());
        let mut call = InFlight::new(path, is_known, Arc::clone(&self.metrics));
        let (answer, size_key) = (self.inner.call(request), self.size_key);
        let answered = async move {
            let mut response = answer.await?;
            let status = Status::from_header_map(response.headers());
            let is_refused = response.extensions().get::<MilvusRefusal>().is_some();
            call.ended(status.as_ref().map_or(Code::Ok, Status::code), is_refused);
            if let Some(better) = status.and_then(|status| translate(&status, &call.path, size_key)) {
                replace(response.headers_mut(), &better);
            }
            Ok(response)
        };
        Box::pin(answered.instrument(span))
    }
}

/// Among the extensions of an answer with code OK that carries an error of Milvus.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MilvusRefusal;

/// A call that is being answered. Counted once, however it ends: a client that leaves drops it.
struct InFlight {
    path: String,
    is_known: bool,
    metrics: Arc<Metrics>,
    begun: Instant,
    has_ended: bool,
}

impl InFlight {
    fn new(path: &str, is_known: bool, metrics: Arc<Metrics>) -> Self {
        metrics.grpc.in_flight.inc();
        Self { path: path.to_owned(), is_known, metrics, begun: Instant::now(), has_ended: false }
    }

    fn ended(&mut self, code: Code, is_refused: bool) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        let took = self.begun.elapsed();
        self.metrics.grpc.in_flight.dec();
        // A known path can be unimplemented too: its service is not served.
        let is_served = self.is_known && code != Code::Unimplemented;
        let method = if is_served { self.path.trim_start_matches('/') } else { "other" };
        let outcome = match code {
            Code::Ok if is_refused => CallOutcome::Refused,
            Code::Ok => CallOutcome::Served,
            _ => CallOutcome::Failed,
        };
        self.metrics.grpc_request(method, code_name(code), outcome, took);
        tracing::debug!(method = self.path, ?code, is_refused, ms = took.as_millis() as u64, "called");
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.ended(Code::Cancelled, false);
    }
}

/// All codes of failed calls.
const FAILURES: [Code; 16] = [
    Code::Cancelled,
    Code::Unknown,
    Code::InvalidArgument,
    Code::DeadlineExceeded,
    Code::NotFound,
    Code::AlreadyExists,
    Code::PermissionDenied,
    Code::ResourceExhausted,
    Code::FailedPrecondition,
    Code::Aborted,
    Code::OutOfRange,
    Code::Unimplemented,
    Code::Internal,
    Code::Unavailable,
    Code::DataLoss,
    Code::Unauthenticated,
];

/// Makes the series of all calls appear with 0. `methods` are paths.
pub(super) fn show_calls(metrics: &Metrics, methods: &HashSet<String>) {
    metrics.show_methods(methods.iter().map(|path| path.trim_start_matches('/')));
    for code in FAILURES {
        metrics.grpc.failures.with([code_name(code)]);
    }
}

/// gRPC's own names of the codes.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The stock server's answer in place of `status`, if they differ; a text that is too long for a header is cut.
fn translate(status: &Status, path: &str, size_key: &str) -> Option<Status> {
    match status.code() {
        _ if status.message().len() > MAX_TEXT_BYTES => {
            Some(Status::new(status.code(), cut(status.message().to_owned())))
        }
        Code::OutOfRange => {
            // Both numbers are those of the decoder. Health and reflection have a limit that no setting changes.
            let mut numbers = status.message().split_whitespace().filter_map(|word| word.parse::<u64>().ok());
            let (received, limit) = (numbers.next(), numbers.next());
            let shown = |number: Option<u64>| number.map_or_else(|| "?".to_owned(), |n| n.to_string());
            let (received, limit) = (shown(received), shown(limit));
            let key = if path.starts_with("/grpc.") { String::new() } else { format!(" ({size_key})") };
            let text = format!("grpc: received message larger than max ({received} vs. {limit}){key}");
            Some(Status::resource_exhausted(text))
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
        // The message is no valid header value. The code alone still stops the retries.
        headers.insert("grpc-status", HeaderValue::from(status.code() as i32));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oversized_is_resource_exhausted() {
        for (received, limit) in [(70_000_000, 67_108_864), (4_608_007, 4_194_304)] {
            let found = Status::out_of_range(format!(
                "Error, decoded message length too large: found {received} bytes, the limit is: {limit} bytes",
            ));
            let better = translate(&found, "/a/b", "some.key").unwrap();
            assert_eq!(better.code(), Code::ResourceExhausted);
            let text = format!("grpc: received message larger than max ({received} vs. {limit}) (some.key)");
            assert_eq!(better.message(), text);
            let own = translate(&found, "/grpc.health.v1.Health/Check", "some.key").unwrap();
            assert_eq!(own.message(), text.trim_end_matches(" (some.key)"));
        }
    }

    #[test]
    fn unknown_method_is_named() {
        let better = translate(&Status::unimplemented(""), "/milvus.proto.milvus.MilvusService/Import", "").unwrap();
        assert!(better.message().starts_with("unknown method Import for service milvus.proto.milvus.MilvusService"));
        assert!(translate(&Status::unimplemented("search is not served"), "/a/b", "").is_none());
    }

    #[test]
    fn a_text_that_is_too_long_for_a_header_is_cut() {
        let long = Status::not_found(format!("channel {} is not known", "x".repeat(1 << 20)));
        let better = translate(&long, "/a/b", "").unwrap();
        assert_eq!(better.code(), Code::NotFound);
        assert!(better.message().len() <= MAX_TEXT_BYTES && better.message().ends_with(" is not known"), "{better}");
    }

    #[tokio::test]
    async fn a_call_whose_client_leaves_is_not_in_flight_any_more() {
        let metrics = Arc::new(Metrics::new(prometheus::Registry::new()).unwrap());
        let never = tower::service_fn(|_: Request<()>| std::future::pending::<Result<Response<()>, Status>>());
        let methods = Arc::new(HashSet::from(["/a/b".to_owned()]));
        let layer = StockStatusLayer { metrics: Arc::clone(&metrics), methods, size_key: "" };
        for (path, method) in [("/a/b", "a/b"), ("/made/up", "other")] {
            let call = layer.layer(never).call(Request::builder().uri(path).body(()).unwrap());
            assert_eq!(metrics.grpc.in_flight.get(), 1);
            drop(call);
            assert_eq!(metrics.grpc.in_flight.get(), 0);
            let counted = format!(r#"datacoord_grpc_requests_total{{code="CANCELLED",method="{method}"}} 1"#);
            assert!(metrics.render().contains(&counted), "{}", metrics.render());
        }
    }

    #[tokio::test]
    async fn an_error_of_milvus_in_an_answer_is_a_failed_call_of_its_proxy() {
        let metrics = Arc::new(Metrics::new(prometheus::Registry::new()).unwrap());
        let path = "/milvus.proto.milvus.MilvusService/Query".to_owned();
        let methods = Arc::new(HashSet::from([path.clone()]));
        show_calls(&metrics, &methods);
        let layer = StockStatusLayer { metrics: Arc::clone(&metrics), methods, size_key: "" };
        let answers = tower::service_fn(|request: Request<bool>| async move {
            let mut answer = Response::new(());
            if *request.body() {
                answer.extensions_mut().insert(MilvusRefusal);
            }
            Ok::<_, Status>(answer)
        });
        for is_refused in [false, true, true] {
            layer.layer(answers).call(Request::builder().uri(&path).body(is_refused).unwrap()).await.unwrap();
        }
        let text = metrics.render();
        for line in [
            r#"datacoord_grpc_requests_total{code="OK",method="milvus.proto.milvus.MilvusService/Query"} 3"#,
            "datacoord_grpc_refused_total 2",
            r#"datacoord_grpc_failures_total{code="INTERNAL"} 0"#,
            r#"milvus_proxy_req_count{function_name="Query",node_id="1",status="total"} 3"#,
            r#"milvus_proxy_req_count{function_name="Query",node_id="1",status="success"} 1"#,
            r#"milvus_proxy_req_count{function_name="Query",node_id="1",status="fail"} 2"#,
            r#"milvus_proxy_sq_latency_count{node_id="1",query_type="query"} 1"#,
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    /// Keeps the lines of a log.
    #[derive(Clone, Default)]
    struct Lines(Arc<parking_lot::Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_call_is_one_line_with_its_id_and_its_caller() {
        let (lines, metrics) = (Lines::default(), Arc::new(Metrics::new(prometheus::Registry::new()).unwrap()));
        let (writer, methods) = (lines.clone(), Arc::new(HashSet::from(["/a/b".to_owned()])));
        let log = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_ansi(false);
        let _log = tracing::subscriber::set_default(log.with_writer(move || writer.clone()).finish());
        let layer = StockStatusLayer { metrics, methods, size_key: "" };
        // The layer inside finds out who calls.
        let served = tower::service_fn(|_: Request<()>| async {
            tracing::Span::current().record("user", "ann");
            Ok::<_, Status>(Response::new(()))
        });
        let peer = Peer { address: "10.0.0.1:7".parse().unwrap(), has_certificate: false };
        let request = Request::builder().uri("/a/b").header("client-request-id", "r1").extension(peer);
        layer.layer(served).call(request.body(()).unwrap()).await.unwrap();
        let text = String::from_utf8(lines.0.lock().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        for part in ["r1", "ann", "10.0.0.1:7", "/a/b", "Ok"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_method_that_is_not_served_is_counted_as_other() {
        let metrics = Arc::new(Metrics::new(prometheus::Registry::new()).unwrap());
        for is_known in [false, true] {
            InFlight::new("/made.up/Path", is_known, Arc::clone(&metrics)).ended(Code::Unimplemented, false);
        }
        let text = metrics.render();
        assert!(text.contains(r#"datacoord_grpc_requests_total{code="UNIMPLEMENTED",method="other"} 2"#), "{text}");
        assert!(!text.contains("made.up"), "{text}");
    }
}
