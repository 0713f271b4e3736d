//! Health, readiness and metrics.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{Component, ComponentState, Health, Shared, answer};

const PLAIN: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];

/// `GET /api/v1/health`: something answers.
pub(super) async fn alive() -> Response {
    answer::json(StatusCode::OK, &json!({"status": "ok"}))
}

/// `GET /healthz`: 200 and `OK`, or 500 and the first component that is not well. What is wrong follows in lines of its
/// own; a process that is degraded is well, because a restart would not help it. With the request header
/// `Content-Type: application/json` the body is JSON, labelled text/plain all the same, as in Milvus, with two members
/// more: the condition and the reasons.
pub(super) async fn healthz(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let Health { components, condition, reasons } = shared.backend.health();
    let (status, state) = match components.iter().find(|c| !is_well(c)) {
        None => (StatusCode::OK, "OK".to_owned()),
        Some(c) => (StatusCode::INTERNAL_SERVER_ERROR, is_not_well(c)),
    };
    let wants_json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"));
    let body = if wants_json {
        let detail: Vec<_> = components.iter().map(|c| json!({"name": c.name, "code": c.state as i32})).collect();
        let mut answer = json!({"state": state, "detail": detail});
        // As Milvus has it while there is nothing to say.
        if !reasons.is_empty() {
            answer["condition"] = json!(condition);
            answer["reasons"] = json!(reasons);
        }
        answer.to_string()
    } else {
        lines(state, &reasons)
    };
    (status, PLAIN, body).into_response()
}

/// `GET /readyz`: whether calls may be sent here; 503 while starting or stopping, and once the process has failed.
pub(super) async fn readyz(State(shared): State<Shared>) -> Response {
    let Health { components, reasons, .. } = shared.backend.health();
    let takes_calls = |c: &Component| c.state == ComponentState::Healthy;
    match components.iter().find(|c| !takes_calls(c)) {
        None => (StatusCode::OK, PLAIN, "ready".to_owned()).into_response(),
        Some(c) => (StatusCode::SERVICE_UNAVAILABLE, PLAIN, lines(is_not_well(c), &reasons)).into_response(),
    }
}

fn is_not_well(component: &Component) -> String {
    format!("component {} state is {}", component.name, component.state.as_str())
}

fn lines(first: String, more: &[String]) -> String {
    more.iter().fold(first, |text, line| text + "\n" + line)
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
