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

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use body::Admitted;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::{Body as HttpBody, Frame};
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::Semaphore;
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use super::answer::Counted;
use crate::{
    config::{Config, Part},
    memory::{Account, Extra, Full, Growth, Pool, Reserved},
    wire::{
        footprint,
        proto::milvus::{MutationResult, QueryResults},
        status,
    },
};

/// The largest small message.
const SMALL_BYTES: u64 = 64 << 10;
/// Memory of a call beside its message.
const CALL_BYTES: u64 = 4 << 10;
/// Structures of the columns of a large message. A row of numbers and vectors takes no more when it is decoded than on the
/// wire, so ordinary inserts of them never need more than they were admitted with.
const STRUCTURE_BYTES: u64 = 20 << 10;
/// Copies of a message in memory: as it arrives, and decoded.
const COPIES: u64 = 2;
/// Calls that may wait for memory at once; each may have a window of its body in memory meanwhile.
const WAITING: u64 = 128;
/// Smallest and largest number of unread bytes that a client may send ahead.
const WINDOW_BYTES: (u64, u64) = (64 << 10, 8 << 20);

/// The memory of the calls in flight. Clones share it.
#[derive(Debug, Clone)]
pub struct Requests {
    small: Pool,
    large: Pool,
    growth: Growth,
    waiting: Arc<Semaphore>,
    window_bytes: u32,
    max_message_bytes: usize,
    size_key: &'static str,
    queue_timeout: Duration,
    idle_timeout: Duration,
}

impl Requests {
    pub fn new(config: &Config) -> Self {
        let (bytes, key) = (config.budget.requests, Part::Requests.key());
        let windows = bytes / 16 * 3;
        let window = (windows / WAITING).clamp(WINDOW_BYTES.0, WINDOW_BYTES.1);
        let large = Pool::new(key, bytes / 16 * 11);
        let room = large.limit_bytes().saturating_sub(CALL_BYTES + STRUCTURE_BYTES) / COPIES;
        let most = usize::try_from(room).unwrap_or(usize::MAX);
        Self {
            small: Pool::new(key, bytes / 16),
            max_message_bytes: config.server.max_request_bytes.min(most),
            size_key: if config.server.max_request_bytes > most { key } else { "proxy.grpc.serverMaxRecvSize" },
            growth: Growth::new(Pool::new(key, bytes / 16), large.clone()),
            large,
            waiting: Arc::new(Semaphore::new((windows / window).clamp(1, WAITING) as usize)),
            window_bytes: window as u32,
            queue_timeout: config.server.admission_timeout,
            idle_timeout: config.server.idle_timeout,
        }
    }

    /// A larger message is refused.
    pub fn max_message_bytes(&self) -> usize {
        self.max_message_bytes
    }

    /// The setting that this limit comes from.
    pub fn size_key(&self) -> &'static str {
        self.size_key
    }

    /// Unread bytes of a body that a client may send ahead.
    pub fn window_bytes(&self) -> u32 {
        self.window_bytes
    }

    /// Where small messages take their memory.
    pub fn small(&self) -> &Pool {
        &self.small
    }

    /// Where large messages take theirs.
    pub fn large(&self) -> &Pool {
        &self.large
    }

    /// Where calls under way take more.
    pub fn growth(&self) -> &Growth {
        &self.growth
    }

    pub fn used_bytes(&self) -> u64 {
        self.small.used_bytes() + self.large.used_bytes() + self.growth.used_bytes()
    }

    /// Takes the memory of messages with `bytes` bytes in all, if it is free now.
    fn try_take(&self, bytes: u64) -> Result<Reserved, Full> {
        self.pool(bytes).try_reserve(charge(bytes))
    }

    /// The same, waiting for a while.
    async fn take(self, bytes: u64) -> Result<Reserved, Full> {
        let pool = self.pool(bytes);
        let full = || pool.full(charge(bytes));
        let _waits = self.waiting.try_acquire().map_err(|_| full())?;
        tokio::time::timeout(self.queue_timeout, pool.reserve(charge(bytes))).await.map_err(|_| full())
    }

    fn pool(&self, bytes: u64) -> &Pool {
        if bytes <= SMALL_BYTES { &self.small } else { &self.large }
    }
}

fn charge(bytes: u64) -> u64 {
    let structures = if bytes <= SMALL_BYTES { 0 } else { STRUCTURE_BYTES };
    bytes.saturating_mul(COPIES).saturating_add(CALL_BYTES + structures)
}

/// Memory that a call holds until it is answered.
#[derive(Debug, Default)]
struct Call {
    held: Mutex<Held>,
    is_refused: AtomicBool,
}

#[derive(Debug, Default)]
struct Held {
    /// The admissions of its messages.
    messages: Vec<Reserved>,
    /// Memory of the decoded messages beyond that.
    decoded: Option<Extra>,
}

fn refusal(full: &Full) -> String {
    format!("too many requests are in flight, try again later: {full}")
}

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
        let call = Arc::new(Call::default());
        let (requests, admitted) = (self.requests.clone(), Arc::clone(&call));
        let idle_timeout = requests.idle_timeout;
        let is_stream = path.starts_with("/grpc.reflection.");
        let input = footprint::input_of(&path);
        let request = request.map(|body| Body::new(Admitted::new(body, requests, admitted, input, is_stream)));
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            *call.held.lock() = Held::default();
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
