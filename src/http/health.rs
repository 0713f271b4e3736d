//! Health, readiness and metrics.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{answer, shared::RouteState};
use crate::{
    coordinator::HealthReport,
    wire::{
        proto::common::StateCode,
        system::{self, ROLES},
    },
};

const PLAIN: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];

/// `GET /api/v1/health`: the process answers.
pub(super) async fn alive() -> Response {
    answer::json(StatusCode::OK, &json!({"status": "ok"}))
}

/// `GET /healthz`: 200 and `OK`, or 500 and the first component that is not well. The reasons follow, a line each. A
/// degraded process is well, because a restart would not help it. With the request header
/// `Content-Type: application/json` the body is JSON, labelled text/plain all the same, as in Milvus, with two members
/// more: the condition and the reasons.
pub(super) async fn healthz(State(shared): State<RouteState>, headers: HeaderMap) -> Response {
    let wants_json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"));
    health_answer(&shared.standalone.health(), wants_json)
}

pub(super) fn health_answer(health: &HealthReport, wants_json: bool) -> Response {
    let (status, state) = match unwell(health) {
        None => (StatusCode::OK, "OK".to_owned()),
        Some(text) => (StatusCode::INTERNAL_SERVER_ERROR, text),
    };
    let reasons = health.reasons();
    let body = if wants_json {
        let code = component_state(health) as i32;
        let detail: Vec<_> = ROLES.iter().map(|name| json!({"name": name, "code": code})).collect();
        let mut answer = json!({"state": state, "detail": detail});
        // Without a reason the answer is Milvus' own.
        if !reasons.is_empty() {
            answer["condition"] = json!(health.condition().as_str());
            answer["reasons"] = json!(reasons);
        }
        answer.to_string()
    } else {
        lines(state, &reasons)
    };
    (status, PLAIN, body).into_response()
}

/// `GET /readyz`: whether calls may be sent here; 503 once the process has failed.
pub(super) async fn readyz(State(shared): State<RouteState>) -> Response {
    ready_answer(&shared.standalone.health())
}

pub(super) fn ready_answer(health: &HealthReport) -> Response {
    match unwell(health) {
        None => (StatusCode::OK, PLAIN, "ready".to_owned()).into_response(),
        Some(text) => (StatusCode::SERVICE_UNAVAILABLE, PLAIN, lines(text, &health.reasons())).into_response(),
    }
}

fn component_state(health: &HealthReport) -> StateCode {
    system::component_state(health.takes_calls())
}

/// The first component that is not well. One process fills every role, so that is the first of all, if any.
fn unwell(health: &HealthReport) -> Option<String> {
    let state = component_state(health);
    (state != StateCode::Healthy).then(|| format!("component {} state is {}", ROLES[0], state.as_str_name()))
}

fn lines(first: String, more: &[String]) -> String {
    more.iter().fold(first, |text, line| text + "\n" + line)
}

/// `GET /metrics`, in the text format of Prometheus.
pub(super) async fn metrics(State(shared): State<RouteState>) -> Response {
    (shared.refresh)();
    ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], shared.metrics.render()).into_response()
}
