//! Which requests need what: with mutual TLS a certificate of the client.
//!
//! The handshake lets clients without a certificate in, because probes of containers have none. The paths for probes answer
//! them, and `/metrics` unless `datacoord.http.openMetrics` is false.
//!
//! Must never: read a body, or let a path through that it does not know.

use axum::{
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    paths::{HEALTHZ, METRICS, READYZ},
    shared::Shared,
};
use crate::{
    config::{ServerConfig, TlsMode},
    connections::Peer,
};

/// Answers instead of the route where something is missing.
pub(super) async fn check(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let config = shared.standalone.config();
    if is_open(request.uri().path(), &config.server) {
        return next.run(request).await;
    }
    let has_certificate = request.extensions().get::<Peer>().is_some_and(|peer| peer.has_certificate);
    if config.tls.http() == TlsMode::Mutual && !has_certificate {
        let text = "this path needs a certificate of the client (mutual TLS); /healthz and /readyz need none";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    next.run(request).await
}

/// Whether a path needs nothing.
fn is_open(path: &str, config: &ServerConfig) -> bool {
    matches!(path, HEALTHZ | READYZ) || (path == METRICS && config.open_metrics)
}
