//! The routes, and the layers around every request: limits, the checks of its origin and its caller, the count.

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};

use super::{
    bounds::RequestBounds,
    compaction, guard, health,
    milvus::Milvus,
    origin,
    paths::{
        COMPACTION, COMPACTION_PLANS, COMPACTION_STATE, HEALTH, HEALTHZ, METRICS, READYZ, ROUTES, V2_COMPACT, V2_STATE,
    },
    serve,
    shared::RouteState,
    v2,
};
use crate::{standalone::Standalone, telemetry::Metrics};

/// All routes, for [`super::serve`]. Calls `refresh` before the metrics are answered.
pub fn router(
    standalone: Arc<Standalone>,
    metrics: Arc<Metrics>,
    milvus: Milvus,
    refresh: impl Fn() + Send + Sync + 'static,
    bounds: RequestBounds,
) -> Router {
    let (large, growth) = (bounds.large.clone(), bounds.growth.clone());
    let shared = RouteState { standalone, metrics, milvus, large, growth, refresh: Arc::new(refresh) };
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
        .merge(v2::routes())
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
        // The reader of the body knows the limit of its route.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn(move |request, next| serve::read_body(bounds.clone(), request, next)))
        // Before the body is read: it takes memory.
        .layer(middleware::from_fn_with_state(shared.clone(), guard::check))
        .layer(middleware::from_fn(origin::check))
        .layer(middleware::from_fn_with_state(shared.clone(), count))
        .with_state(shared)
}

/// Milvus answers another verb on a known path in the same way.
async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "text/plain")], "404 page not found").into_response()
}

/// Counts every request by route and code. Clients choose paths outside of the routes freely, so these share one label.
async fn count(State(shared): State<RouteState>, request: Request, next: Next) -> Response {
    let route = ROUTES.iter().find(|route| **route == request.uri().path()).copied().unwrap_or("other");
    let response = next.run(request).await;
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
