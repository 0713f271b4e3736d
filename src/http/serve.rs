//! Serves the routes over HTTP/1, with a limit on how long a head or a body may take.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use super::bounds::{self, Entry, RequestBounds};
use crate::connections::Listener;

/// Largest head, and largest unread part of a body, in bytes.
const BUFFER_BYTES: usize = 64 << 10;

/// Serves until `stop`, then lets calls in flight finish. A connection is closed when no whole head comes within
/// `idle`.
pub async fn serve(mut listener: Listener, router: Router, idle: Duration, stop: CancellationToken) {
    let connections = TaskTracker::new();
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(idle).max_buf_size(BUFFER_BYTES);
    let builder = Arc::new(builder);
    while let Some(connection) = stop.run_until_cancelled(listener.accept()).await {
        let peer = connection.peer();
        let service = router.clone().map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            request
        });
        let served = builder.serve_connection(TokioIo::new(connection), TowerToHyperService::new(service));
        let stop = stop.clone();
        connections.spawn(async move {
            let mut served = std::pin::pin!(served);
            let outcome = tokio::select! {
                outcome = served.as_mut() => outcome,
                () = stop.cancelled() => {
                    served.as_mut().graceful_shutdown();
                    served.await
                }
            };
            if let Err(error) = outcome {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Reads the whole body before the route runs, within a time and a size, so that an unfinished body can't hold its call
/// for ever.
pub(super) async fn read_body(bounds: RequestBounds, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let (idle, path) = (bounds.idle, parts.uri.path());
    let Entry { memory, copies, most, key } = bounds.entry(path);
    let key = key.map(|key| format!(" ({key})")).unwrap_or_default();
    let more = bounds::copies(path) - copies;
    let bytes = body.size_hint().upper().unwrap_or(u64::MAX).min(most as u64);
    // Given back when the request is answered.
    let mut held = None;
    let mut extra = bounds.growth.of_call(0);
    let read = async {
        if bytes > 0 {
            held = Some(memory.reserve(bytes * copies).await);
        }
        http_body_util::Limited::new(body, most).collect().await
    };
    match tokio::time::timeout(idle, read).await {
        Ok(Ok(collected)) => {
            let body = collected.to_bytes();
            match extra.take(body.len() as u64 * more) {
                Ok(()) => next.run(Request::from_parts(parts, Body::from(body))).await,
                Err(full) => {
                    let text = format!("too many requests are in flight, try again later: {full}");
                    (StatusCode::TOO_MANY_REQUESTS, text).into_response()
                }
            }
        }
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            (StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {most} bytes{key}")).into_response()
        }
        Ok(Err(error)) => (StatusCode::BAD_REQUEST, format!("the body can't be read: {error}")).into_response(),
        Err(_elapsed) => {
            let text = format!("the body did not come within {idle:?} (datacoord.connections.idleTimeout)");
            (StatusCode::REQUEST_TIMEOUT, text).into_response()
        }
    }
}
