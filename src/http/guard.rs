//! The needs of a request: with mutual TLS a certificate of the client, with authorization a user and its privileges.
//!
//! The handshake lets clients without a certificate in, because probes of containers have none. The paths for probes need
//! nothing, and neither does `/metrics` unless `datacoord.http.openMetrics` is false. The files of the page need no user: they
//! hold no data, and ask for one. All other paths need both, also those that do not exist.
//!
//! Must never: read a body, or let a path through that it does not know.

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{
    answer,
    paths::{HEALTHZ, METRICS, PAGE_FILES, READYZ},
    shared::RouteState,
};
use crate::{
    access::{Caller, Credentials, Need},
    config::{ServerConfig, TlsMode},
    connections::Peer,
    model::{AccessRefusal, CollectionId, Privilege, access::ANY, collection::DEFAULT_DATABASE},
    standalone::Standalone,
    wire::status::refusal_text,
};

/// Milvus' codes in the bodies of its HTTP refusals. It has none of its own for a privilege that is missing.
const NEEDS_LOGIN: i32 = 1800;
const RATE_LIMIT: i32 = 8;
const UNEXPECTED: i32 = 65_535;

/// Answers instead of the route where something is missing. The route gets the caller among the request's extensions.
pub(super) async fn check(State(shared): State<RouteState>, mut request: Request, next: Next) -> Response {
    let config = shared.standalone.config();
    if is_open(request.uri().path(), &config.server) {
        return next.run(request).await;
    }
    let peer = request.extensions().get::<Peer>().copied();
    if config.tls.http() == TlsMode::Mutual && !peer.is_some_and(|peer| peer.has_certificate) {
        let text = "this path needs a certificate of the client (mutual TLS); /healthz and /readyz need none";
        return refusal(StatusCode::FORBIDDEN, UNEXPECTED, text.to_owned());
    }
    if PAGE_FILES.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    // No route needs the header, so none can repeat it.
    let header = request.headers_mut().remove(header::AUTHORIZATION);
    let presented = Credentials::of_http(header.as_ref().map(HeaderValue::as_bytes));
    match shared.standalone.gatekeeper().authenticate(presented, peer.map(|peer| peer.address.ip())).await {
        Ok(caller) => {
            if let Some(user) = caller.name() {
                tracing::Span::current().record("user", user);
            }
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refusal) => refused(&refusal),
    }
}

/// Whether a path needs nothing.
fn is_open(path: &str, config: &ServerConfig) -> bool {
    matches!(path, HEALTHZ | READYZ) || (path == METRICS && config.open_metrics)
}

/// Refuses a caller without the privilege to compact a collection, as the gRPC services do. An empty `name` means the
/// collection with this id.
pub(super) fn permit_compaction(
    standalone: &Standalone,
    caller: &Caller,
    (database, name, id): (&str, &str, i64),
) -> Result<(), Box<Response>> {
    let found = if name.is_empty() { standalone.name_of(CollectionId(id)) } else { None };
    let database = if database.is_empty() { DEFAULT_DATABASE } else { database };
    // The answer about an id that is free tells that it is free, so it needs the privilege on everything.
    let name = if name.is_empty() { ANY } else { name };
    let (database, name) = found.as_ref().map_or((database, name), |(database, name)| (database, name));
    let need = Need::collection(Privilege::Compaction);
    let permitted = standalone.gatekeeper().permit(caller, need, database, name);
    permitted.map_err(|refusal| Box::new(refused(&refusal)))
}

/// The answer to a refused caller, with the HTTP codes of Milvus.
pub(super) fn refused(why: &AccessRefusal) -> Response {
    let text = refusal_text(why);
    match why {
        AccessRefusal::NoCredentials
        | AccessRefusal::Malformed
        | AccessRefusal::ApiKey
        | AccessRefusal::WrongPassword => {
            let text = format!("user hasn't authenticated: {text}");
            let mut answer = refusal(StatusCode::UNAUTHORIZED, NEEDS_LOGIN, text);
            // Browsers ask for a login then.
            let scheme = HeaderValue::from_static("Basic realm=\"datacoord\", charset=\"UTF-8\"");
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
            answer
        }
        AccessRefusal::TooManyGuesses { wait } => {
            let mut answer = refusal(StatusCode::TOO_MANY_REQUESTS, RATE_LIMIT, text);
            let seconds = wait.as_millis().div_ceil(1000) as u64;
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            answer
        }
        AccessRefusal::Busy => refusal(StatusCode::TOO_MANY_REQUESTS, RATE_LIMIT, text),
        AccessRefusal::Denied { .. } | AccessRefusal::NoAdmin { .. } => {
            refusal(StatusCode::FORBIDDEN, UNEXPECTED, text)
        }
        AccessRefusal::NotLookedAt => refusal(StatusCode::INTERNAL_SERVER_ERROR, UNEXPECTED, text),
    }
}

fn refusal(status: StatusCode, code: i32, message: String) -> Response {
    answer::json(status, &json!({"code": code, "message": message})).into_response()
}
