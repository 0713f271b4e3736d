//! The routes, and the layers around every request: limits, the checks of its origin and its caller, the count.

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use tokio::time::Instant;
use tracing::{Instrument as _, field};

use super::{
    bounds::RequestBounds,
    compaction,
    control::ControlService,
    guard, health, log_level,
    milvus::Milvus,
    origin::{self, OwnNames},
    page,
    paths::{
        COMPACTION, COMPACTION_PLANS, COMPACTION_STATE, HEALTH, HEALTHZ, HEAP_PROFILE, LOG_LEVEL, METRICS, PAGE,
        PAGE_FILES, PAGE_ROUTES, PROFILE, READYZ, ROUTES, V2_COMPACT, V2_STATE,
    },
    profile, serve,
    shared::RouteState,
    streams::StreamPlaces,
    v2,
};
use crate::{
    connections::Peer,
    standalone::Standalone,
    telemetry::{Metrics, follow, request_id},
};

/// All routes, for [`super::serve`]. Calls `refresh` before the metrics are answered.
pub fn router(
    standalone: Arc<Standalone>,
    metrics: Arc<Metrics>,
    milvus: Milvus,
    control: ControlService,
    refresh: impl Fn() + Send + Sync + 'static,
    bounds: RequestBounds,
) -> Router {
    show_routes(&metrics);
    let own = OwnNames::new(standalone.config());
    let (large, growth) = (bounds.large.clone(), bounds.growth.clone());
    let streams = StreamPlaces::new(bounds.streams);
    let refresh = Arc::new(refresh);
    let shared = RouteState { standalone, metrics, milvus, control, streams, large, growth, refresh };
    Router::new()
        .route(COMPACTION, post(compaction::start))
        .route(COMPACTION_STATE, get(compaction::state))
        .route(COMPACTION_PLANS, get(compaction::plans))
        .route(V2_COMPACT, post(compaction::start_v2))
        .route(V2_STATE, post(compaction::state_v2))
        .route(HEALTH, get(health::alive))
        .route(HEALTHZ, get(health::healthz))
        .route(READYZ, get(health::readyz))
        .route(METRICS, get(health::metrics))
        .route(LOG_LEVEL, any(log_level::answer))
        .route(PROFILE, get(profile::processor))
        .route(HEAP_PROFILE, get(profile::heap))
        .merge(v2::routes())
        .merge(page::page_routes())
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
        // The reader of the body knows the limit of its route.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn(move |request, next| serve::read_body(bounds.clone(), request, next)))
        // Before the body is read: it takes memory.
        .layer(middleware::from_fn_with_state(shared.clone(), guard::check))
        .layer(middleware::from_fn_with_state(own, origin::check))
        .layer(middleware::from_fn_with_state(shared.clone(), count))
        .with_state(shared)
}

/// The route of all paths that are none.
const OTHER: &str = "other";

/// Makes the series of all routes appear with 0.
fn show_routes(metrics: &Metrics) {
    for route in ROUTES.into_iter().chain(PAGE_ROUTES).chain([OTHER]) {
        metrics.http.requests.with([route, "200"]);
        metrics.http.duration.with([route]);
    }
}

/// Milvus answers another verb on a known path in the same way.
async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "text/plain")], "404 page not found").into_response()
}

/// Counts every request by route and code. Clients choose paths outside of the routes freely, so these share one label.
async fn count(State(shared): State<RouteState>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let mut routes = ROUTES.iter().chain(&PAGE_ROUTES);
    let rest = if PAGE_FILES.contains(&path) { PAGE } else { OTHER };
    let route = routes.find(|route| **route == path).copied().unwrap_or(rest);
    let begun = Instant::now();
    let peer = request.extensions().get::<Peer>().map(|peer| field::display(peer.address));
    let span = tracing::info_span!("request", id = request_id(request.headers()), route, user = field::Empty, peer);
    follow(&span, request.headers());
    let response = next.run(request).instrument(span.clone()).await;
    let took = begun.elapsed();
    shared.metrics.http.duration.with([route]).observe(took.as_secs_f64());
    span.in_scope(|| tracing::debug!(code = response.status().as_u16(), ms = took.as_millis() as u64, "answered"));
    let code = match response.status().as_u16() {
        200 => "200",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        408 => "408",
        413 => "413",
        429 => "429",
        500 => "500",
        503 => "503",
        _ => "other",
    };
    shared.metrics.http.requests.with([route, code]).inc();
    response
}
