//! REST, health and metrics on the HTTP port, as Milvus 2.3.5 has them there.
//!
//! Translates and never decides: a request becomes the message that the gRPC service takes, its answer becomes JSON.
//! Int64 are bare numbers in both directions and keep all their digits; members that are zero are left out, enums are
//! numbers. What differs from Milvus: the query string is read too (there it is ignored), and a request that names no
//! collection is for the backend to refuse (there it means all of them).
//!
//! | route | what |
//! |---|---|
//! | `POST /api/v1/compaction` | start a compaction |
//! | `GET /api/v1/compaction/state`, `/plans` | follow it |
//! | `POST /v2/vectordb/collections/compact`, `/get_compaction_state` | the same in the newer style |
//! | `GET /api/v1/health` | that something answers |
//! | `GET /healthz`, `/readyz` | how all components are, with reasons; whether calls are taken |
//! | `GET /metrics` | Prometheus |

mod answer;
mod compaction;
mod health;
mod origin;
mod request;
mod serve;
mod service;

use std::sync::Arc;

use async_trait::async_trait;
use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};

pub use serve::{Bounds, serve};
pub use service::ServiceBackend;

use crate::{
    telemetry::Metrics,
    wire::proto::milvus::{
        GetCompactionPlansRequest, GetCompactionPlansResponse, GetCompactionStateRequest, GetCompactionStateResponse,
        ManualCompactionRequest, ManualCompactionResponse,
    },
};

/// A request here is a few names and numbers.
pub const MAX_BODY_BYTES: usize = 1 << 20;

/// What the routes ask; [`ServiceBackend`] asks the gRPC service. Both sides of each call are its messages, with business
/// errors in the answer's `status`; an `Err` is a failure below that and becomes HTTP 500.
#[async_trait]
pub trait Backend: Send + Sync {
    async fn manual_compaction(
        &self,
        request: ManualCompactionRequest,
    ) -> Result<ManualCompactionResponse, tonic::Status>;

    async fn compaction_state(
        &self,
        request: GetCompactionStateRequest,
    ) -> Result<GetCompactionStateResponse, tonic::Status>;

    async fn compaction_plans(
        &self,
        request: GetCompactionPlansRequest,
    ) -> Result<GetCompactionPlansResponse, tonic::Status>;

    /// How the process is; cheap, called for each health check.
    fn health(&self) -> Health;

    /// Brings gauges up to date; called before the metrics are answered.
    fn refresh_metrics(&self);
}

/// How the process is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    pub components: Vec<Component>,
    /// `alive`, `degraded` or `failed`.
    pub condition: &'static str,
    /// Of whatever is not well; of a process that is alive none.
    pub reasons: Vec<String>,
}

/// A part of the process that can be well or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Component {
    /// Lower case, e.g. `datacoord`.
    pub name: &'static str,
    pub state: ComponentState,
}

/// Numbered as Milvus' `StateCode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComponentState {
    Initializing = 0,
    Healthy = 1,
    Abnormal = 2,
    StandBy = 3,
    Stopping = 4,
}

impl ComponentState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initializing => "Initializing",
            Self::Healthy => "Healthy",
            Self::Abnormal => "Abnormal",
            Self::StandBy => "StandBy",
            Self::Stopping => "Stopping",
        }
    }
}

#[derive(Clone)]
struct Shared {
    backend: Arc<dyn Backend>,
    metrics: Arc<Metrics>,
}

const COMPACTION: &str = "/api/v1/compaction";
const COMPACTION_STATE: &str = "/api/v1/compaction/state";
const COMPACTION_PLANS: &str = "/api/v1/compaction/plans";
const V2_COMPACT: &str = "/v2/vectordb/collections/compact";
const V2_STATE: &str = "/v2/vectordb/collections/get_compaction_state";
const HEALTH: &str = "/api/v1/health";
const HEALTHZ: &str = "/healthz";
const READYZ: &str = "/readyz";
const METRICS: &str = "/metrics";
const ROUTES: [&str; 9] =
    [COMPACTION, COMPACTION_STATE, COMPACTION_PLANS, V2_COMPACT, V2_STATE, HEALTH, HEALTHZ, READYZ, METRICS];

/// All routes, to be given to [`serve`].
pub fn router(backend: Arc<dyn Backend>, metrics: Arc<Metrics>, bounds: Bounds) -> Router {
    let shared = Shared { backend, metrics };
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
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn(move |request, next| serve::read_body(bounds.clone(), request, next)))
        .layer(middleware::from_fn(origin::check))
        .layer(middleware::from_fn_with_state(shared.clone(), count))
        .with_state(shared)
}

/// Milvus answers another verb on a known path in the same way.
async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "text/plain")], "404 page not found").into_response()
}

/// Counts every request by route and code. Paths that are no route were chosen by the client and share one label.
async fn count(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let route = ROUTES.iter().find(|route| **route == request.uri().path()).copied().unwrap_or("other");
    let response = next.run(request).await;
    let code = match response.status().as_u16() {
        200 => "200",
        400 => "400",
        403 => "403",
        404 => "404",
        408 => "408",
        413 => "413",
        500 => "500",
        503 => "503",
        _ => "other",
    };
    shared.metrics.http.requests.with([route, code]).inc();
    response
}

#[cfg(test)]
mod tests;
