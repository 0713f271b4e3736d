//! Health, readiness and metrics.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{Component, ComponentState, Shared, answer};

const PLAIN: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];

/// `GET /api/v1/health`: something answers.
pub(super) async fn alive() -> Response {
    answer::json(StatusCode::OK, &json!({"status": "ok"}))
}

/// `GET /healthz`: `OK`, or 500 and the first component that is not well. With the request header
/// `Content-Type: application/json` the body is JSON, labelled text/plain all the same, as in Milvus.
pub(super) async fn healthz(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let components = shared.backend.health();
    let (status, state) = match components.iter().find(|c| !is_well(c)) {
        None => (StatusCode::OK, "OK".to_owned()),
        Some(c) => (StatusCode::INTERNAL_SERVER_ERROR, format!("component {} state is {}", c.name, c.state.as_str())),
    };
    let wants_json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"));
    let body = if wants_json {
        let detail: Vec<_> = components.iter().map(|c| json!({"name": c.name, "code": c.state as i32})).collect();
        json!({"state": state, "detail": detail}).to_string()
    } else {
        state
    };
    (status, PLAIN, body).into_response()
}

/// `GET /readyz`: whether calls may be sent here; 503 while starting or stopping.
pub(super) async fn readyz(State(shared): State<Shared>) -> Response {
    let not_ready =
        shared.backend.health().into_iter().find(|c| {
            matches!(c.state, ComponentState::Initializing | ComponentState::StandBy | ComponentState::Stopping)
        });
    match not_ready {
        None => (StatusCode::OK, PLAIN, "ready".to_owned()).into_response(),
        Some(c) => {
            let text = format!("component {} state is {}", c.name, c.state.as_str());
            (StatusCode::SERVICE_UNAVAILABLE, PLAIN, text).into_response()
        }
    }
}

/// `GET /metrics`, in the text format of Prometheus.
pub(super) async fn metrics(State(shared): State<Shared>) -> Response {
    shared.backend.refresh_metrics();
    ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], shared.metrics.render()).into_response()
}

/// A component that stands by does so on purpose.
fn is_well(component: &Component) -> bool {
    matches!(component.state, ComponentState::Healthy | ComponentState::StandBy)
}
