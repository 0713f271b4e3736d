//! Admission of calls: a message takes its memory *before* it is read, and a body that stops arriving ends its call.
//!
//! The head of a message tells its length. Until that much memory is free, the rest of the body stays unread, so the
//! client stops sending when its window is full (HTTP/2's back-pressure). Small messages have a pool of their own:
//! state calls and health checks never queue behind large inserts. A call's memory is given back when the call is
//! answered, that of a query's answer when the answer is sent or its client does not take it (`answer`).
//!
//! ```text
//!   limit of requests = windows of waiting calls (1/4) + small messages (1/16) + large messages (11/16)
//! ```
//!
//! A call that waits longer than `datacoord.grpc.queueTimeout` is refused; beyond a number of waiting calls the next
//! one is refused at once. A refused write or query gets Milvus' rate limit, after which its clients wait and retry;
//! any other call gets RESOURCE_EXHAUSTED.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::Semaphore;
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use super::answer::Counted;
use crate::{
    config::{Config, Part},
    connections::Deadline,
    memory::{Account, Full, Pool, Reserved},
    wire::{
        proto::milvus::{MutationResult, QueryResults},
        status,
    },
};

/// The largest small message.
const SMALL_BYTES: u64 = 64 << 10;
/// Memory of a call beside its message.
const CALL_BYTES: u64 = 4 << 10;
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
        let window = (bytes / 4 / WAITING).clamp(WINDOW_BYTES.0, WINDOW_BYTES.1);
        let large = Pool::new(key, bytes / 16 * 11);
        let most = usize::try_from(large.limit_bytes() / COPIES).unwrap_or(usize::MAX);
        Self {
            small: Pool::new(key, bytes / 16),
            max_message_bytes: config.server.max_request_bytes.min(most),
            size_key: if config.server.max_request_bytes > most { key } else { "proxy.grpc.serverMaxRecvSize" },
            large,
            waiting: Arc::new(Semaphore::new((bytes / 4 / window).clamp(1, WAITING) as usize)),
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

    pub fn used_bytes(&self) -> u64 {
        self.small.used_bytes() + self.large.used_bytes()
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
    bytes.saturating_mul(COPIES).saturating_add(CALL_BYTES)
}

/// Memory that a call holds until it is answered.
#[derive(Debug, Default)]
struct Call {
    held: Mutex<Vec<Reserved>>,
    is_refused: AtomicBool,
}

/// Where the messages of a body begin: each has five bytes in front, of which the last four are its length.
#[derive(Debug, Default)]
struct Heads {
    head: [u8; 5],
    /// Bytes of the head that have arrived.
    known: usize,
    /// Bytes of the message that are still to come.
    rest: u64,
    any: bool,
}

impl Heads {
    /// Follows the bytes of the body. Returns the summed lengths of the messages that begin in them, if one does.
    fn pass(&mut self, mut bytes: &[u8]) -> Option<u64> {
        let mut begun = None;
        while !bytes.is_empty() {
            if self.rest > 0 {
                let skipped = self.rest.min(bytes.len() as u64);
                self.rest -= skipped;
                bytes = bytes.get(skipped as usize..).unwrap_or_default();
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.head.len() - self.known));
            for byte in now {
                if let Some(place) = self.head.get_mut(self.known) {
                    *place = *byte;
                }
                self.known += 1;
            }
            bytes = later;
            if self.known == self.head.len() {
                let [_, a, b, c, d] = self.head;
                self.rest = u32::from_be_bytes([a, b, c, d]).into();
                (self.known, self.any) = (0, true);
                begun = Some(begun.unwrap_or(0u64).saturating_add(self.rest));
            }
        }
        begun
    }

    /// True between two messages.
    fn is_between(&self) -> bool {
        self.any && self.rest == 0 && self.known == 0
    }
}

/// A body whose messages take their memory before they are passed on.
struct Admitted {
    body: Body,
    requests: Requests,
    call: Arc<Call>,
    heads: Heads,
    /// A stream of messages may rest between them.
    is_stream: bool,
    idle: Deadline,
    /// Bytes that wait for memory.
    waiting: Option<(Bytes, BoxFuture<'static, Result<Reserved, Full>>)>,
    is_over: bool,
}

impl Admitted {
    fn end(&mut self, status: Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.is_over = true;
        Poll::Ready(Some(Err(status)))
    }

    fn admit(&mut self, held: Reserved) {
        self.call.held.lock().push(held);
        self.idle.moved();
    }
}

impl HttpBody for Admitted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.is_over {
            return Poll::Ready(None);
        }
        if let Some((_, taking)) = &mut this.waiting {
            let taken = ready!(taking.as_mut().poll(cx));
            let data = this.waiting.take().map(|(data, _)| data).unwrap_or_default();
            return match taken {
                Ok(held) => {
                    this.admit(held);
                    Poll::Ready(Some(Ok(Frame::data(data))))
                }
                Err(full) => {
                    this.call.is_refused.store(true, Relaxed);
                    this.end(Status::resource_exhausted(refusal(&full)))
                }
            };
        }
        let frame = match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Pending => {
                if this.is_stream && this.heads.is_between() {
                    return Poll::Pending;
                }
                ready!(this.idle.poll(cx));
                let after = this.requests.idle_timeout;
                return this.end(Status::deadline_exceeded(format!(
                    "nothing of the request arrived for {after:?} (datacoord.connections.idleTimeout)"
                )));
            }
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(other) => return Poll::Ready(other),
        };
        this.idle.moved();
        let begun = frame.data_ref().and_then(|data| this.heads.pass(data));
        // The decoder refuses an oversized message by its head alone, so it takes no memory.
        let Some(bytes) = begun.filter(|bytes| *bytes <= this.requests.max_message_bytes as u64) else {
            return Poll::Ready(Some(Ok(frame)));
        };
        match this.requests.try_take(bytes) {
            Ok(held) => {
                this.admit(held);
                Poll::Ready(Some(Ok(frame)))
            }
            Err(_) => {
                let data = frame.into_data().unwrap_or_default();
                this.waiting = Some((data, Box::pin(this.requests.clone().take(bytes))));
                self.poll_frame(cx)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || (self.waiting.is_none() && self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
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
        let request = request.map(move |body| {
            let idle = Deadline::new(requests.idle_timeout);
            Body::new(Admitted {
                body,
                requests,
                call: admitted,
                heads: Heads::default(),
                is_stream,
                idle,
                waiting: None,
                is_over: false,
            })
        });
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            call.held.lock().clear();
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
